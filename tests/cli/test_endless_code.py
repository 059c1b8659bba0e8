"""A signal while native code runs endlessly: Python's handler never runs, but the process ends anyway."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.edge.compatibility.tflite_graph import from_object
from edgecnn.edge.runtimes import opener_for
from tests.onnx_text import ENDLESS, onnx_bytes

FLOAT = schema.TensorType.FLOAT32
# What the console script does around a command that never ends, with less patience.
COMMAND = """
import sys
from edgecnn import __main__ as entry
entry._PATIENCE_SECONDS = 0.3
def main():
    import numpy as np
    from edgecnn.edge.runtimes import opener_for
    with open(sys.argv[1], "rb") as file:
        model = opener_for(sys.argv[2]).open_model(file.read(), 1)
    print("running", flush=True)
    model.run(np.ones((1,), np.float32))
entry.main = main
entry.run()
"""


def endless_onnx() -> bytes:
    return onnx_bytes(f'(float[1] x) => (float[1] y) {{y = {ENDLESS} ("", always, x)}}', always=np.array(True))


def endless_tflite() -> bytes:
    """Return a WHILE that never ends: a number is never above itself."""

    def graph(output: str, kind: int, operator: Any) -> Any:
        tensors = [schema.TensorT(name=name, shape=[1], type=of, buffer=0) for name, of in (("x", FLOAT), (output, kind))]
        return schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=[operator])

    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    loop, below, negated = (schema.OperatorT(opcodeIndex=place, inputs=[0], outputs=[1]) for place in range(3))
    loop.builtinOptionsType, loop.builtinOptions = schema.BuiltinOptions.WhileOptions, options
    below.inputs = [0, 0]
    kinds = (schema.BuiltinOperator.WHILE, schema.BuiltinOperator.LESS_EQUAL, schema.BuiltinOperator.NEG)
    codes = [schema.OperatorCodeT(builtinCode=kind, deprecatedBuiltinCode=kind, version=1) for kind in kinds]
    graphs = [graph("y", FLOAT, loop), graph("on", schema.TensorType.BOOL, below), graph("y", FLOAT, negated)]
    return from_object(schema.ModelT(version=3, buffers=[schema.BufferT()], operatorCodes=codes, subgraphs=graphs))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(("model_format", "endless"), [("onnx", endless_onnx), ("tflite", endless_tflite)])
def test_a_runtime_that_does_not_come_back_does_not_keep_a_process_from_ending(
    model_format: str, endless: Callable[[], bytes], number: signal.Signals, tmp_path: Path
) -> None:
    file = tmp_path / f"endless.{model_format}"
    file.write_bytes(endless())
    command = [sys.executable, "-P", "-c", COMMAND, str(file), model_format]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"running\n"
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=300)  # It would never end.
        finally:
            process.kill()
    said = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert (process.returncode, err) == (128 + number, f"edgecnn: {said}\n".encode())


def test_the_endless_files_are_files_that_a_runtime_opens() -> None:
    for model_format, endless in (("onnx", endless_onnx), ("tflite", endless_tflite)):
        assert opener_for(model_format).open_model(endless(), 1).input_spec.shape == (1,)

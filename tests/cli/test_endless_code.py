"""A signal while native code runs endlessly: Python's handler never runs, but the process ends anyway."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from edgecnn.edge.runtimes import opener_for

# What the console script does around a command that never ends, with less patience.
ENDLESS = """
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
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("on", "still_on")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("value", "same")]
    inner = [helper.make_node("Identity", ["on"], ["still_on"]), helper.make_node("Identity", ["value"], ["same"])]
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    body = helper.make_graph(inner, "body", [count, flags[0], values[0]], [flags[1], values[1]])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    always = onnx.numpy_helper.from_array(np.array(True), "always")
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "always", "x"], ["y"], body=body)], "g", ends[:1], ends[1:], [always]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def endless_tflite() -> bytes:
    """Return a WHILE that never ends: a number is never above itself."""

    def tensor(name: str, kind: int = schema.TensorType.FLOAT32) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, [1], kind, 0
        return made

    def operator(code: int, inputs: list[int], outputs: list[int]) -> Any:
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
        return made

    def graph(tensors: list[Any], output: int, operators: list[Any]) -> Any:
        made = schema.SubGraphT()
        made.tensors, made.inputs, made.outputs, made.operators = tensors, [0], [output], operators
        return made

    loop = operator(0, [0], [1])
    loop.builtinOptionsType, loop.builtinOptions = schema.BuiltinOptions.WhileOptions, schema.WhileOptionsT()
    loop.builtinOptions.condSubgraphIndex, loop.builtinOptions.bodySubgraphIndex = 1, 2
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    for code in (schema.BuiltinOperator.WHILE, schema.BuiltinOperator.LESS_EQUAL, schema.BuiltinOperator.NEG):
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, code, 1
        model.operatorCodes.append(entry)
    model.subgraphs = [
        graph([tensor("x"), tensor("y")], 1, [loop]),
        graph([tensor("x"), tensor("on", schema.TensorType.BOOL)], 1, [operator(1, [0, 0], [1])]),
        graph([tensor("x"), tensor("y")], 1, [operator(2, [0], [1])]),
    ]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(("model_format", "endless"), [("onnx", endless_onnx), ("tflite", endless_tflite)])
def test_a_runtime_that_does_not_come_back_does_not_keep_a_process_from_ending(
    model_format: str, endless: Callable[[], bytes], number: signal.Signals, tmp_path: Path
) -> None:
    file = tmp_path / f"endless.{model_format}"
    file.write_bytes(endless())
    command = [sys.executable, "-P", "-c", ENDLESS, str(file), model_format]
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

"""tflite-micro's own interpreter, on files that edgecnn exported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.integrations import micro_interpreter as module
from edgecnn.convert.integrations.micro_interpreter import run_micro, smallest_arena
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConversionError
from edgecnn.edge.inference.classifier import Classifier

tflite_micro = pytest.importorskip("tflite_micro", reason="tflite-micro has packages for x86-64 only")


def calls(exported: Path, test_split: Split, name: str = "int8.tflite") -> tuple[bytes, list[NDArray[Any]]]:
    """Return a file and the inputs of all test images."""
    classifier = Classifier.load(exported / name)
    return (exported / name).read_bytes(), classifier.singles(test_split.images(range(60)))


def test_the_outputs_are_those_of_litert_reference_kernels(exported: Path, test_split: Split) -> None:
    data, inputs = calls(exported, test_split)
    outputs, reference = run_micro(data, "int8.tflite", inputs)
    assert outputs.dtype == np.int8
    assert outputs.shape == (60, 1, 3)
    assert len(np.unique(outputs.reshape(60, 3).argmax(axis=1))) == 3
    assert np.array_equal(outputs, reference)


def test_the_arena_is_the_smallest_that_the_interpreter_takes(exported: Path, test_split: Split) -> None:
    data, inputs = calls(exported, test_split)
    arena = smallest_arena(data, "int8.tflite", inputs[0])
    assert 1000 < arena < 100_000
    tflite_micro.runtime.Interpreter.from_bytes(data, arena_size=arena)
    with pytest.raises(RuntimeError):
        tflite_micro.runtime.Interpreter.from_bytes(data, arena_size=arena - 16)


def test_no_arena_is_tried_that_is_far_too_small(exported: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """In such ones tflite-micro may crash instead of raising."""
    data, inputs = calls(exported, test_split)
    opened, sizes = module._opened, list[int]()

    def noted(data: bytes, arena_bytes: int) -> Any:
        sizes.append(arena_bytes)
        return opened(data, arena_bytes)

    monkeypatch.setattr(module, "_opened", noted)
    found = module._find_arena(data, "int8.tflite", inputs[0])
    assert found / 2 <= min(sizes) < found


@pytest.mark.parametrize(("name", "operator"), [("float16.tflite", "DEQUANTIZE"), ("dynamic.tflite", "CONV_2D")])
def test_what_it_can_not_run_is_refused_with_the_operator(exported: Path, test_split: Split, name: str, operator: str) -> None:
    data, inputs = calls(exported, test_split, name)
    with pytest.raises(ConversionError, match=rf"{name}: tflite-micro can't run.*\({operator}: .*export.*int8") as raised:
        run_micro(data, name, inputs[:1])
    assert "\n" not in str(raised.value)


def test_a_damaged_file_is_refused(exported: Path, test_split: Split) -> None:
    data, inputs = calls(exported, test_split)
    with pytest.raises(ArtifactError, match=r"half\.tflite can't be read.*: export"):
        smallest_arena(data[: len(data) // 2], "half.tflite", inputs[0])


def test_its_native_code_is_never_in_this_process(exported: Path) -> None:
    code = (
        "import sys, numpy; from pathlib import Path; from edgecnn.convert.integrations.micro_interpreter import run_micro\n"
        "path = Path(sys.argv[1])\n"
        "ours, _ = run_micro(path.read_bytes(), path.name, [numpy.zeros((1, 12, 12, 1), numpy.int8)])\n"
        "print(ours.shape, sorted({'tflite_micro', 'ai_edge_litert'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(exported / "int8.tflite")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "(1, 1, 3) []\n"

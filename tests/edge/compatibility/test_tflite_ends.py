"""How a file's ends are quantized is read as LiteRT reports it."""

from pathlib import Path

import pytest

from edgecnn.edge.compatibility.tflite_graph import tflite_ends
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.runtimes import opener_for

KEPT = Path(__file__).parents[2] / "kept"
FILES = [
    KEPT / "bars/int8.tflite", KEPT / "bars/int16x8.tflite", KEPT / "bars/dynamic.tflite", KEPT / "any_batch/int8.tflite",
    KEPT / "foreign/uint8.tflite", KEPT / "foreign/int8.tflite", KEPT / "foreign/grey.tflite",
]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_they_are_as_the_interpreter_reports_them(path: Path) -> None:
    data = path.read_bytes()
    opened = opener_for("litert").open_model(data, 1)
    assert tflite_ends(data) == (opened.input_spec.quantization, opened.output_spec.quantization)


def test_some_of_these_files_are_quantized_and_some_are_not() -> None:
    assert {tflite_ends(path.read_bytes())[0] is None for path in FILES} == {True, False}


def test_a_file_of_several_graphs_or_none_is_refused() -> None:
    with pytest.raises(ArtifactError, match="2 graphs"):
        tflite_ends((KEPT / "foreign/two.tflite").read_bytes())
    with pytest.raises(ArtifactError, match="copy it again"):
        tflite_ends(b"\0" * 4 + b"TFL3" + b"\0" * 40)

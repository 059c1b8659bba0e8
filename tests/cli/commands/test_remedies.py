"""The fix in an error fits the file, in a user's words."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecnn.convert.keras.load import load_keras
from edgecnn.edge.errors import ArtifactError, why
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.layout import output_columns
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import require_one_each
from tests.onnx_text import onnx_bytes

COMMANDS = (
    ("evaluate",), ("bench",), ("bundle",), ("summary",), ("verify",), ("export",), ("predict", "--index=0"), ("diagnose",),
    ("train", "--preprocess", "unit", "--model"), ("train", "--preprocess", "unit", "--transfer"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("beside", "content", "made_by"),
    [
        ("keras_metadata.pb", b"\x08\x01", "import tf_keras; tf_keras.models.load_model('saved').save('model.h5')"),
        ("assets.txt", b"\x08\x01_tf_keras_network", "import tf_keras; tf_keras.models.load_model('saved').save('model.h5')"),
        ("fingerprint.pb", b"\x08\x01_user_object", "tf.lite.TFLiteConverter.from_saved_model('saved').convert()"),
    ],
    ids=["Keras 2", "Keras 2 before TensorFlow 2.5", "Keras 3"],
)
def test_a_saved_model_becomes_a_file_by_a_call(
    command: tuple[str, ...], beside: str, content: bytes, made_by: str, terminal: Any
) -> None:
    Path("saved").mkdir()
    for name in ("saved_model.pb", beside):
        Path("saved", name).write_bytes(content)
    for named in ("saved", "saved/saved_model.pb"):
        assert terminal.run(command[0], *command[1:], named) in (2, 4)
        assert made_by in terminal.err


def test_the_call_for_a_saved_model_of_keras_3_makes_a_file_that_is_exported(
    exported: Path, idx_folder: Path, terminal: Any
) -> None:
    load_keras().saving.load_model(exported / "model.keras").export("saved", verbose=False)
    call = terminal.fails(4, "export", "saved").split('"')[1]
    subprocess.run([sys.executable, "-c", call], check=True, capture_output=True)
    options = ("--preprocess", "unit", "--quantize", "int8", "--out", "made")
    terminal.passes("export", "model.tflite", "--data", idx_folder, *options)
    assert Path("made/int8.tflite").is_file()


def test_a_file_from_elsewhere_with_operators_of_its_own_is_not_to_be_exported_again(terminal: Any) -> None:
    text = "(float[1, 8, 8, 1] image) => (float[1, 4] classes) {classes = com.example.Own (image)}"
    Path("custom.onnx").write_bytes(onnx_bytes(text, domains=("com.example",)))
    line = terminal.fails(4, "evaluate", "custom.onnx", "--preprocess", "unit", "--data", "mnist")
    assert "export" not in line
    assert "convert" in line


def test_a_file_that_fails_is_to_be_exported_again_only_where_a_manifest_lists_it(exported: Path) -> None:
    found = read_model(exported / "int8.tflite")
    assert found.fix == "export it again"
    bare = Path("int8.tflite")
    bare.write_bytes(found.data)
    assert "export" not in read_model(bare).fix
    data = (exported / "int8.tflite").read_bytes()
    with pytest.raises(ArtifactError) as caught:
        opener_for("tflite").open_model(data[: len(data) // 2], 1)
    assert "export" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [IndexError("list index out of range"), KeyError("x"), TypeError("'NoneType' object is not iterable")]
)
def test_python_s_own_text_is_never_given_as_the_reason(error: Exception) -> None:
    assert why(error).startswith("an error inside it: ")
    assert type(error).__name__ in why(error)


def test_another_library_s_text_ends_between_words() -> None:
    text = why(ValueError("the converter cannot lower the operator " * 10), 100)
    assert len(text) <= 100
    assert re.fullmatch(r"(the|converter|cannot|lower|operator| )+ \.\.\.", text)


def test_one_of_a_thing_is_said_in_the_singular() -> None:
    with pytest.raises(ArtifactError, match=r"1 input \(x\).*2 outputs \(y,.*z\)"):
        require_one_each("ONNX", ["x"], ["y", "z"])
    with pytest.raises(ArtifactError, match="takes 1 image but"):
        output_columns(TensorSpec("y", (3, 10), "float32"), 1, "it")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("no such layer"), "RuntimeError: no such layer"), (KeyError("x"), "KeyError: 'x'"), (OSError(), "OSError")],
)
def test_the_reason_of_a_user_s_own_code_names_the_error_s_class(error: Exception, reason: str) -> None:
    assert why(error, named=True) == reason

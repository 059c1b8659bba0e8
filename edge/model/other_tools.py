"""How another tool's file or folder becomes one that edgecnn reads."""

import re
from pathlib import Path

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import read_bytes

_FIXES = {
    ".pt": "write it as ONNX with torch.onnx.export, and name the .onnx file",
    ".pth": "write it as ONNX with torch.onnx.export, and name the .onnx file",
    ".lite": "rename it to {stem}.tflite",
}
_KERAS_2 = (
    'pip install tf_keras, make a file of the SavedModel with python -c "import tf_keras; '
    "tf_keras.models.load_model('{folder}').save('model.h5')\", and name model.h5"
)
_MARK_OF_KERAS_2 = b"_tf_keras_"
# As the export() of Keras 3 writes it: without the layers, which no Keras can load.
_SAVED_MODEL = (
    'make a float file of the SavedModel with python -c "import tensorflow as tf; '
    "open('model.tflite', 'wb').write(tf.lite.TFLiteConverter.from_saved_model('{folder}').convert())\", and name model.tflite"
)


# What stands where a file should be, by its first bytes, and what to do.
_INSTEAD = {
    b"version https://git-lfs": "a pointer of Git LFS, and the file is elsewhere: fetch it with git lfs pull",
    b"<!doctype html": "a web page: download the file itself (on GitHub, the raw file)",
    b"<html": "a web page: download the file itself (on GitHub, the raw file)",
}
_MOST_SPACE = 100

# Of a network of Teachable Machine: names that TensorFlow.js gave, and those of its MobileNetV2. Other formats keep them.
_OF_TEACHABLE_MACHINE = (rb"dense_Dense\d", rb"block_16_project", rb"Conv1")
_LEAST_FLOAT = 1_600_000  # Bytes of its float weights; its quantized files take pixels in another way.


def is_of_teachable_machine(data: bytes) -> bool:
    """Return whether a converted file is a float network of Teachable Machine, by the names of its tensors."""
    return len(data) >= _LEAST_FLOAT and all(re.search(mark, data) for mark in _OF_TEACHABLE_MACHINE)


def require_file(path: Path, data: bytes) -> None:
    """Raise ArtifactError if a file's bytes are a pointer to it, or a page about it."""
    start = data[:_MOST_SPACE].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, what in _INSTEAD.items():
        if start.startswith(mark):
            raise ArtifactError(f"{path} is {what}")


def fix_for(path: Path, otherwise: str) -> str:
    """Return how to turn another tool's file or folder into one that edgecnn reads; `otherwise` for an unknown suffix."""
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    if path.suffix.lower() == ".pb":
        return _saved_model(path.parent)
    return _FIXES.get(path.suffix.lower(), otherwise).format(stem=path.stem)


def _saved_model(folder: Path) -> str:
    try:  # Keras 2 marks each layer, since TensorFlow 2.5 in a file of its own.
        of_keras_2 = (folder / "keras_metadata.pb").is_file() or _MARK_OF_KERAS_2 in read_bytes(folder / "saved_model.pb")
    except ArtifactError:
        of_keras_2 = False
    return (_KERAS_2 if of_keras_2 else _SAVED_MODEL).format(folder=folder)

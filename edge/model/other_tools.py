"""How another tool's file or folder becomes one that edgecnn reads."""

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

"""Model files of other tools: what to do with them."""

from pathlib import Path

_FIXES = {
    ".h5": "load it in Keras and save it as .keras, with keras.models.load_model('{name}').save('{stem}.keras')",
    ".hdf5": "load it in Keras and save it as .keras, with keras.models.load_model('{name}').save('{stem}.keras')",
    ".pb": "convert the SavedModel with tf.lite.TFLiteConverter.from_saved_model, and name the .tflite file",
    ".pt": "write it as ONNX with torch.onnx.export, and name the .onnx file",
    ".pth": "write it as ONNX with torch.onnx.export, and name the .onnx file",
    ".lite": "rename it to {stem}.tflite",
}


def fix_for(path: Path, otherwise: str) -> str:
    """Return how to turn another tool's file into one that edgecnn reads; `otherwise` for an unknown suffix."""
    return _FIXES.get(path.suffix.lower(), otherwise).format(name=path.name, stem=path.stem)

"""What executes an exported file. Each library is imported only when a file needs it."""

from edge.errors import ConfigError
from edge.runtimes import litert, ort
from edge.runtimes.base import Opener, Runtime

__all__ = ["Opener", "Runtime", "opener_for"]

_OPENERS = {
    "tflite": Opener(litert.import_library, litert.LiteRtRuntime),
    "onnx": Opener(ort.import_library, ort.OrtRuntime),
}


def opener_for(model_format: str) -> Opener:
    """Return how to open a `tflite` or `onnx` file on this device.

    Raises:
        ConfigError: For `keras`, which needs the workstation.
    """
    if model_format not in _OPENERS:
        raise ConfigError(f"{model_format} does not run on a device: export the model to tflite or onnx")
    return _OPENERS[model_format]

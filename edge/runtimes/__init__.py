"""What executes an exported file. Each library is imported only when a file needs it."""

from importlib.util import find_spec

from edge.errors import ConfigError
from edge.runtimes import litert, ort
from edge.runtimes.base import Opener, Runtime

__all__ = ["Opener", "Runtime", "is_installed", "opener_for"]

# Any of these packages runs the format.
_MODULES = {"keras": ("tensorflow",), "tflite": ("ai_edge_litert", "tflite_runtime"), "onnx": ("onnxruntime",)}

_OPENERS = {
    "tflite": Opener(litert.import_library, litert.LiteRtRuntime),
    "onnx": Opener(ort.import_library, ort.OrtRuntime),
}


def is_installed(model_format: str) -> bool:
    """Tell whether a runtime for a format is installed, without importing it."""
    return any(find_spec(module) for module in _MODULES[model_format])


def opener_for(model_format: str) -> Opener:
    """Return how to open a `tflite` or `onnx` file on this device.

    Raises:
        ConfigError: For `keras`, which needs the workstation.
    """
    if model_format not in _OPENERS:
        raise ConfigError(f"{model_format} does not run on a device: export the model to tflite or onnx")
    return _OPENERS[model_format]

"""What runs on the device: an exported file -> predictions. Needs the standard library, numpy and one runtime."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.classifier import Classifier, Prediction
    from edge.errors import EdgeCnnError
    from edge.manifest import Manifest

__all__ = ["Classifier", "EdgeCnnError", "Manifest", "Prediction"]

_HOMES = {
    "Classifier": "edge.classifier",
    "EdgeCnnError": "edge.errors",
    "Manifest": "edge.manifest",
    "Prediction": "edge.classifier",
}


def __getattr__(name: str) -> Any:
    # Not before it is asked for: the command line's help must not wait for numpy.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

"""What runs on the device: an exported file -> predictions. Needs the standard library, numpy and one runtime."""

from edge.classifier import Classifier, Prediction
from edge.errors import EdgeCnnError
from edge.manifest import Manifest

__all__ = ["Classifier", "EdgeCnnError", "Manifest", "Prediction"]

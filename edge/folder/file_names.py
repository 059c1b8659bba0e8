"""Names of the files in a model's folder, defined only here."""

from pathlib import Path

MODEL_NAME = "model.keras"
"""The Keras model, the reference for all other files."""
TRAIN_NAME = "train.json"
"""The record of its training."""
MANIFEST_NAME = "manifest.json"
"""The manifest: which files belong together, with hashes."""
REFERENCE_NAME = "reference.npy"
"""The Keras model's probabilities on the test images, in a bundle too."""
LABELS_NAME = "labels.txt"
"""The class names, one a line, as other programs read them; in a bundle too."""
MODEL_CARD_NAME = "MODEL_CARD.md"
"""What the model is, for people."""
BENCH_NAME = "bench.json"
"""What the last benchmark of the folder measured."""
TUNED_STEM = "tuned"
"""What the quantized file of least cost is called, before its suffix."""
TRIED_STEMS = tuple(f"{TUNED_STEM}-{number}" for number in range(33))
"""What the files are called that a search for it measures side by side."""
BUNDLE_SUFFIX = ".zip"
"""What a bundle of them is called."""


def bundle_of(path: Path) -> Path | None:
    """Return the bundle that a path is or points into (`mnist.zip/int8.tflite`); None if there is no bundle."""
    return next((part for part in (path, path.parent) if part.suffix.lower() == BUNDLE_SUFFIX and part.is_file()), None)

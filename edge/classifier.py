"""The API that an application on the device uses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError
from edge.manifest import Preprocessing
from edge.model_file import ModelFile, read_model
from edge.preprocess import Floats, Images, image_shape, input_table, to_input, to_probabilities
from edge.runtimes import Opener, Runtime, opener_for

# What a file without a manifest is taken to want.
ASSUMED = Preprocessing(scale=1 / 255, fit="letterbox", background="any")

# Bounds the memory of the converted inputs and of a runtime's activations.
_CHUNK = 256


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of n images.

    Attributes:
        class_indices: int64 (n,), the most probable class.
        labels: Its name, n of them.
        probabilities: float32 (n, classes).
        runtime: The package and version that ran, as `ai-edge-litert 2.3.0`.
    """

    class_indices: NDArray[np.int64]
    labels: tuple[str, ...]
    probabilities: Floats
    runtime: str


class Classifier:
    """An image classifier: uint8 images in, labels and probabilities out.

    Attributes:
        shape: (height, width, channels) of one image.
        class_names: One for each class.
        preprocessing: From the manifest, or `ASSUMED`.
        manifest: What vouches for the file, or None.
        unverified: Why nothing vouches for the file, or None if its hash was checked.
        runtime: The opened model.
        table: What each pixel value becomes, in the input's dtype (256,).
    """

    def __init__(self, model: ModelFile, runtime: Runtime) -> None:
        """Join an opened model with what its manifest says of it. `load` does both.

        Raises:
            ArtifactError: If the model is not an image classifier.
        """
        self.runtime = runtime
        self.shape = image_shape(runtime.input_spec, str(model.path))
        classes = runtime.output_spec.shape[-1]
        if len(runtime.output_spec.shape) != 2 or classes is None:
            raise ArtifactError(f"{model.path} gives {runtime.output_spec.shape}, not (n, classes): give an image classifier")
        if runtime.input_spec.shape[0] not in (None, 1):
            raise ArtifactError(
                f"{model.path} takes {runtime.input_spec.shape[0]} images at a time: export it for one, or free"
            )
        self._name = str(model.path)
        self.manifest, self.unverified = model.manifest, model.unverified
        # An unverified file's preprocessing is not known; whoever shows its result shows `unverified` too.
        self.preprocessing = model.manifest.preprocessing if model.manifest else ASSUMED
        self.class_names = model.manifest.class_names if model.manifest else tuple(str(i) for i in range(classes))
        if len(self.class_names) != classes:
            raise ArtifactError(
                f"{model.path} has {classes} classes but its manifest names {len(self.class_names)}: export it again"
            )
        self.table = input_table(self.preprocessing, runtime.input_spec)

    @classmethod
    def load(cls, path: str | Path, threads: int = 1, opener: Opener | None = None) -> "Classifier":
        """Read a model file once, check its hash against the manifest beside it, and open it.

        Args:
            path: A .tflite or .onnx file.
            threads: For the runtime. On a small model one is often fastest and has the best tail.
            opener: For a format that the device does not run; the workstation passes Keras's.

        Raises:
            ArtifactError: If the file is missing, damaged, stale or not an image classifier.
            ConfigError: If `threads` is not 1 to 64.
            MissingDependency: If no runtime for it is installed.
        """
        model = read_model(Path(path))
        opener = opener or opener_for(model.format)
        return cls(model, opener.open_file(model, threads))

    def predict(self, images: NDArray[Any]) -> Prediction:
        """Classify images.

        Args:
            images: uint8 (n, h, w, c), or (h, w, c) for one.

        Raises:
            ValueError: If dtype or shape are others.
            ArtifactError: If the model's output is not class probabilities.
        """
        if not isinstance(images, np.ndarray):
            raise ValueError(f"images must be a numpy array, got {type(images).__name__}: edge.images.read_image reads a file")
        batch = images[np.newaxis] if images.ndim == 3 else images
        probabilities = self.probabilities(batch)
        indices = probabilities.argmax(axis=1).astype(np.int64)  # A 32-bit board counts in int32.
        labels = tuple(self.class_names[index] for index in indices)
        return Prediction(indices, labels, probabilities, f"{self.runtime.name} {self.runtime.version}")

    def probabilities(self, images: Images) -> Floats:
        """Return class probabilities float32 (n, classes) of uint8 images (n, h, w, c). Errors as `predict`."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.shape:
            raise ValueError(f"images must be uint8 (n, {', '.join(map(str, self.shape))}), got {images.dtype} {images.shape}")
        if not len(images):
            return np.empty((0, len(self.class_names)), np.float32)
        chunks = [self._chunk(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
        return np.concatenate(chunks)

    def _chunk(self, images: Images) -> Floats:
        inputs = to_input(images, self.table)
        try:
            output = self.runtime.run(inputs)
        except Exception as error:  # Each runtime has errors of its own, with no common base class but this one.
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(f"{self._name}: {self.runtime.name} can't run it ({reason}): export it again") from error
        return to_probabilities(output, self.runtime.output_spec)

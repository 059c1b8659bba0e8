"""The API that an application on the device uses."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError
from edge.interface import HOW_TO_SAY, Interface, require_channels
from edge.layout import image_layout, output_columns
from edge.model_file import ModelFile, read_model
from edge.preprocess import Floats, Images, input_table, range_doubt, to_input, to_probabilities
from edge.runtimes import Opener, Runtime, opener_for
from edge.single import single_image
from edge.splits import Split, chunks

# Bound the memory of the converted inputs and of a runtime's activations.
_CHUNK_IMAGES = 256
_CHUNK_BYTES = 2**24
_UINT8 = np.dtype(np.uint8)


class Prediction(NamedTuple):
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

    The file may take float, uint8, int8 or int16 images, channels last or first, one, several or any number at a time, and
    may give probabilities or logits; the images that you give are always uint8, height x width x channels, colours as RGB.

    Attributes:
        shape: (height, width, channels) of one image.
        class_names: One for each class.
        interface: How the file takes pixels and what it gives: from its manifest, or as it was told.
        preprocessing: `interface.preprocessing`.
        manifest: What vouches for the file, or None.
        unverified: Why nothing vouches for the file, or None if its hash was checked.
        doubts: What looks wrong in how the file and its interface fit together, a sentence each; mostly none.
        batch: How many images one call of the file takes; None for any number, 0 if its input has no axis for it.
        runtime: The opened model.
    """

    def __init__(self, model: ModelFile, runtime: Runtime, interface: Interface | None = None) -> None:
        """Join an opened model with what its manifest, or else `interface`, says of it. `load` does both.

        Raises:
            ArtifactError: If the model is not an image classifier, or takes other numbers than the preprocessing gives.
            ConfigError: If there is neither manifest nor interface, or both, or the interface is of another number of
                channels or classes.
        """
        self.runtime = runtime
        self._name = str(model.path)
        self._layout = image_layout(runtime.input_spec, self._name)
        self.shape, self.batch = self._layout.shape, self._layout.batch
        columns = output_columns(runtime.output_spec, self.batch, self._name)
        self.manifest, self.unverified = model.manifest, model.unverified
        self.interface = _interface(model, interface)
        self.preprocessing = self.interface.preprocessing
        self.class_names = _class_names(self.interface.class_names, columns, model)
        self._columns = columns or len(self.class_names)
        require_channels(self.preprocessing, self.shape[2])
        try:
            self._table = input_table(self.preprocessing, runtime.input_spec)
            doubt = range_doubt(self.preprocessing, runtime.input_spec, vouched=model.manifest is not None)
        except ArtifactError as error:
            raise ArtifactError(f"{self._name}: {error}") from error
        self.doubts: tuple[str, ...] = (doubt,) if doubt else ()
        self._runtime_text = f"{runtime.name} {runtime.version}"
        # Of a file that nothing vouches for, every row of outputs is looked at.
        vouched = model.manifest is not None and self.interface.output == "probabilities"
        self._single = single_image(runtime, self._layout, self._table, self._columns) if vouched else None
        image_bytes = self._table.values.itemsize * int(np.prod(self.shape))
        images = min(_CHUNK_IMAGES, max(1, _CHUNK_BYTES // image_bytes))
        self._images_per_call = images if self.batch is None else max(1, self.batch)
        self._images_per_chunk = max(1, images // self._images_per_call) * self._images_per_call

    @classmethod
    def load(
        cls,
        path: str | Path,
        threads: int = 1,
        opener: Opener | None = None,
        interface: Interface | None = None,
        signature: str | None = None,
    ) -> "Classifier":
        """Read a model file once, check its hash against the manifest beside it, and open it.

        Args:
            path: A .tflite or .onnx file.
            threads: For the runtime. On a small model one is often fastest and has the best tail.
            opener: For a format that the device does not run; the workstation passes Keras's.
            interface: For a file without a manifest: `Interface(SCHEMES["unit"])` of `edge.interface`, or another.
            signature: Which one to run of a TFLite file with several.

        Raises:
            ArtifactError: If the file is missing, damaged, stale or not an image classifier, or takes other numbers than
                the preprocessing gives.
            ConfigError: If `threads` is not 1 to 64, or `interface` or `signature` is missing, not needed or does not fit.
            MissingDependency: If no runtime for it is installed.
        """
        model = read_model(Path(path))
        opener = opener or opener_for(model.format)
        return cls(model, opener.open_file(model, threads, signature), interface)

    def predict(self, images: NDArray[Any]) -> Prediction:
        """Classify images.

        Args:
            images: uint8 (n, h, w, c), or (h, w, c) for one.

        Raises:
            ValueError: If dtype or shape are others.
            ArtifactError: If the model's output is not class probabilities or, if the interface says so, logits.
        """
        single = self._single
        # numpy has one object for each plain dtype; should there be another, the general way below gives the same.
        if single is not None and type(images) is np.ndarray and images.dtype is _UINT8:
            buffer = single.buffers.get(images.shape)
            if buffer is not None:
                raw = single.run(images, buffer)
                index = raw.argmax(1)
                found = single.probabilities(raw, None, None, "wrap")
                # A NamedTuple's own constructor is a Python function around this.
                return tuple.__new__(Prediction, (index, (self.class_names[index.item()],), found, self._runtime_text))
        if not isinstance(images, np.ndarray):
            raise ValueError(f"images must be a numpy array, got {type(images).__name__}: edge.images.read_image reads a file")
        batch = images[np.newaxis] if images.ndim == 3 else images
        probabilities = self.probabilities(batch)
        indices = probabilities.argmax(axis=1).astype(np.int64)  # A 32-bit board counts in int32.
        labels = tuple(self.class_names[index] for index in indices.tolist())
        return Prediction(indices, labels, probabilities, self._runtime_text)

    def split_probabilities(self, split: Split) -> Floats:
        """Return class probabilities float32 (n, classes) of all images of a split, few of them in memory at a time."""
        probabilities = np.empty((len(split.labels), len(self.class_names)), np.float32)
        done = 0
        for images in chunks(split):
            probabilities[done : done + len(images)] = self.probabilities(images)
            done += len(images)
        return probabilities

    def probabilities(self, images: Images) -> Floats:
        """Return class probabilities float32 (n, classes) of uint8 images (n, h, w, c). Errors as `predict`."""
        self._require_images(images)
        if not len(images):
            return np.empty((0, len(self.class_names)), np.float32)
        step = self._images_per_chunk
        parts = [self._chunk(images[start : start + step]) for start in range(0, len(images), step)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def inputs(self, images: Images) -> NDArray[Any]:
        """Return uint8 images (n, h, w, c) as the model takes them, in its dtype and order of axes, stacked: (n, ...).

        Raises:
            ValueError: If dtype or shape are others.
        """
        self._require_images(images)
        return self._layout.arrange(to_input(images, self._table))

    def singles(self, images: Images) -> list[NDArray[Any]]:
        """Return uint8 images (n, h, w, c) as arrays that each are ready for one `runtime.run`, each in memory of its own.

        An array holds one image, with or without an axis for the batch as the file has it; of a file with a fixed batch, as
        many as that (the last image fills up the last array). Errors as `inputs`.
        """
        step = max(1, self.batch or 1)
        return [call.copy() for call in self._calls(self.inputs(images), step)]

    def _chunk(self, images: Images) -> Floats:
        inputs = self._layout.arrange(to_input(images, self._table))
        try:
            outputs = [self.runtime.run(call) for call in self._calls(inputs, self._images_per_call)]
            # An output without an axis for the batch, or with more axes of size 1, has the same numbers in the same order.
            rows = len(images) if self.batch is None else len(outputs) * max(1, self.batch)
            joined = outputs[0] if len(outputs) == 1 else np.array(outputs)  # np.stack is slower.
            output = joined.reshape(rows, self._columns)[: len(images)]
        except Exception as error:  # Each runtime has errors of its own, with no common base class but this one.
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(f"{self._name}: {self.runtime.name} can't run it ({reason}): export it again") from error
        try:
            return to_probabilities(output, self.runtime.output_spec, self.interface.output)
        except ArtifactError as error:
            raise ArtifactError(f"{self._name}: {error}") from error

    def _calls(self, inputs: NDArray[Any], step: int) -> Iterable[NDArray[Any]]:
        """Return what each call takes; the last image fills up the last one of a fixed batch."""
        if self.batch == 0:
            return inputs
        if step == 1:
            return inputs[:, np.newaxis]
        short = -len(inputs) % step if self.batch else 0
        if short:
            inputs = np.concatenate([inputs, np.repeat(inputs[-1:], short, axis=0)])
        return [inputs[start : start + step] for start in range(0, len(inputs), step)]

    def _require_images(self, images: Images) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.shape:
            raise ValueError(f"images must be uint8 (n, {', '.join(map(str, self.shape))}), got {images.dtype} {images.shape}")


def _interface(model: ModelFile, given: Interface | None) -> Interface:
    if model.manifest is not None:
        if given is not None:
            raise ConfigError(
                f"the manifest beside {model.path} says how it takes pixels and what it gives: leave --preprocess, --scale, "
                "--mean, --std, --bgr, --logits and --labels away"
            )
        return Interface(model.manifest.preprocessing, model.manifest.output, model.manifest.class_names)
    if given is None:
        raise ConfigError(f"{model.path}: {model.unverified}, so how it takes pixels is not known: say it with {HOW_TO_SAY}")
    return given


def _class_names(names: tuple[str, ...], columns: int | None, model: ModelFile) -> tuple[str, ...]:
    if columns is None and not names:
        raise ArtifactError(f"{model.path} does not say how many classes it gives: name them with --labels")
    # One number is the probability of class 1 of two.
    classes = max(2, len(names) if columns is None else columns)
    if names and len(names) != classes:
        if model.manifest is not None:
            raise ArtifactError(f"{model.path} has {classes} classes but its manifest names {len(names)}: export it again")
        raise ConfigError(f"{model.path} has {classes} classes, {len(names)} are named: give one name a class in --labels")
    if not names:
        return tuple(str(index) for index in range(classes))
    # ImageNet has two classes called crane: by name alone one of them would be lost.
    count = Counter(names)
    return tuple(f"{name} ({index})" if count[name] > 1 else name for index, name in enumerate(names))

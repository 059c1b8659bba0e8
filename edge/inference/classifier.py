"""The API that an application on the device uses."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError, field, why
from edgecnn.edge.inference.int8_fast_path import single_image
from edgecnn.edge.model.interface import (
    Interface,
    as_interface,
    class_names_of,
    interface_of,
    require_channels,
    require_stated_output,
)
from edgecnn.edge.model.layout import image_layout, output_columns
from edgecnn.edge.model.preprocess import (
    Bools,
    Floats,
    Images,
    accepts,
    input_table,
    range_doubt,
    sum_to_one,
    to_input,
    to_probabilities,
    top_logits,
)
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel, Opener, most_images
from edgecnn.edge.sandbox.unverified import lacks_memory

if TYPE_CHECKING:
    from edgecnn.edge.data.splits import Split
    from edgecnn.edge.inference.pictures import Picture

# Bounds the memory of converted inputs.
_CHUNK_IMAGES = 256
_CHUNK_BYTES = 2**24
_UINT8 = np.dtype(np.uint8)
# Summing in another order, as in a larger batch, changes a probability by less.
_SUMS = 1e-3
# A quantized output may be rounded in the other direction.
_STEPS = 2
_MOST_APART = 0.25
_LOGITS_DOUBT = "all outputs so far are 0 to 1 and sum to 1, but were taken for logits: does the model end in softmax?"


class Prediction(NamedTuple):
    """The answer of a classifier for n images.

    Attributes:
        class_indices: int64 (n,), the most probable class of each image.
        labels: Names of these classes, n of them.
        probabilities: float32 (n, classes).
        runtime: Package and version that ran, for example `ai-edge-litert 2.3.0`.
        accepted: bool (n,), whether each answer reaches the file's threshold; None for a file without one.
        doubts: For each picture of any size, one sentence on why something else may have been read than was meant, or None if
            it was clear; empty for arrays, which are classified as they are.
    """

    class_indices: NDArray[np.int64]
    labels: tuple[str, ...]
    probabilities: Floats
    runtime: str
    accepted: Bools | None = None
    doubts: tuple[str | None, ...] = ()


class Classifier:
    """An image classifier: uint8 images in, labels and probabilities out.

    The file may take float, uint8, int8 or int16 images, with channels last or first, one, several or any number at a time,
    and may compute probabilities or logits. The images you pass are always uint8, height x width x channels, colours as RGB.

    Attributes:
        shape: (height, width, channels) of one image.
        class_names: One for each class.
        interface: How the file takes pixels and what it gives: from its manifest, or as you stated it.
        preprocessing: `interface.preprocessing`.
        manifest: The manifest that lists the file, or None.
        unverified: Why the file is unverified, or None if its hash was checked.
        doubts: Doubts whether the file and its interface fit together, one sentence each; usually empty. Those of its
            outputs come with the first images.
        batch: Number of images per call of the file; None for any number, 0 if its input has no batch axis.
        runtime: The opened model.
        runtime_text: The package and version that runs it, as `ai-edge-litert 2.3.0`.
        threshold: What an answer must reach to be accepted, by the manifest; None if the export set no threshold.
    """

    def __init__(
        self, model: ModelFile, runtime: LoadedModel, interface: Interface | None = None, streaming: bool = False
    ) -> None:
        """Combine an opened model with its manifest, or else with `interface`. `load` does both.

        Raises:
            ArtifactError: If the model is not an image classifier, or expects other numbers than the preprocessing gives.
            ConfigError: If there is neither manifest nor interface, or both, or the interface has another number of
                channels or classes.
        """
        self.runtime = runtime
        self._name, self._fix = str(model.path), model.fix
        self._layout = image_layout(runtime.input_spec, self._name)
        self.shape, self.batch = self._layout.shape, self._layout.batch
        columns = output_columns(runtime.output_spec, self.batch, self._name)
        self.manifest, self.unverified = model.manifest, model.unverified
        self.threshold = model.artifact.threshold if model.artifact else None
        self.interface = interface_of(model, interface)
        require_stated_output(model, runtime, self.interface.output)
        self.preprocessing = self.interface.preprocessing
        self.class_names = class_names_of(self.interface.class_names, columns, model)
        self._columns = columns or len(self.class_names)
        require_channels(self.preprocessing, self.shape[2])
        try:
            self._table = input_table(self.preprocessing, runtime.input_spec)
            doubt = range_doubt(self.preprocessing, runtime.input_spec, verified=model.manifest is not None)
        except ArtifactError as error:
            raise ArtifactError(f"{self._name}: {error.marked}") from error
        self._of_input: tuple[str, ...] = (doubt,) if doubt else ()
        self.doubts: tuple[str, ...] = self._of_input
        self._unsure = self.interface.output == "logits"
        self.runtime_text = f"{runtime.name} {runtime.version}"
        # Every row of outputs of an unverified file is checked.
        vouched = model.manifest is not None and self.interface.output == "probabilities"
        self._single = single_image(runtime, self._layout, self._table, self._columns) if vouched else None
        image_bytes = self._table.values.itemsize * int(np.prod(self.shape))
        images = min(_CHUNK_IMAGES, max(1, _CHUNK_BYTES // image_bytes))
        self._images_per_call = most_images(image_bytes) if self.batch is None else max(1, self.batch)
        quantization = runtime.output_spec.quantization
        # Of probabilities; a step of a logit may be larger than any.
        self._tolerance = max(_SUMS, min(_STEPS * max(quantization.scales), _MOST_APART) if quantization else 0.0)
        # Answers to frames of a stream are meant to depend on one another.
        self._batch_is_checked = self._repetition_is_checked = streaming
        self._images_per_chunk = max(1, images // self._images_per_call) * self._images_per_call

    @classmethod
    def load(
        cls,
        path: str | Path,
        threads: int = 1,
        *,
        runtime: str | Opener | None = None,
        interface: Interface | str | None = None,
        signature: str | None = None,
        streaming: bool = False,
        trusted: bool = False,
    ) -> "Classifier":
        """Read a model file once, check its hash against the manifest in its folder, and open it.

        A file that is new on this machine may crash its runtime, take all memory or never return. So it is first opened and run
        in a child process, which takes about 0.2 s; if the child does not survive, `ArtifactError` is raised.

        Args:
            path: A .tflite or .onnx file, a file in a bundle (`mnist.zip/int8.tflite`), or a folder or bundle with only one; on
                the workstation also a .keras file.
            threads: Number of threads of the runtime. For a small model, one is often fastest and has the best tail latency.
            runtime: Runtime that executes it: a name such as `litert-fp16`, or what `opener_for` returned. Default: the
                format's first installed runtime.
            interface: For a file without a manifest: an `Interface`, or `"unit"` (pixel / 255) or another name of `SCHEMES`.
            signature: Signature to run of a TFLite file that has several.
            streaming: Images are frames of one stream: a TFLite file with state (an LSTM's, say) keeps it from one call to
                the next. Without, every call starts from a fresh state, so that an answer depends on its image alone.
            trusted: Open a file at once, where you know that it is good.

        Raises:
            ArtifactError: If the file is missing, damaged, stale or not an image classifier, expects other numbers than the
                preprocessing gives, or keeps state that can't be reset; for a new file also if the child process did not
                survive it.
            ConfigError: If `threads` is not 1 to 64, `runtime` is unknown or runs no such file, or `interface`, `signature` or
                `streaming` is missing, superfluous or wrong.
            MissingDependency: If no runtime for it is installed, or the CPU lacks what `runtime` needs.
        """
        with ModelFolder(path) as models:
            model = models.model()
        opener = runtime if isinstance(runtime, Opener) else opener_for(model.format if runtime is None else runtime)
        if opener.runtime and model.format not in opener.runtime.formats:
            named, others = f"{field('runtime')}={opener.runtime.name}", " and ".join(opener.runtime.formats)
            raise ConfigError(f"{model.path}: {named} runs {others} files only: omit it")
        opened = opener.open_file(model, threads, signature, streaming, trusted)
        return cls(model, opened, as_interface(interface), streaming)

    def predict(self, images: "NDArray[Any] | Picture | Sequence[Picture]") -> Prediction:
        """Classify images.

        Args:
            images: A uint8 array (n, h, w, c), or (h, w, c) for one image, of the model's `shape`, colours as RGB. Or one or
                several pictures of any size: paths of PNG or JPEG files, or PIL images, fitted as the training images were.

        Raises:
            ValueError: If the dtype or shape is wrong.
            ArtifactError: If a picture can't be read, or the model's output is not class probabilities (or logits, if the
                interface says so).
            MissingDependency: If pictures are given and Pillow is not installed.
        """
        single = self._single
        # numpy has one object per plain dtype; for any other, the general way below gives the same result.
        if single is not None and type(images) is np.ndarray and images.dtype is _UINT8:
            buffer = single.buffers.get(images.shape)
            if buffer is not None:
                try:
                    raw = single.run(images, buffer)
                    index = raw.argmax(1)
                    found = single.probabilities(raw, None, None, "wrap")
                    label = self.class_names[index.item()]
                except Exception as error:  # For the reason below.
                    raise self.cannot_run(error) from error
                accepted = None if self.threshold is None else accepts(self.threshold, found, None)
                # A NamedTuple's constructor is a Python function around this.
                return tuple.__new__(Prediction, (index, (label,), found, self.runtime_text, accepted, ()))
        if not isinstance(images, np.ndarray):
            return self._of_pictures(list(images) if isinstance(images, (list, tuple)) else [images])
        batch = images[np.newaxis] if images.ndim == 3 else images
        probabilities, tops = self.outputs(batch)
        indices = probabilities.argmax(axis=1).astype(np.int64)  # A 32-bit board counts in int32.
        labels = tuple(self.class_names[index] for index in indices.tolist())
        return Prediction(indices, labels, probabilities, self.runtime_text, self._accepted(probabilities, tops))

    def split_probabilities(self, split: "Split") -> Floats:
        """Return class probabilities float32 (n, classes) of all images in a split, with few images in memory at a time."""
        from edgecnn.edge.data.splits import chunks  # noqa: PLC0415 - An application with arrays needs none.

        probabilities = np.empty((len(split.labels), len(self.class_names)), np.float32)
        done = 0
        for images in chunks(split):
            probabilities[done : done + len(images)] = self.judged_probabilities(images)
            done += len(images)
        return probabilities

    def judged_probabilities(self, images: Images) -> Floats:
        """Return the first part of `judged`."""
        return self.judged(images)[0]

    def judged(self, images: Images) -> tuple[Floats, Bools | None]:
        """Return `probabilities` of the images that judge a file, and which are accepted, as in `Prediction`.

        The first call classifies the first image twice.

        Raises:
            ArtifactError: As in `probabilities`, and if the second answer differs.
        """
        found, tops = self.outputs(images)
        if len(images) and not self._repetition_is_checked:
            what = "the same image gets another answer when it comes again"
            fix = "convert it in inference mode, without state and random numbers"
            self._require_same(self._chunk(images[:1])[0], found[:1], what, fix)
            self._repetition_is_checked = True
        return found, self._accepted(found, tops)

    def _accepted(self, probabilities: Floats, tops: Floats | None) -> Bools | None:
        if self.threshold is None:
            return None
        return accepts(self.threshold, probabilities, tops)

    def probabilities(self, images: Images) -> Floats:
        """Return class probabilities float32 (n, classes) of uint8 images (n, h, w, c). Errors are those of `predict`."""
        return self.outputs(images)[0]

    def outputs(self, images: Images) -> tuple[Floats, Floats | None]:
        """Return `probabilities`, and the largest logit of each image, float32 (n,), if the file gives logits; else None.

        The first call with several images also runs two of them alone: if that changes their answers, ArtifactError is raised.
        """
        self._require_images(images)
        if not len(images):
            none = np.empty(0, np.float32) if self.interface.output == "logits" else None
            return np.empty((0, len(self.class_names)), np.float32), none
        step = self._images_per_chunk
        parts = [self._chunk(images[start : start + step]) for start in range(0, len(images), step)]
        found = parts[0][0] if len(parts) == 1 else np.concatenate([part for part, _ in parts])
        tops = [top for _, top in parts if top is not None]
        together = min(len(images), self._images_per_call)
        if together > 1 and not self._batch_is_checked:
            # The first and the last: images may be mixed from one end of the batch to the other.
            alone = np.concatenate([self._chunk(images[place : place + 1])[0] for place in (0, together - 1)])
            what = "answers depend on the other images of the batch"
            self._require_same(alone, found[[0, together - 1]], what, "export it for batches of 1")
            self._batch_is_checked = True
        return found, np.concatenate(tops) if tops else None

    def inputs(self, images: Images) -> NDArray[Any]:
        """Return uint8 images (n, h, w, c) as model inputs, in its dtype and order of axes, stacked: (n, ...).

        Raises:
            ValueError: If the dtype or shape is wrong.
        """
        self._require_images(images)
        return self._layout.arrange(to_input(images, self._table))

    def singles(self, images: Images) -> list[NDArray[Any]]:
        """Return uint8 images (n, h, w, c) as separate arrays, each ready for one `runtime.run`.

        An array holds one image, with or without a batch axis as in the file; for a file with a fixed batch, it holds that
        many images (the last image fills up the last array). Errors are those of `inputs`.
        """
        step = max(1, self.batch or 1)
        return [call.copy() for call in self._calls(self.inputs(images), step)]

    def _of_pictures(self, pictures: list[Any]) -> Prediction:
        from edgecnn.edge.inference.pictures import fitted_picture, title_of  # noqa: PLC0415 - An application with arrays needs none.

        if any(isinstance(item, np.ndarray) for item in pictures):
            raise ValueError("images must be one array or pictures, got a list of arrays: stack them with numpy.stack")
        if not pictures:
            return self.predict(np.empty((0, *self.shape), np.uint8))
        names = [title_of(picture, place) for place, picture in enumerate(pictures)]
        rule = self.shape, self.preprocessing
        fitted = [fitted_picture(picture, *rule, name) for picture, name in zip(pictures, names, strict=True)]
        found = self.predict(np.stack([picture.image for picture in fitted]))
        surest = found.probabilities.max(axis=1).tolist()
        doubts = (picture.doubt_of(*rest) for picture, *rest in zip(fitted, surest, names, strict=True))
        return found._replace(doubts=tuple(doubts))

    def _chunk(self, images: Images) -> tuple[Floats, Floats | None]:
        """Return `outputs` of as many images as one part has."""
        inputs = self._layout.arrange(to_input(images, self._table))
        try:
            outputs = [self.runtime.run(call) for call in self._calls(inputs, self._images_per_call)]
            # An output without a batch axis, or with extra axes of size 1, has the same numbers in the same order.
            rows = len(images) if self.batch is None else len(outputs) * max(1, self.batch)
            # np.stack is slower; with a free batch the last call may have fewer images.
            join = np.concatenate if self.batch is None else np.array
            joined = outputs[0] if len(outputs) == 1 else join(outputs)
            output = joined.reshape(rows, self._columns)[: len(images)]
        except Exception as error:  # Runtimes raise their own errors, whose only common base class is this.
            raise self.cannot_run(error) from error
        try:
            if self._unsure and len(output):
                self._unsure = sum_to_one(output, self.runtime.output_spec)
                self.doubts = (*self._of_input, _LOGITS_DOUBT) if self._unsure else self._of_input
            return self.of_raw(output)
        except ArtifactError as error:
            raise ArtifactError(f"{self._name}: {error.marked}") from error

    def of_raw(self, output: NDArray[Any]) -> tuple[Floats, Floats | None]:
        """Return `outputs` for the file's raw output, a row per image. Errors are those of `to_probabilities`."""
        spec, kind = self.runtime.output_spec, self.interface.output
        return to_probabilities(output, spec, kind), top_logits(output, spec) if kind == "logits" else None

    def cannot_run(self, error: Exception) -> Exception:
        """Return the error for an exception that the runtime raised while it ran the file."""
        if lacks_memory(error):
            return MemoryError(str(error))
        return ArtifactError(f"{self._name}: {self.runtime.name} can't run it ({why(error, 200)}): {self._fix}")

    def _calls(self, inputs: NDArray[Any], step: int) -> Iterable[NDArray[Any]]:
        """Return the input of each call; the last image fills up the last call of a fixed batch."""
        if self.batch == 0:
            return inputs
        if step == 1:
            return inputs[:, np.newaxis]
        short = -len(inputs) % step if self.batch else 0
        if short:
            inputs = np.concatenate([inputs, np.repeat(inputs[-1:], short, axis=0)])
        return [inputs[start : start + step] for start in range(0, len(inputs), step)]

    def _require_same(self, one: Floats, other: Floats, what: str, fix: str) -> None:
        moved = float(np.abs(one - other).max())
        if moved > self._tolerance:
            raise ArtifactError(f"{self._name}: {what} (a probability changes by {moved:.2g}): {fix}")

    def _require_images(self, images: Images) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.shape:
            raise ValueError(f"images must be uint8 (n, {', '.join(map(str, self.shape))}), got {images.dtype} {images.shape}")

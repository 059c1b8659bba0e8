"""What was exported, from what, with which hash: the types and the file `manifest.json`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from edgecnn.edge.errors import ArtifactError, load_json
from edgecnn.edge.export_records import Mended, Parity, ProgramFile, Provenance, Qat, Reference, Settings, Tuned
from edgecnn.edge.files import read_bytes, sha256, write_bytes
from edgecnn.edge.formats import FORMATS, PRECISIONS, is_exported, suffixes
from edgecnn.edge.model.other_tools import fix_for
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.records import from_json, inlined, to_json
from edgecnn.edge.transaction import finish

MODEL_STEM = "model"  # The float model that the others are made of and compared with, before its suffix.
MODEL_NAME = f"{MODEL_STEM}.keras"
TRAIN_NAME = "train.json"  # The record of its training.
MANIFEST_NAME = "manifest.json"  # The manifest: which files belong together, with hashes.
REFERENCE_NAME = "reference.npy"  # The float model's probabilities on the test images, in a bundle too.
LABELS_NAME = "labels.txt"  # The class names, one a line, as other programs read them; in a bundle too.
MODEL_CARD_NAME = "MODEL_CARD.md"  # What the model is, for people.
BENCH_NAME = "bench.json"  # What the last benchmark of the folder measured.
TUNED_STEM = "tuned"  # The quantized file of least cost, before its suffix; and the files that a search measures side by side.
TRIED_STEMS = tuple(f"{TUNED_STEM}-{number}" for number in range(33))
BUNDLE_SUFFIX = ".zip"

SCHEMA = 2
Fit = Literal["digit", "letterbox", "crop", "stretch"]
Background = Literal["any", "dark", "light"]
Side = Literal["dark", "light"]
Output = Literal["probabilities", "logits"]
OUTPUTS = get_args(Output)
# The manifest of a thousand classes has 100 kB. JSON read into Python objects takes about 30 times its size.
MOST_MANIFEST_BYTES = 2**24
_NAME_ONE = f"name such a folder, a .zip bundle, or {suffixes()} files"
HOW_TO_MAKE = "check the path, or write it with edgecnn train and export"


@dataclass(frozen=True)
class Quantization:
    """Quantization: real = scale * (stored - zero_point), per tensor (`axis` is None) or per index of `axis`."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: Name inside the file.
        shape: Sizes of the dimensions; None where a size is free (the batch).
        dtype: numpy's name of the type: float32, int8, ...
        quantization: Scale and zero point of an integer tensor that stands for real numbers.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model input: (pixel * scale - mean) / std, for pixels from 0 to 255.

    Attributes:
        scale: Factor applied to each pixel, as in a Keras Rescaling layer.
        fit: How an image file of any size is fitted to the model's size: `digit` as MNIST was made (the ink scaled
            into 20/28 of the side and moved to its centre of mass), `letterbox` (the whole picture, padded to the shape),
            `crop` (the middle, cut to the shape's proportions), `stretch` (the whole picture, its proportions lost).
        background: Border of the training images: `dark` or `light`, and an image file with the other is inverted;
            `any` if the training images have no common background.
        mean: One value, or one per channel in the model's order, subtracted after scaling, as in torchvision's Normalize.
        std: Standard deviation to divide by: one value, or one per channel.
        channel_order: Order of the colours in the model's input, `rgb` or `bgr`.
    """

    scale: float
    fit: Fit
    background: Background
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_order: Literal["rgb", "bgr"] = "rgb"


@dataclass(frozen=True)
class Fitted:
    """How image files were fitted to images of one size.

    Attributes:
        shape: (h, w, c) of the images.
        fit: Rule as in `Preprocessing`.
        background: Background as in `Preprocessing`.
    """

    shape: tuple[int, ...]
    fit: Fit
    background: Background = "any"


@dataclass(frozen=True)
class SplitOff:
    """The split of a folder without test/ into training and test images.

    Attributes:
        test_share: Share of each class in the test part, 0 to 1.
        split_seed: Seed of the draw.
    """

    test_share: float
    split_seed: int

    @property
    def of_each_class(self) -> str:
        """The share for people, not rounded to whole percents: a small one would be none."""
        return f"{100 * self.test_share:.3g}% of each class"


@dataclass(frozen=True)
class Validation:
    """The images on which a run is validated after each epoch.

    Attributes:
        val_sha256: SHA-256 as `DatasetRecord.train_sha256`.
        val_share: Share of each class's training images that became them, 0 to 1; None if the source has a validation part.
        val_seed: Seed of that draw; None if nothing was drawn.
        val_may_be_learnt: Whether the weights that training began with may have been trained on some of them.
        val_list: Their paths in the folder, if share and seed alone do not give them; else none.
    """

    val_sha256: str
    val_share: float | None = None
    val_seed: int | None = None
    val_may_be_learnt: bool = False
    val_list: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetRecord:
    """The images of a model: enough to load them again and to check that they are the same.

    Attributes:
        name: `mnist`, another registered name, or the name of a folder or file.
        source: `shipped`, `keras` (one of its loaders), or the absolute path of a folder or .npz file.
        train_sha256: SHA-256 of the training pixels and labels; for image files, of their bytes and the rule that reads them.
        test_sha256: The same hash of the test images.
        fitted: How image files were fitted to one size; None if the pixels came as an array.
        split_off: How the test images were split off; None if the source has a test part, or a list names them.
        validation: The validation images, which are none of the training images; None if there are none.
        learnt: Places of the test images, from 0, that are exact copies of training or validation images.
        may_be_learnt: Whether the test images were drawn from a folder for a model that edgecnn did not train, which may have
            been trained on them.
        test_list: Paths of the test images in their folder, where a list names them.
    """

    name: str
    source: str
    train_sha256: str
    test_sha256: str
    fitted: Fitted | None = inlined(Fitted)
    split_off: SplitOff | None = inlined(SplitOff)
    validation: Validation | None = inlined(Validation)
    learnt: tuple[int, ...] = ()
    may_be_learnt: bool = False
    test_list: tuple[str, ...] = ()

    @property
    def is_drawn(self) -> bool:
        """Whether the test images are a share of a folder, the others of which are training images."""
        return self.split_off is not None and self.split_off.test_share < 1

    @property
    def kind(self) -> str:
        """Word for one of the images that accuracy is of."""
        return "image" if self.may_be_learnt else "test image"

    def has_source_of(self, other: "DatasetRecord") -> bool:
        """Return whether the images come from where those of another record do, drawn in any way."""
        return (self.source, self.name) == (other.source, other.name)

    def of_unknown_training(self) -> "DatasetRecord":
        """Return the record for a model that edgecnn did not train: what was drawn now may be among what it was trained on."""
        return replace(self, may_be_learnt=self.may_be_learnt or self.is_drawn)


OnnxConverterName = Literal["edgecnn", "tf2onnx"]
OWN_ONNX_CONVERTER: OnnxConverterName = "edgecnn"
TF2ONNX: OnnxConverterName = "tf2onnx"
ONNXSLIM: Literal["onnxslim"] = "onnxslim"


@dataclass(frozen=True)
class OnnxConversion:
    """What made the ONNX graph of a model.

    Attributes:
        converter: `edgecnn`, its own converter, which reads Keras's layers; `tf2onnx`, which reads TensorFlow's operators;
            `onnxslim` for an .onnx file from elsewhere, which it simplified.
        reason: What edgecnn's own converter does not know about the model; None if nobody asked it, or it converted the model.
    """

    converter: Literal["edgecnn", "tf2onnx", "onnxslim"]
    reason: str | None = None

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages that it alone needs, by their pip names."""
        return {OWN_ONNX_CONVERTER: (), TF2ONNX: (TF2ONNX, ONNXSLIM), ONNXSLIM: (ONNXSLIM,)}[self.converter]

    @property
    def text(self) -> str:
        """What to say of it in a sentence."""
        because = f", since edgecnn's own converter does not know this: {self.reason}" if self.reason else ""
        return f"converted to ONNX by {self.converter}{because}"


@dataclass(frozen=True)
class Artifact:
    """One model file.

    Attributes:
        format: A name in `edgecnn.edge.formats.FORMATS`.
        precision: A name in its `PRECISIONS`.
        path: Name of the file in the manifest's folder.
        size_bytes: Size of the file in bytes.
        sha256: SHA-256 of the file.
        source_sha256: SHA-256 of the float model that it was exported from, which has its own if a device runs it; None for a
            Keras model, and for a file of which nobody says what it came from.
        input: The image input.
        output: The class probabilities.
        oldest_runtime: Oldest release that loads it, as `package>=version`, if known.
        parity: Agreement with that model, measured before the file was accepted; None for the model itself.
        mended: Layers left unquantized to keep the accuracy or to save time; None if the file is plainly quantized.
        tuned: How those layers were found, if they are the ones of least cost; else None.
        settings: Threads and runtimes that were measured with it, if it is the file of least cost of a tuned export; else None.
        threshold: Score below which its answer is "not sure"; None if no threshold was asked for.
        onnx_conversion: What made the ONNX graph that the file is made of; None for other files, and for those of an earlier
            release, whose graph tf2onnx made.
        qat: Training for integers, if that was asked for; else None.
    """

    format: str
    precision: str
    path: str
    size_bytes: int
    sha256: str
    source_sha256: str | None
    input: TensorSpec
    output: TensorSpec
    oldest_runtime: str | None
    parity: Parity | None
    mended: Mended | None = None
    tuned: Tuned | None = None
    settings: Settings | None = None
    threshold: Threshold | None = None
    onnx_conversion: OnnxConversion | None = None
    qat: Qat | None = None

    @property
    def exported(self) -> bool:
        """Whether it is a file for a device, and not the float model that the others are made of and compared with."""
        return is_exported(self.format) and self.source_sha256 != self.sha256

    @property
    def is_plain(self) -> bool:
        """Whether nothing chose layers to keep in float or convolutions to fold: all is computed in its precision."""
        return self.mended is None and self.tuned is None


@dataclass(frozen=True)
class Manifest:
    """The contents of a folder; the fields are this module's types.

    `output` is one of `OUTPUTS`: what the models compute for each class. `trusted` names the Python modules whose code the
    Keras model needs. `for_programs` lists the files that other programs read. `sha256` is the hash of the manifest itself and
    stands in the file only: it reveals an altered class name or scale.
    """

    schema: int
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    output: Output
    trusted: tuple[str, ...]
    dataset: DatasetRecord
    provenance: Provenance
    reference: Reference | None
    artifacts: tuple[Artifact, ...]
    for_programs: tuple[ProgramFile, ...] = ()
    sha256: str = ""

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read `folder/manifest.json`.

        Raises:
            ArtifactError: If it is missing, damaged or of another schema, or names files outside its folder.
        """
        finish(folder)
        path = folder / MANIFEST_NAME
        if folder.is_file():
            raise ArtifactError(f"{folder} is not a folder with a {MANIFEST_NAME}: {fix_for(folder, _NAME_ONE)}")
        text = read_bytes(path, MOST_MANIFEST_BYTES, fix_for(folder, HOW_TO_MAKE)).decode(errors="replace")
        manifest = from_json(cls, text, str(path), SCHEMA)
        if not manifest.sha256 or manifest.sha256 != _digest(text.replace(manifest.sha256, "")):
            raise ArtifactError(f"{path} was altered (its SHA-256 does not match): copy it again, or train and export again")
        for artifact in manifest.artifacts:
            if artifact.format not in FORMATS or artifact.precision not in PRECISIONS:
                raise ArtifactError(f"{path}: {artifact.path} is {artifact.format} {artifact.precision}, unknown: export again")
        files: tuple[Artifact | ProgramFile, ...] = (*manifest.artifacts, *manifest.for_programs)
        listed = [(file.path, file.parity, file.threshold) for file in files]
        listed += [(manifest.reference.path, None, None)] if manifest.reference else []
        for name, parity, threshold in listed:
            if threshold and not threshold.is_sound:
                raise ArtifactError(f"{path}: the threshold of {name} has a number out of its range: export again")
            if parity and not 0 <= parity.same_class <= parity.images > 0:
                raise ArtifactError(
                    f"{path}: {name} agrees with its source on {parity.same_class} of {parity.images} images, which can't be: "
                    "export again"
                )
            if name != Path(name).name or name in ("", ".", ".."):
                raise ArtifactError(f"{path} names {name!r}, which is not a file of its folder: export again")
        if not manifest.provenance.train_config:  # An earlier release did not say it.
            manifest = replace(manifest, dataset=manifest.dataset.of_unknown_training())
        return replace(manifest, sha256="")

    def save(self, folder: Path) -> None:
        """Write `folder/manifest.json`, whole or not at all."""
        digest = _digest(to_json(replace(self, sha256="")))
        write_bytes(folder / MANIFEST_NAME, to_json(replace(self, sha256=digest)).encode())

    @property
    def exported(self) -> tuple[Artifact, ...]:
        """Entries of the files that a device runs."""
        return tuple(artifact for artifact in self.artifacts if artifact.exported)

    def artifact(self, name: str) -> Artifact | None:
        """Return the artifact with this file name."""
        return next((artifact for artifact in self.artifacts if artifact.path == name), None)

    def source(self) -> Artifact:
        """Return the entry of the float model that the others are made of and compared with: the reference.

        Raises:
            ArtifactError: If the manifest lists no such model.
        """
        for artifact in self.artifacts:
            if not artifact.exported:
                return artifact
        raise ArtifactError(f"{MANIFEST_NAME} lists no model that its files are made of: export again")

    @property
    def source_name(self) -> str:
        """Name of that model in texts: `Keras`, or what the file was called that came from elsewhere."""
        source = self.source()
        return self.provenance.source or source.path if is_exported(source.format) else "Keras"

    def with_artifacts(self, *new: Artifact) -> "Manifest":
        """Return a copy in which `new` replaces the entries with the same file names, in a fixed order."""
        kept = [old for old in self.artifacts if old.path not in {artifact.path for artifact in new}]
        formats, precisions = list(FORMATS), list(PRECISIONS)
        order = sorted(
            [*kept, *new], key=lambda item: (formats.index(item.format), precisions.index(item.precision), item.path)
        )
        return replace(self, artifacts=tuple(order))


def _digest(text: str) -> str:
    """Return the SHA-256 of a manifest's text with its own hash emptied: of the text, so that a later release reads it too."""
    return sha256(text.encode())


def is_foreign(folder: Path) -> bool:
    """Return whether the folder's `manifest.json` is another program's, such as a web app's, and not a damaged one of ours."""
    path = folder / MANIFEST_NAME
    if not path.exists():
        return False
    try:
        value = load_json(read_bytes(path, MOST_MANIFEST_BYTES), str(path), "")
    except ArtifactError:
        return False
    return isinstance(value, dict) and not {"schema", "artifacts"} & set(value)

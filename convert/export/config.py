"""One export: its options, its model, its images, its judge, and what it tunes with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.calibration import calibration_methods
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.export.runtime_releases import RuntimeRelease, parse_targets
from edgecnn.convert.export.thresholds import Acceptance
from edgecnn.convert.integrations import PROGRAMS, Program, require_files
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import Labels, Split
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.formats import FORMATS, PRECISIONS, CalibrationName, IoName, default_formats, device_formats
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest, OnnxConverterName
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.text import has_controls

QAT_FORMAT = "tflite"
"""The format whose float32 file is trained for integers; the others take what it has learnt."""
TRAINED = ("int8", "int4")
"""The precisions that files can be trained for."""


def choices(epochs: int) -> int:
    """Return among how many of so many epochs training for integers chooses: the last third, whose ranges are frozen."""
    return max(1, epochs // 3)


def learns_integers(model_format: str) -> bool:
    """Return whether files of a format can have what was trained for integers."""
    return QAT_FORMAT in FORMATS[model_format].sources


Batch = Literal["1", "dynamic"]
BATCHES: tuple[Batch, ...] = get_args(Batch)


@dataclass(frozen=True)
class ExportConfig:
    """Which files to write. float32 is always among them: it shows that the conversion itself is correct.

    Attributes:
        formats: Names in `device_formats`.
        precisions: Names that every chosen format supports.
        calibration: Calibration method; None means minmax.
        targets: Target runtimes, for example `tflite-runtime==2.14` or `onnxruntime`, at most one per format; and programs in
            `PROGRAMS`, which get files of their own.
        batch: Images per call of a file: `1`, or `dynamic` for any number.
        author: Who made the model, for the files' metadata; None to say nothing.
        license: Its licence, for the same; None to say nothing.
        onnx_converter: What makes ONNX of the Keras model, for the formats that are made of it; None for edgecnn's own
            converter if it knows all layers, otherwise tf2onnx.
        io: Type of the input and output of int8 files, for the formats that have a choice; None for each format's own: int8 for
            tflite, float32 for the others.
        qat: Number of epochs that files of `TRAINED` are trained for their integers; None for none.

    Raises:
        ConfigError: If a format, precision, target or batch is unknown, a format lacks a precision, or a program the file that
            it needs.
    """

    formats: tuple[str, ...] = default_formats()
    precisions: tuple[str, ...] = ("float32", "int8")
    calibration: CalibrationName | None = None
    targets: tuple[str, ...] = ()
    batch: Batch = "1"
    io: IoName | None = None
    author: str | None = None
    license: str | None = None
    onnx_converter: OnnxConverterName | None = None
    qat: int | None = None

    def __post_init__(self) -> None:
        if self.batch not in BATCHES:
            raise ConfigError(f"{field('batch')}={self.batch} is unknown: use {' or '.join(BATCHES)}")
        for model_format in self.formats:
            if model_format not in device_formats():
                raise ConfigError(f"{field('formats')}={model_format} is unknown: use {' or '.join(device_formats())}")
            for precision in self.precisions:
                if precision not in PRECISIONS:
                    raise ConfigError(f"{field('precisions')}={precision} is unknown: use {', '.join(PRECISIONS)}")
                if precision not in FORMATS[model_format].precisions:
                    has = ", ".join(FORMATS[model_format].precisions)
                    others = [name for name in self.formats if precision in FORMATS[name].precisions]
                    fix = f"use {field('formats')}={others[0]} alone" if others else "choose another precision"
                    raise ConfigError(f"{model_format} has no {precision} (it has {has}): {fix}")
        object.__setattr__(self, "formats", tuple(dict.fromkeys(self.formats)))  # Named twice, its files are made once.
        self._check_io()
        if self.qat and (self.any_batch or not set(TRAINED) & set(self.precisions)):
            fix = f"{field('batch')}=1" if self.any_batch else f"{field('precisions')}={TRAINED[0]}"
            raise ConfigError(
                f"{field('qat')} trains {' and '.join(TRAINED)} files that take one image at a time: use {fix}, or omit it"
            )
        if self.qat and (others := [name for name in self.formats if not learns_integers(name)]):
            raise ConfigError(
                f"{field('qat')} can't train {FORMATS[others[0]].title} files: omit it, or use other {field('formats')}"
            )
        if self.onnx_converter is not None and not any(FORMATS[name].through_onnx for name in self.formats):
            through_it = " or ".join(name for name in device_formats() if FORMATS[name].through_onnx)
            raise ConfigError(
                f"no file is made of ONNX: omit {field('onnx_converter')}, or add {field('formats')}={through_it}"
            )
        for name in ("author", "license"):
            said = getattr(self, name)
            if said is not None and (has_controls(said) or not said.strip()):
                raise ConfigError(f"{field(name)} must be one line of text: write it so, or omit it")
        self.methods()
        self.releases()
        for program in self.programs():
            require_files(program, self.files())
            if program.io and self.io_of(program.format) not in program.io:
                raise ConfigError(
                    f"{field('targets')}={program.name} takes {' or '.join(program.io)}, not {self.io}: omit {field('io')}"
                )

    def require_made_of(self, source: str, path: Path) -> None:
        """Raise unless each file can be made of a float model of the format `source`, which is at `path`.

        Raises:
            ConfigError: If a format, or the file of a program, has no way from there.
        """
        for name in self.formats:
            row = FORMATS[name]
            if source not in row.sources:
                kinds = " or ".join(FORMATS[of].title for of in row.sources)
                raise ConfigError(
                    f"{row.title} files are made of {kinds} models, and {path} is {FORMATS[source].title}: use "
                    f"{field('formats')}={source}, or convert it by another tool and name what that writes"
                )
        if self.onnx_converter and FORMATS[source].on_device:
            raise ConfigError(f"{field('onnx_converter')} is for Keras models, and {path} is {FORMATS[source].title}: omit it")
        if self.qat and source not in FORMATS[QAT_FORMAT].sources:
            raise ConfigError(f"{field('qat')} trains the network of a Keras or TFLite model, and {path} is neither: omit it")
        for program in self.programs():
            if FORMATS[source].on_device and not program.any_source:
                raise ConfigError(
                    f"{field('targets')}={program.name} needs a Keras model, and {path} is {FORMATS[source].title}: omit it"
                )

    def _check_io(self) -> None:
        if self.io is None:
            return
        known = dict.fromkeys(name for row in FORMATS.values() for name in row.io)
        if self.io not in known:
            raise ConfigError(f"{field('io')}={self.io} is unknown: use {', '.join(known)}")
        if "int8" not in self.precisions:
            raise ConfigError(f"{field('io')}={self.io} is for int8 files: add {field('precisions')}=int8, or omit it")
        if not any(self.io in FORMATS[model_format].io for model_format in self.formats):
            takes = dict.fromkeys(name for model_format in self.formats for name in FORMATS[model_format].io)
            others = [name for name, row in FORMATS.items() if self.io in row.io]
            raise ConfigError(
                f"int8 files of {' and '.join(self.formats)} take {' or '.join(takes)}, not {self.io}: omit {field('io')}, or "
                f"add {field('formats')}={others[0]}"
            )

    def io_of(self, model_format: str) -> IoName:
        """Return the type of the input and output of a format's int8 file."""
        has = FORMATS[model_format].io
        return self.io if self.io in has else has[0]

    def files(self) -> list[tuple[str, str]]:
        """Return the (format, precision) pairs to write, float32 of each format first."""
        wanted = [precision for precision in PRECISIONS if precision in ("float32", *self.precisions)]
        return [(model_format, precision) for model_format in self.formats for precision in wanted]

    @property
    def qat_choices(self) -> int:
        """Among how many epochs validation images choose what is kept of training for integers; 1 without it."""
        return choices(self.qat or 0)

    def file_names(self) -> tuple[str, ...]:
        """Return the names of those files."""
        return tuple(FORMATS[model_format].file_name(precision) for model_format, precision in self.files())

    @property
    def any_batch(self) -> bool:
        """Whether the files take any number of images at a time."""
        return self.batch == "dynamic"

    def methods(self) -> dict[str, CalibrationName]:
        """Return the calibration method of each format."""
        return calibration_methods(self.calibration, self.formats)

    def releases(self) -> dict[str, RuntimeRelease]:
        """Return the target runtime of a format's files, if one was named."""
        return parse_targets([target for target in self.targets if target not in PROGRAMS], self.formats)

    def programs(self) -> tuple[Program, ...]:
        """Return the programs that get files of their own."""
        return tuple(PROGRAMS[target] for target in dict.fromkeys(self.targets) if target in PROGRAMS)


class Runner(Protocol):
    """Compares files by what one image costs on the machine that they are for."""

    @property
    def unit(self) -> Literal["time", "instructions"]:
        """What it measures."""

    @property
    def seconds(self) -> float:
        """Longest time of a search for one format."""

    @property
    def most_files(self) -> int:
        """Largest number of files that a comparison takes, 2 to 33."""

    @property
    def machine(self) -> str:
        """The machine in words."""

    @property
    def runtime(self) -> str | None:
        """Name of the runtime to tune for; None for the default one of each format."""

    def compare(self, folder: Path, base: str, *, thorough: bool) -> Mapping[str, Interval]:
        """Return each file's cost divided by that of the file `base`.

        Args:
            folder: A folder with a manifest, whose exported files are measured side by side.
            base: Name of one of them.
            thorough: Measure until intervals are narrow, however busy the machine; else as briefly as a search can use.

        Raises:
            EdgeCnnError: If the machine can't be reached, or a file does not run there.
        """

    def settings(self, folder: Path, max_drop_points: float) -> Sequence[Setting]:
        """Measure the one exported file of a folder with more threads, and with the runtimes that run it only if named.

        Args:
            folder: As in `compare`.
            max_drop_points: Percentage points that the file may lose, for the verdicts.

        Returns:
            The settings: one thread of the default runtime, then the others, without runtimes that are missing there.

        Raises:
            EdgeCnnError: As in `compare`.
        """


@dataclass(frozen=True)
class Tuning:
    """How to tune an export's files: what measures them, what decides whether one is accurate enough, and the search's seed."""

    runner: Runner
    judge: Judge
    seed: int


# Takes the manifest, how many test images are evidence (no copies of others or of training images) and how many of those the
# classifies correctly, and the model card that is there, or None. Returns the new card, or None if the earlier one must stay.
Card = Callable[[Manifest, tuple[int, int], str | None], str | None]
# Takes the float model's probabilities (n, classes) and the labels, and returns whether they are no better than a guess.
Guess = Callable[[Floats, Labels], bool]


@dataclass(frozen=True)
class Gain:
    """When a file that was trained for its integers takes the place of the plain one.

    Attributes:
        compared_on: The images that compare the two: `test` or `validation` images.
        is_one: Gets for which of these images (n,) the trained file is right, and for which the plain one.
    """

    compared_on: Literal["test", "validation"]
    is_one: Callable[[NDArray[np.bool_], NDArray[np.bool_]], bool]


# Takes the number of batches that are over, the number of all, the name of their epoch, and its loss so far as text.
OnBatch = Callable[[int, int, str, str], None]


@dataclass(frozen=True)
class ExportJob:
    """The inputs of one export.

    Attributes:
        source: The float model's file.
        runtime: The opened file, which takes any number of images at a time, or one.
        model: The file as a classifier: it makes the inputs, and every exported file is compared with it.
        dataset: Test images to compare on, training images to calibrate with.
        config: Which files to write.
        folder: Where they will be.
        manifest: What it says of the model holds for every file made from it.
        judge, tuning, card, is_a_guess, acceptance, gain, on_batch, on_step: As in `export`.
        validation: The images that set thresholds, and among how many epochs they chose; None if none are set.
    """

    source: ModelFile
    runtime: LoadedModel
    model: Classifier
    dataset: Dataset
    config: ExportConfig
    folder: Path
    manifest: Manifest
    judge: Judge | None
    tuning: Tuning | None
    card: Card | None
    is_a_guess: Guess | None
    acceptance: Acceptance | None
    gain: Gain | None
    validation: tuple[Split, int] | None
    on_batch: OnBatch
    on_step: Callable[[str], None]

    @property
    def learnt(self) -> tuple[int, ...]:
        """The places of test images that are copies of what the model was trained on: they are no evidence."""
        # An earlier release did not look for copies; training may have found others, of what the model learnt before.
        return tuple(sorted({*self.manifest.dataset.learnt, *self.dataset.learnt}))

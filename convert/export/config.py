"""The options of an export."""

from dataclasses import dataclass
from typing import Literal, get_args

from edgecnn.convert.export.calibration import calibration_methods
from edgecnn.convert.export.runtime_releases import RuntimeRelease, parse_targets
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import FORMATS, PRECISIONS, CalibrationName, default_formats, device_formats

Batch = Literal["1", "dynamic"]
BATCHES: tuple[Batch, ...] = get_args(Batch)


@dataclass(frozen=True)
class ExportConfig:
    """Which files to write. float32 is always among them: it shows that the conversion itself is correct.

    Attributes:
        formats: Names in `device_formats`.
        precisions: Names that every chosen format supports.
        calibration: Calibration method; None means minmax.
        runtimes: Target runtimes, for example `tflite-runtime==2.14` or `onnxruntime`, at most one per format.
        batch: Images per call of a file: `1`, or `dynamic` for any number.

    Raises:
        ConfigError: If a format, precision, runtime or batch is unknown, or a format lacks a precision.
    """

    formats: tuple[str, ...] = default_formats()
    precisions: tuple[str, ...] = ("float32", "int8")
    calibration: CalibrationName | None = None
    runtimes: tuple[str, ...] = ()
    batch: Batch = "1"

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
        self.methods()
        self.targets()

    def files(self) -> list[tuple[str, str]]:
        """Return the (format, precision) pairs to write, float32 of each format first."""
        wanted = [precision for precision in PRECISIONS if precision in ("float32", *self.precisions)]
        return [(model_format, precision) for model_format in self.formats for precision in wanted]

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

    def targets(self) -> dict[str, RuntimeRelease]:
        """Return the target runtime of a format's files, if one was named."""
        return parse_targets(self.runtimes, self.formats)

"""Formats, precisions and runtimes, one row each: the only place that lists them.

Other code asks a row, or calls the module that a row names. That module is imported on first use and meets a contract,
so that a new runtime is one module and one row:

| field of a row | what its module has |
|---|---|
| `Runtime.module` | `import_library()` and `open_model(...)`: `edgecnn.edge.runtimes.base` |
| `Runtime.profiler` | `profile_ops(...)` and `CAVEAT`: `edgecnn.benchmarks.timing.profile` |
| `Format.anatomy` | `read_network(...)`: `edgecnn.edge.graph.network` |
| `Format.ending` | `last_operator(data, model)`: `edgecnn.edge.inference.model_interface` |
| `Format.requirements` | `read_needs(...)` and `RELEASES`: `edgecnn.edge.compatibility.requirements` |
| `Format.converter` | `converter(...)`: `edgecnn.convert.export.converters` |
| `Format.describer` | `described(...)`: `edgecnn.convert.export.description` |
| `Format.pair` | `open_pair(...)`: `edgecnn.convert.diagnosis.diagnose` |
"""

from pathlib import Path

from edgecnn.edge.formats.format import (
    FORMATS,
    MOST_THREADS,
    PRECISIONS,
    RUNTIMES,
    CalibrationName,
    Format,
    IoName,
    Mark,
    Package,
    Precision,
    Runtime,
)

__all__ = [
    "FORMATS",
    "MOST_THREADS",
    "PRECISIONS",
    "RUNTIMES",
    "CalibrationName",
    "Format",
    "IoName",
    "Mark",
    "Package",
    "Precision",
    "Runtime",
    "default_formats",
    "device_formats",
    "format_of",
    "is_exported",
    "is_marked",
    "suffixes",
]


def device_formats() -> tuple[str, ...]:
    """Return the names of the formats that a device runs."""
    return tuple(row.name for row in FORMATS.values() if row.on_device)


def default_formats() -> tuple[str, ...]:
    """Return the names of the formats that are exported unless others are named."""
    return tuple(row.name for row in FORMATS.values() if row.on_device and not row.by_name)


def is_exported(model_format: str | None) -> bool:
    """Return whether a device runs files of this format, unlike the Keras model that they come from."""
    row = FORMATS.get(model_format or "")
    return row is None or row.on_device  # A later edgecnn may have written a format unknown here.


def is_marked(data: bytes, model_format: str) -> bool:
    """Return whether bytes have the mark of a format that has one."""
    mark = FORMATS[model_format].mark
    return mark is not None and data.startswith(mark.data, mark.at)


def suffixes() -> str:
    """Return the suffixes of all formats, for a sentence: `.keras, .tflite or .onnx`."""
    *others, last = (row.suffix for row in FORMATS.values())
    return f"{', '.join(others)} or {last}"


def format_of(path: Path) -> str | None:
    """Return the name of the format with this suffix; None if no format has it."""
    return next((row.name for row in FORMATS.values() if row.suffix == path.suffix.lower()), None)

"""The words that arguments accept."""

from typing import TYPE_CHECKING

from edgecnn.benchmarks.machine.noise_names import NAMES as NOISE
from edgecnn.edge.folder.file_names import MANIFEST_NAME, MODEL_NAME
from edgecnn.edge.formats import (
    FORMATS,
    PRECISIONS,
    RUNTIMES,
    CalibrationName,
    IoName,
    default_formats,
    device_formats,
    format_of,
    suffixes,
)
from edgecnn.edge.manifest import FITS, Fit, Side
from edgecnn.edge.model.interface import SCHEMES

if TYPE_CHECKING:  # A board has no convert, and needs no type.
    from edgecnn.convert.export.config import Batch as Batch
    from edgecnn.convert.training.recipes import Augment as Augment

__all__ = [
    "FITS",
    "FORMATS",
    "MANIFEST_NAME",
    "MODEL_NAME",
    "NOISE",
    "PRECISIONS",
    "RUNTIMES",
    "SCHEMES",
    "CalibrationName",
    "Fit",
    "IoName",
    "Side",
    "default_formats",
    "device_formats",
    "format_of",
    "suffixes",
]

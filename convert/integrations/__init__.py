"""Programs that take exported files, one row per program.

A row names a module with a function `write`, a `Writer`. It is imported only if its program was named.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.formats import FORMATS, Package

if TYPE_CHECKING:
    from edgecnn.convert.export.config import ExportJob
    from edgecnn.edge.manifest import Manifest


class Program(NamedTuple):
    """A program that takes files of its own.

    Attributes:
        name: Name that `targets` accepts.
        title: Name as people write it.
        format: Format of the exported file that its files belong to.
        precision: Precision of that file.
        module: Module that writes its files.
        package: Package that this needs besides those of every export; None for none.
    """

    name: str
    title: str
    format: str
    precision: str
    module: str
    package: Package | None = None


class Writer(Protocol):
    """Writes the files for a program."""

    def __call__(self, folder: Path, manifest: "Manifest", job: "ExportJob") -> Sequence[ProgramFile]:
        """Write the files and return their records; an error leaves the earlier export whole.

        Args:
            folder: Folder to write into, which holds the files of this export.
            manifest: The manifest of this export, which lists them.
            job: The export: its model, its images, and `on_step` for progress.

        Raises:
            ConversionError: If the model can't be made into what the program takes.
        """
        ...


PROGRAMS: dict[str, Program] = {
    row.name: row
    for row in (
        Program("rpicam-apps", "rpicam-apps", "tflite", "int8", "edgecnn.convert.integrations.rpicam_apps"),
        Program(
            "tflite-micro",
            "tflite-micro",
            "tflite",
            "int8",
            "edgecnn.convert.integrations.tflite_micro",
            Package("tflite-micro", "tflite_micro", "micro"),
        ),
    )
}
"""Programs by name."""


def require_files(program: Program, exported: Sequence[tuple[str, str]]) -> None:
    """Raise unless the file is exported that a program's files belong to, and the package is there that makes them.

    Args:
        program: The program.
        exported: (format, precision) of each exported file.

    Raises:
        ConfigError: If it is not among them.
        MissingDependency: If the package is not installed.
    """
    for fixed, index in (("formats", 0), ("precisions", 1)):
        wanted = (program.format, program.precision)[index]
        if wanted not in {pair[index] for pair in exported}:
            name = FORMATS[program.format].file_name(program.precision)
            raise ConfigError(f"{field('targets')}={program.name} needs {name}: add {field(fixed)}={wanted}, or omit it")
    if program.package and not program.package.is_installed:
        raise program.package.missing


def write_files(program: Program, folder: Path, manifest: "Manifest", job: "ExportJob") -> Sequence[ProgramFile]:
    """Write the files for a program. See `Writer`."""
    return cast(Writer, import_module(program.module).write)(folder, manifest, job)

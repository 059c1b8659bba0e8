"""Programs that take exported files, one row per program.

A row names a module, which is imported only if its program was named. Its function `write(folder, manifest, job)` writes the
program's files into the folder that holds this export's files, and returns a `ProgramFile` for each. `manifest` lists these
files; `job` is the `ExportJob`. It raises ConversionError if the model can't be made into what the program takes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import FORMATS, IoName, Package


class Program(NamedTuple):
    """A program that takes files of its own.

    Attributes:
        name: Name that `targets` accepts.
        title: Name as people write it.
        format: Format of the exported file that its files belong to.
        precision: Precision of that file.
        module: Module that writes its files.
        package: Package that this needs besides those of every export; None for none.
        any_source: Whether its files can be made of any float model, not of a Keras model alone.
        io: Types that the input and output of that file may have; empty for any.
    """

    name: str
    title: str
    format: str
    precision: str
    module: str
    package: Package | None = None
    any_source: bool = False
    io: tuple[IoName, ...] = ()


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
            any_source=True,
            io=("int8", "uint8"),
        ),
    )
}
"""Programs by name."""


def require_files(program: Program, exported: Sequence[tuple[str, str]]) -> None:
    """Raise unless the (format, precision) is exported that a program's files belong to, and their package is installed.

    Raises:
        ConfigError: If it is not among the exported ones.
        MissingDependency: If the package is not installed.
    """
    for fixed, index in (("formats", 0), ("precisions", 1)):
        wanted = (program.format, program.precision)[index]
        if wanted not in {pair[index] for pair in exported}:
            name = FORMATS[program.format].file_name(program.precision)
            raise ConfigError(f"{field('targets')}={program.name} needs {name}: add {field(fixed)}={wanted}, or omit it")
    if program.package and not program.package.is_installed:
        raise program.package.missing

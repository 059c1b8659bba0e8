"""Results to standard output, progress to standard error."""

import os
import select
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Protocol, TextIO

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import require_writable, write_bytes
from edgecnn.edge.folder.file_names import MANIFEST_NAME
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.options.option import Option
from edgecnn.edge.text import printable, printable_lines
from edgecnn.shell.terminal import coloured, columns, has_colours

Json = Annotated[
    Path | None,
    Option("Also write the result as JSON; - prints it instead of the text.", metavar="FILE", writes=True, board="here"),
]
Verbose = Annotated[bool, Option("Also say how it was measured, with every reason for unstable times.", board="here")]
Markdown = Annotated[Path | None, Option("Also write the tables as Markdown.", metavar="FILE", writes=True, board="refused")]
Csv = Annotated[
    Path | None, Option("Also write a CSV file with a row for each file.", metavar="FILE", writes=True, board="refused")
]

# Files that a typing error must not replace by a result.
_PRECIOUS = (*(row.suffix for row in FORMATS.values()), ".npy", ".npz")


def check_writable(*outputs: Path | None, inputs: tuple[Path, ...] = ()) -> None:
    """Raise before the work if output files can't be written.

    Raises:
        ConfigError: If one is a folder, in a folder that can't be made, a model or a manifest, or named twice or as an input.
    """
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path is None:
            continue
        if str(path) == "-":
            raise ConfigError("- is only for --json: name a file")
        if path.is_dir():
            raise ConfigError(f"{path} is a folder: name a file")
        if path.name == MANIFEST_NAME or path.suffix.lower() in _PRECIOUS:
            raise ConfigError(f"{path} has a model's or a manifest's name: write to another file")
        if path.resolve() in taken:
            raise ConfigError(f"{path} is named twice, or is an input: give each output its own file")
        taken.add(path.resolve())
        if not path.exists() or path.is_file():  # A pipe or a device needs no folder.
            require_writable(path.parent)


def say(text: str) -> None:
    """Print a line of progress, if there is a standard error that can be written."""
    if sys.stderr is None:
        return  # print would use standard output, which is for results.
    try:
        print(_shown(text, sys.stderr), file=sys.stderr, flush=True)
    except OSError:  # There is nobody to tell, and the line that is left in the stream would fail again at each flush.
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # It stays open until the process ends.


def is_read(stream: TextIO | None) -> bool:
    """Return whether a line can be printed without waiting for whoever reads the stream; True if the stream can't tell."""
    try:
        return stream is None or bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):  # It has no descriptor.
        return True


class Printable(Protocol):
    """A result that can be printed."""

    @property
    def to_text(self) -> Callable[..., str]:
        """Return the result for people, as wide as the first argument."""

    def to_json(self) -> str:
        """Return the result for machines."""


def emit(result: Printable, json: Path | None, **how: bool) -> None:
    """Print a result as text and write it to the file `json`; `-` prints JSON instead.

    Args:
        result: What to print.
        json: A file, `-` or None.
        how: Further arguments of its `to_text`.

    Raises:
        ConfigError: If it can't be printed or written.
    """
    if json is not None and str(json) == "-":
        _print(printable_lines(result.to_json().rstrip("\n")))
        return
    print_text(result.to_text(columns(sys.stdout), **how))
    if json is not None:
        write_text(json, result.to_json())


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        ConfigError: If it can't be written.
    """
    write_bytes(path, text.encode(errors="replace"))


def print_text(text: str) -> None:
    """Print to standard output, with colours on a terminal.

    Raises:
        ConfigError: If it can't be written; a closed pipe is not an error.
    """
    _print(_shown(text, sys.stdout))


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Print a line for each row, its cells separated by tabs, for scripts. Errors are those of `print_text`."""
    _print("\n".join("\t".join(map(printable, row)) for row in rows))


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = None  # The reader has closed the pipe; Python must not flush it again.
    except OSError as error:
        sys.stdout = None
        raise ConfigError(f"standard output can't be written ({error.strerror}): send it elsewhere") from error


def _shown(text: str, stream: TextIO) -> str:
    safe = printable_lines(text)
    return coloured(safe) if has_colours(stream) else safe

"""Results to standard output, progress to standard error, as wide as the terminal."""

import os
import re
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, TextIO

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import require_writable, write_bytes
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import MANIFEST_NAME
from edgecnn.edge.option import Option
from edgecnn.edge.text import WIDTH, paragraph, printable, printable_lines

_WIDEST = 120  # Longer lines are hard to read.
_NARROWEST = 40
_REDRAW_SECONDS = 0.1
_GREEN, _RED, _YELLOW, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
_VERDICTS = {"PASS": _GREEN, "FAIL": _RED, "NO RESULT": _RED, **dict.fromkeys(("UNDECIDED", "UNJUDGED", "INVALID"), _YELLOW)}
_AT_START = {"problem": _RED, "PROBLEM": _RED, "warning": _YELLOW, "Warning": _YELLOW, "Unstable": _YELLOW}
_COLOURS = _VERDICTS | _AT_START
# Whole words, so that a file called FAIL.tflite is not red.
_WORDS = re.compile(rf"(?<![\w./-])(?:{'|'.join(_VERDICTS)})(?![\w/-]|\.\w)|^ *(?:{'|'.join(_AT_START)})\b", re.MULTILINE)


def columns(stream: TextIO | None) -> int:
    """Return the width of text for a stream, 40 to 120 columns: COLUMNS, else a terminal's own, else 100 in a file or pipe."""
    return _stated_columns(stream) or WIDTH


def _stated_columns(stream: TextIO | None) -> int | None:
    """Return the width of a terminal, or that of COLUMNS; None for a file or pipe without that."""
    if not _is_terminal(stream) and not os.environ.get("COLUMNS", "").isdecimal():
        return None
    # A serial console has no size: it gets the fallback of 80 columns.
    return min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)


def has_colours(stream: TextIO | None) -> bool:
    """Return whether a stream shows colours: a terminal does, unless NO_COLOR is set (https://no-color.org) or it is dumb.

    FORCE_COLOR requests them in a pipe too, for a CI's log.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (_is_terminal(stream) and os.environ.get("TERM") != "dumb")


def coloured(text: str) -> str:
    """Return text with verdicts and warnings in colour: green for PASS, red for failures, yellow for the rest."""
    return _WORDS.sub(lambda found: f"{_COLOURS[found[0].strip()]}{found[0]}{_RESET}", text)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # It is closed.
        return False


Json = Annotated[
    Path | None,
    Option("Also write the result as JSON; - prints it instead of the text.", writes=True, board="here"),
]
Verbose = Annotated[bool, Option("Also say how it was measured, with every reason for unstable times.", board="here")]
Markdown = Annotated[Path | None, Option("Also write the tables as Markdown.", writes=True, board="refused")]
Csv = Annotated[Path | None, Option("Also write a CSV file with a row for each file.", writes=True, board="refused")]

# Files that a typing error must not replace by a result.
_PRECIOUS = (*(row.suffix for row in FORMATS.values()), ".npy", ".npz")


def check_writable(outputs: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Raise before the work if output files can't be written.

    Raises:
        ConfigError: If one is a folder, in a folder that can't be made, a model or a manifest, or named twice or as an input.
    """
    # A bundle, and a file of several boards' results, are named like a folder of what they hold.
    taken = {place for path in inputs for place in (path.resolve(), *path.resolve().parents)}
    for path in outputs:
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
    """Print a line of progress, if there is a standard error that can be written.

    A terminal gets it in lines of its width; in a pipe without COLUMNS it stays one line, for tools that search it.
    """
    if sys.stderr is None:
        return  # print would use standard output, which is for results.
    if width := _stated_columns(sys.stderr):
        text = "\n".join(line if len(line) <= width else paragraph(line, width, "  ") for line in text.splitlines())
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
    """Print a result as text, with further arguments of its `to_text`, and write it to a file; `-` prints JSON instead.

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


class Shown:
    """A `Progress` on standard error, for a block. Nothing is drawn between two calls, when only the measured process may work.

    Args:
        measuring: Whether times are measured, by work that estimates its own duration: without a terminal, a line for each part
            replaces the bar.
        quiet: Show nothing.
    """

    def __init__(self, measuring: bool = False, quiet: bool = False) -> None:
        self._measuring = measuring
        self._quiet = quiet
        self._watched = not quiet and bool(sys.stderr and sys.stderr.isatty())
        self._bar: Any = None
        self._drawn = 0.0
        self._part = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def say(self, text: str) -> None:
        """Print a line, or several."""
        self.hide()
        if not self._quiet:
            say(text)

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        """Draw the bar; for a measurement without a terminal, print each part once."""
        if self._watched:
            self._draw(done, total, f"{text}: {detail}" if detail else text)
        elif self._measuring and text != self._part:
            self._part = text
            say(printable(text))

    def hide(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _draw(self, done: int, total: int, text: str) -> None:
        if self._bar is None:
            self._bar = self._new_bar()
            self._bar.start()
        (task,) = self._bar.task_ids
        self._bar.update(task, completed=done, total=total, description=printable(text))
        if done >= total:
            self.hide()
        elif time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self._bar.refresh()
            self._drawn = time.monotonic()

    def _new_bar(self) -> Any:
        # Imported late, since the import takes longer than a prediction.
        rich, console = import_module("rich.progress"), import_module("rich.console").Console(stderr=True)
        columns = [rich.TextColumn("{task.description}", markup=False), rich.BarColumn(), rich.MofNCompleteColumn()]
        columns += [] if self._measuring else [rich.TimeRemainingColumn()]
        bar = rich.Progress(*columns, console=console, transient=True, auto_refresh=False)
        bar.add_task("")
        return bar

"""Results to standard output, progress to standard error."""

import sys
from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from edge.files import make_folder, write_bytes
from edge.records import to_json


def check_writable(path: Path | None) -> None:
    """Refuse an output file that can't be written before the work that it is for.

    Raises:
        ConfigError: If it is a folder, or in one that can't be made.
    """
    if path is None or str(path) == "-":
        return
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file")
    make_folder(path.parent)


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def emit(text: str, record: Any, json: Path | None) -> None:
    """Print a result as text and write its record to the file `json`; `-` prints the record instead.

    Raises:
        ConfigError: If it can't be printed or written.
    """
    if json is not None and str(json) == "-":
        print_text(to_json(record).rstrip("\n"))
        return
    print_text(text)
    if json is not None:
        write_bytes(json, to_json(record).encode())


def print_text(text: str) -> None:
    """Print to standard output.

    Raises:
        ConfigError: If it can't be written; a reader who has had enough is no error.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = None  # Whoever read it has enough; Python must not flush it again.
    except OSError as error:
        sys.stdout = None
        raise ConfigError(f"standard output can't be written ({error.strerror}): send it elsewhere") from error

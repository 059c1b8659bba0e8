"""Results to standard output, progress to standard error."""

import sys
from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from edge.files import make_folder, write_bytes
from edge.manifest import MANIFEST_NAME
from edge.records import to_json

# What a slip of the finger must not replace by a result.
_PRECIOUS = (".keras", ".tflite", ".onnx", ".npy", ".npz")


def check_writable(*outputs: Path | None, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse output files that can't be written before the work that they are for.

    Raises:
        ConfigError: If one is a folder, in one that can't be made, a model or a manifest, or named twice or as an input.
    """
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path is None:
            continue
        if str(path) == "-":
            raise ConfigError("- is for --json alone: name a file")
        if path.is_dir():
            raise ConfigError(f"{path} is a folder: name a file")
        if path.name == MANIFEST_NAME or path.suffix.lower() in _PRECIOUS:
            raise ConfigError(f"{path} has a model's or a manifest's name: write to another file")
        if path.resolve() in taken:
            raise ConfigError(f"{path} is named twice, or is what is read: give each output a file of its own")
        taken.add(path.resolve())
        if not path.exists() or path.is_file():  # A pipe or a device needs no folder.
            make_folder(path.parent)


def json_file(json: Path | None) -> Path | None:
    """Return the file that --json names; `-` is none."""
    return None if json is None or str(json) == "-" else json


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
        write_bytes(json, to_json(record).encode(errors="replace"))


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

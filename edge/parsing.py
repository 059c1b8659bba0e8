"""Parsing bytes from outside: whatever the parser raises becomes one error that names the file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgecnn.edge.errors import LIMITS, ArtifactError, EdgeCnnError
from edgecnn.edge.text import shortened


@contextmanager
def parsing(what: str, fix: str, kind: type[EdgeCnnError] = ArtifactError) -> Iterator[None]:
    """Turn anything a parser raises in the block into `kind`: "WHAT (REASON): FIX".

    Bytes from outside can make a parser raise anything: a zip reader LZMAError, numpy's header reader TokenError, JSON
    RecursionError. A list of classes would miss one, so this catches all; the block must hold the parsing and nothing else.

    Args:
        what: The file and what it fails to be, for example "labels.npz is not a whole .npz file".
        fix: What the message recommends.
        kind: Class of the error; ConfigError for what the user typed or wrote.
    """
    try:
        yield
    except EdgeCnnError:
        raise
    except Exception as error:
        fix = LIMITS.get(error.errno or 0, fix) if isinstance(error, OSError) else fix
        raise kind(f"{what} ({_reason(error)}): {fix}") from error


def load_json(data: str | bytes, what: str, fix: str, kind: type[EdgeCnnError] = ArtifactError) -> Any:
    """Return the value of JSON from outside. Arguments and errors are those of `parsing`."""
    with parsing(what, fix, kind):
        return json.loads(data)


def _reason(error: Exception) -> str:
    """Return why a parser failed, for a user: its own words only if they are about the file and not the program."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, UnicodeError):
        return "it holds text that is not UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error).__name__ == "UnidentifiedImageError":  # Pillow names the file once more, or an object in memory.
        return "its content is of no known image format"
    if isinstance(error, (ValueError, RuntimeError, OSError)) and str(error):
        return shortened(str(error))
    return "its structure is damaged"

"""The errors that a user can cause and fix, each with its exit code, and what becomes of errors of foreign parsers."""

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from edgecnn.edge.text import printable, shortened

# Unicode reserves these two for use inside a program: no valid text contains them.
_MARKED = re.compile("\ufdd0([a-z_0-9]+)\ufdd1(=?)")

# What LiteRT appends to what went wrong, without a space or after a line without a full stop.
_APPENDED = re.compile(
    r"([^\s(])\n?(?=Node number \d|Tensor \d|AllocateTensors\(\) called|Registration failed|Failed to apply the default)"
)

LIMITS = {
    errno.EFBIG: "raise the limit of a file's size with ulimit -f",
    errno.EMFILE: "raise the limit of open files with ulimit -n",
    errno.ENFILE: "end other processes, or raise the limit fs.file-max",
    errno.EAGAIN: "end other processes, or raise the limit with ulimit -u",
    errno.ENOMEM: "free some memory, or raise the limit with ulimit -v",
}
"""`errno` of what a process or a machine has no more of -> what to do. It says nothing of the file or folder in hand."""

_REFUSALS = {
    **LIMITS,
    errno.ENOSPC: "free some room, or write it elsewhere",
    errno.EDQUOT: "free some room, or write it elsewhere",
    errno.EROFS: "write it elsewhere",
    errno.EACCES: "change its permissions, or use another folder",
    errno.EPERM: "change its permissions, or use another folder",
    errno.EIO: "check the disk",
}
# How the last line of a child's traceback, or of a library's error, ends.
_QUOTED = re.compile(r"\[Errno ([0-9]+)\] [^\n]*\Z")

# How Python's `tempfile` says that it can write nowhere; its `errno` is that of a missing file.
_NO_TEMPORARY = "No usable temporary directory found"

# Of these Python's text says what a program did ("list index out of range"), not what is wrong with what it was given.
_INTERNAL = (LookupError, AttributeError, TypeError, AssertionError, ArithmeticError, NotImplementedError)


def in_python(name: str, value: object) -> str:
    """Return a field or argument, with its value if there is one."""
    return name if value is None else f"{name}={value}"


_spelled: ContextVar[Callable[[str, object], str]] = ContextVar("_spelled", default=in_python)


class EdgeCnnError(Exception):
    """A problem that the user can fix; each subclass is one kind of problem.

    The message stays on one line without control characters, whatever outside names it quotes.

    Attributes:
        renamed: Other names for fields of the message, from a caller that has them under these.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))
        self.renamed: dict[str, str] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take their own arguments, and Python would make them of the message alone.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        """Return the message for whoever runs this: see `spelling`."""
        spelled = _spelled.get()
        return _MARKED.sub(lambda found: spelled(self.renamed.get(found[1], found[1]), "" if found[2] else None), self.marked)

    @property
    def marked(self) -> str:
        """The message with its fields marked, for another error to quote."""
        return str(self.args[0])

    @property
    def parts(self) -> tuple[str, str | None]:
        """What is wrong, and the fix that follows the message's last colon; None for a message of another form."""
        problem, _, fix = str(self).rpartition(": ")
        return (problem, fix) if problem else (fix, None)


def _restored(kind: type[EdgeCnnError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> EdgeCnnError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


class ConfigError(EdgeCnnError):
    """An option or a path that does not work as given."""

    exit_code = 2


class GateFailed(EdgeCnnError):
    """A measured file exceeds its budget, or none can be made that is accurate enough."""

    exit_code = 3


class ArtifactError(EdgeCnnError):
    """A file is missing, damaged, stale or of the wrong kind."""

    exit_code = 4


class ConversionError(EdgeCnnError):
    """A converter failed, or the file it wrote computes something else than the model."""

    exit_code = 5


class MissingDependency(EdgeCnnError):
    """A package that the command needs is not installed."""

    exit_code = 6


class InvalidMeasurement(EdgeCnnError):
    """A measurement is too unreliable to use."""

    exit_code = 7


def field(name: str) -> str:
    """Return the marked name of a field or argument. Use it only in the message of an `EdgeCnnError`.

    `f"{field('channels')}=3"` reads `channels=3` in Python, and the option with its value on the command line.
    """
    return f"\ufdd0{name}\ufdd1"


def setting(name: str, value: object = None) -> str:
    """Return a field or argument as whoever runs this would give it, for the text of a result; an error has `field`.

    `setting('prefer', 'size')` is `prefer=size` in Python, and the option with its value on the command line.
    """
    return _spelled.get()(name, value)


@contextmanager
def spelling(spelled: Callable[[str, object], str]) -> Iterator[None]:
    """Have `setting` and errors' messages name a setting and its value, or None, by this function in the block."""
    token = _spelled.set(spelled)
    try:
        yield
    finally:
        _spelled.reset(token)


def why(error: BaseException, width: int = 160, named: bool = False) -> str:
    """Return why another library or a user's own code failed, in one line of at most `width` characters, for a message.

    `named` adds the error's class, which the author of the failing code needs.

    Raises:
        ConfigError: If not what the library was given is at fault, but this machine: see `refusal`. Never if `named`.
    """
    if not named and not isinstance(error, MemoryError) and (found := refusal(error)):
        raise found from error
    text = shortened(_APPENDED.sub(lambda found: found[1] + (" " if found[1] in ".?!" else ". "), str(error)), width)
    if named:
        return shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__, width)
    if isinstance(error, _INTERNAL) or not text:
        return shortened(f"an error inside it: {type(error).__name__} {text}", width)
    return text


def because(error: OSError, fix: str) -> str:
    """Return the end of a message: the system's own words and `fix`, or instead how to raise the limit that was reached."""
    return f"({error.strerror or error}): {LIMITS.get(error.errno or 0, fix)}"


def refusal(error: BaseException | None) -> ConfigError | None:
    """Return what an exception that nobody expected says of this machine: a limit or a full, broken or closed disk.

    Returns:
        The error with the system's own words and the path, or None if neither the exception nor a cause of it is of that kind:
        then it is our bug.
    """
    while error is not None:
        if _NO_TEMPORARY in str(error):
            return ConfigError(f"no temporary folder can be written ({_NO_TEMPORARY}): set TMPDIR to one that can")
        number, path = _system_error(error)
        if number in _REFUSALS:
            if not path and number in (errno.ENOSPC, errno.EDQUOT):
                return ConfigError(f"an output can't be written ({os.strerror(number)}): {_REFUSALS[number]}")
            return ConfigError(f"{f'{path}: ' if path else ''}{os.strerror(number)}: {_REFUSALS[number]}")
        error = error.__cause__
    return None


def _system_error(error: BaseException) -> tuple[int, str]:
    """Return the `errno` that an exception has or quotes, or 0, and the path, if it names one."""
    if isinstance(error, OSError) and error.errno:
        return error.errno, str(error.filename or "")
    text = str(error).rstrip()
    if text == "can't start new thread":  # Python does not say why.
        return errno.EAGAIN, ""
    if "failed to map segment" in text:  # The dynamic linker's words if there is no memory for a library.
        return errno.ENOMEM, ""
    if found := _QUOTED.search(text):
        return int(found[1]), ""
    if type(error).__module__.startswith("tensorflow."):  # It has its own codes, and writes "PATH; the system's words".
        for number in _REFUSALS:
            if named := re.search(rf"(?:^.*}}}} |^)(.*); {re.escape(os.strerror(number))}$", text, re.MULTILINE):
                return number, named[1]
    return 0, ""


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


def load_json(data: str | bytes, what: str, fix: str) -> Any:
    """Return the value of JSON from outside. Arguments and errors are those of `parsing`."""
    with parsing(what, fix):
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

"""Decodes pictures that strangers sent, in a child process: a bug in an image library must not reach the server.

The child has limits on memory and time, and is started again if it dies. Frames on its pipes, big-endian:

to the child: rule u32, picture u32, pickled rule, picture;
from it: kind u8, text u32, image u32, text in UTF-8, image as uint8.

The child is not trusted: its answers are never unpickled, and their sizes are checked.

A server starts it before anything else, because the first picture waits for it: nothing here imports numpy at the top.
"""

import pickle
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from io import BytesIO
from math import prod
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from edgecnn.edge.errors import ArtifactError, EdgeCnnError
from edgecnn.edge.isolation.child import child_environment, limit_memory, limit_time, python_command
from edgecnn.edge.serving.logs import log

if TYPE_CHECKING:
    from edgecnn.edge.manifest import Preprocessing
    from edgecnn.edge.model.preprocess import Images

PICTURE_SECONDS = 20.0
"""Time limit for one picture. A board needs 3 s for the largest photo that is accepted."""

_ASKED = struct.Struct(">II")
_ANSWERED = struct.Struct(">BII")
_FITTED, _REFUSED = 0, 1
_MOST_TEXT = 2000
UNNAMED = "the picture"
"""What the messages of `Decoder.decode` call the picture."""


class Rule(NamedTuple):
    """How a picture becomes a file's image: fitted to `shape`, (h, w, c), as the training images were."""

    shape: tuple[int, int, int]
    preprocessing: "Preprocessing"


# A rule is the same for every picture of a file.
_pickled = lru_cache(maxsize=16)(pickle.dumps)
_unpickled = lru_cache(maxsize=16)(pickle.loads)


class FittedPicture(NamedTuple):
    """A picture as a model's image: uint8 (h, w, c), and what may be wrong with it, or None."""

    image: "Images"
    doubt: str | None


class Decoder:
    """A child process that turns pictures into images, one at a time. It starts while its parent imports and loads models."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._child = self._started()

    def decode(self, picture: bytes, rule: Rule) -> FittedPicture:
        """Return a picture as an image.

        Args:
            picture: Bytes of an image file.
            rule: How it is fitted.

        Raises:
            ArtifactError: If it is not an image, or decoding it crashes, takes too long or needs too much memory.
        """
        with self._lock:
            if self._child.poll() is not None:
                self._end()
                self._child = self._started()
            try:
                return self._exchange(picture, rule)
            except (OSError, EOFError) as error:
                self._end()
                raise ArtifactError(
                    f"{UNNAMED} crashed the process that decoded it, or took longer than {PICTURE_SECONDS:g} s: save it again "
                    "as PNG or JPEG"
                ) from error

    def close(self) -> None:
        """End the child; a second call does nothing."""
        with self._lock:
            self._end()

    def _exchange(self, picture: bytes, rule: Rule) -> FittedPicture:
        import numpy as np  # noqa: PLC0415 - See above.

        to_child, from_child = cast(BinaryIO, self._child.stdin), cast(BinaryIO, self._child.stdout)
        pickled = _pickled(rule)
        to_child.write(_ASKED.pack(len(pickled), len(picture)) + pickled)
        to_child.write(picture)
        to_child.flush()
        kind, text_bytes, image_bytes = _ANSWERED.unpack(_exactly(from_child, _ANSWERED.size))
        if text_bytes > 4 * _MOST_TEXT or image_bytes != (prod(rule.shape) if kind == _FITTED else 0):
            raise EOFError("an answer of another size")
        text = _exactly(from_child, text_bytes).decode(errors="replace")
        if kind != _FITTED:
            raise ArtifactError(text)
        image = np.frombuffer(_exactly(from_child, image_bytes), np.uint8).reshape(rule.shape)
        return FittedPicture(image, text or None)

    def _started(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            python_command(f"from {__name__} import serve; serve()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C is for the server, which first answers what it was asked.
        )
        # An image library may write more than anybody reads.
        Thread(target=_log_lines, args=(child.stderr,), name="complaints", daemon=True).start()
        return child

    def _end(self) -> None:
        self._child.kill()
        for stream in (self._child.stdin, self._child.stdout):
            with suppress(OSError):
                cast(BinaryIO, stream).close()
        self._child.wait()


def _log_lines(stream: BinaryIO) -> None:
    with stream:
        while line := stream.readline(_MOST_TEXT):
            log(f"the process that decodes pictures: {line.decode(errors='replace').rstrip()}")


def _exactly(stream: Any, count: int) -> bytes:
    data: bytes = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def serve() -> None:
    """Run in the child: answer pictures from standard input until it ends."""
    import os  # noqa: PLC0415 - These are the child's.
    import sys  # noqa: PLC0415

    from edgecnn.edge.data.image_file import Polarity, load_pillow  # noqa: PLC0415
    from edgecnn.edge.inference.pictures import fitted_picture  # noqa: PLC0415

    def fitted(picture: bytes, rule: Rule) -> FittedPicture:
        doubts: list[str] = []
        image = fitted_picture(BytesIO(picture), rule.shape, rule.preprocessing, UNNAMED, Polarity(None, doubts.append))
        return FittedPicture(image, doubts[0] if doubts else None)

    limit_memory(0)
    load_pillow().preinit()  # Its formats are imported while the server starts, and not for the first picture.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # A library's output must not mix with the answers.
    asked = sys.stdin.buffer
    while header := asked.read(_ASKED.size):
        rule_bytes, picture_bytes = _ASKED.unpack(header)
        rule = _unpickled(asked.read(rule_bytes))  # It comes from our own parent.
        limit_time(PICTURE_SECONDS)
        kind, text, image = _answer(partial(fitted, asked.read(picture_bytes), rule))
        limit_time(0)
        said = text[:_MOST_TEXT].encode(errors="replace")
        answers.write(_ANSWERED.pack(kind, len(said), len(image)) + said + image)
        answers.flush()


def _answer(fitted: Callable[[], FittedPicture]) -> tuple[int, str, bytes]:
    try:
        found = fitted()
    except EdgeCnnError as error:
        return _REFUSED, str(error), b""
    except MemoryError:
        return _REFUSED, f"{UNNAMED} needs more memory than one picture may use: make it smaller", b""
    return _FITTED, found.doubt or "", found.image.tobytes()

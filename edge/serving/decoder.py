"""Decodes pictures that strangers sent, in a child process: a bug in an image library must not reach the server.

The child has limits on memory and time; if it dies, another one takes its place. Frames on its pipes, big-endian:

to the child: rule u32, picture u32, pickled rule, picture;
from it: kind u8, text u32, image u32, box 4 f32, text in UTF-8, image as uint8.

The child is not trusted: its answers are never unpickled, and their sizes are checked.

A server starts it before anything else, because the first picture waits for it: nothing here imports numpy at the top.
"""

import os
import pickle
import re
import signal
import struct
from functools import lru_cache
from io import BytesIO
from math import prod
from threading import Lock, Thread
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from edgecnn.edge.errors import ArtifactError, EdgeCnnError
from edgecnn.edge.sandbox.child import Child, Lost
from edgecnn.edge.sandbox.unverified import limit_memory, limit_time
from edgecnn.edge.serving.logs import log

if TYPE_CHECKING:
    from edgecnn.edge.inference.pictures import FittedPicture
    from edgecnn.edge.manifest import Preprocessing
    from edgecnn.edge.model.preprocess import Images

QUICK_SECONDS = 0.3
"""Time limit for a picture in the first queue. A board needs less for most photos."""
SLOW_SECONDS = 3.0
"""Time limit for a picture in the second queue. A board needs as much for the largest photo that is accepted."""
PICTURE_SECONDS = 20.0
"""Time limit for a picture in the last queue, where only such pictures wait for one another."""
MOST_SCANS = 64
"""Most scans of a progressive JPEG. Encoders write up to 20; half a megabyte can hold thousands, each as slow as a picture."""

_ASKED = struct.Struct(">II")
_ANSWERED = struct.Struct(">BII4f")
_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_FITTED, _REFUSED = 0, 1
_MOST_TEXT = 2000
MOST_CHUNKS = 20_000
"""Most chunks of a PNG. Encoders write data in chunks of 8 KiB or more, which are 4,096 in the largest body of a request."""

# As a decoder finds the next marker: what is in between is skipped, and any number of 0xFF may precede it. In the data of a
# scan a zero follows 0xFF. Those without a length are left out: 0x01, restarts in the data, and another start of image.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK_FRAME = 12  # Length, type and checksum of a chunk.
UNNAMED = "the picture"
"""What the messages of `Decoder.decode` call the picture."""


class Rule(NamedTuple):
    """How a picture becomes a file's image: fitted to `shape`, (h, w, c), as the training images were."""

    shape: tuple[int, int, int]
    preprocessing: "Preprocessing"


# A rule is the same for every picture of a file.
_pickled = lru_cache(maxsize=16)(pickle.dumps)
_unpickled = lru_cache(maxsize=16)(pickle.loads)


class TakesLong(ArtifactError):
    """A picture took longer than the decoder's time limit."""


class Decoder:
    """A child process that turns pictures into images, one at a time. It starts while its parent imports and loads models."""

    def __init__(self, seconds: float, has_spare: bool = False) -> None:
        """Start the child.

        Args:
            seconds: Time limit for a picture.
            has_spare: Whether another child stands by from the first picture on. Without it, the picture after one that took
                too long waits until a child has started; it takes 14 MB.
        """
        self._seconds, self._has_spare, self._lock, self._closed = seconds, has_spare, Lock(), False
        self._child = self._started()
        self._spare: Child | None = None

    def decode(self, picture: bytes, rule: Rule) -> "FittedPicture":
        """Return the bytes of an image file as an image, fitted by a rule.

        Raises:
            ArtifactError: If it is not an image, or decoding it crashes or needs too much memory, or the decoder was closed.
            TakesLong: If decoding takes longer than the time limit.
        """
        with self._lock:
            if self._closed:
                raise ArtifactError(f"{UNNAMED} can't be decoded, since the server ends: try again")
            if self._child.has_ended:
                self._replace()
            try:
                found = self._exchange(picture, rule)
            except Lost as error:
                if self._replace() == -signal.SIGALRM:
                    raise TakesLong(
                        f"{UNNAMED} took longer than {self._seconds:g} s to decode: make it smaller, or save it again as PNG"
                    ) from error
                raise ArtifactError(f"{UNNAMED} crashed the process that decoded it: save it again as PNG or JPEG") from error
            if self._has_spare and not self._spare:
                self._spare = self._started()
            return found

    def close(self) -> None:
        """End the children, and what they decode at the moment; a second call does nothing."""
        self._closed = True
        self._child.kill()
        with self._lock:
            for child in filter(None, (self._child, self._spare)):
                child.end()

    def _replace(self) -> int:
        """Let the spare child take the place of the child, and return the exit code of the latter."""
        code = self._child.end()
        self._child, self._spare = self._spare or self._started(), None
        if self._has_spare:
            self._spare = self._started()
        return code

    def _exchange(self, picture: bytes, rule: Rule) -> "FittedPicture":
        import numpy as np  # noqa: PLC0415 - See above.

        from edgecnn.edge.inference.pictures import FittedPicture  # noqa: PLC0415

        child, pickled = self._child, _pickled(rule)
        child.send(_ASKED.pack(len(pickled), len(picture)) + pickled)
        child.send(picture)
        kind, text_bytes, image_bytes, *box = _ANSWERED.unpack(child.receive(_ANSWERED.size))
        if text_bytes > 4 * _MOST_TEXT or image_bytes != (prod(rule.shape) if kind == _FITTED else 0):
            raise Lost("gave an answer of another size")
        if not all(0 <= side <= 1 for side in box):
            raise Lost("gave a box that is not in the picture")
        text = child.receive(text_bytes).decode(errors="replace")
        if kind != _FITTED:
            raise ArtifactError(text)
        image = np.frombuffer(child.receive(image_bytes), np.uint8).reshape(rule.shape)
        return FittedPicture(image, text or None, None if tuple(box) == _NO_BOX else tuple(round(side, 4) for side in box))

    def _started(self) -> Child:
        reader, writer = os.pipe()
        try:
            child = Child(serve, self._seconds, output=writer)
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        # An image library may write more than anybody reads.
        Thread(target=_log_lines, args=(os.fdopen(reader, "rb"),), name="complaints", daemon=True).start()
        return child


def _log_lines(stream: BinaryIO) -> None:
    with stream:
        while line := stream.readline(_MOST_TEXT):
            log(f"the process that decodes pictures: {line.decode(errors='replace').rstrip()}")


def fitted(picture: "BinaryIO | Images", rule: Rule, name: str) -> "FittedPicture":
    """Return an image file or an array as a model's image. Arguments and errors are those of `fitted_picture`."""
    from edgecnn.edge.inference.pictures import fitted_picture  # noqa: PLC0415 - See above.

    return fitted_picture(picture, rule.shape, rule.preprocessing, name)


def require_few_parts(picture: bytes) -> None:
    """Raise if a JPEG has more scans, or a PNG more chunks, than any encoder writes.

    Raises:
        ArtifactError: If it does.
    """
    if picture.startswith(b"\xff\xd8"):
        _require_few_scans(picture)
    elif picture.startswith(_PNG):
        _require_few_chunks(picture)


def _require_few_chunks(picture: bytes) -> None:
    place = len(_PNG)
    for _ in range(MOST_CHUNKS):
        if picture[place + 4 : place + 8] in (b"", b"IEND"):
            return
        place += _CHUNK_FRAME + int.from_bytes(picture[place : place + 4], "big")
    raise ArtifactError(f"{UNNAMED} is a PNG of more than {MOST_CHUNKS:,} chunks: save it again as PNG or JPEG")


def _require_few_scans(picture: bytes) -> None:
    scans, place = 0, 2
    while (found := _MARKER.search(picture, place)) and (kind := found[0][1]) != _END_OF_IMAGE:
        scans += kind == _START_OF_SCAN
        if scans > MOST_SCANS:
            raise ArtifactError(f"{UNNAMED} is a JPEG of more than {MOST_SCANS} scans: save it again as PNG or JPEG")
        # Each segment begins with its length; bytes that look like markers in it are none.
        place = found.end() + int.from_bytes(picture[found.end() : found.end() + 2], "big")


def serve(requests: int, answers: int, seconds: float) -> None:
    """Run in the child: answer pictures until the requests end, each within a time limit in seconds."""
    # What a picture needs is imported while the server starts, and not for the first picture.
    from edgecnn.edge.inference import pictures as _  # noqa: F401, PLC0415
    from edgecnn.edge.packages import load_pillow  # noqa: PLC0415

    limit_memory(0)
    load_pillow().preinit()
    asked, answered = os.fdopen(requests, "rb"), os.fdopen(answers, "wb")
    while header := asked.read(_ASKED.size):
        rule_bytes, picture_bytes = _ASKED.unpack(header)
        rule = _unpickled(asked.read(rule_bytes))  # It comes from our own parent.
        limit_time(seconds)
        kind, text, image, box = _answer(asked.read(picture_bytes), rule)
        limit_time(0)
        said = text[:_MOST_TEXT].encode(errors="replace")
        answered.write(_ANSWERED.pack(kind, len(said), len(image), *box) + said + image)
        answered.flush()


def _answer(picture: bytes, rule: Rule) -> tuple[int, str, bytes, tuple[float, ...]]:
    try:
        require_few_parts(picture)
        found = fitted(BytesIO(picture), rule, UNNAMED)
    except EdgeCnnError as error:
        return _REFUSED, str(error), b"", _NO_BOX
    except MemoryError:
        return _REFUSED, f"{UNNAMED} needs more memory than one picture may use: make it smaller", b"", _NO_BOX
    return _FITTED, found.doubt or "", found.image.tobytes(), found.box or _NO_BOX

"""Reads the pictures out of a request, with bounds on bytes, number and time."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from edgecnn.edge.serving.answers import Problem
from edgecnn.edge.serving.models import MOST_BYTES, MOST_PICTURES
from edgecnn.edge.text import printable

_MOST_HELD = 2**27
_SECONDS = 30.0
_MOST_NAME = 100
# A form's fields that are no files; they are ignored.
_MOST_FIELD = 2**12
# Quotes, brackets and commas in JSON with a few more pictures than are accepted; millions would take gigabytes.
_MOST_MARKS = 8 * MOST_PICTURES


class Picture(NamedTuple):
    """A picture that a client sent: its name and the bytes of the file."""

    name: str
    data: bytes


@dataclass
class Bodies:
    """Reads bodies, and knows how many bytes of them are in memory at the moment."""

    held: int = field(default=0, init=False)

    @contextmanager
    def pictures_of(self) -> Iterator["_Reading"]:
        """Yield what reads one request's pictures; its bytes count until the block ends."""
        reading = _Reading(self)
        try:
            yield reading
        finally:
            self.held -= reading.held


@dataclass
class _Reading:
    bodies: Bodies
    held: int = field(default=0, init=False)

    async def read(self, request: Request) -> list[Picture]:
        """Return the pictures of a request.

        Raises:
            Problem: If there are none, or more bytes or pictures than are accepted, or they don't come in time.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                found = await self._pictures(request)
        except TimeoutError as error:
            raise Problem(408, f"the request did not arrive within {_SECONDS:g} s: send it again", _CLOSE) from error
        except ClientDisconnect as error:
            raise Problem(400, "the client went away") from error
        if not found or not all(picture.data for picture in found):
            raise Problem(400, "there is no picture in the request: send the bytes of a PNG or JPEG file")
        if len(found) > MOST_PICTURES:
            raise Problem(413, f"{len(found)} pictures are more than {MOST_PICTURES}: send fewer at a time")
        return found

    async def _pictures(self, request: Request) -> list[Picture]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._multipart(request)
        data = b"".join([part async for part in self._bounded(request)])
        # Decoding 32 MiB takes a tenth of a second, in which others are answered.
        return await asyncio.to_thread(_from_json, data) if kind == "application/json" else [Picture("picture", data)]

    async def _bounded(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield a body in parts.

        Raises:
            Problem: If it is too large, or the server holds too many at the moment.
        """
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                raise Problem(413, f"the request is larger than {MOST_BYTES:,} bytes: send a smaller picture", _CLOSE)
            self.held += len(part)
            self.bodies.held += len(part)
            if self.bodies.held > _MOST_HELD:
                raise Problem(503, "too many pictures are arriving at once: try again", {"Retry-After": "1", **_CLOSE})
            yield part

    async def _multipart(self, request: Request) -> list[Picture]:
        _, options = parse_options_header(request.headers["content-type"])
        if b"charset" in options:  # Some of Python's codecs take minutes for a megabyte.
            raise Problem(400, "the form names a charset: send it in UTF-8, without one", _CLOSE)
        parser = MultiPartParser(
            request.headers,
            self._bounded(request),
            max_files=MOST_PICTURES,
            max_fields=MOST_PICTURES,
            max_part_size=_MOST_FIELD,
        )
        # All of it is in memory: the bounded stream lets no more in.
        parser.spool_max_size = MOST_BYTES
        try:
            form = await parser.parse()
        except (MultiPartException, MultipartParseError, KeyError, AttributeError, ValueError) as error:
            if "Too many" in str(error):
                raise Problem(413, f"a request holds {MOST_PICTURES} pictures: send fewer at a time", _CLOSE) from error
            raise Problem(400, f"the form can't be read ({error}): send each picture as a file, as curl -F does") from error
        async with _closing(form) as items:
            return [
                Picture(printable(item.filename or "picture")[-_MOST_NAME:], await item.read())
                for item in items
                if isinstance(item, UploadFile)
            ]


class _closing:  # noqa: N801 - It is used as a function.
    """Closes the files of a form after a block."""

    def __init__(self, form: Any) -> None:
        self._form = form

    async def __aenter__(self) -> list[Any]:
        return [value for _, value in self._form.multi_items()]

    async def __aexit__(self, *error: object) -> None:
        await self._form.close()


_CLOSE = {"Connection": "close"}
_EXPECTED = 'send {"pictures": ["<base64 of a PNG or JPEG file>"]}'


def _from_json(data: bytes) -> list[Picture]:
    if sum(data.count(mark) for mark in (b'"', b"[", b"{", b",")) > _MOST_MARKS:
        raise Problem(413, f"the JSON has more in it than {MOST_PICTURES} pictures: {_EXPECTED}")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the JSON can't be read ({type(error).__name__}): {_EXPECTED}") from error
    pictures = said.get("pictures") if isinstance(said, dict) else None
    if not isinstance(pictures, list) or not all(isinstance(item, str) for item in pictures):
        raise Problem(400, f"the JSON has no list of pictures: {_EXPECTED}")
    try:
        return [Picture(f"picture {place}", base64.b64decode(item, validate=True)) for place, item in enumerate(pictures)]
    except (binascii.Error, ValueError) as error:
        raise Problem(400, f"a picture is not base64: {_EXPECTED}") from error

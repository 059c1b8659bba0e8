"""Reads the pictures out of a request, with bounds on bytes, number and time."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from edgecnn.edge.serving.models import MOST_BYTES, MOST_PICTURES
from edgecnn.edge.text import printable

# Their parts, what is joined, JSON's text and what it decodes to are in memory together: several times as much.
_MOST_HELD = 2**26
_SECONDS = 30.0
_MOST_NAME = 100
# A form's fields that are no files; they are ignored.
_MOST_FIELD = 2**12
# Quotes, brackets and commas in JSON with a few more pictures than are accepted; millions would take gigabytes.
_MOST_MARKS = 8 * MOST_PICTURES
_CLOSE = {"Connection": "close"}
_EXPECTED = 'send {"pictures": ["<base64 of a PNG or JPEG file>"]}'


class Picture(NamedTuple):
    """A picture that a client sent: its name and the bytes of the file."""

    name: str
    data: bytes


class Bodies:
    """Reads bodies, and knows how many bytes of them are in memory at the moment."""

    def __init__(self) -> None:
        self.held = 0

    @asynccontextmanager
    async def pictures_of(self, request: Request) -> AsyncIterator[list[Picture]]:
        """Yield the pictures of a request; its bytes count until the block ends.

        Raises:
            HTTPException: If there are none, or more bytes or pictures than are accepted, or they don't come in time.
        """
        body = _Body(request, self)
        try:
            yield await body.pictures()
        finally:
            self.held -= body.size


class _Body:
    """The body of one request, of which `size` bytes have arrived."""

    def __init__(self, request: Request, bodies: Bodies) -> None:
        self._request, self._bodies, self.size = request, bodies, 0

    async def pictures(self) -> list[Picture]:
        try:
            async with asyncio.timeout(_SECONDS):
                found = await self._read()
        except TimeoutError as error:
            raise HTTPException(408, f"the request did not arrive within {_SECONDS:g} s: send it again", _CLOSE) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the client went away") from error
        if not found or not all(picture.data for picture in found):
            raise HTTPException(400, "there is no picture in the request: send the bytes of a PNG or JPEG file")
        if len(found) > MOST_PICTURES:
            raise HTTPException(413, f"{len(found)} pictures are more than {MOST_PICTURES}: send fewer at a time")
        return found

    async def _read(self) -> list[Picture]:
        kind = self._request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._multipart()
        data = b"".join([part async for part in self._parts()])
        # Decoding 32 MiB takes a tenth of a second, in which others are answered.
        return await asyncio.to_thread(_from_json, data) if kind == "application/json" else [Picture("picture", data)]

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body in parts, unless it is too large, or the server holds too many bytes at the moment."""
        async for part in self._request.stream():
            self.size += len(part)
            self._bodies.held += len(part)
            if self.size > MOST_BYTES:
                raise HTTPException(413, f"the request is larger than {MOST_BYTES:,} bytes: send a smaller picture", _CLOSE)
            if self._bodies.held > _MOST_HELD:
                raise HTTPException(503, "too many pictures are arriving at once: try again", {"Retry-After": "1", **_CLOSE})
            yield part

    async def _multipart(self) -> list[Picture]:
        headers = self._request.headers
        _, options = parse_options_header(headers["content-type"])
        if b"charset" in options:  # Some of Python's codecs take minutes for a megabyte.
            raise HTTPException(400, "the form names a charset: send it in UTF-8, without one", _CLOSE)
        parser = MultiPartParser(
            headers, self._parts(), max_files=MOST_PICTURES, max_fields=MOST_PICTURES, max_part_size=_MOST_FIELD
        )
        # All of it is in memory: the bounded parts let no more in.
        parser.spool_max_size = MOST_BYTES
        try:
            form = await parser.parse()
        except (MultiPartException, MultipartParseError, KeyError, AttributeError, ValueError) as error:
            if "Too many" in str(error):
                raise HTTPException(413, f"a request holds {MOST_PICTURES} pictures: send fewer at a time", _CLOSE) from error
            raise HTTPException(
                400, f"the form can't be read ({error}): send each picture as a file, as curl -F does"
            ) from error
        items = [item for _, item in form.multi_items() if isinstance(item, UploadFile)]
        try:
            return [Picture(printable(item.filename or "picture")[-_MOST_NAME:], await item.read()) for item in items]
        finally:
            await form.close()


def _from_json(data: bytes) -> list[Picture]:
    if sum(data.count(mark) for mark in (b'"', b"[", b"{", b",")) > _MOST_MARKS:
        raise HTTPException(413, f"the JSON has more in it than {MOST_PICTURES} pictures: {_EXPECTED}")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the JSON can't be read ({type(error).__name__}): {_EXPECTED}") from error
    pictures = said.get("pictures") if isinstance(said, dict) else None
    if pictures is not None and (others := said.keys() - {"pictures"}):
        raise HTTPException(400, f"the JSON has {printable(min(others))[:_MOST_NAME]}, which is no part of it: {_EXPECTED}")
    if not isinstance(pictures, list) or not all(isinstance(item, str) for item in pictures):
        raise HTTPException(400, f"the JSON has no list of pictures: {_EXPECTED}")
    try:
        return [Picture(f"picture {place}", base64.b64decode(item, validate=True)) for place, item in enumerate(pictures)]
    except ValueError as error:
        raise HTTPException(400, f"a picture is not base64: {_EXPECTED}") from error

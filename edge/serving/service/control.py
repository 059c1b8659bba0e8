"""The folder of a server in service, and the control socket in it: a JSON object a line in, and one out, for edgecnn deploy.

Only the server's own user reaches it, on the same machine. One request is answered at a time; what a client does wrong, or
leaves undone, costs itself alone. `candidate.py` has the requests.
"""

import asyncio
import errno
import fcntl
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.files import make_folder, writing
from edgecnn.edge.serving.logs import log_bug
from edgecnn.edge.text import printable

SOCKET_NAME = "control.sock"
"""Name of the socket in the state's folder."""
MOST_LINE = 2**16
"""Most bytes of a request."""
_IDLE_SECONDS = 10.0
_HELD = (errno.EAGAIN, errno.EACCES)
_MOST_CLIENTS = 8
_FORM = 'send one JSON object a line, as {"do": "status"}'

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Answers a request."""


@contextmanager
def state_folder(folder: Path) -> Iterator[Path]:
    """Make the folder if it is missing, for this user alone, and keep every other server out of it during the block.

    The kernel's lock ends with its process, however that ends: what a killed server left does not keep the next one out.

    Raises:
        ConfigError: If another server uses it, or it can't be written.
    """
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_folder(folder)
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                raise ConfigError(
                    f"{field('state')}={folder} is used by another server: end that one, or name another folder"
                ) from error
            raise ConfigError(
                f"{field('state')}={folder} can't be locked ({error.strerror}): name a folder on a local disk"
            ) from error
        yield folder
    finally:
        os.close(descriptor)


@contextmanager
def control_socket(folder: Path) -> Iterator[socket.socket]:
    """Yield a Unix socket in a folder that is this server's alone; nobody can connect until it listens.

    What a killed server left there is replaced.

    Raises:
        ConfigError: If it can't be made.
    """
    path = folder / SOCKET_NAME
    with socket.socket(socket.AF_UNIX) as made:
        with writing(path):
            path.unlink(missing_ok=True)
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                made.bind(f"/proc/self/fd/{number}/{SOCKET_NAME}")  # A socket's own path has at most 107 bytes.
            finally:
                os.close(number)
            path.chmod(0o600)
        try:
            yield made
        finally:
            with suppress(OSError):
                path.unlink()


class Control:
    """Reads requests from the control socket, and writes what `answer` returns."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self._turn, self._clients = answer, asyncio.Lock(), 0

    async def start(self, entrance: socket.socket) -> asyncio.Server:
        """Listen; the server that is returned ends it."""
        # Not start_unix_server: Python 3.13's asks for the file that the socket's own path names, which is no longer there.
        return await asyncio.start_server(self._client, sock=entrance, limit=MOST_LINE)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= _MOST_CLIENTS:
                await self._requests(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # The client has gone or says nothing, or the server ends.
        finally:
            self._clients -= 1
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await asyncio.wait_for(reader.readline(), _IDLE_SECONDS)
            except ValueError:
                await _write(writer, _refusal(f"the request has more than {MOST_LINE:,} bytes: {_FORM}"))
                return
            if not line:
                return
            async with self._turn:
                answer = await self._answered(line)
            await _write(writer, answer)

    async def _answered(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            return _refusal(f"the request can't be read: {_FORM}")
        try:
            return {"ok": True, **await self._answer(asked)}
        except EdgeCnnError as error:
            return _refusal(str(error))
        except HTTPException as error:
            return _refusal(error.detail)
        except Exception:  # Our bug: the client gets a line, and the service goes on.
            log_bug(SOCKET_NAME)
            return _refusal("the server has a bug: its log says more")


async def _write(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await asyncio.wait_for(writer.drain(), _IDLE_SECONDS)


def _refusal(text: str) -> dict[str, Any]:
    return {"ok": False, "error": printable(text)}

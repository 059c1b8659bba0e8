"""A client's connection: how long it may say nothing, and how it is left to the next process of a server."""

import asyncio
import os
from contextlib import suppress

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 512
"""Connections beyond this are closed at once. A browser opens up to six."""
IDLE_SECONDS = 10.0
_LEAST_TAKEN = 2**16
"""Bytes of an answer that a client takes in `IDLE_SECONDS` at least, or all of it."""


class Bounded(H11Protocol):
    """A connection that is closed if there are too many, if no whole head of a request arrives, or no answer is read in time.

    uvicorn bounds none of them: a thousand connections that say nothing would stay for ever.
    """

    _has_sent_all = False
    _taken: list[int] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As in uvicorn.
        """Take a connection, or close it."""
        super().connection_made(transport)
        self._late = self.loop.call_later(IDLE_SECONDS, self._close_silent, 0)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._late.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # As in asyncio.
        """Answer a client that has sent its whole request and closed its side; return whether it waits for an answer."""
        self._has_sent_all = bool(self.cycle and not self.cycle.more_body and not self.cycle.response_started)
        return self._has_sent_all

    def on_response_complete(self) -> None:
        """Wait for the next request, if there can be one."""
        super().on_response_complete()
        self._wait()
        if self._has_sent_all and self._is_idle():
            self.transport.close()
        if self._taken is not None:
            self.leave(self._taken)

    def leave(self, taken: list[int]) -> None:
        """Add this connection's descriptor to those for the next process, as soon as it is between two requests."""
        self._taken = taken
        between = self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if between and not self.transport.is_closing() and not self.transport.get_write_buffer_size():
            with suppress(OSError):  # With too few descriptors for all, a connection is closed.
                taken.append(os.dup(self.transport.get_extra_info("socket").fileno()))
            self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for a client that is slower than the answer."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        if not self._is_idle():
            self._late.cancel()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._late.cancel()
        self._late = self.loop.call_later(IDLE_SECONDS, self._close_silent, self.transport.get_write_buffer_size())

    def _close_silent(self, left: int) -> None:
        """Close the connection if it is idle or its client hardly reads; `left` bytes were to be sent a while ago."""
        if not self._is_idle() and not self.flow.write_paused:
            return
        if 0 < self.transport.get_write_buffer_size() <= left - _LEAST_TAKEN:
            self._wait()
        else:
            self.transport.abort()

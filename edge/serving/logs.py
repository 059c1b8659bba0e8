"""The server's log on standard error: a line for people, or a JSON object for each."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Full, Queue
from threading import Thread
from typing import TYPE_CHECKING

from edgecnn.edge.text import counted, printable

if TYPE_CHECKING:
    from edgecnn.edge.serving.answered.counts import Period

_LOG = logging.getLogger("edgecnn.serve")
_MOST_LINES = 1000
# How long the end of the server waits for what is left in the queue.
_LAST_SECONDS = 0.5


class _Queued(logging.Handler):
    """Writes to standard error in a thread of its own: no answer waits for whoever reads the log, or does not.

    Lines that don't fit into the queue are dropped and counted; the count is logged as soon as a line can be written again.
    """

    def __init__(self, as_json: bool, on_drop: Callable[[], None]) -> None:
        super().__init__()
        self._as_json = as_json
        self._lines: Queue[bytes | None] = Queue(_MOST_LINES)
        self._on_drop, self._dropped, self._lost = on_drop, 0, 0  # By `emit`, and by the thread that writes.
        # Not sys.stderr: a thread that is writing to it would keep the process from ending.
        self._stderr = _standard_error()
        self._thread = Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with its traceback."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        text = printable(record.getMessage())
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        if self._as_json:
            line = {"time": when, "level": record.levelname.lower(), "message": text, **getattr(record, "answered", {})}
            return json.dumps(line | ({"traceback": trace} if trace else {}))
        return "\n".join(filter(None, (f"{when} {text}", trace)))

    def emit(self, record: logging.LogRecord) -> None:
        """Put a line into the queue."""
        try:
            self._lines.put_nowait(self._line(record))
        except Full:
            self._dropped += 1  # One emits at a time.
            self._on_drop()

    def close(self) -> None:
        """Wait until the queue is written, if somebody reads."""
        with suppress(Full):
            self._lines.put(None, timeout=_LAST_SECONDS)
            self._thread.join(_LAST_SECONDS)
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="backslashreplace")

    def _write(self) -> None:
        said = 0
        while (line := self._lines.get()) is not None:
            try:
                self._write_whole(line)
                if (dropped := self._dropped + self._lost) > said:
                    values = (dropped - said, "the log was not read in time")
                    record = _LOG.makeRecord(_LOG.name, logging.WARNING, "", 0, "%d lines were dropped: %s", values, None)
                    self._write_whole(self._line(record))
                    said = dropped
            except OSError:  # The reader has ended, a pipe that doesn't wait is full, or the disk; the next line may succeed.
                self._lost += 1
                self._on_drop()
        os.close(self._stderr)

    def _write_whole(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._stderr, line) :]


def _standard_error() -> int:
    try:
        return os.dup(2)
    except OSError:  # A daemon may have closed it.
        return os.open(os.devnull, os.O_WRONLY)


@contextmanager
def logging_to_stderr(as_json: bool, on_drop: Callable[[], None]) -> Iterator[None]:
    """Send the server's messages and its libraries' warnings to standard error; what clients send wrong is answered alone.

    `on_drop` is called for each line that is dropped because nobody reads the log.
    """
    handler = _Queued(as_json, on_drop)
    warning = logging.WARNING
    levels = {"edgecnn.serve": logging.INFO, "uvicorn": warning, "asyncio": warning, "python_multipart": logging.ERROR}
    before = []
    for name, level in {**levels, "py.warnings": warning}.items():
        logger = logging.getLogger(name)
        before.append((logger, logger.handlers, logger.propagate, logger.level))
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()


def log_answer(client: str, method: str, path: str, status: int, seconds: float) -> None:
    """Log an answered request: the client's address, the HTTP status, and the seconds that it took."""
    answered = {"client": client, "method": method, "path": path, "status": status, "seconds": seconds}
    _LOG.info("%s %s %s %d %.1f ms", client, method, path[:200], status, seconds * 1e3, extra={"answered": answered})


def log_minute(minute: "Period") -> None:
    """Log what was answered in a minute."""
    requests = counted(sum(minute.requests.values()), "request")
    statuses = ", ".join(f"{number:,} with status {status}" for status, number in sorted(minute.requests.items()))
    times = [(name, minute.latency_ms(share)) for name, share in (("p50", 0.5), ("p90", 0.9))]
    latency = "".join(f", {name} {time:g} ms" for name, time in times if time is not None)
    pictures = counted(minute.pictures, "picture")
    log(f"last minute: {requests}{f' ({statuses})' if statuses else ''}, {pictures} answered{latency}")


def log_bug(path: str) -> None:
    """Log the unexpected exception that is being handled, with its traceback."""
    _LOG.exception("%s: unexpected error", path[:200])


def log(text: str) -> None:
    """Log what happened to the server."""
    _LOG.info("%s", text)

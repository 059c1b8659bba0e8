"""The server's log on standard error: a line for people, or a JSON object for each."""

import json
import logging
import sys
import time
from typing import NamedTuple

from edgecnn.edge.text import printable

_LOG = logging.getLogger("edgecnn.serve")


class Answered(NamedTuple):
    """One answered request: the client's address, method, path, HTTP status, and the seconds that it took."""

    client: str
    method: str
    path: str
    status: int
    seconds: float


class _Lines(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        text = printable(record.getMessage())
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._as_json:
            line = {"time": when, "level": record.levelname.lower(), "message": text}
            if isinstance(found := getattr(record, "answered", None), Answered):
                line |= found._asdict()
            return json.dumps(line | ({"traceback": trace} if trace else {}))
        return "\n".join(filter(None, (f"{when} {text}", trace)))


def start_log(as_json: bool) -> None:
    """Send the server's messages and its libraries' warnings to standard error; what clients send wrong is answered alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(as_json))
    warning = logging.WARNING
    levels = {"edgecnn.serve": logging.INFO, "uvicorn": warning, "asyncio": warning, "python_multipart": logging.ERROR}
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def log_answer(answered: Answered) -> None:
    """Log an answered request."""
    client, method, path, status, seconds = answered
    _LOG.info("%s %s %s %d %.1f ms", client, method, path[:200], status, seconds * 1e3, extra={"answered": answered})


def log_bug(path: str) -> None:
    """Log the unexpected exception that is being handled, with its traceback."""
    _LOG.exception("%s: unexpected error", path[:200])


def log(text: str) -> None:
    """Log what happened to the server."""
    _LOG.info("%s", text)

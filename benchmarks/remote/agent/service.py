"""What the agent asks of the running service, on its socket: a line of JSON for a line of JSON."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any, Callable  # noqa: UP035  # Python 3.7 and 3.8 can't subscribe to the other.

from edgecnn.benchmarks.remote.agent.conversation import Failed, pause

SOCKET_NAME = "control.sock"
LOAD_SECONDS = 120.0
_START_SECONDS = 180.0
_ANSWER_SECONDS = 10.0
_HEALTH_SECONDS = 30.0  # On a slow board the first one waits for a process that decodes pictures.
_LONGEST = 1 << 20
_POLL_SECONDS = 0.5
# Answers of the service that may be missing, one after another, before it counts as gone.
_MOST_MISSED = 3
# By how much its memory may grow while it is watched: for the second model, and for what runtimes keep.
_MORE_TIMES, _MORE_BYTES = 2, 64 << 20


class Gone(Exception):
    """No service answers."""


def ask(folder: Path, request: dict[str, Any], seconds: float = _ANSWER_SECONDS) -> dict[str, Any]:
    """Return the service's answer.

    Raises:
        Gone: If none listens, or it does not answer in time.
        Failed: If it refuses; the message is its reason.
    """
    try:
        answer = json.loads(_exchanged(folder, json.dumps(request).encode() + b"\n", seconds))
    except (OSError, ValueError) as error:
        raise Gone(str(error) or type(error).__name__) from error
    if not isinstance(answer, dict):
        raise Gone("its answer can't be understood")
    if not answer.get("ok"):
        raise Failed(str(answer.get("error") or "the service refuses without a reason"))
    return answer


def running(folder: Path) -> dict[str, Any] | None:
    """Return what the running service says of itself; None if none runs."""
    try:
        return ask(folder, {"do": "status"})
    except (Gone, Failed):
        return None


def go_over(
    folder: Path, sha256: str, before: dict[str, Any], is_loaded: bool, wait: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Let the running service go over to a bundle, or to another edgecnn with it, and return what it says of itself then.

    Args:
        folder: Folder of its socket.
        sha256: The bundle; `current` names it already.
        before: What the service said of itself.
        is_loaded: Whether it has loaded the bundle; otherwise it becomes the program of `current`.
        wait: As in `await_service`.

    Raises:
        Failed: If it refuses, or does not answer with it in time.
        Gone: If it does not answer the request.
        Interrupted: If the requester is gone.
    """
    ask(folder, {"do": "switch", "sha256": sha256} if is_loaded else {"do": "restart"})
    return await_service(folder, sha256, None if is_loaded else before["started"], wait)


def await_service(
    folder: Path, sha256: str, not_started: str | None = None, wait: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Wait until the service answers with a bundle, and return what it says of itself.

    Args:
        folder: Folder of its socket.
        sha256: The bundle.
        not_started: Start of an earlier process, which is not waited for.
        wait: Pauses for some seconds. Default: `pause`.

    Raises:
        Failed: If it does not in time.
        Interrupted: If the requester is gone.
    """
    end, last = time.monotonic() + _START_SECONDS, "nothing answers"
    while time.monotonic() < end:
        try:
            found = ask(folder, {"do": "status"})
            if found["serving"]["sha256"] == sha256 and found["started"] != not_started:
                return found
            last = "the earlier one answers"
        except (Gone, Failed, KeyError, TypeError) as error:
            last = str(error)
        (wait or pause)(_POLL_SECONDS)
    raise Failed(
        f"the service does not answer with the new bundle after {_START_SECONDS:g} s ({last}): journalctl there says why"
    )


def watch(folder: Path, sha256: str, before: dict[str, Any], seconds: float, most_ms: float | None) -> int:
    """Watch the service for some seconds, and return how many golden images it has answered in this time.

    Args:
        folder: Folder of its socket.
        sha256: The bundle that must answer.
        before: What it said of itself when the bundle went into service.
        seconds: How long.
        most_ms: Largest time of the median answer in milliseconds; None for any.

    Raises:
        Failed: If it is not healthy; the message is the reason.
        Interrupted: If the requester is gone.
    """
    end, missed, times = time.monotonic() + seconds, 0, []
    first = None
    most_bytes = max(_MORE_TIMES * before["memory_bytes"], before["memory_bytes"] + _MORE_BYTES)
    while True:
        try:
            health = ask(folder, {"do": "health"}, _HEALTH_SECONDS)
            first, missed = first or health, 0
            times.append(health["latency_ms"])
            _require_healthy(health, first, sha256, before["pid"], most_bytes)
        except Gone as error:
            missed += 1
            if missed == _MOST_MISSED:
                raise Failed(f"the service stopped answering ({error})") from error
        if most_ms is not None and times and sorted(times)[len(times) // 2] > most_ms:
            raise Failed(f"the median answer takes {sorted(times)[len(times) // 2]:.3g} ms, the limit is {most_ms:g} ms")
        left = end - time.monotonic()
        if left <= 0 and not missed:
            return len(times)
        pause(min(_POLL_SECONDS, max(left, 0.05)))


def _require_healthy(health: dict[str, Any], first: dict[str, Any], sha256: str, pid: int, most_bytes: int) -> None:
    if health["pid"] != pid:
        raise Failed("the service ended and was started again")
    if health["sha256"] != sha256:
        raise Failed("the service answers with another bundle")
    if health["errors"] > first["errors"]:
        raise Failed(f"the service could not answer {health['errors'] - first['errors']} requests")
    if health["memory_bytes"] > most_bytes:
        raise Failed(f"the service takes {health['memory_bytes'] / 2**20:.0f} MiB, the limit is {most_bytes / 2**20:.0f} MiB")


def _exchanged(folder: Path, line: bytes, seconds: float) -> bytes:
    end = time.monotonic() + seconds
    number = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(seconds)
            client.connect(f"/proc/self/fd/{number}/{SOCKET_NAME}")  # A socket's own path has at most 107 bytes.
            client.sendall(line)
            answer = bytearray()
            while not answer.endswith(b"\n"):
                client.settimeout(max(end - time.monotonic(), 0.001))
                data = client.recv(1 << 16)
                if not data or len(answer) > _LONGEST:
                    raise ValueError("its answer is not a line")
                answer += data
            return bytes(answer)
    finally:
        os.close(number)

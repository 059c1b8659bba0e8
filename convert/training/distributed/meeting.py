"""Checks before TensorFlow starts that all workers of a distributed run are there, reachable, and set up alike.

TensorFlow's own wait never ends and can't be interrupted; this one reports who is missing.
"""

import errno
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.option import Option, check, described, words
from edgecnn.edge.text import shortened

Facts = dict[str, str]
"""What must be the same on all workers, values by name."""
# Seconds between two tries, and for the whole greeting or answer of a worker that is there.
_PAUSE = 0.25
_ANSWER = 5.0
_LONGEST_LINE = 1 << 20
_LONGEST_REASON = 600
_MOST_CALLERS = 64


@described
@dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Raises:
        ConfigError: If an address or a number is not valid.
    """

    addresses: Annotated[
        tuple[str, ...],
        Option(
            "Addresses of all workers that train together, including this one.",
            name="--distribute",
            metavar="HOST:PORT,...",
            default="none",
            parse=words,
        ),
    ]
    worker: Annotated[int, Option("Index of this worker, from 0; worker 0 writes the output.", low=0)]
    wait_seconds: Annotated[float, Option("Longest wait for the other workers.", name="--wait", metavar="SECONDS", above=0)] = (
        120.0
    )

    def __post_init__(self) -> None:
        check(self)
        given = f"{field('addresses')}={','.join(self.addresses)}"
        for address in self.addresses:
            host, port = split_address(address)
            if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
                raise ConfigError(f"{field('addresses')}: {address!r} is not host:port: write it as a.local:7070")
        if len(self.addresses) < 2:
            raise ConfigError(f"{given} names only one worker: name two or more, or omit it")
        if len(set(self.addresses)) < len(self.addresses):
            raise ConfigError(f"{given} names an address twice: give each worker its own port")
        if not 0 <= self.worker < len(self.addresses):
            raise ConfigError(
                f"{field('worker')} must be 0 to {len(self.addresses) - 1}, the position in {given}, got {self.worker}"
            )

    def name(self, worker: int) -> str:
        """Return the name of a worker for messages."""
        return f"worker {worker} ({self.addresses[worker]})"


def split_address(address: str) -> tuple[str, str]:
    """Return host and port of `host:port` or `[IPv6]:port`."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def meet(cluster: Cluster, facts: Facts, on_text: Callable[[str], None]) -> None:
    """Wait until all workers are there with the same facts; then the ports are free again.

    Raises:
        ConfigError: If this worker's port is taken, or a worker is late, can't be reached or has other facts.
        KeyboardInterrupt: On Ctrl-C.
    """
    with _own_port(cluster) as listener:
        others = [cluster.name(worker) for worker in range(len(cluster.addresses)) if worker != cluster.worker]
        on_text(f"Worker {cluster.worker}: waiting up to {cluster.wait_seconds:g} s for {_and(others)}")
        end = time.monotonic() + cluster.wait_seconds
        if cluster.worker == 0:
            _gather(cluster, facts, listener, end)
        else:
            _report(cluster, facts, end)


@contextmanager
def _own_port(cluster: Cluster) -> Iterator[socket.socket]:
    """Listen on all interfaces, as TensorFlow will: a taken port is reported here."""
    port = int(split_address(cluster.addresses[cluster.worker])[1])
    both = socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both, backlog=64
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{cluster.name(cluster.worker)}: port {port} is taken on this machine: give another port"
            ) from error
        raise ConfigError(
            f"{cluster.name(cluster.worker)}: can't listen on port {port} ({error.strerror}): give another port"
        ) from error
    with listener:
        yield listener


def _gather(cluster: Cluster, facts: Facts, listener: socket.socket, end: float) -> None:
    """Act as the chief: hear every worker, then tell all to start, or why not."""
    there: dict[int, socket.socket] = {}
    callers: list[_Message] = []
    answer = f"{cluster.name(0)} failed: see its messages there"
    try:
        while len(there) < len(cluster.addresses) - 1:
            for message in _greetings(listener, callers):
                _hear(cluster, facts, message, there)
            for worker in [worker for worker, line in there.items() if _hung_up(line)]:
                there.pop(worker).close()  # The worker may come again.
            if time.monotonic() > end:
                missing = [cluster.name(worker) for worker in range(1, len(cluster.addresses)) if worker not in there]
                raise ConfigError(
                    f"{_and(missing)} did not connect within {cluster.wait_seconds:g} s: start all of them, and check that "
                    f"they can reach {cluster.addresses[0]}"
                )
        answer = ""
    except ConfigError as error:
        answer = error.marked
        raise
    except KeyboardInterrupt:
        answer = f"{cluster.name(0)} was interrupted: start all workers again"
        raise
    finally:
        for caller in callers:
            caller.line.close()
        for line in there.values():
            with suppress(OSError), line:
                line.sendall(json.dumps({"refused": answer}).encode() + b"\n")


def _greetings(listener: socket.socket, callers: list["_Message"]) -> list["_Message"]:
    """Accept a caller, if one calls; return the greetings that are complete, which are no longer among the callers."""
    listener.settimeout(_PAUSE)
    with suppress(TimeoutError):
        callers.append(_Message(listener.accept()[0], time.monotonic() + _ANSWER))
    if len(callers) > _MOST_CALLERS:  # A worker sends its greeting at once, so the oldest caller is not a worker.
        callers.pop(0).line.close()
    complete = [caller for caller in callers if caller.is_complete()]
    callers[:] = [caller for caller in callers if caller not in complete]
    return complete


def _hear(cluster: Cluster, facts: Facts, message: "_Message", there: dict[int, socket.socket]) -> None:
    """Count the worker of a greeting as there."""
    line, said = message.line, message.value()
    worker, theirs = said.get("worker"), said.get("facts")
    # In Python, true is a number, too.
    if type(worker) is not int or not isinstance(theirs, dict) or not 0 < worker < len(cluster.addresses):
        line.close()  # Port scanners and the like.
        return
    if worker in there:  # Started again, or two with one index: the second gets the reason.
        with suppress(OSError), there[worker]:
            reason = f"another process is worker {worker} too: give each its own {field('worker')}"
            there[worker].sendall(json.dumps({"refused": reason}).encode() + b"\n")
    there[worker] = line
    for name in facts.keys() | theirs.keys():
        if facts.get(name) != theirs.get(name):
            there_is, here_is = (shortened(str(known.get(name, "none"))) for known in (theirs, facts))
            raise ConfigError(
                f"{cluster.name(worker)} has {shortened(name)} {there_is}, worker 0 has {here_is}: "
                "start all with the same options, images and versions"
            )
    host, port = split_address(cluster.addresses[worker])
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER).close()
    except OSError as error:
        if _hung_up(line):
            return
        raise ConfigError(
            f"{cluster.name(worker)} can't be reached from {cluster.addresses[0]} ({error}): correct the "
            "address, or open the port"
        ) from error


def _report(cluster: Cluster, facts: Facts, end: float) -> None:
    """Act as another worker: find the chief, send the facts, and wait for the start."""
    with _chief(cluster, end) as line:
        with suppress(OSError):  # It has hung up, which the answer says.
            line.sendall(json.dumps({"worker": cluster.worker, "facts": facts}).encode() + b"\n")
        answer = _Message(line, max(end, time.monotonic() + _ANSWER))
        while not answer.is_complete():
            time.sleep(_PAUSE)
        refused = answer.value().get("refused")
    if answer.is_late:
        raise ConfigError(
            f"{cluster.name(0)} answered, and then was silent for {cluster.wait_seconds:g} s: see its messages there"
        )
    if not isinstance(refused, str):
        raise ConfigError(
            f"{cluster.name(0)} hung up, or answered what no worker does: see its messages there, and check the address"
        )
    if refused:
        raise ConfigError(shortened(refused, _LONGEST_REASON))


def _chief(cluster: Cluster, end: float) -> socket.socket:
    host, port = split_address(cluster.addresses[0])
    while True:
        reason = ""
        try:
            line = socket.create_connection((host, int(port)), timeout=_ANSWER)
            # If nobody listens yet, a connection within one machine may by chance reach itself.
            if line.getsockname() != line.getpeername():
                return line
            line.close()
        except OSError as error:
            reason = f" ({error.strerror or error})"
        if time.monotonic() > end:
            raise ConfigError(
                f"{cluster.name(0)} did not answer within {cluster.wait_seconds:g} s{reason}: start it, and check that "
                f"{cluster.addresses[0]} can be reached from here"
            )
        time.sleep(_PAUSE)


class _Message:
    """A line of JSON that may come in pieces: the time limit is for all of them.

    Attributes:
        is_late: Whether the time was up before the line was complete.
    """

    def __init__(self, line: socket.socket, end: float) -> None:
        """Expect a message on a connection, which no longer blocks, until `end` of `time.monotonic`."""
        line.setblocking(False)
        self.line, self._end, self._data, self.is_late = line, end, b"", False

    def is_complete(self) -> bool:
        """Read what has come; return whether no more is expected: the line or the time has ended, or the caller hung up."""
        try:
            while piece := self.line.recv(_LONGEST_LINE):
                self._data += piece
                if piece.endswith(b"\n") or len(self._data) > _LONGEST_LINE:
                    break
        except BlockingIOError:
            self.is_late = time.monotonic() > self._end
            return self.is_late
        except OSError:
            self._data = b""
        return True

    def value(self) -> dict[str, object]:
        """Return the object in the message, empty without one."""
        try:
            said = json.loads(self._data)
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}


def _hung_up(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _and(names: list[str]) -> str:
    return " and ".join(names)

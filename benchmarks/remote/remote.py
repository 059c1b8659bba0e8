"""Measures a bundle on devices: returns each result, or the reason for its absence."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.remote.ssh import Connection, check_hosts
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DEVICES_SCHEMA, DeviceResult, DeviceResults, Report
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, GateFailed, InvalidMeasurement
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.runtimes.installed import extras
from edgecnn.edge.text import printable

# Exit codes with which `edgecnn bench` prints a result anyway.
_JUDGED = (0, GateFailed.exit_code, InvalidMeasurement.exit_code)
_BUNDLE_NAME = "bundle.zip"  # Whatever its name here: names on the device are ours.


@dataclass(frozen=True)
class Install:
    """What to install on a device.

    Attributes:
        runtimes: Names of runtimes, or of formats for their default ones.
        wheel: Wheel of this edgecnn; None installs its version from the device's package index.
    """

    runtimes: tuple[str, ...]
    wheel: Path | None


@dataclass(frozen=True)
class Job:
    """The job for every device.

    Attributes:
        bundle: File to measure.
        arguments: Arguments of `edgecnn bench` there, after the bundle.
        version: Version of edgecnn here; the device's must be the same.
        mend: Command that installs edgecnn there, for messages.
        judged: Returns a received result as judged here; it raises if that is not of what was sent.
        install: None installs nothing.
        files: Texts of the files that the arguments name, by name.
    """

    bundle: Path
    arguments: tuple[str, ...]
    version: str
    mend: str
    judged: Callable[[Report], Report]
    install: Install | None = None
    files: dict[str, str] = field(default_factory=dict)


def bench_devices(
    hosts: Sequence[str], job: Job, command: str, say: Callable[[str], None] = lambda text: None
) -> DeviceResults:
    """Measure a bundle on devices, side by side.

    A device that fails does not stop the others. An exception, such as Ctrl-C, ends the runs on all of them. Hosts are named as
    ssh takes them, each once; `command` repeats it all; `say` gets lines of progress, each with its device.

    Raises:
        ConfigError: If a host name is invalid, or the bundle can't be read.
    """
    check_hosts(hosts)
    request = _request(job)

    def measure(connection: Connection, tell: Callable[[str], None]) -> Report:
        connection.ask(request)
        return job.judged(_converse(connection, job, tell))

    return DeviceResults(DEVICES_SCHEMA, command, _side_by_side(hosts, measure, say))


def unreachable(hosts: Sequence[str], say: Callable[[str], None] = lambda text: None) -> dict[str, DeviceResult]:
    """Connect to devices, side by side, and return those that can't run Python over ssh, by name, each with the reason.

    Raises:
        ConfigError: If a host name is invalid.
    """
    check_hosts(hosts)
    tried = _side_by_side(hosts, lambda connection, tell: connection.greet(), say)
    return {device.host: device for device in tried if device.error is not None}


def _side_by_side(
    hosts: Sequence[str],
    talk: Callable[[Connection, Callable[[str], None]], Report | None],
    say: Callable[[str], None],
) -> tuple[DeviceResult, ...]:
    """Talk to all devices at once; an exception here ends the runs on all of them."""
    lines, calls = threading.Lock(), _Calls()

    def on_device(host: str) -> DeviceResult:
        def tell(text: str) -> None:
            with lines:
                say(f"{host}: {printable(text)}")

        try:
            with calls.connected(host) as connection:
                return DeviceResult(host, None, talk(connection, tell))
        except EdgeCnnError as error:
            reason = printable(str(error))
            if not calls.ended:
                tell(reason)
            return DeviceResult(host, reason, None)

    with ThreadPoolExecutor(len(hosts)) as pool:
        try:
            return tuple(pool.map(on_device, hosts))
        finally:
            calls.end()


class _Calls:
    """The open connections, which another thread can end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Connection] = []
        self.ended = False

    @contextmanager
    def connected(self, host: str) -> Iterator[Connection]:
        """Open a connection for the block, unless all were ended before."""
        with self._lock:
            if self.ended:
                raise EdgeCnnError("interrupted")
            connection = Connection(host)
            self._open.append(connection)
        try:
            with connection:
                yield connection
        finally:
            with self._lock:
                self._open.remove(connection)

    def end(self) -> None:
        """End all connections, and prevent further ones."""
        with self._lock:
            self.ended = True
            for connection in self._open:
                connection.end()


def _converse(connection: Connection, job: Job, tell: Callable[[str], None]) -> Report:
    """Send a device what it requests until it has a result.

    Raises:
        EdgeCnnError: If it has no result; the message is the reason.
    """
    connection.wait_until_ready()
    while True:
        match connection.event():
            case ["say", str(text)]:
                tell(text)
            case ["send", "bundle"]:
                _send(connection, job.bundle, tell)
            case ["send", "wheel"] if job.install and job.install.wheel:
                _send(connection, job.install.wheel, tell)
            case ["error", str(text)]:
                raise EdgeCnnError(text)
            case ["done", int(code), str(printed), str(last)]:
                if code not in _JUDGED or not printed.strip():
                    raise EdgeCnnError(last.removeprefix("edgecnn: ") or f"edgecnn ended there with code {code}")
                return _parse(printed)
            case _:
                raise EdgeCnnError("its answer can't be understood: try again")


def _send(connection: Connection, path: Path, tell: Callable[[str], None]) -> None:
    tell(f"sending {path.name}, {path.stat().st_size / 2**20:.1f} MiB")
    connection.send(path)


def _parse(printed: str) -> Report:
    with temporary_folder() as folder:
        path = folder / "result.json"
        path.write_text(printed, encoding="utf-8")
        try:
            return read_report(path)
        except ArtifactError as error:
            raise EdgeCnnError(str(error).replace(str(path), "the received result")) from error


def _request(job: Job) -> dict[str, Any]:
    """Return the request to `edgecnn.benchmarks.remote.agent`."""
    install = None
    if job.install:
        wheel = job.install.wheel
        wanted = {str(bits): extras(job.install.runtimes, bits) for bits in (32, 64)}
        install = {"extras": wanted, "wheel": _item(wheel, wheel.name) if wheel else None}
    return {
        "bundle": _item(job.bundle, _BUNDLE_NAME),
        "arguments": list(job.arguments),
        "version": job.version,
        "mend": job.mend,
        "install": install,
        "files": job.files,
    }


def _item(path: Path, name: str) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({error.strerror}): name a bundle, or a folder with a manifest") from error
    return {"name": name, "size": path.stat().st_size, "sha256": digest}

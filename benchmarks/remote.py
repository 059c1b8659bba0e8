"""A bundle -> what each device measured of it, or why it did not."""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.read import read_report
from benchmarks.results import Report
from benchmarks.ssh import Connection, check_hosts
from edge.errors import ArtifactError, ConfigError, EdgeCnnError, GateFailed, InvalidMeasurement

SCHEMA = 1
# Exit codes with which `edgecnn bench` prints a result all the same.
_JUDGED = (0, GateFailed.exit_code, InvalidMeasurement.exit_code)
_BUNDLE_NAME = "bundle.zip"  # Whatever it is called here: on the device no name is the user's.


@dataclass(frozen=True)
class Install:
    """What --install puts on a device.

    Attributes:
        formats: `tflite`, `onnx` or both: whose runtimes.
        wheel: Of this edgecnn; None takes its version from the device's package index.
    """

    formats: tuple[str, ...]
    wheel: Path | None


@dataclass(frozen=True)
class Job:
    """What every device is asked to do.

    Attributes:
        bundle: The file that is measured.
        arguments: Of `edgecnn bench` there, behind the bundle.
        version: Of edgecnn here; the device's must be the same.
        mend: The command that installs edgecnn there, for messages.
        install: None installs nothing.
        files: Name -> text of files that the arguments name.
    """

    bundle: Path
    arguments: tuple[str, ...]
    version: str
    mend: str
    install: Install | None = None
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeviceResult:
    """What one device gave: a result or the reason why there is none.

    Attributes:
        host: As it was named.
        error: A sentence; None where there is a result.
        result: As of `edgecnn bench --json` there.
    """

    host: str
    error: str | None
    result: Report | None


@dataclass(frozen=True)
class DeviceResults:
    """What all devices gave.

    Attributes:
        schema: Number of this record's layout.
        command: To repeat it.
        devices: In the order they were named.
    """

    schema: int
    command: str
    devices: tuple[DeviceResult, ...]


def bench_devices(
    hosts: Sequence[str], job: Job, command: str, say: Callable[[str], None] = lambda text: None
) -> DeviceResults:
    """Measure a bundle on devices, side by side.

    A device that fails does not stop the others. An exception, as by Ctrl-C, ends what runs on all of them.

    Args:
        hosts: As ssh takes them, each once.
        job: What to do on each.
        command: To repeat it, for the result.
        say: Gets lines of progress, each with its device.

    Raises:
        ConfigError: If a host can't be one, or the bundle can't be read.
    """
    check_hosts(hosts)
    request = _request(job)
    lines, calls = threading.Lock(), _Calls()

    def on_device(host: str) -> DeviceResult:
        def tell(text: str) -> None:
            with lines:
                say(f"{host}: {_plain(text)}")

        try:
            with calls.connected(host) as connection:
                connection.ask(request)
                return DeviceResult(host, None, _converse(connection, job, tell))
        except EdgeCnnError as error:
            reason = _plain(str(error))
            if not calls.ended:
                tell(reason)
            return DeviceResult(host, reason, None)

    with ThreadPoolExecutor(len(hosts)) as pool:
        try:
            return DeviceResults(SCHEMA, command, tuple(pool.map(on_device, hosts)))
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
        """End all connections, and those that would still be opened."""
        with self._lock:
            self.ended = True
            for connection in self._open:
                connection.end()


def _converse(connection: Connection, job: Job, tell: Callable[[str], None]) -> Report:
    """Give a device what it asks for until it has a result.

    Raises:
        EdgeCnnError: If it has none; the message is why.
    """
    while connection.event() != ["ready"]:
        pass
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
                raise EdgeCnnError("what it answers can't be understood: try again")


def _send(connection: Connection, path: Path, tell: Callable[[str], None]) -> None:
    tell(f"sending {path.name}, {path.stat().st_size / 2**20:.1f} MiB")
    connection.send(path)


def _parse(printed: str) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        path.write_text(printed, encoding="utf-8")
        try:
            return read_report(path)
        except ArtifactError as error:
            raise EdgeCnnError(str(error).replace(str(path), "the result that came back")) from error


def _request(job: Job) -> dict[str, Any]:
    """Return what `benchmarks.remote_agent` is asked."""
    install = None
    if job.install:
        wheel = job.install.wheel
        install = {"formats": list(job.install.formats), "wheel": _item(wheel, wheel.name) if wheel else None}
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


def _plain(text: str) -> str:
    """Return text of a device without what would steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text.replace("\t", " "))

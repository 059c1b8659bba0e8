"""Measures a bundle on devices: returns each result, or the reason for its absence."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.remote.calls import Tell, converse, side_by_side
from edgecnn.benchmarks.remote.ssh import Connection, check_hosts
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DEVICES_SCHEMA, DeviceResult, DeviceResults, Report
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, GateFailed, InvalidMeasurement
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.runtimes.installed import extras

# Exit codes with which `edgecnn bench` prints a result anyway.
_JUDGED = (0, GateFailed.exit_code, InvalidMeasurement.exit_code)
_BUNDLE_NAME = "bundle.zip"  # Whatever its name here: names on the device are ours.


@dataclass(frozen=True)
class Install:
    """What to install on a device.

    Attributes:
        runtimes: Names of runtimes, or of formats for their default ones.
        wheel: Wheel of this edgecnn; None installs its version from the device's package index.
        extras: Further extras of edgecnn.
    """

    runtimes: tuple[str, ...]
    wheel: Path | None
    extras: tuple[str, ...] = ()


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


def bench_devices(hosts: Sequence[str], job: Job, command: str, say: Tell = lambda text: None) -> DeviceResults:
    """Measure a bundle on devices, side by side.

    A device that fails does not stop the others. An exception, such as Ctrl-C, ends the runs on all of them. Hosts are named as
    ssh takes them, each once; `command` repeats it all; `say` gets lines of progress, each with its device.

    Raises:
        ConfigError: If no host is named, a name is invalid, or the bundle can't be read.
    """
    check_hosts(hosts)
    request = _request(job)
    files = {"bundle": job.bundle}
    if job.install and job.install.wheel:
        files["wheel"] = job.install.wheel

    def measure(connection: Connection, tell: Tell) -> Report:
        code, printed, last = converse(connection, request, files, tell)
        if code not in _JUDGED or not printed.strip():
            raise EdgeCnnError(last.removeprefix("edgecnn: ") or f"edgecnn ended there with code {code}")
        return job.judged(parsed(printed))

    found = side_by_side(hosts, measure, say)
    return DeviceResults(DEVICES_SCHEMA, command, tuple(DeviceResult(item.host, item.error, item.value) for item in found))


def unreachable(hosts: Sequence[str], say: Tell = lambda text: None) -> dict[str, str]:
    """Connect to devices, side by side, and return those that can't run Python over ssh, by name, each with the reason.

    Raises:
        ConfigError: If no host is named, or a name is invalid.
    """
    check_hosts(hosts)
    tried = side_by_side(hosts, lambda connection, tell: connection.greet(), say)
    return {device.host: device.error for device in tried if device.error is not None}


def parsed(printed: str) -> Report:
    """Return the result that a device printed.

    Raises:
        EdgeCnnError: If it is no result.
    """
    with temporary_folder() as folder:
        path = folder / "result.json"
        path.write_text(printed, encoding="utf-8")
        try:
            return read_report(path)
        except ArtifactError as error:
            raise EdgeCnnError(str(error).replace(str(path), "the received result")) from error


def _request(job: Job) -> dict[str, Any]:
    """Return the request to `edgecnn.benchmarks.remote.agent`."""
    return {
        "do": "bench",
        "command": "bench",
        "bundle": sent_file(job.bundle, _BUNDLE_NAME),
        "arguments": list(job.arguments),
        "version": job.version,
        "mend": job.mend,
        "install": requested(job.install),
        "files": job.files,
    }


def requested(install: Install | None) -> dict[str, Any] | None:
    """Return the request to install edgecnn; None for none."""
    if install is None:
        return None
    wanted = {str(bits): sorted({*extras(install.runtimes, bits), *install.extras}) for bits in (32, 64)}
    return {"extras": wanted, "wheel": sent_file(install.wheel, install.wheel.name) if install.wheel else None}


def sent_file(path: Path, name: str) -> dict[str, Any]:
    """Return what a device must know of a file to ask for it.

    Raises:
        ConfigError: If it can't be read.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({error.strerror}): name a bundle, or a folder with a manifest") from error
    return {"name": name, "size": path.stat().st_size, "sha256": digest}

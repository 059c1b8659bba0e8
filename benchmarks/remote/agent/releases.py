"""The releases on the device: bundles that were deployed, and which of them is in service.

Below `~/.local/share/edgecnn`, which belongs to its user alone:

    releases/SHA-256/   a bundle, model.zip, perhaps with its signature; venv, a link to the environment that runs it
    current             a link to the release in service: one rename switches it
    history.json        the releases that were in service, the latest last
    incoming/SHA-256    a bundle that is being received
    venvs/ID/           the environments that edgecnn deploy installed
    service/            what the service keeps, and the socket on which it takes requests of edgecnn deploy

After a kill or a power cut at any instant, `current` is a whole release: the earlier or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Optional

from edgecnn.benchmarks.remote.agent.conversation import Failed

BUNDLE_NAME = "model.zip"
SIGNATURE_NAME = "model.zip.sig"
KEPT = 3
"""Releases that stay: the one in service and those before it."""


class Release(NamedTuple):
    """A bundle with what runs it.

    Attributes:
        sha256: SHA-256 of the bundle, and the name of its folder.
        venv: Name of its environment; None if edgecnn is on the PATH.
        name: Name of the bundle's model folder on the workstation.
        version: Version of edgecnn that deployed it.
        since: Time at which it went into service, as ISO 8601 in UTC, by the device's clock.
        kept: Whether it stayed in service after it had been watched, or was not to be watched.
        withdrawn: Whether a later one was taken back to an earlier one because of it: nothing goes back to it by itself.
    """

    sha256: str
    venv: Optional[str]  # noqa: UP045  # Python 3.7.
    name: str
    version: str
    since: str
    kept: bool = False
    withdrawn: bool = False

    @property
    def key(self) -> tuple[str, str | None]:
        """What makes it another release: the bundle, and what runs it."""
        return self.sha256, self.venv

    def is_run_by(self, service: dict[str, Any]) -> bool:
        """Whether a service is the edgecnn of this release, by what it says of itself."""
        prefix = Path(str(service.get("prefix")))
        return (prefix.name if prefix.parent.name == "venvs" else None) == self.venv


class Releases:
    """The folder of all of them."""

    def __init__(self, home: Path) -> None:
        self.root = home / ".local" / "share" / "edgecnn"

    @property
    def service(self) -> Path:
        """Folder of the service."""
        return self.root / "service"

    def folder(self, sha256: str) -> Path:
        """Return the folder of a release."""
        return self.root / "releases" / sha256

    def bundle(self, release: Release) -> Path:
        """Return the bundle of a release."""
        return self.folder(release.sha256) / BUNDLE_NAME

    def program(self, release: Release) -> str | None:
        """Return the edgecnn of a release; None if it is the one on the PATH."""
        return str(self.root / "venvs" / release.venv / "bin" / "edgecnn") if release.venv else None

    def history(self) -> list[Release]:
        """Return the releases that were in service and are still here, the latest last; the last one is in service.

        A kill may have come between the switch and its record: then the release that the link names is the last one.
        """
        with suppress(OSError, ValueError, TypeError):
            found = [Release(**item) for item in json.loads((self.root / "history.json").read_text())]
            return self._with_current([item for item in found if self.bundle(item).is_file()])
        return self._with_current([])

    def current(self) -> Release | None:
        """Return the release in service; None before the first."""
        found = self.history()
        return found[-1] if found else None

    def prepare(self) -> None:
        """Make the folders, and remove what a kill left half done."""
        for folder in (self.root, self.root / "releases", self.root / "incoming", self.root / "venvs", self.service):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.root / "releases").iterdir():
            if not (folder / BUNDLE_NAME).is_file():
                shutil.rmtree(str(folder), ignore_errors=True)

    def switch(self, release: Release, history: list[Release]) -> None:
        """Put a release into service, and record it behind the earlier ones."""
        link = self.folder(release.sha256) / "venv"
        if release.venv:
            _point(link, f"../../venvs/{release.venv}")
        elif link.is_symlink():
            link.unlink()
        _point(self.root / "current", f"releases/{release.sha256}")
        self.record([item for item in history if item.key != release.key] + [release])

    def record(self, history: list[Release]) -> None:
        """Write the history."""
        text = json.dumps([item._asdict() for item in history], indent=1)
        new = self.root / "history.json.new"
        with new.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self.root / "history.json")
        sync(self.root)

    def prune(self) -> None:
        """Remove all but the latest releases, and environments that none of them has."""
        history = self.history()
        kept = [item for item in history if not item.withdrawn][-KEPT:]
        self.record(kept)
        for folder in (self.root / "releases").iterdir():
            if folder.name not in {item.sha256 for item in kept}:
                shutil.rmtree(str(folder), ignore_errors=True)
        for folder in (self.root / "venvs").iterdir():
            if folder.name not in {item.venv for item in kept}:
                shutil.rmtree(str(folder), ignore_errors=True)
        for path in (self.root / "incoming").iterdir():
            path.unlink()

    def require_room(self, wanted_bytes: int) -> None:
        """Raise if the disk has less room.

        Raises:
            Failed: If it has.
        """
        free = shutil.disk_usage(str(self.root)).free
        if free < wanted_bytes:
            raise Failed(
                f"the disk there has {free / 2**20:.0f} MiB free, and {wanted_bytes / 2**20:.0f} MiB are needed: free some "
                f"space there, for example below ~/.cache"
            )

    def _with_current(self, history: list[Release]) -> list[Release]:
        try:
            sha256 = _target(self.root / "current")
        except OSError:
            return []
        folder = self.folder(sha256)
        if not (folder / BUNDLE_NAME).is_file():
            return []
        try:
            venv = _target(folder / "venv")
        except OSError:
            venv = None
        known = [item for item in history if item.key == (sha256, venv)]
        last = known[-1] if known else Release(sha256, venv, "unknown", "unknown", now())
        return [item for item in history if item.key != last.key] + [last]


def now() -> str:
    """Return the time of the device's clock."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def sync(folder: Path) -> None:
    """Write a folder's names to the disk."""
    number = os.open(str(folder), os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _target(link: Path) -> str:
    return Path(os.readlink(str(link))).name  # noqa: PTH115  # Python 3.7 and 3.8 have no Path.readlink.


def _point(link: Path, target: str) -> None:
    """Let a link name something else, by one rename."""
    new = link.with_name(link.name + ".new")
    with suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(target)
    new.replace(link)
    sync(link.parent)

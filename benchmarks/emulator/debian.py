"""Fetches Debian packages of any architecture and suite, without root and without touching the machine's own packages."""

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from edgecnn.edge.errors import MissingDependency

HOST_TOOLS = ("apt-get", "dpkg", "dpkg-deb", "tar", "setarch", "unshare", "chroot")


class CannotEmulate(MissingDependency):
    """Something is missing on this machine; the message ends with the fix."""


def require_tools() -> None:
    """Check that an emulated board can be made on this machine.

    Raises:
        CannotEmulate: If it is not.
    """
    missing = [tool for tool in HOST_TOOLS if not which(tool)]
    if missing:
        raise CannotEmulate(f"{', '.join(missing)} not found: run it on Debian 13 or in a container of it")


def host_architecture() -> str:
    return _output(["dpkg", "--print-architecture"]).strip()


def fetch(folder: Path, architecture: str, suite: str, packages: Sequence[str], dependencies: bool) -> list[Path]:
    """Download packages, and perhaps their dependencies, from this machine's mirror, checked against its keys.

    The folder gets the .deb files, and apt's lists while it works. Architectures have Debian's names: arm64, armhf, amd64.

    Raises:
        CannotEmulate: If apt can't download them.
    """
    mirror, key = _mirror()
    for name in ("lists/partial", "archives/partial", "empty"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()  # An empty system, so that every dependency is missing.
    source = f"deb {f'[signed-by={key}] ' if key else ''}{mirror} {suite} main\n"
    (folder / "sources.list").write_text(source)
    apt = ["apt-get", "--quiet=2"]
    for option in (
        f"APT::Architecture={architecture}",
        f"APT::Architectures={architecture}",
        "APT::Install-Recommends=false",
        "APT::Sandbox::User=",  # Otherwise root's apt becomes a user who can't write here.
        "Acquire::Languages=none",
        "Acquire::Retries=3",
        "Debug::NoLocking=true",
        f"Dir::State={folder}",
        f"Dir::State::status={folder}/status",
        f"Dir::State::lists={folder}/lists",
        f"Dir::Cache={folder}",
        f"Dir::Cache::archives={folder}/archives",
        f"Dir::Etc::sourcelist={folder}/sources.list",
        f"Dir::Etc::sourceparts={folder}/empty",
        "Dir::Etc::preferences=/dev/null",
        f"Dir::Etc::preferencesparts={folder}/empty",
    ):
        apt += ["-o", option]
    command = ["install", "--yes", "--download-only"] if dependencies else ["download"]
    _run([*apt, "update"], folder)
    _run([*apt, *command, *packages], folder / "archives")
    return sorted((folder / "archives").glob("*.deb"))


def unpack(packages: Sequence[Path], root: Path, members: Sequence[str] = ()) -> None:
    """Unpack .deb files into a folder: the members, as tar lists them, or all. Scripts for a real system's setup do not run.

    Raises:
        CannotEmulate: If a package is damaged.
    """
    for name in ("bin", "lib", "sbin"):  # Older packages still use /lib, which is /usr/lib on every current system.
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        files_of = ["dpkg-deb", "--fsys-tarfile", str(package)]
        with subprocess.Popen(files_of, stdout=subprocess.PIPE) as files:
            tar = ["tar", "--extract", "--no-same-owner", "--keep-directory-symlink", "--directory", str(root), *members]
            unpacked = subprocess.run(tar, stdin=files.stdout, check=False)
        if files.returncode or unpacked.returncode:
            raise CannotEmulate(f"{package.name} can't be unpacked: remove {package.parent} and try again")


def _mirror() -> tuple[str, str]:
    """Return the source of this machine's packages, and the file of the key that signs them."""
    line = "$(REPO_URI)|$(RELEASE)|$(SIGNED_BY)"
    targets = _output(["apt-get", "indextargets", "--format", line, "Created-By: Packages"]).splitlines()
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    for target in targets:
        mirror, suite, key = target.split("|")
        if suite == release and not mirror.startswith("file:"):
            return mirror, key if key.startswith("/") else ""
    raise CannotEmulate(f"apt has no Debian mirror for '{release}': run it on Debian 13 or in a container of it")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        problem = " ".join(done.stderr.split())[-300:]
        raise CannotEmulate(f"apt-get could not download ({problem}): check the network and apt's sources")

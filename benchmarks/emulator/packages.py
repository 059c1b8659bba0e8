"""What an emulated board imports: packages from the index that pip is configured to use, and this edgecnn."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import edgecnn
from edgecnn.benchmarks.emulator.userland import System, cache_folder, key_of, made_whole
from edgecnn.edge.errors import EdgeCnnError, MissingDependency
from edgecnn.edge.runtimes.installed import extras


class CannotInstall(EdgeCnnError):
    """pip could not install something for the board; the message says what and why."""


def site_of(system: System, formats: Sequence[str]) -> Path:
    """Return a folder with what edgecnn needs on a board with the default runtimes of these formats.

    Raises:
        CannotInstall: If there is no wheel for a package.
        MissingDependency: If edgecnn itself is not installed, so that nobody knows what it needs.
    """
    try:
        listed = [requirement.partition(";") for requirement in requires("edgecnn") or ()]
    except PackageNotFoundError as error:
        raise MissingDependency("edgecnn itself is not installed: pip install . in its folder") from error
    runtimes = extras(formats, 64)
    wanted = [name.strip() for name, _, marker in listed if not marker or any(f'"{extra}"' in marker for extra in runtimes)]
    target = cache_folder() / f"runtimes-{system.name}-{key_of(*wanted)}"
    with made_whole(target) as made:
        if made:
            install(system, made, *wanted)
    return target


def copy_project(folder: Path) -> Path:
    """Copy this edgecnn's package into a folder, without MNIST's training images, and return the folder."""
    left_out = shutil.ignore_patterns("__pycache__", "train-*")
    shutil.copytree(Path(edgecnn.__file__).parent, folder / "edgecnn", ignore=left_out)
    return folder


def install(system: System, folder: Path, *arguments: str) -> None:
    """Install packages for a board into a folder, from wheels only: nothing may need a compiler.

    Raises:
        CannotInstall: If pip fails.
    """
    platforms = [f"manylinux_2_{minor}_{system.machine}" for minor in range(system.glibc, 16, -1)]
    platforms += [f"manylinux2014_{system.machine}", f"linux_{system.machine}"]
    options = [part for platform in platforms for part in ("--platform", platform)]
    options += ["--python-version", system.python, "--implementation", "cp", "--only-binary=:all:", "--no-compile"]
    pip("install", *options, "--target", str(folder), "--upgrade", *arguments)


def pip(*arguments: str) -> None:
    """Run pip.

    Raises:
        CannotInstall: If it fails.
    """
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        problem = " ".join(done.stderr.split())[-400:]
        raise CannotInstall(f"pip {arguments[0]} failed ({problem}): check that pip can install packages here")

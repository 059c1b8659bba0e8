"""The project's wheel and what pip installs with it on a board, from the index that pip is configured to use."""

import csv
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgecnn.benchmarks.doctor.known_problems import version_key
from edgecnn.benchmarks.emulator.packages import CannotInstall, install, pip
from edgecnn.benchmarks.emulator.userland import System, cache_folder, key_of, made_whole
from edgecnn.edge.formats import FORMATS, RUNTIMES, Runtime, format_of

PROJECT_ROOT = Path(__file__).parents[2]
_CONSTRAINTS = PROJECT_ROOT / "constraints.txt"
# The serve extra without Pillow.
_SERVER = ("starlette", "uvicorn", "python-multipart", "prometheus-client")
_BITS = {"aarch64": 64, "armv7l": 32}
_NOT_PACKAGED = (".*", "__pycache__", "*.egg-info", "build", "dist", "artifacts", "tests", "docs", "examples")


def lacking(row: Runtime, system: System) -> str | None:
    """Return why a board of this system does not get a runtime; None if it does."""
    if _BITS[system.machine] not in row.bits or (row.python_below and version_key(system.python) >= row.python_below):
        return f"no package for Python {system.python} on {system.machine}"
    others = (other for other in RUNTIMES.values() if other.formats == row.formats and not other.ended)
    if row.ended and any(lacking(other, system) is None for other in others):
        return "its project has ended, and its successor is installed"
    return None


def device_runtimes() -> tuple[Runtime, ...]:
    """Return the runtimes of the formats that a device runs."""
    formats = {row.name for row in FORMATS.values() if row.on_device and not row.apart}
    return tuple(row for row in RUNTIMES.values() if formats & {*row.formats})


def files_of(row: Runtime, files: Iterable[str]) -> tuple[str, ...]:
    """Return those of `files`, by their names, that are of a runtime's formats."""
    return tuple(file for file in files if format_of(Path(file)) in row.formats)


def runtimes_on(system: System, named: bool = True) -> tuple[Runtime, ...]:
    """Return the runtimes that a board of this system gets.

    Args:
        system: The system.
        named: Also those that run files only if they are named.
    """
    return tuple(row for row in device_runtimes() if lacking(row, system) is None and (named or not row.by_name))


def extras_of(system: System, runtimes: Sequence[Runtime]) -> list[str]:
    """Return the extras that install these runtimes, and what pictures and a server need."""
    return [*dict.fromkeys(row.package.extra for row in runtimes), "image", "serve"]


def build_wheel(folder: Path) -> Path:
    """Build the working tree's wheel into `folder`, from a copy: a `build` folder keeps deleted files.

    Raises:
        CannotInstall: If it can't be built.
    """
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(PROJECT_ROOT, copy, ignore=shutil.ignore_patterns(*_NOT_PACKAGED), dirs_exist_ok=True)
        pip("wheel", "--no-deps", "--wheel-dir", str(folder), copy)
    return next(folder.glob("edgecnn-*.whl"))


def unpack_wheel(wheel: Path, folder: Path) -> Path:
    """Install the wheel alone into a new folder."""
    pip("install", "--no-deps", "--no-compile", "--target", str(folder), str(wheel))
    return folder


def site_of(system: System, wheel: Path, runtimes: Sequence[Runtime]) -> Path:
    """Return a folder with everything that edgecnn with the extras of these runtimes installs, except edgecnn itself.

    Only wheels are used, so that nothing needs a compiler. On 32 bits numpy and Pillow are Debian's, which tflite-runtime and
    edgecnn accept.

    Raises:
        CannotInstall: If there is no wheel for a package, or TensorFlow would be installed.
    """
    extras = extras_of(system, runtimes)
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))
    key = key_of(Path(__file__).read_bytes(), metadata, _CONSTRAINTS.read_bytes(), *extras)
    target = cache_folder() / f"site-{system.name}-{key}"
    with made_whole(target) as made:
        if made and system.machine == "aarch64":
            _install(system, made, f"{wheel}[{','.join(extras)}]")
            _remove_project(made)
        elif made:
            _install(system, made, "typer", "rich", *_SERVER)
            _install(system, made, *(row.package.name for row in runtimes), "--no-deps")
        if made and (brought := list(made.glob("tensorflow*"))):
            raise CannotInstall(f"edgecnn[{','.join(extras)}] installs {brought[0].name}: the device must not need it")
    return target


def tools_of(system: System) -> Path:
    """Return a folder with the packages that only the tests need."""
    target = cache_folder() / f"tools-{system.name}-{key_of(Path(__file__).read_bytes(), _CONSTRAINTS.read_bytes())}"
    with made_whole(target) as made:
        if made:
            _install(system, made, "pytest", "pytest-timeout")
            if system.machine == "aarch64":  # The dependencies of onnx are in `site_of`; a second numpy would hide that one.
                _install(system, made, "onnx", "--no-deps")
    return target


def size_bytes(folder: Path) -> int:
    """Return the size of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _install(system: System, folder: Path, *arguments: str) -> None:
    install(system, folder, "--constraint", str(_CONSTRAINTS), *arguments)


def _remove_project(folder: Path) -> None:
    """Skip the dependencies: they are kept while the project changes."""
    with (next(folder.glob("edgecnn-*.dist-info")) / "RECORD").open(newline="") as record:
        tops = {Path(name).parts[0] for name, *_ in csv.reader(record)}
    for path in (folder / top for top in tops if top != ".."):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

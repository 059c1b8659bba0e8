"""Fetches onnxruntime-web, the ONNX Runtime of browsers, from npm's registry or from a folder."""

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency, load_json, parsing, why
from edgecnn.edge.files import read_bytes, temporary_folder

VERSION = "1.30.0"
"""The version that is downloaded, with which the page was tested."""
_NAME = "onnxruntime-web"
# Without WebGPU, and with the glue of the WebAssembly file in the module.
_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_ABOUT, _PLACE = "package.json", "dist"
_MOST_BYTES = 2**26
_SECONDS = 300
_GIVE = f"give the folder of {_NAME}, as in node_modules"


class WebRuntime(NamedTuple):
    """What a page needs to run .onnx files.

    Attributes:
        title: Package and version, for example `onnxruntime-web 1.30.0`.
        files: Content of each file by its name.
    """

    title: str
    files: dict[str, bytes]


def web_runtime(source: Path | None = None) -> WebRuntime:
    """Return onnxruntime-web.

    Args:
        source: Folder of the package, as in `node_modules`, or the .tgz file of `npm pack`. Default: `npm pack` downloads it.

    Raises:
        MissingDependency: If nothing is given and npm is not installed.
        ConfigError: If npm can't download it, or the folder is not that package.
        ArtifactError: If a file is missing or damaged.
    """
    if source is not None:
        return _from_folder(source) if source.is_dir() else _from_archive(source)
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDependency(f"npm, which downloads {_NAME}, is not installed: apt-get install npm, or {_GIVE}")
    with temporary_folder() as scratch:
        command = [npm, "pack", f"{_NAME}@{VERSION}", "--silent"]
        try:
            subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise ConfigError(
                f"npm can't download {_NAME} {VERSION} ({why(RuntimeError(said))}): try again, or {_GIVE}"
            ) from error
        return _from_archive(next(scratch.glob("*.tgz")))


def _from_folder(folder: Path) -> WebRuntime:
    return _checked({name: read_bytes(folder / name, _MOST_BYTES, _fix()) for name in _members()}, folder)


def _from_archive(path: Path) -> WebRuntime:
    read_bytes(path, 2**28, _fix())  # It exists, and is a plain file.
    found = {}
    with parsing(f"{path} is not a package of npm", _fix()), tarfile.open(path, "r:gz") as archive:
        for name in _members():
            member = archive.getmember(f"package/{name}")
            opened = archive.extractfile(member)
            if opened is None or member.size > _MOST_BYTES:
                raise ValueError(f"{name} is no file of a sensible size")
            found[name] = opened.read()
    return _checked(found, path)


def _members() -> tuple[str, ...]:
    return (_ABOUT, *(f"{_PLACE}/{name}" for name in _FILES))


def _checked(found: dict[str, bytes], source: Path) -> WebRuntime:
    about = load_json(found[_ABOUT], f"{source} has a damaged {_ABOUT}", _fix())
    name, version = (str(about.get(key)) if isinstance(about, dict) else "" for key in ("name", "version"))
    if name != _NAME:
        raise ConfigError(f"{source} is the package {name!r}: {_GIVE}")
    if not found[f"{_PLACE}/{_FILES[1]}"].startswith(b"\0asm"):
        raise ArtifactError(f"{source}: {_FILES[1]} is no WebAssembly file: {_fix()}")
    return WebRuntime(f"{_NAME} {version}", {file: found[f"{_PLACE}/{file}"] for file in _FILES})


def _fix() -> str:
    return f"download it again with npm pack {_NAME}@{VERSION}"

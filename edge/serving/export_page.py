"""Writes a folder of static files that classify pictures in a browser, without a server of ours or a network."""

import base64
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency, field, load_json, parsing, why
from edgecnn.edge.files import read_bytes, temporary_folder
from edgecnn.edge.formats import FORMATS, RUNTIMES
from edgecnn.edge.manifest import Artifact, Manifest
from edgecnn.edge.model.interface import formula
from edgecnn.edge.model.layout import image_layout, output_columns
from edgecnn.edge.model.preprocess import input_table
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.packages import versions
from edgecnn.edge.records import to_json
from edgecnn.edge.serving.models import LIMITS, FileDescription, LastVerdict
from edgecnn.edge.transaction import locked, replaced_together

PAGE = Path(__file__).with_name("page")
"""Files of the page, which talks to its backend through classify.js alone."""
BROWSER = Path(__file__).with_name("browser_page")
"""The modules that run the model in the browser instead; one of them replaces classify.js."""
_FORMATS = RUNTIMES["onnxruntime"].formats
_OTHER_FORMAT = f"a browser runs {FORMATS[_FORMATS[0]].title} files only"
# A page's own policy: nothing from elsewhere; WebAssembly may be compiled.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_CHARSET = '<meta charset="utf-8">'
_IN_SERVER, _IN_BROWSER = "<dt>In the server</dt>", "<dt>With decoding</dt>"
_DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")

VERSION = "1.30.0"
"""The version that is downloaded, with which the page was tested."""
_NAME = "onnxruntime-web"
# Without WebGPU, and with the glue of the WebAssembly file in the module.
_GLUE, _WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_ABOUT = "package.json"
_MEMBERS = (_ABOUT, f"dist/{_GLUE}", f"dist/{_WASM}")
_MOST_BYTES = 2**26
_SECONDS = 300
_GIVE = f"give the folder of {_NAME}, as in node_modules"
_FIX = f"download it again with npm pack {_NAME}@{VERSION}"


class WebRuntime(NamedTuple):
    """What a page needs to run .onnx files.

    Attributes:
        title: Package and version, for example `onnxruntime-web 1.30.0`.
        files: Content of each file by its name.
    """

    title: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class WrittenPage:
    """What was written.

    Attributes:
        path: The folder.
        models: Names of the model files in it.
        skipped: Reason for each other file of the model.
        runtime: Package and version that runs them in the browser.
        size_bytes: Size of all files in bytes.
    """

    path: str
    models: tuple[str, ...]
    skipped: dict[str, str]
    runtime: str
    size_bytes: int


def write_page(
    models: ModelFolder,
    out: Path,
    runtime: WebRuntime,
    verdict: LastVerdict | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> WrittenPage:
    """Write the page, the model's .onnx files and onnxruntime-web into a folder, which any web server can serve.

    The folder's files of the same names are replaced together. The page shows the verdict, which is not of a browser.

    Raises:
        ConfigError: If no manifest lists the files, there is no file for a browser, or the folder can't be written.
        ArtifactError: If a file is missing, damaged or stale.
    """
    manifest = models.manifest
    if manifest is None:
        raise ConfigError(f"{models.named}: {models.model().unverified}: name a folder that edgecnn exported")
    chosen, skipped = _chosen(models, manifest)
    inputs = {artifact.path: _interface(artifact, manifest) for artifact in chosen}
    # Nobody expects a browser to run files of other formats.
    told = {name: reason for name, reason in skipped.items() if reason != _OTHER_FORMAT}
    about = _about(models, manifest, chosen, told, runtime) | {"verdict": vars(verdict) if verdict else None}
    rule = {"fit": manifest.preprocessing.fit, "background": manifest.preprocessing.background}
    files = {path.name: path.read_bytes() for path in (*PAGE.iterdir(), *BROWSER.glob("*.js"))}
    files["index.html"] = _own_policy(files["index.html"].decode()).encode()
    files["model.json"] = to_json({"about": about, "rule": rule, "inputs": inputs}).encode()
    files |= runtime.files | {artifact.path: models.model(artifact.path).data for artifact in chosen}
    on_progress(f"writing {out}")
    with locked(out), replaced_together(out) as staging:
        for name, data in files.items():
            (staging / name).write_bytes(data)
    names = tuple(artifact.path for artifact in chosen)
    return WrittenPage(str(out), names, skipped, runtime.title, sum(map(len, files.values())))


def _chosen(models: ModelFolder, manifest: Manifest) -> tuple[list[Artifact], dict[str, str]]:
    """Return the files that a browser runs, and why it does not run each other one."""
    there = [artifact for artifact in manifest.exported if artifact.path in models.names]
    reasons = {artifact.path: _objection(artifact) for artifact in there}
    chosen = [artifact for artifact in there if reasons[artifact.path] is None]
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    if not chosen:
        told = "".join(f"; {name}: {reason}" for name, reason in skipped.items())
        raise ConfigError(f"{models.named} has no file that a browser runs{told}: export {field('formats')}={_FORMATS[0]}")
    return chosen, skipped


def _objection(artifact: Artifact) -> str | None:
    """Return why a browser can't run a file; None if it can."""
    if artifact.format not in _FORMATS:
        return _OTHER_FORMAT
    layout = image_layout(artifact.input, artifact.path)
    if layout.batch not in (None, 0, 1):
        return f"it takes {layout.batch} images at a time"
    if artifact.input.dtype not in _DTYPES or artifact.output.dtype not in ("float32", "float64"):
        return f"it takes {artifact.input.dtype} and gives {artifact.output.dtype}"
    return None


def _interface(artifact: Artifact, manifest: Manifest) -> dict[str, Any]:
    """Return how the page makes a file's input and reads its output."""
    layout = image_layout(artifact.input, artifact.path)
    table, threshold = input_table(manifest.preprocessing, artifact.input), artifact.threshold
    columns = output_columns(artifact.output, layout.batch, artifact.path)
    if columns not in (None, len(manifest.class_names)) and not (columns == 1 and len(manifest.class_names) == 2):
        raise ArtifactError(f"{artifact.path} has {columns} outputs for {len(manifest.class_names)} classes: export it again")
    little = np.ascontiguousarray(table.values.astype(table.values.dtype.newbyteorder("<")))
    return {
        "input": {
            "name": artifact.input.name,
            "dtype": artifact.input.dtype,
            "shape": [*(() if layout.batch == 0 else (1,)), *layout.item],
            "channels_first": layout.item != layout.shape and layout.shape[2] > 1,
            "bgr": table.bgr and layout.shape[2] > 1,
            "table": base64.b64encode(little.tobytes()).decode(),
        },
        "output": {"name": artifact.output.name, "kind": manifest.output},
        "threshold": threshold.limits if threshold else None,
    }


def _about(
    models: ModelFolder, manifest: Manifest, chosen: list[Artifact], skipped: dict[str, str], runtime: WebRuntime
) -> dict[str, Any]:
    """Return what `GET /api/model` says, without the verdict."""
    shapes = {image_layout(artifact.input, artifact.path).shape for artifact in chosen}
    if len(shapes) > 1:
        raise ArtifactError(f"{models.named} has files of images of several sizes: export it again")
    files = [
        FileDescription(item.path, item.format, item.precision, item.size_bytes, item.sha256, runtime.title, None)
        for item in chosen
    ]
    floats = [artifact.path for artifact in chosen if artifact.precision == "float32"]
    return {
        "name": models.named.resolve().stem,
        "version": versions()["edgecnn"],
        "class_names": list(manifest.class_names),
        "shape": list(shapes.pop()),
        "draws": manifest.preprocessing.fit == "digit",
        "preprocessing": formula(manifest.preprocessing),
        "files": [{**vars(file), "doubts": []} for file in files],
        "skipped": skipped,
        "reference": floats[0] if floats and len(chosen) > 1 else None,
        "camera": None,
        "limits": LIMITS,
    }


def _own_policy(html: str) -> str:
    """Return the page with its policy inside, since its server sends none, and with words for a page without a server."""
    for part in (_CHARSET, _IN_SERVER):
        if html.count(part) != 1:
            raise AssertionError(f"index.html must have {part} once")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    return html.replace(_CHARSET, f"{_CHARSET}\n{policy}").replace(_IN_SERVER, _IN_BROWSER)


def web_runtime(source: Path | None = None) -> WebRuntime:
    """Return onnxruntime-web.

    Args:
        source: Folder of the package, as in `node_modules`, or the .tgz file of `npm pack`. Default: `npm pack` downloads it.

    Raises:
        MissingDependency: If nothing is given and npm is not installed.
        ConfigError: If npm can't download it, or the folder is not that package.
        ArtifactError: If a file is missing or damaged.
    """
    if source is not None and source.is_dir():
        return _checked({name: read_bytes(source / name, _MOST_BYTES, _FIX) for name in _MEMBERS}, source)
    if source is not None:
        return _from_archive(source)
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


def _from_archive(path: Path) -> WebRuntime:
    read_bytes(path, 2**28, _FIX)  # It exists, and is a plain file.
    found = {}
    with parsing(f"{path} is not a package of npm", _FIX), tarfile.open(path, "r:gz") as archive:
        for name in _MEMBERS:
            member = archive.getmember(f"package/{name}")
            opened = archive.extractfile(member)
            if opened is None or member.size > _MOST_BYTES:
                raise ValueError(f"{name} is no file of a sensible size")
            found[name] = opened.read()
    return _checked(found, path)


def _checked(found: dict[str, bytes], source: Path) -> WebRuntime:
    about = load_json(found[_ABOUT], f"{source} has a damaged {_ABOUT}", _FIX)
    name, version = (str(about.get(key)) if isinstance(about, dict) else "" for key in ("name", "version"))
    if name != _NAME:
        raise ConfigError(f"{source} is the package {name!r}: {_GIVE}")
    if not found[f"dist/{_WASM}"].startswith(b"\0asm"):
        raise ArtifactError(f"{source}: {_WASM} is no WebAssembly file: {_FIX}")
    return WebRuntime(f"{_NAME} {version}", {file: found[f"dist/{file}"] for file in (_GLUE, _WASM)})

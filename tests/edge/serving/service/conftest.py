"""Bundles of one file each, which name other classes for the same picture, and bundles that must not come into service."""

import json
import shutil
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.archive import INDEX_NAME, golden_name
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder
from tests.dense import weights
from tests.edge.serving.running import Server, post, serving
from tests.onnx_text import ENDLESS, onnx_bytes

FILE = "float32.onnx"


class Pair(NamedTuple):
    """Two bundles with other files.

    Attributes:
        old: The first one.
        new: The other, whose file names the class after that of the first one's.
    """

    old: Path
    new: Path


def hash_of(bundle: Path) -> str:
    return sha256(bundle.read_bytes())


def file_hash(bundle: Path) -> str:
    with zipfile.ZipFile(bundle) as archive:
        return sha256(archive.read(FILE))


@pytest.fixture(scope="package")
def pair(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Two bundles. Do not write to them."""
    pytest.importorskip("starlette", reason="the serve extra is not installed")
    parent = tmp_path_factory.mktemp("pair")
    turned = Path(shutil.copytree(exported, parent / "turned"))
    model = onnx.load(turned / FILE)
    (output,) = model.graph.output
    last = next(node for node in model.graph.node if output.name in node.output)
    last.output[:] = ["before"]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 0, 1]), "order"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["before", "order"], [output.name], axis=1))
    list_file(turned, model.SerializeToString())
    for folder, name in ((exported, "old.zip"), (turned, "new.zip")):
        write_bundle(parent / name, ModelFolder(folder), load_test(idx_folder), (FILE,), test_images=20)
    return Pair(parent / "old.zip", parent / "new.zip")


def list_file(folder: Path, data: bytes, **changes: Any) -> None:
    """Write a folder's file, and let its manifest list it."""
    (folder / FILE).write_bytes(data)
    manifest = Manifest.load(folder)
    artifacts = tuple(
        replace(item, sha256=sha256(data), size_bytes=len(data)) if item.path == FILE else item for item in manifest.artifacts
    )
    replace(manifest, artifacts=artifacts, **changes).save(folder)


@pytest.fixture(scope="package")
def other_classes(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same file whose classes have other names."""
    folder = Path(shutil.copytree(exported, tmp_path_factory.mktemp("other") / "other"))
    list_file(folder, (folder / FILE).read_bytes(), class_names=("a", "b", "c"))
    path = folder.with_suffix(".zip")
    write_bundle(path, ModelFolder(folder), load_test(idx_folder), (FILE,), test_images=20)
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a server's state; beside it is what edgecnn deploy put into service."""
    return tmp_path / "root" / "state"


@pytest.fixture
def served(pair: Pair, state: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of the old bundle."""
    with serving(tmp_path, pair.old, "--state", state) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which systemd listens, at `notify`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(60)
        yield made


class Hanging(NamedTuple):
    """A file that never returns from a picture that is white all over, which the trial of a new file does not send.

    Attributes:
        arguments: Of `edgecnn serve`.
        harmless: A picture that is answered.
        white: The other one.
    """

    arguments: tuple[str, ...]
    harmless: bytes
    white: bytes

    @contextmanager
    def hung(self, port: int) -> Iterator[None]:
        """Send the white picture, and don't wait for an answer."""
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(post(self.white))
            time.sleep(0.5)
            yield


@pytest.fixture
def hanging(tmp_path: Path) -> Hanging:
    nodes = "darkest = ReduceMin <keepdims = 0> (x) brightest = ReduceMax <keepdims = 0> (x) high = Greater (darkest, least)"
    nodes += " low = Less (brightest, most) white = And (high, low) flat = Reshape (x, sizes)"
    nodes += f' rows = MatMul (flat, weights) logits = {ENDLESS} ("", white, rows) y = Softmax (logits)'
    numbers = {"least": np.float32(0.999), "most": np.float32(1.001), "weights": weights(64, 3, 0)}
    text = f"(float[1, 8, 8, 1] x) => (float[1, 3] y) {{{nodes}}}"
    (tmp_path / "white.onnx").write_bytes(onnx_bytes(text, sizes=[1, 64], **numbers))
    pictures = [b"P5 8 8 255\n" + bytes([level]) * 64 for level in (100, 255)]
    stated = ("--preprocess", "unit", "--fit", "stretch", "--trust-unverified")
    return Hanging((str(tmp_path / "white.onnx"), *stated), *pictures)


@pytest.fixture
def altered(pair: Pair, tmp_path: Path) -> Callable[[], Path]:
    """Returns a whole bundle whose golden outputs are another file's."""

    def made() -> Path:
        with zipfile.ZipFile(pair.new) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(pair.old) as archive:
            members[golden_name(FILE)] = archive.read(golden_name(FILE))
        index = json.loads(members[INDEX_NAME])
        index["members"][golden_name(FILE)]["sha256"] = sha256(members[golden_name(FILE)])
        members[INDEX_NAME] = json.dumps(index).encode()
        path = tmp_path / "altered.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    return made

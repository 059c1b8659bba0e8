"""Every parser of bytes from outside on damaged files: it accepts them, or refuses them with an error that names the fix."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.results.read import read_report
from edgecnn.convert.training.model.custom_model import needed_modules
from edgecnn.edge.archive import INDEX_NAME
from edgecnn.edge.compatibility.requirements import read_needs
from edgecnn.edge.compatibility.tflite_graph import to_object
from edgecnn.edge.data.folder_options import read_labels
from edgecnn.edge.data.idx import load_idx
from edgecnn.edge.data.image_file import ImageRule, image_header, read_image, read_pixels
from edgecnn.edge.data.npz import load_npz, read_npy
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.graph.summary import Reading, peak_activations
from edgecnn.edge.graph.tflite import read_network
from edgecnn.edge.manifest import Manifest, is_foreign
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import from_json
from edgecnn.edge.runtimes.tflite_state import tflite_state
from tests.mutations import mutations

COUNT = 300
RNG = np.random.default_rng(0)
RESULTS = Path(__file__).parent / "benchmarks" / "kept_results"

Parse = Callable[[Path], object]


def saved(save: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (33, 35, 3)).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


def zipped(compression: int, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return stream.getvalue()


ARRAYS = {
    "x_test": RNG.integers(0, 256, (8, 9, 9)).astype(np.uint8),
    "y_test": np.arange(8) % 3,
}
MEMBERS = {f"{name}__npy": saved(np.save, array) for name, array in ARRAYS.items()}
IDX = struct.pack(">4I", 0x803, 4, 5, 5) + bytes(100)
BUDGET = b'max_drop_points = 0.5\n[files."a.tflite"]\nmax_p90_ms = 5\n'


def parse_idx(path: Path) -> None:
    """The damaged file is of images; its labels are sound."""
    folder = path.parent / "idx"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    path.rename(folder / f"t10k-images-idx3-ubyte{path.suffix}")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 4) + bytes(4))
    load_idx(folder, "test").images([0])


def parse_manifest(path: Path) -> None:
    path.rename(path.with_name("manifest.json"))
    is_foreign(path.parent)
    Manifest.load(path.parent)


def parse_bundle(path: Path) -> None:
    with ModelFolder(path):
        pass


def parse_picture(path: Path) -> None:
    image_header(path, "name another")
    read_image(path, (9, 9, 3), ImageRule("letterbox"))
    read_pixels(path, "name another")


def parse_network(path: Path) -> None:
    data, model_format = path.read_bytes(), path.suffix[1:]
    read_needs(data, model_format)
    if model_format == "tflite":
        tflite_state(data)
        peak_activations(read_network(data, Reading("a.tflite")))


PICTURES = {kind: (picture(kind), parse_picture) for kind in ("png", "jpeg", "gif", "bmp", "webp", "tiff")}
SMALL: dict[str, tuple[bytes, Parse]] = {
    "stored.npz": (saved(np.savez, **ARRAYS), lambda path: load_npz(path, "test").images([0])),
    "packed.npz": (saved(np.savez_compressed, **ARRAYS), lambda path: load_npz(path, "test").images([0])),
    "lzma.npz": (zipped(zipfile.ZIP_LZMA, **MEMBERS), lambda path: load_npz(path, "test").images([0])),
    "bzip2.npz": (zipped(zipfile.ZIP_BZIP2, **MEMBERS), lambda path: load_npz(path, "test").images([0])),
    "array.npy": (saved(np.save, np.ones((8, 3), np.float32)), lambda path: read_npy(path.read_bytes(), "it", "make it again")),
    "images.idx": (IDX, parse_idx),
    "images.gz": (gzip.compress(IDX, mtime=0), parse_idx),
    "labels.txt": ("cat\ndog\nbär\n".encode(), read_labels),
    "budget.toml": (BUDGET, lambda path: load_budgets(path, {}, ("a.tflite",))),
    **{f"{schema}.result": ((RESULTS / f"{schema}.json").read_bytes(), read_report) for schema in ("schema-2", "schema-4")},
    **{f"picture.{kind}": case for kind, case in PICTURES.items()},
}
EXPORTED: dict[str, tuple[str, Parse]] = {
    "model.tflite": ("int8.tflite", parse_network),
    "model.onnx": ("int8.onnx", parse_network),
    "hashed.json": ("manifest.json", parse_manifest),
    # Without its hash, which refuses all damage before a field is read.
    "plain.json": ("manifest.json", lambda path: from_json(Manifest, path.read_text(errors="replace"), "it", 2)),
    "model.keras": ("model.keras", lambda path: needed_modules(path.read_bytes(), ("mine",))),
}


def damage(name: str, data: bytes, parse: Parse, folder: Path) -> None:
    """Parse damaged copies; any error except EdgeCnnError means an unguarded parser."""
    refused: list[EdgeCnnError] = []
    for damaged in mutations(data, COUNT):
        path = folder / name
        path.write_bytes(damaged)
        try:
            parse(path)
        except EdgeCnnError as error:
            refused.append(error)
    assert refused
    assert {error.exit_code for error in refused} <= {2, 4}
    assert all(str(error).isprintable() for error in refused)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged tags, zipfile of duplicate names.
@pytest.mark.parametrize("name", SMALL)
def test_a_damaged_file_is_refused_or_read_and_nothing_else_is_raised(name: str, tmp_path: Path) -> None:
    damage(name, *SMALL[name], tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXPORTED)
def test_a_damaged_exported_file_is_refused_or_read_too(name: str, exported: Path, tmp_path: Path) -> None:
    source, parse = EXPORTED[name]
    damage(name, (exported / source).read_bytes(), parse, tmp_path)


@pytest.mark.parametrize("name", [*SMALL, *EXPORTED])
def test_a_file_of_nested_brackets_alone_is_refused(name: str, tmp_path: Path) -> None:
    _, parse = SMALL.get(name) or EXPORTED[name]
    for depth in (980, 100_000):
        path = tmp_path / name
        path.write_bytes(b"[" * depth + b"]" * depth)
        if name == "labels.txt":
            continue  # One class of a long name.
        with pytest.raises(EdgeCnnError):
            parse(path)


def test_a_bundle_whose_directory_is_damaged_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    data = zipped(zipfile.ZIP_DEFLATED, **{INDEX_NAME.replace(".", "__"): b"{}"})
    for damaged in mutations(data, COUNT):
        (tmp_path / "damaged.zip").write_bytes(damaged)
        with pytest.raises(EdgeCnnError) as caught, ModelFolder(tmp_path / "damaged.zip"):
            pass
        assert caught.value.exit_code == 4, caught.value


def test_every_byte_of_a_tflite_file_s_structure_may_be_wrong(exported: Path) -> None:
    data = (exported / "int8.tflite").read_bytes()
    weights = set[int]()  # No structure: three quarters of the file. Small constants may be shapes, which are read.
    for buffer in to_object(data).buffers:
        if buffer.data is not None and len(buffer.data) > 256:
            start = data.index(bytes(buffer.data))
            weights |= {*range(start, start + len(buffer.data))}
    for at in sorted({*range(0, len(data) - 4, 20)} - weights):
        for value in (-1, -2, 2**31 - 1):
            damaged = data[:at] + struct.pack("<i", value) + data[at + 4 :]
            try:
                peak_activations(read_network(damaged, Reading("a.tflite")))
            except EdgeCnnError:
                continue

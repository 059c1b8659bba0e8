"""Opening a bundle trusts nothing in it."""

import hashlib
import json
import os
import resource
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.archive import _LIMITS, INDEX_NAME, read_index, write_member
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_file import bundle_of
from edgecnn.edge.model_folder import ModelFolder

Members = dict[str, bytes]


def read(path: Path) -> Members:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def write(path: Path, members: Members, index: dict[str, Any] | None = None) -> Path:
    """Write a bundle whose index fits its members, or is `index`."""
    if index is None:
        index = json.loads(members[INDEX_NAME])
        sums = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in members.items() if name != INDEX_NAME}
        index["members"] = {name: {"size_bytes": size, "sha256": digest} for name, (size, digest) in sums.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**members, INDEX_NAME: json.dumps(index).encode()}.items():
            archive.writestr(name, data)
    return path


def with_index(bundle: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of a bundle with a changed index."""
    members = read(bundle)
    index = json.loads(members[INDEX_NAME])
    change(index)
    return write(tmp_path / "changed.zip", members, index)


def refused(path: Path, kind: type[Exception] = ArtifactError) -> str:
    before = set(path.parent.iterdir())
    with pytest.raises(kind) as caught, ModelFolder(path):
        pass
    assert set(path.parent.iterdir()) == before
    assert str(path) in str(caught.value) or path.name in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_no_zip_or_was_cut_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for data in (b"no zip at all", bundle.read_bytes()[:-100]):
        path.write_bytes(data)
        assert "is not a whole bundle" in refused(path)


@pytest.mark.parametrize("place", range(5))
def test_a_flipped_byte_anywhere_is_refused(bundle: Path, tmp_path: Path, place: int) -> None:
    data = bytearray(bundle.read_bytes())
    with zipfile.ZipFile(bundle) as archive:
        info = archive.infolist()[2 * place]
        # Within the compressed bytes of a member, past its local header.
        at = info.header_offset + 30 + len(info.filename) + 20 + info.compress_size // 2
    data[at] ^= 0x10
    path = tmp_path / "flipped.zip"
    path.write_bytes(data)
    refused(path)


@pytest.mark.parametrize(
    "name",
    ["../evil.tflite", "/etc/passwd", "sub/int8.tflite", "int8.tflite/", "model.keras", "run.py", "INT8.tflite", "C:\\x"],
)
def test_any_other_name_is_refused_before_anything_is_written(bundle: Path, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "evil.zip", {**read(bundle), name: b"x"})
    assert "that no bundle holds" in refused(path)
    assert not (tmp_path.parent / "evil.tflite").exists()


def test_a_name_that_is_there_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "twice.zip", read(bundle))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("int8.tflite", b"another")
    assert "'int8.tflite' that no bundle holds" in refused(path)


def test_more_files_than_a_bundle_has_are_refused(bundle: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "many.zip", {**read(bundle), **{f"{number}": b"" for number in range(1000)}})
    assert "more than any bundle" in refused(path)


def test_a_member_larger_than_its_limit_is_refused_by_what_it_says(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_LIMITS, "int8.tflite", 1000)
    assert "int8.tflite claims" in refused(bundle)


def test_a_member_that_lies_about_its_size_is_stopped_at_its_limit(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {**read(bundle), "int8.tflite": bytes(5_000_000)}
    path = write(tmp_path / "bomb.zip", members)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        claimed = archive.getinfo("int8.tflite").file_size
    # Both headers, the local one and the directory's, declare less than is unpacked.
    path.write_bytes(data.replace(claimed.to_bytes(4, "little"), (900).to_bytes(4, "little")))
    monkeypatch.setitem(_LIMITS, "int8.tflite", 1000)
    refused(path)


@pytest.mark.parametrize("name", [INDEX_NAME, "manifest.json"])
def test_without_index_or_manifest_it_is_no_bundle(bundle: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "part.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in read(bundle).items():
            if member != name:
                archive.writestr(member, data)
    assert f"has no {name}, " in refused(path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("int8.tflite", lambda data: data[:-1] + b"!", "int8.tflite is not the file that bundle.json lists"),
        # It stays packed.
        ("y_test.npy", lambda data: data[:-8] + (1).to_bytes(8, "little"), "y_test.npy is not the file that bundle.json lists"),
        ("reference.npy", None, "files listed in its bundle.json"),
    ],
)
def test_a_member_that_is_not_the_one_listed_or_missing_is_refused(
    name: str, change: Callable[[bytes], bytes] | None, said: str, bundle: Path, tmp_path: Path
) -> None:
    members = read(bundle)
    index, data = json.loads(members[INDEX_NAME]), members.pop(name)
    if change:
        members[name] = change(data)
        assert members[name] != data
    assert said in refused(write(tmp_path / "other.zip", members, index))


@pytest.mark.parametrize("name", ["x_test.npy", "golden.int8.tflite.npy", "float32.onnx", "reference.npy"])
def test_a_missing_member_is_refused_even_if_the_index_agrees(bundle: Path, tmp_path: Path, name: str) -> None:
    members = {member: data for member, data in read(bundle).items() if member != name}
    assert "manifest.json belongs to other files" in refused(write(tmp_path / "less.zip", members))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda index: index.update(schema=9), "has schema 9"),
        (lambda index: index.update(extra=1), "extra is unknown"),
        (lambda index: index.pop("machine"), "machine is missing"),
        (lambda index: index.update(members=[]), "members must be"),
    ],
)
def test_an_index_of_another_layout_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], part: str
) -> None:
    assert part in refused(with_index(bundle, tmp_path, change))


def test_an_encrypted_member_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "locked.zip", read(bundle))
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    assert "encrypted" in refused(path)


def test_a_limit_that_forbids_to_unpack_is_named(bundle: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        assert "ulimit -f" in refused(bundle, ConfigError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_good_bundle_is_a_folder_of_its_name_that_is_gone_afterwards(bundle: Path) -> None:
    with ModelFolder(bundle) as opened:
        folder = opened.path
        assert folder.name == "bars.zip"
        assert {path.name for path in folder.iterdir()} == {
            "bundle.json", "manifest.json", "reference.npy", "int8.tflite", "float32.onnx",
            "golden.images.npy", "golden.int8.tflite.npy", "golden.float32.onnx.npy",
        }  # fmt: skip
        models = [artifact.path for artifact in Manifest.load(folder).artifacts if artifact.format != "keras"]
        assert models == ["int8.tflite", "float32.onnx"]
        assert read_index(folder).golden_runtimes["float32.onnx"].startswith("onnxruntime ")
    assert not folder.exists()


def test_a_bundle_is_found_in_a_path_to_it_or_to_a_file_of_it(bundle: Path, tmp_path: Path) -> None:
    assert bundle_of(bundle) == bundle
    assert bundle_of(bundle / "int8.tflite") == bundle
    assert bundle_of(tmp_path / "none.zip") is None
    assert bundle_of(bundle.parent) is None
    (tmp_path / "folder.zip").mkdir()
    assert bundle_of(tmp_path / "folder.zip" / "int8.tflite") is None


def test_a_member_is_written_as_the_same_bytes_whatever_the_source_file_says(tmp_path: Path) -> None:
    written = []
    for mode, time in ((0o600, 1e9), (0o755, 1.1e9)):
        source = tmp_path / f"{mode}"
        source.write_bytes(b"TFL3" * 1000)
        source.chmod(mode)
        os.utime(source, (time, time))
        path = tmp_path / f"{mode}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            member = write_member(archive, "int8.tflite", source)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert asdict(member) == {"size_bytes": 4000, "sha256": hashlib.sha256(b"TFL3" * 1000).hexdigest()}


def test_a_name_that_no_bundle_has_is_our_mistake(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, pytest.raises(ValueError, match="name and size"):
        write_member(archive, "model.keras", source)


@pytest.mark.parametrize("name", ["x_test.npy", "y_test.npy"])
def test_images_or_labels_other_than_the_manifests_are_refused_though_the_index_fits_them(
    name: str, bundle: Path, tmp_path: Path
) -> None:
    members = read(bundle)
    data = bytearray(members[name])
    data[-8] ^= 1
    path = write(tmp_path / "others.zip", {**members, name: bytes(data)})
    assert "test images than its manifest.json" in refused(path)


def test_a_bundle_of_an_earlier_release_without_the_answers_to_expect_is_read(bundle: Path, tmp_path: Path) -> None:
    with ModelFolder(bundle) as opened:
        assert [item.file for item in read_index(opened.folder).expected] == list(opened.names)
    with ModelFolder(with_index(bundle, tmp_path, lambda index: index.pop("expected"))) as opened:
        assert read_index(opened.folder).expected == ()


WRONG: dict[str, Callable[[dict[str, Any]], None]] = {
    "a file is missing": lambda index: index["expected"].pop(),
    "a file is there twice": lambda index: index["expected"].append(index["expected"][0]),
    "other classes": lambda index: index["expected"][0]["classes"].append(0),
    "no images": lambda index: index["expected"][0].update(classes=[0, 0, 0], confidences=[0] * 10),
    "negative": lambda index: index["expected"][0].update(classes=[21, -1, 0]),
    "other sums": lambda index: index["expected"][0].update(classes=[10, 0, 0]),
    "other bins": lambda index: index["expected"][0].update(confidences=[20]),
    "no numbers": lambda index: index["expected"][0].update(classes=["a", "b", "c"]),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_answers_to_expect_that_no_test_images_give_are_refused(
    bundle: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    assert INDEX_NAME in refused(with_index(bundle, tmp_path, change))

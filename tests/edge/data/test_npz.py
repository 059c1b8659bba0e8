"""Arrays in an .npz file: stored or compressed, and how each error is reported."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.data.npz import load_npz
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ArtifactError

RNG = np.random.default_rng(0)
SHAPE = (7, 6)
ARRAYS: dict[str, NDArray[Any]] = {
    "x_train": RNG.integers(0, 256, (40, *SHAPE, 3)).astype(np.uint8),
    "y_train": (np.arange(40) % 3).astype(np.uint8),
    "x_test": RNG.integers(0, 256, (20, *SHAPE, 3)).astype(np.uint8),
    "y_test": (np.arange(20) % 3).astype(np.int32)[:, np.newaxis],
}

SAVERS = pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
Save = Callable[..., None]


def saved(path: Path, save: Save = np.savez, **changes: Any) -> Path:
    save(path, **{name: array for name, array in {**ARRAYS, **changes}.items() if array is not None})
    return path


@SAVERS
def test_both_parts_are_what_was_saved(save: Save, tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz", save)
    for part in ("train", "test"):
        split = load_npz(path, part)
        images, labels = ARRAYS[f"x_{part}"], ARRAYS[f"y_{part}"].reshape(-1).astype(np.int64)
        np.testing.assert_array_equal(split.images(range(len(images))), images)
        assert (split.shape, split.labels.tolist()) == ((*SHAPE, 3), labels.tolist())
        assert split.sha256 == ArraySplit(images, labels).sha256


@SAVERS
@pytest.mark.parametrize("shape", [(20, 7, 6), (20, 7, 6, 1)])
def test_grey_images_may_leave_their_one_channel_out(save: Save, shape: tuple[int, ...], tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, shape).astype(np.uint8)
    split = load_npz(saved(tmp_path / "set.npz", save, x_test=grey), "test")
    np.testing.assert_array_equal(split.images([19, 3])[..., 0], grey.reshape(20, 7, 6)[[19, 3]])


def test_stored_arrays_are_read_where_they_lie_and_packed_ones_need_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    assert len(load_npz(saved(tmp_path / "stored.npz"), "test").images(range(20))) == 20
    with pytest.raises(Exception, match=r"packed\.npz can't be unpacked.*TMPDIR"):
        load_npz(saved(tmp_path / "packed.npz", np.savez_compressed), "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": None}, r"has no x_test, only x_train, y_test, y_train: save it with the names x_train, y_train, x_test"),
        ({"y_test": None}, "has no y_test"),
        ({"x_test": ARRAYS["x_test"] / 255}, r"x_test is float64, but images are uint8 from 0 to 255"),
        ({"x_test": ARRAYS["x_test"].astype(np.int64)}, "x_test is int64, but images are uint8"),
        ({"x_test": np.array([{}] * 20)}, "x_test holds Python objects, which are never unpickled"),
        ({"y_test": np.array([{}] * 20)}, "y_test holds Python objects, which are never unpickled"),
        ({"y_test": np.arange(20.0)}, "y_test is float64, but labels are whole numbers"),
        ({"y_test": np.full(20, "cat")}, "y_test is <U3, but labels are whole numbers"),
        ({"y_test": np.eye(20, dtype=np.uint8)}, r"y_test has shape \(20, 20\): give \(n,\) or \(n, 1\)"),
        ({"y_test": np.int64(3)}, r"y_test has shape \(\)"),
        ({"y_test": np.arange(20) - 1}, "y_test has the label -1: give class numbers from 0"),
        ({"y_test": np.arange(19)}, "y_test has 19 labels for the 20 images of x_test"),
        ({"x_test": np.zeros((20, 5), np.uint8)}, r"x_test has shape \(20, 5\): give \(n, height, width\)"),
        ({"x_test": np.zeros((20, 3, 8, 8), np.uint8)}, r"x_test has shape \(20, 3, 8, 8\)"),
        ({"x_test": np.zeros((0, 8, 8), np.uint8), "y_test": np.zeros(0, int)}, r"x_test has shape \(0, 8, 8, 1\)"),
        ({"x_test": np.asfortranarray(ARRAYS["x_test"])}, "x_test is in Fortran order: save numpy.ascontiguousarray"),
        ({"x_test": np.zeros(20, [("ä", np.uint8)])}, "x_test is"),
    ],
)
@SAVERS
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_an_array_that_is_no_image_set_is_named_with_what_to_do(
    save: Save, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "set.npz", save, **change)
    with pytest.raises(ArtifactError, match=rf"set\.npz:? {message}"):
        load_npz(path, "test")


def test_the_training_part_is_not_looked_at_for_the_test(tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz", x_train=None, y_train=None)
    assert len(load_npz(path, "test").labels) == 20


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@SAVERS
def test_a_damaged_byte_of_the_pixels_is_seen(save: Save, place: float, tmp_path: Path) -> None:
    # More than zipfile reads ahead, so that the checksum is not compared accidentally.
    path = saved(tmp_path / "set.npz", save, x_test=RNG.integers(0, 256, (20, 40, 40)).astype(np.uint8))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("x_test.npy")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 200 + int((info.compress_size - 200) * place)] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"set\.npz is not a whole \.npz file \(.*\): save or copy it again"):
        load_npz(path, "test")


@pytest.mark.parametrize("cut", [0, 10, 1000, -10])
def test_a_file_that_was_cut_off_is_said(cut: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ArtifactError, match=r"set\.npz is not a whole"):
        load_npz(path, "test")


def test_an_array_with_too_few_bytes_for_its_shape_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "set.npz")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["x_test.npy"] = members["x_test.npy"][:-1]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ArtifactError, match=r"x_test.*\d+ bytes.*\(20, 7, 6, 3\)"):
        load_npz(path, "test")

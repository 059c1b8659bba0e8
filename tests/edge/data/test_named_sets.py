"""The shipped MNIST, unaltered. Datasets loaded by Keras: tests/convert/data/test_as_keras_does.py."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

import edgecnn.edge.data.named_sets
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.data.named_sets import load_shipped
from edgecnn.edge.data.splits import PARTS, ArraySplit, Part
from edgecnn.edge.errors import ArtifactError


def test_an_altered_shipped_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = Path(edgecnn.edge.data.named_sets.__file__).parent / "mnist"
    copy = Path(shutil.copytree(shipped, tmp_path / "mnist"))
    labels = gzip.decompress((copy / "t10k-labels-idx1-ubyte.gz").read_bytes())
    # A valid IDX file with one changed label: only the hash reveals it.
    (copy / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels[:-1] + b"\0"))
    monkeypatch.setattr(edgecnn.edge.data.named_sets, "_FOLDER", copy)
    with pytest.raises(ArtifactError, match=r"t10k-labels-idx1-ubyte\.gz was altered"):
        load_test(None)
    assert len(load_shipped("train").labels) == 60_000


def test_a_negative_index_is_refused_since_the_last_image_may_not_be_unpacked() -> None:
    with pytest.raises(IndexError, match="-1"):
        load_shipped("test").images([-1])


def test_images_are_the_same_however_far_the_shipped_file_was_unpacked() -> None:
    whole = load_shipped("test")
    images = whole.images(range(10_000))
    split = load_shipped("test")
    assert split.images([]).shape == (0, *split.shape)
    for indices in ([47], [3, 2], [9_999, 0], [5_000]):
        np.testing.assert_array_equal(split.images(indices), images[indices])


@pytest.mark.parametrize("part", PARTS)
def test_the_recorded_hash_is_of_the_shipped_pixels_and_labels(part: Part) -> None:
    split = load_shipped(part)
    assert split.sha256 == ArraySplit(split.images(range(len(split.labels))), split.labels).sha256


def test_images_are_right_after_ctrl_c_came_while_they_were_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    split = load_shipped("test")
    readinto = split._stream.readinto

    def cut(place: memoryview) -> int:
        readinto(place[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(split._stream, "readinto", cut)
    with pytest.raises(KeyboardInterrupt):
        split.images([47])
    monkeypatch.undo()
    np.testing.assert_array_equal(split.images([47]), load_shipped("test").images([47]))

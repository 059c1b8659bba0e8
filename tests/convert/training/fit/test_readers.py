"""Batches are started before they are asked for, image files in processes and from memory, and errors stay one line."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgecnn.convert.training.fit import readers
from edgecnn.convert.training.fit.readers import Batch, BatchReader, CachedImages, open_readers
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.splits import FileSplit, Indices
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.model.preprocess import Images
from tests.convert.training.fit.photos import numbered, split_of

COUNT = 20


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """30 training and 5 validation images."""
    train, val = split_of(tmp_path / "train", 30), split_of(tmp_path / "val", 5, seed=1)
    return Dataset("photos", str(tmp_path), ("a", "b"), train, val, val=val)


@pytest.fixture
def always_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, however few images there are."""
    monkeypatch.setattr(readers, "_FEWEST_IMAGES", 1)
    monkeypatch.setattr(readers, "usable_cores", lambda: 2)


def images_of(index: int, images: Images) -> Batch:
    return images, index


def pairs(index: int) -> Indices:
    return [2 * index, 2 * index + 1]


def test_the_next_two_batches_are_started_with_each_one_that_is_asked_for_and_each_once() -> None:
    started: list[list[int]] = []

    def start(indices: Indices) -> Callable[[], Images]:
        started.append(list(indices))
        return lambda: numbered(20)[np.asarray(indices)]

    with ThreadPoolExecutor(1) as thread:
        reader = BatchReader(start, thread, [])
        for index, (images, number) in enumerate(reader.batches(5, pairs, images_of)):
            assert (number, images.tolist()) == (index, numbered(20)[pairs(index)].tolist())
            assert started == [pairs(number) for number in range(min(index + 3, 5))]
        assert number == 4
        # Another order, after an epoch that was given up.
        next(reader.batches(5, pairs, images_of))
        ((images, _),) = reader.batches(1, lambda index: [9 - index], images_of)
        assert np.array_equal(images, numbered(20)[[9]])


@pytest.mark.usefixtures("always_in_processes")
def test_files_are_decoded_in_processes_once_and_kept(dataset: Dataset) -> None:
    said: list[str] = []
    with open_readers(dataset, said.append) as found:
        assert found.val
        assert dataset.val
        assert isinstance(dataset.train, FileSplit)
        expected = dataset.train.images(range(30))
        for _ in range(2):
            images = np.concatenate([images for images, _ in found.train.batches(15, pairs, images_of)])
            assert np.array_equal(images, expected)
            for path in dataset.train.folder.iterdir():  # What is kept needs no file.
                path.unlink()
        assert np.array_equal(next(found.val.batches(1, pairs, images_of))[0], dataset.val.images([0, 1]))
    assert said == ["Image files are decoded in 2 processes, and 35 of 35 images are then kept in memory (0 MiB)"]


def test_a_small_set_is_decoded_here_and_what_has_no_room_again(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 20 * 24 * 3
    monkeypatch.setattr(readers, "free_bytes", lambda: 4 * 7 * size)
    monkeypatch.setattr(readers, "DecoderProcesses", None)
    said: list[str] = []
    with open_readers(dataset, said.append) as found:
        assert np.array_equal(next(found.train.batches(15, pairs, images_of))[0], dataset.train.images([0, 1]))
    # 7 images: 6 of 30 and 1 of 5.
    assert [all(part in text for part in ("in this process", " 7 of 35 images", "(0 MiB)")) for text in said] == [True]


def test_arrays_are_read_as_they_are(idx_folder: Path) -> None:
    said: list[str] = []
    dataset = load_dataset(idx_folder)
    with open_readers(dataset, said.append) as found:
        assert found.val is None
        *_, (images, _) = found.train.batches(4, pairs, images_of)
        assert np.array_equal(images, dataset.train.images([6, 7]))
    assert said == []


@pytest.mark.usefixtures("always_in_processes")
def test_an_error_that_tensorflow_made_its_own_is_the_picture_s_again(dataset: Dataset) -> None:
    assert isinstance(dataset.train, FileSplit)
    (dataset.train.folder / "3.jpg").write_text("no picture")

    def fit(reader: BatchReader) -> None:
        try:
            list(reader.batches(15, pairs, images_of))
        except ArtifactError as error:
            raise RuntimeError(f"UnknownError: {error} Traceback ...") from None

    with pytest.raises(ArtifactError, match=r"3\.jpg is not an image"), open_readers(dataset, print) as found:
        fit(found.train)
    with pytest.raises(RuntimeError, match="another"), open_readers(dataset, print):
        raise RuntimeError("another")


class Source:
    """Images of their number, and which of them were read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def start(self, indices: Indices) -> Callable[[], Images]:
        self.read += [int(index) for index in indices]
        return lambda: numbered(COUNT)[np.asarray(indices)]


def epoch(cache: CachedImages, seed: int) -> None:
    """Read all images in batches of 6, each started before the last one was taken."""
    order = np.random.default_rng(seed).permutation(COUNT)
    batches = [order[first : first + 6] for first in range(0, COUNT, 6)]
    started = [cache.start(batch) for batch in batches]
    for batch, images in zip(batches, started, strict=True):
        assert np.array_equal(images(), numbered(COUNT)[batch])


@pytest.mark.parametrize(("room", "again"), [(0, 20), (7, 13), (20, 0), (1000, 0)])
def test_later_epochs_decode_only_what_has_no_room(room: int, again: int) -> None:
    source = Source()
    cache = CachedImages(source.start, COUNT, (2, 2, 1), room)
    assert cache.room == min(room, COUNT)
    epoch(cache, 0)
    assert sorted(source.read) == list(range(COUNT))
    for seed in (1, 2):
        source.read.clear()
        epoch(cache, seed)
        assert len(source.read) == again
    assert cache._kept.nbytes == 4 * cache.room


def test_a_batch_that_is_read_twice_at_a_time_takes_its_room_once() -> None:
    source = Source()
    cache = CachedImages(source.start, COUNT, (2, 2, 1), 6)
    first, second = cache.start([1, 2, 3]), cache.start([3, 2, 1])
    assert np.array_equal(first(), numbered(COUNT)[[1, 2, 3]])
    assert np.array_equal(second(), numbered(COUNT)[[3, 2, 1]])
    cache.start([4, 5, 6])()
    source.read.clear()
    assert np.array_equal(cache.start([6, 1, 5, 2, 4, 3])(), numbered(COUNT)[[6, 1, 5, 2, 4, 3]])
    assert source.read == []


def test_what_comes_out_may_be_changed() -> None:
    cache = CachedImages(Source().start, COUNT, (2, 2, 1), COUNT)
    for _ in range(2):
        images = cache.start([1, 2])()
        images[:] = 0
    assert np.array_equal(cache.start([1, 2])(), numbered(COUNT)[[1, 2]])

"""Decoded images in memory: each is decoded once while there is room, and the right ones come out."""

from collections.abc import Callable

import numpy as np
import pytest

from edgecnn.convert.training.reading.readers import CachedImages
from edgecnn.edge.data.splits import Indices
from edgecnn.edge.model.preprocess import Images
from tests.convert.training.reading.photos import numbered

COUNT = 20


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

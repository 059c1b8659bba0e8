"""Reads the images of batches ahead of the training step: decoded in other processes, and kept in memory while they fit.

In one process, Python's lock would leave most of the decoding to one core.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.training.fit.process import free_bytes, usable_cores
from edgecnn.convert.training.records import DecoderLost
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import FileSplit, Indices, Shape, Split
from edgecnn.edge.errors import EdgeCnnError, because
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.sandbox.child import Child, Lost

# Few enough that all processes share a batch, enough that a message costs little beside decoding: a photo takes 1 to 3 ms.
_IMAGES_AT_ONCE = 8
_STANDARD_ERROR = 2


class DecoderProcesses:
    """Child processes that decode images by their split's own code, so that every pixel is the same.

    They end with this object's `close`, and with the thread that made it, whatever ends that. Ctrl-C does not reach them. They
    are not those of `multiprocessing`, which would run a user's script again unless it guards its main part.
    """

    def __init__(self, count: int) -> None:
        """Start `count` processes. They import neither TensorFlow nor Keras: 0.2 s and 40 MB each.

        Raises:
            EdgeCnnError: If none can be started.
        """
        self._children: list[Child] = []
        self._free: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(count, "decoding")
        try:
            for _ in range(count):
                child = Child(output=_STANDARD_ERROR)
                self._children.append(child)
                self._free.put(child)
        except OSError as error:
            self.close()
            raise EdgeCnnError(
                f"no process to decode images can be started {because(error, 'end some other processes')}"
            ) from error

    def start(self, split: FileSplit, indices: Indices) -> Callable[[], Images]:
        """Start to decode images, and return a function that waits for them: uint8 (n, h, w, c), in the order of `indices`.

        The function raises what `Split.images` does, and DecoderLost if a process was killed.
        """
        images = np.empty((len(indices), *split.shape), np.uint8)
        started = []
        for first in range(0, len(indices), _IMAGES_AT_ONCE):
            part = slice(first, first + _IMAGES_AT_ONCE)
            # A process gets a split of these images alone, so that it need not know all of them.
            names = tuple(split.names[index] for index in indices[part])
            wanted = replace(split, names=names, labels=np.zeros(len(names), np.int64))
            started.append(self._threads.submit(self._decode, wanted, images[part]))
        return partial(_finished, started, images)

    def close(self) -> None:
        """End the processes at once, and what waits for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.kill()
        self._threads.shutdown()
        for child in self._children:
            child.end()

    def _decode(self, split: FileSplit, images: Images) -> None:
        """Fill `images` in one of the processes; there are as many threads as processes, so that one is free."""
        child = self._free.get()
        try:
            images[:] = child.call(partial(split.images, range(len(images))))
        except Lost as lost:
            raise DecoderLost(lost.how) from lost
        finally:
            self._free.put(child)


def _finished(started: Sequence[Future[None]], images: Images) -> Images:
    for part in started:
        part.result()
    return images


# Starts to read the images at some positions, and returns a function that waits for them: uint8 (n, h, w, c).
Start = Callable[[Indices], Callable[[], Images]]


class CachedImages:
    """Images of a split, each decoded once if there is room. One thread may start what another one finishes.

    Those that come first stay. In an order that is drawn again in each epoch no other choice finds more of them.

    Attributes:
        room: Largest number of images that are kept.
    """

    def __init__(self, start: Start, count: int, shape: Shape, room: int) -> None:
        """Keep at most `room` of `count` images of `shape` that `start` reads."""
        self.room = min(count, room)
        self._start = start
        # The kernel gives a page of it memory when something is written there.
        self._kept = np.empty((self.room, *shape), np.uint8)
        self._rows = np.full(count, -1)
        self._used = 0

    def start(self, indices: Indices) -> Callable[[], Images]:
        """Start to decode the images that are not kept, and return a function that waits for all: see `Start`."""
        chosen = np.asarray(indices, np.int64)
        rows = self._rows[chosen]
        missing = np.flatnonzero(rows < 0)
        decoded = self._start(chosen[missing]) if missing.size else None
        return partial(self._finished, chosen, rows, missing, decoded)

    def _finished(
        self,
        chosen: NDArray[np.int64],
        rows: NDArray[np.int64],
        missing: NDArray[np.int64],
        decoded: Callable[[], Images] | None,
    ) -> Images:
        if decoded is None:
            return self._kept[rows]
        fresh = decoded()
        self._keep(chosen[missing], fresh)
        if len(missing) == len(chosen):
            return fresh
        images = self._kept[rows]
        images[missing] = fresh
        return images

    def _keep(self, numbers: NDArray[np.int64], images: Images) -> None:
        # Keras reads the first batches twice.
        new = np.flatnonzero(self._rows[numbers] < 0)[: self.room - self._used]
        rows = np.arange(self._used, self._used + len(new))
        self._kept[rows] = images[new]
        self._rows[numbers[new]] = rows
        self._used += len(new)


Batch = tuple[Any, ...]

# Number of batches that are prepared while one is trained on.
_AHEAD = 2
# The rest is for the step's feature maps, and for the kernel, which keeps the files; a second training may be on this machine.
_SHARE_OF_MEMORY = 0.25
# To decode fewer takes less time than to start processes.
_FEWEST_IMAGES = 500
# On one core a process would only take its time from the step.
_LEAST_CORES = 2
# They decode several thousand photos a second, more than a CPU can train on.
_MOST_PROCESSES = 16


class BatchReader:
    """The batches of an epoch; while one is trained on, the next ones are decoded, varied and converted.

    TensorFlow's own prefetching does nothing here: it is removed where kernels are deterministic.
    """

    def __init__(self, start: Start, thread: ThreadPoolExecutor, failures: list[Exception]) -> None:
        """Read by `start`, prepare in `thread`, and note in `failures` what goes wrong."""
        self._start, self._thread, self._failures = start, thread, failures

    def batches(
        self, count: int, chosen: Callable[[int], Indices], prepared: Callable[[int, Images], Batch]
    ) -> Iterator[Batch]:
        """Yield the batches of an epoch as Keras takes them.

        Args:
            count: Number of batches in an epoch.
            chosen: Gives the positions of the images of a batch.
            prepared: Makes a batch of its number, from 0, and its images, uint8 (n, h, w, c); called for one at a time, in
                their order.

        Raises:
            ArtifactError: If an image can't be read; the message names it.
        """

        def made(number: int, images: Callable[[], Images]) -> Batch:
            return prepared(number, images())

        started: deque[Future[Batch]] = deque()
        try:
            for number in range(count + _AHEAD):
                if number < count:
                    started.append(self._thread.submit(made, number, self._start(chosen(number))))
                if number >= _AHEAD:
                    yield started.popleft().result()
        except Exception as error:
            self._failures.append(error)
            raise


@dataclass(frozen=True)
class Readers:
    """Readers of the training images and of the validation images, if there are any."""

    train: BatchReader
    val: BatchReader | None


@contextmanager
def open_readers(dataset: Dataset, on_text: Callable[[str], None]) -> Iterator[Readers]:
    """Give readers for the block, which prepare batches in a thread of their own.

    Image files are decoded in processes of their own, and kept in memory while there is room: `on_text` receives a line about
    both. Arrays and rows of a file are read as they are: the kernel keeps files in memory, and nothing has to be decoded.

    Raises:
        ArtifactError: If an image can't be read; TensorFlow's own error about it is replaced.
        EdgeCnnError: If a process can't be started, or was killed.
    """
    splits: list[Split] = [dataset.train, *([dataset.val] if dataset.val else [])]
    files = [split for split in splits if isinstance(split, FileSplit)]
    failures: list[Exception] = []
    with ExitStack() as stack:
        # One thread: a teacher's runtime must not be called by two. It ends after the processes that it waits for.
        thread = ThreadPoolExecutor(1, "preparing")
        stack.callback(thread.shutdown, cancel_futures=True)
        starts: list[Start] = [partial(_read_later, split) for split in splits]
        if len(files) == len(splits):
            starts = _of_files(files, stack, on_text)
        train, *val = (BatchReader(start, thread, failures) for start in starts)
        try:
            yield Readers(train, val[0] if val else None)
        except Exception as error:
            # TensorFlow reads in a thread of its own, and makes an error there one of its own, of many lines.
            if failures and not isinstance(error, EdgeCnnError):
                raise failures[0] from error
            raise


def _read_later(split: Split, indices: Indices) -> Callable[[], Images]:
    return partial(split.images, indices)


def _of_files(splits: list[FileSplit], stack: ExitStack, on_text: Callable[[str], None]) -> list[Start]:
    count = sum(len(split.names) for split in splits)
    cores = min(usable_cores(), _MOST_PROCESSES)
    where, starts = "in this process", [partial(_read_later, split) for split in splits]
    if cores >= _LEAST_CORES and count >= _FEWEST_IMAGES:
        processes = DecoderProcesses(cores)
        stack.callback(processes.close)
        where, starts = f"in {cores} processes", [partial(processes.start, split) for split in splits]
    size = int(np.prod(splits[0].shape))
    room = int(free_bytes() * _SHARE_OF_MEMORY) // size
    # Each part has its share of the room.
    cached = [
        CachedImages(start, len(split.names), split.shape, room * len(split.names) // count)
        for start, split in zip(starts, splits, strict=True)
    ]
    kept = sum(images.room for images in cached)
    on_text(
        f"Image files are decoded {where}, and {kept:,} of {count:,} images are then kept in memory "
        f"({kept * size / 2**20:,.0f} MiB)"
    )
    return [images.start for images in cached]

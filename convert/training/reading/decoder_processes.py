"""Decodes image files in other processes, as many as cores and memory allow: in one, Python's lock leaves most to one core."""

import os
import queue
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from edgecnn.edge.data.splits import FileSplit, Indices
from edgecnn.edge.errors import EdgeCnnError, because, field
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.sandbox.child import Child, Lost

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT) -> int:
    """Return the number of cores that this process may use at a time: its affinity, less if its groups have a quota.

    Args:
        root: Where /proc and /sys are.
    """
    cores = len(os.sched_getaffinity(0))
    for group in _groups(root):
        quota, _, period = _text(group / "cpu.max").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def free_bytes(root: Path = _ROOT) -> int:
    """Return the bytes of memory that the kernel calls available, at most the limit of this process's groups; 0 if unknown.

    Args:
        root: As in `usable_cores`.
    """
    found = re.search(r"^MemAvailable: +(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    limits = [int(text) for group in _groups(root) if (text := _text(group / "memory.max").strip()).isdecimal()]
    return min([int(found[1]) * 1024, *limits]) if found else 0


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups of version 2, from its own up to the root.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html. A container usually sees only its own group, at the root.
    """
    path = _text(root / "proc/self/cgroup").rpartition("0::")[2].strip()
    # Outside its namespace a group's path begins with "..".
    group = PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
    yield from (root / "sys/fs/cgroup" / part for part in (group, *group.parents))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


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

        The function raises what `Split.images` does, and EdgeCnnError if a process was killed.

        Args:
            split: The split.
            indices: Positions in it.
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
            fix = f"free some memory if it ran out, then continue with {field('resume')}"
            raise EdgeCnnError(f"a process that decodes images {lost.how}: {fix}") from lost
        finally:
            self._free.put(child)


def _finished(started: Sequence[Future[None]], images: Images) -> Images:
    for part in started:
        part.result()
    return images

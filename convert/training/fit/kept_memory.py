"""Keeps the memory that a training step frees for the next step.

TensorFlow frees each feature map as soon as it is used up, and glibc gives large blocks back to the kernel at once. The next
step gets them again page by page, each filled with zeros by the kernel, which can take as long as the step's arithmetic:
docs/explanation/training.md.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# glibc's malloc.h, and its defaults (man 3 mallopt).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65_536}
_KEEPING = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process keep what it frees during the block, and give it back at the end; nothing changes without glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    for setting, value in _KEEPING.items():
        library.mallopt(setting, value)
    try:
        yield
    finally:
        for setting, value in _DEFAULTS.items():
            library.mallopt(setting, value)
        library.malloc_trim(0)

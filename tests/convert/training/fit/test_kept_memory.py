"""Memory that a training step frees stays with the process while it trains, and no longer."""

import resource

import numpy as np
import pytest

from edgecnn.convert.training.fit.kept_memory import freed_memory_kept

BLOCKS, MIB = 64, 1  # numpy asks for huge pages from 4 MiB.
PAGES = BLOCKS * MIB * 2**20 // resource.getpagesize()


def faults() -> int:
    """Allocate, fill and free blocks of a feature map's size; return how many pages the kernel had to give."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.full(MIB * 2**20, number, np.uint8) for number in range(BLOCKS)]
    blocks.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_the_same_pages_are_used_again() -> None:
    with freed_memory_kept():
        faults()
        assert faults() < PAGES / 10
    faults()
    assert faults() > PAGES / 2


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted()
    faults()
    assert faults() > PAGES / 2


def _interrupted() -> None:
    with freed_memory_kept():
        faults()
        raise KeyboardInterrupt

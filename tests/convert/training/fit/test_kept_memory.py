"""Memory that a training step frees stays with the process while it trains, and no longer."""

import subprocess
import sys

import pytest

# In a process of its own: what a process freed before decides where glibc takes blocks from.
CODE = """
import resource
from contextlib import suppress
import numpy as np
from edgecnn.convert.training.fit.callbacks import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.full(2**20, number, np.uint8) for number in range(64)]
    blocks.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = 0
with suppress(KeyboardInterrupt), freed_memory_kept():
    faults()
    kept = faults()
    END
faults()
print(kept, faults(), 64 * 2**20 // resource.getpagesize())
"""


@pytest.mark.parametrize("end", ["pass", "raise KeyboardInterrupt"])
def test_the_same_pages_are_used_again_until_the_block_ends(end: str) -> None:
    """Counted as page faults: pages of 64 blocks that the kernel had to give."""
    done = subprocess.run([sys.executable, "-c", CODE.replace("END", end)], capture_output=True, text=True, check=True)
    kept, later, pages = map(int, done.stdout.split())
    assert kept < pages / 10
    assert later > pages / 2

"""Raw times, packed and unpacked."""

import base64
import struct
import zlib

import numpy as np
import pytest

from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.errors import ArtifactError


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "no base64!"),
        (1, "µ"),
        (1, packed(struct.pack("<q", 5))[:4] + "!" + packed(struct.pack("<q", 5))[4:]),
        (1, base64.b64encode(b"not compressed").decode()),
        (1, base64.b64encode(zlib.compress(struct.pack("<q", 5))[:-2]).decode()),
        (1, packed(struct.pack("<q", 5)[:-1])),
        (2, packed(struct.pack("<q", 5))),
        (1, packed(struct.pack("<qq", 5, 1))),
        (0, packed(struct.pack("<q", 5))),
        (2, packed(struct.pack("<qq", 5, -6))),
    ],
    ids=[
        "alphabet",
        "not ASCII",
        "one letter",
        "no zlib",
        "cut off",
        "seven bytes",
        "too few",
        "too many",
        "not none",
        "negative",
    ],
)
def test_damaged_times_are_told_and_how_to_mend_them(count: int, text: str) -> None:
    with pytest.raises(ArtifactError, match=r"raw times.*damaged \(.+\): measure again"):
        Times(count, text).unpack()


@pytest.mark.parametrize(
    "times",
    [[], [0], [7], [5, 3, 10, 3, 3], [10**15, 1, 10**15], [2**62, 0]],
    ids=["none", "zero", "one", "down and up", "far apart", "huge"],
)
def test_times_come_back_exact_and_in_their_order(times: list[int]) -> None:
    kept = Times.pack(times)
    assert kept.count == len(times)
    assert kept.unpack().tolist() == times
    assert kept.unpack().dtype == np.int64
    assert Times.pack(np.array(times, np.int64)) == kept


def test_the_layout_is_what_its_docstring_says_and_a_zero_is_a_time() -> None:
    data = zlib.decompress(base64.b64decode(Times.pack([5, 3, 10]).packed))
    assert data == struct.pack("<qqq", 5, -2, 7)
    assert Times(2, packed(struct.pack("<qq", 5, -5))).unpack().tolist() == [5, 0]


def test_ten_thousand_times_take_a_quarter_of_their_bytes_at_most() -> None:
    times = np.random.default_rng(0).normal(50_000, 300, 10_000).astype(np.int64)
    kept = Times.pack(times)
    assert len(kept.packed) < times.nbytes / 2.5
    assert (kept.unpack() == times).all()

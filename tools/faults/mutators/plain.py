"""Alterations of bytes, whatever the bytes mean."""

from collections.abc import Callable

import numpy as np

Random = np.random.Generator
Mutator = Callable[[bytes, Random], bytes]

_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_MOST_FLIPS = 8


def flip_bits(data: bytes, rng: Random) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(data)
    for place in rng.integers(0, len(changed), rng.integers(1, _MOST_FLIPS + 1)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def set_bytes(data: bytes, rng: Random) -> bytes:
    """Overwrite up to eight bytes in a row with random ones."""
    start = int(rng.integers(0, len(data)))
    block = rng.bytes(int(rng.integers(1, 9)))
    return (data[:start] + block + data[start + len(block) :])[: max(len(data), 1)]


def set_word(data: bytes, rng: Random) -> bytes:
    """Set an aligned 32-bit word to a value at the edge of a range: sizes, offsets and indices are such words."""
    start = 4 * int(rng.integers(0, max(1, len(data) // 4)))
    value = int(rng.choice(_EXTREMES))
    word = value.to_bytes(4, "little" if rng.random() < 0.7 else "big")
    return data[:start] + word + data[start + 4 :]


def truncate(data: bytes, rng: Random) -> bytes:
    """Keep only the beginning."""
    return data[: int(rng.integers(0, len(data)))]


def insert(data: bytes, rng: Random) -> bytes:
    """Insert up to 64 bytes."""
    start = int(rng.integers(0, len(data) + 1))
    return data[:start] + rng.bytes(int(rng.integers(1, 65))) + data[start:]


def remove(data: bytes, rng: Random) -> bytes:
    """Remove up to 64 bytes."""
    start = int(rng.integers(0, len(data)))
    return data[:start] + data[start + int(rng.integers(1, 65)) :]


def repeat(data: bytes, rng: Random) -> bytes:
    """Repeat a stretch, as if a length were read twice."""
    start, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    return data[:end] + data[start:end] + data[end:]


def zero(data: bytes, rng: Random) -> bytes:
    """Zero a stretch, as after a power cut."""
    start = int(rng.integers(0, len(data)))
    end = min(len(data), start + int(rng.integers(1, 4097)))
    return data[:start] + bytes(end - start) + data[end:]


def splice_with(other: bytes) -> Mutator:
    """Return a mutator that joins the beginning of the file to the end of another."""

    def splice(data: bytes, rng: Random) -> bytes:
        return data[: int(rng.integers(0, len(data)))] + other[int(rng.integers(0, len(other))) :]

    return splice


BYTES: tuple[Mutator, ...] = (flip_bits, flip_bits, set_bytes, set_word, set_word, truncate, insert, remove, repeat, zero)


def altered(data: bytes, rng: Random, mutators: tuple[Mutator, ...], turn: int | None = None) -> tuple[bytes, str]:
    """Return altered data, and the name of the alteration.

    If a structured mutator happens to leave the bytes unchanged, bits are flipped: every tried file differs.

    Args:
        data: Content of the file.
        rng: Source of every choice.
        mutators: Alterations; one that appears twice is drawn twice as often.
        turn: Number of the try. The first tries take each mutator once, in order, so that a short run misses none.
    """
    mutator, each = mutators[int(rng.integers(len(mutators)))], list(dict.fromkeys(mutators))
    if turn is not None and turn < len(each):
        mutator = each[turn]
    changed = mutator(data, rng)
    name = getattr(mutator, "__name__", "mutator")
    if changed == data:
        changed, name = flip_bits(data, rng), f"{name}, then flip_bits"
    return changed, name

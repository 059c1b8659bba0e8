"""Damaged copies of a file, the same for the same seed: flipped bits, cut ends, moved and repeated pieces, odd numbers."""

import random
from collections.abc import Callable, Iterator

_ENDS = 4096  # Half of the damage goes to a file's headers at the beginning, or a zip file's directory at the end.
_ODD = (b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00")
_MARKS = b'\x00\x01\x7f\x80\xff"[{(,:'


def mutations(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield `count` damaged copies of the bytes."""
    rng = random.Random(seed)  # noqa: S311 - A repeatable draw, not a secret.

    def place() -> int:
        length, ends = len(data), min(len(data), _ENDS)
        return rng.choice((rng.randrange(length), rng.randrange(ends), length - 1 - rng.randrange(ends)))

    for _ in range(count):
        copy = bytearray(data)
        rng.choice((_flip, _mark, _cut, _splice, _remove, _number, _repeat))(copy, place, rng)
        yield bytes(copy)


def _flip(data: bytearray, place: Callable[[], int], rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 9)):
        data[place()] ^= 1 << rng.randrange(8)


def _mark(data: bytearray, place: Callable[[], int], rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 5)):
        data[place()] = rng.choice(_MARKS)


def _cut(data: bytearray, place: Callable[[], int], rng: random.Random) -> None:
    del data[place() :]


def _splice(data: bytearray, place: Callable[[], int], rng: random.Random) -> None:
    to, start, length = place(), place(), rng.randrange(1, 64)
    data[to : to + length] = data[start : start + length]


def _remove(data: bytearray, place: Callable[[], int], rng: random.Random) -> None:
    start = place()
    del data[start : start + rng.randrange(1, 64)]


def _number(data: bytearray, place: Callable[[], int], rng: random.Random) -> None:
    start = place() & ~3
    data[start : start + 4] = rng.choice((*_ODD, rng.randbytes(4)))


def _repeat(data: bytearray, place: Callable[[], int], rng: random.Random) -> None:
    to, start = place(), place()
    data[to:to] = data[start : start + rng.randrange(1, 200)] * rng.choice((1, 2, 50))

"""Reads the tables of a FlatBuffer, for the few fields of a .tflite file that are read without a runtime."""

import struct
from typing import NamedTuple


class ReadBudget:
    """Number of vector items that may still be read.

    Vectors may overlap, so a file of a few kilobytes can list more items than fit in any memory. In a converter's file no
    byte belongs to two vectors, in ours equal ones are one, and each is read once or twice here.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, count: int) -> None:
        """Count items before they are read; ValueError if the file is too small for them."""
        self.left -= count
        if self.left < 0:
            raise ValueError("it lists more than it has bytes for")


class Table(NamedTuple):
    """A FlatBuffer table. It points back to a table of offsets, through which its fields are found.

    Each method takes a field's number, its position in schema.fbs, and raises struct.error, IndexError or ValueError if
    the bytes are not such a table.

    Attributes:
        buffer: The whole file.
        at: Offset of the table in it.
        budget: Budget of the whole file.
    """

    buffer: bytes
    at: int
    budget: ReadBudget

    def field(self, number: int) -> int | None:
        """Return the offset of a field; None if the field has its default value."""
        (back,) = struct.unpack_from("<i", self.buffer, self.at)
        places = self.at - back
        if places < 0:
            raise ValueError("an offset points outside")
        size, place = _u16(self.buffer, places), 4 + 2 * number
        offset = _u16(self.buffer, places + place) if place < size else 0
        return self.at + offset if offset else None

    def i8(self, number: int) -> int:
        """Return a signed byte, or a bool as 0 or 1; 0 by default."""
        at = self.field(number)
        return 0 if at is None else int(struct.unpack_from("<b", self.buffer, at)[0])

    def i32(self, number: int, default: int) -> int:
        """Return a signed 32-bit number."""
        at = self.field(number)
        return default if at is None else int(struct.unpack_from("<i", self.buffer, at)[0])

    def u32(self, number: int, default: int) -> int:
        """Return an unsigned 32-bit number."""
        at = self.field(number)
        return default if at is None else u32(self.buffer, at)

    def table(self, number: int) -> "Table | None":
        """Return a table."""
        at = self.field(number)
        return None if at is None else Table(self.buffer, at + u32(self.buffer, at), self.budget)

    def vector(self, number: int) -> tuple[int, int]:
        """Return the offset of a vector's items, and their number."""
        at = self.field(number)
        if at is None:
            return 0, 0
        start = at + u32(self.buffer, at)
        count = u32(self.buffer, start)
        self.budget.spend(count)
        return start + 4, count

    def u32s(self, number: int) -> list[int]:
        """Return a vector of 32-bit numbers, read as unsigned."""
        start, count = self.vector(number)
        return list(struct.unpack_from(f"<{count}I", self.buffer, start))

    def tables(self, number: int) -> list["Table"]:
        """Return a vector of tables."""
        start, _ = self.vector(number)
        return [Table(self.buffer, start + 4 * i + offset, self.budget) for i, offset in enumerate(self.u32s(number))]

    def data(self, number: int) -> bytes:
        """Return a vector of bytes, or a text as its bytes."""
        start, count = self.vector(number)
        return self.buffer[start : start + count]


def root(data: bytes) -> Table:
    """Return the root table of a file; struct.error if it is too short."""
    return Table(data, u32(data, 0), ReadBudget(2 * len(data)))


def u32(buffer: bytes, at: int) -> int:
    """Return an unsigned 32-bit number."""
    return int(struct.unpack_from("<I", buffer, at)[0])


def _u16(buffer: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", buffer, at)[0])

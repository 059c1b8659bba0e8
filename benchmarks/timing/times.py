"""Raw times, packed small enough to keep them all."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, parsing

# More than an hour of a fast model; half a gigabyte unpacked.
_MOST = 2**26


@dataclass(frozen=True)
class Times:
    """Times in nanoseconds, in the order of measurement.

    Attributes:
        count: Number of times.
        packed: Base64 of zlib of little-endian int64: the first time, then the difference of each from the one before.
    """

    count: int
    packed: str

    @classmethod
    def pack(cls, times_ns: Sequence[int] | NDArray[np.int64]) -> Self:
        """Pack non-negative times."""
        differences = np.diff(np.asarray(times_ns, np.int64), prepend=0).astype("<i8")
        return cls(len(times_ns), base64.b64encode(zlib.compress(differences.tobytes())).decode())

    def unpack(self) -> NDArray[np.int64]:
        """Return the times, int64 (count,).

        Raises:
            ArtifactError: If they are damaged.
        """
        with parsing("the result's raw times are damaged", "measure again"):
            if not 0 <= self.count <= _MOST:
                raise ValueError(f"their count is {self.count}")
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(base64.b64decode(self.packed, validate=True), 8 * self.count + 1)
            if not unpacker.eof:
                raise ValueError(f"they are not {self.count}")
            times = np.cumsum(np.frombuffer(data, "<i8"), dtype=np.int64)
        if len(times) != self.count or (times < 0).any():
            raise ArtifactError(f"the result's raw times are damaged ({len(times)} of {self.count}): measure again")
        return times

"""Raw times, small enough to be kept whole."""

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError


@dataclass(frozen=True)
class Times:
    """Times in nanoseconds, in the order they were taken.

    Attributes:
        count: How many.
        packed: Base64 of zlib of little-endian int64: the first time, then each one's difference from the one before.
    """

    count: int
    packed: str

    @classmethod
    def pack(cls, times_ns: Sequence[int] | NDArray[np.int64]) -> Self:
        """Pack non-negative times."""
        differences = np.diff(np.asarray(times_ns, np.int64), prepend=0).astype("<i8")
        return cls(len(times_ns), base64.b64encode(zlib.compress(differences.tobytes(), 9)).decode())

    def unpack(self) -> NDArray[np.int64]:
        """Return the times, int64 (count,).

        Raises:
            ArtifactError: If they are damaged.
        """
        try:
            data = zlib.decompress(base64.b64decode(self.packed, validate=True))
            times = np.cumsum(np.frombuffer(data, "<i8"), dtype=np.int64)
        except (binascii.Error, zlib.error, ValueError) as error:
            raise ArtifactError(f"the result's raw times are damaged ({error}): measure again") from error
        if len(times) != self.count or (times < 0).any():
            raise ArtifactError(f"the result's raw times are damaged ({len(times)} of {self.count}): measure again")
        return times

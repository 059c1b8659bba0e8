"""The results of several devices: a benchmark of each, or the reason for its absence."""

from dataclasses import dataclass

from edgecnn.benchmarks.gate.gate import INVALID, PASS, STATUSES
from edgecnn.benchmarks.results.records import Report
from edgecnn.edge.result import Result
from edgecnn.edge.show import rendered
from edgecnn.edge.text import WIDTH

SCHEMA = 1


@dataclass(frozen=True)
class DeviceResult:
    """The answer of one device: a result, or the reason why there is no result.

    Attributes:
        host: Host as named.
        error: A sentence; None if there is a result.
        result: The JSON of `edgecnn bench` there.
    """

    host: str
    error: str | None
    result: Report | None


@dataclass(frozen=True, repr=False)
class DeviceResults(Result):
    """The answers of all devices.

    Attributes:
        schema: Number of this record's layout.
        command: Command that repeats it.
        devices: Devices in the order in which they were named.
    """

    schema: int
    command: str
    devices: tuple[DeviceResult, ...]

    def to_text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return tables with a column for each device, then a paragraph for each; `verbose` adds what was timed."""
        text: str = rendered(self, "to_text", width, verbose)
        return text

    @property
    def is_invalid(self) -> bool:
        """Whether a result must not be judged, and no result is known to exceed its budget."""
        statuses = [device.result.verdict.status for device in self.devices if device.result]
        return max(statuses, key=STATUSES.index, default=PASS) == INVALID

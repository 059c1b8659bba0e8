"""The doctor's finding about one thing."""

from dataclasses import dataclass

from edgecnn.benchmarks.doctor.known_problems import Status


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes:
        name: What was examined.
        status: `ok`, `warning` (it works, with a reservation) or `problem` (it does not).
        text: The finding.
        fix: Command to type, or what to do if no command helps; None if all is well.
        source: Where a known problem is described.
    """

    name: str
    status: Status
    text: str
    fix: str | None = None
    source: str | None = None

"""A measured figure and its promise."""

import sys
from dataclasses import dataclass
from pathlib import Path

EDGECNN = str(Path(sys.executable).with_name("edgecnn"))
"""The command that is measured."""


@dataclass(frozen=True)
class Claim:
    """A promise and its measurement.

    Attributes:
        text: The figure with its unit.
        value: Measured value.
        limit: Promised value.
        at_most: Whether `limit` is the largest or else the smallest accepted value.
        how: How the value was obtained.
    """

    text: str
    value: float
    limit: float
    at_most: bool
    how: str

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def at_most(text: str, value: float, limit: float, how: str) -> Claim:
    """Return a claim that a figure is at most a limit."""
    return Claim(text, float(value), limit, True, how)


def at_least(text: str, value: float, limit: float, how: str) -> Claim:
    """Return a claim that a figure is at least a limit."""
    return Claim(text, float(value), limit, False, how)


def to_text(claims: list[Claim]) -> str:
    """Return a line for each claim, at most 100 columns wide, followed by how it was obtained."""
    lines = [f"{'':60} {'measured':>10} {'promised':>14}"]
    for claim in claims:
        promised = f"{'at most' if claim.at_most else 'at least'} {claim.limit:g}"
        lines.append(f"{claim.text:60} {claim.value:>10.5g} {promised:>14}  {'met' if claim.met else 'MISSED'}")
        lines.append(f"    {claim.how}")
    return "\n".join(lines)

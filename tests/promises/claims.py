"""A figure beside what it was promised to be."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A promise and what was measured.

    Attributes:
        text: What is measured, with its unit.
        value: As measured.
        limit: What was promised.
        at_most: Whether `limit` is the most that it may be, or the least.
        how: What the value was made from.
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
    """Return a claim of a figure that must not be larger."""
    return Claim(text, float(value), limit, True, how)


def at_least(text: str, value: float, limit: float, how: str) -> Claim:
    """Return a claim of a figure that must not be smaller."""
    return Claim(text, float(value), limit, False, how)


def to_text(claims: list[Claim]) -> str:
    """Return a line for each claim, at most 100 columns wide, and how each was made below it."""
    lines = [f"{'':60} {'measured':>10} {'promised':>14}"]
    for claim in claims:
        promised = f"{'at most' if claim.at_most else 'at least'} {claim.limit:g}"
        lines.append(f"{claim.text:60} {claim.value:>10.5g} {promised:>14}  {'met' if claim.met else 'MISSED'}")
        lines.append(f"    {claim.how}")
    return "\n".join(lines)

"""Counts and findings, and the table of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tools.torture.judge import RIGHT, Column


@dataclass(frozen=True)
class Finding:
    """Something that went wrong.

    Attributes:
        kind: Row of the table.
        column: Column of the table.
        what: The file, kill or hole: enough, with the seed, to repeat it.
        command: The command, without `edgecnn`.
        reason: What happened.
    """

    kind: str
    column: Column
    what: str
    command: str
    reason: str

    def line(self) -> str:
        """Return the finding in one line."""
        return f"{self.column.upper()} | {self.kind} | {self.what} | edgecnn {self.command} | {self.reason}"


class Counts:
    """Number of times each kind ended in each column."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[str, Column]]()
        self._kinds = dict[str, None]()

    def add(self, kind: str, column: Column) -> None:
        """Count one try."""
        self._kinds[kind] = None
        self._counts[kind, column] += 1

    def of(self, kind: str, column: Column) -> int:
        """Return one count."""
        return self._counts[kind, column]

    @property
    def tried(self) -> int:
        """Number of tries."""
        return self._counts.total()

    @property
    def wrong(self) -> int:
        """Number of findings."""
        return sum(count for (_, column), count in self._counts.items() if column not in RIGHT)

    def markdown(self, heading: str, columns: Sequence[Column], order: Iterable[str] = ()) -> str:
        """Return a table with a row for each kind, in the given order, and their sum, aligned in plain text too."""
        kinds = sorted(self._kinds, key=[*order, *self._kinds].index)
        sums = [("all", kinds)] if len(kinds) > 1 else []
        return _aligned(
            [
                (heading, "tried", *map(str, columns)),
                *(self._row(name, of, columns) for name, of in [*((kind, [kind]) for kind in kinds), *sums]),
            ]
        )

    def _row(self, name: str, kinds: list[str], columns: Sequence[Column]) -> tuple[str, ...]:
        numbers = [sum(self._counts[kind, column] for kind in kinds) for column in columns]
        return (name, *(f"{number:,}" for number in (sum(numbers), *numbers)))


def _aligned(table: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in table]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])

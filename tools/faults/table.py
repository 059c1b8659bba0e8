"""Counts and findings, and the table of them."""

import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tools.faults.judge import RIGHT, Column


@dataclass(frozen=True)
class Outcome:
    """One try, and how it ended.

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
        """Return it in one line."""
        return f"{self.column.upper()} | {self.kind} | {self.what} | edgecnn {self.command} | {self.reason}"


class Log:
    """What one part of a run has found so far: its findings and the number of times each kind ended in each column.

    The caller owns it, so that it outlives an exception in the part. Threads may share it.
    """

    def __init__(self, heading: str, columns: Sequence[Column], say: Callable[[str], None], order: Iterable[str] = ()) -> None:
        """Create an empty log.

        Args:
            heading: Heading of the table's first column.
            columns: The other columns.
            say: Called with a line of text now and then, and with each finding's line.
            order: Order of the rows.
        """
        self.findings = list[Outcome]()
        self.say = say
        self._heading, self._columns, self._order = heading, columns, order
        self._counts = Counter[tuple[str, Column]]()
        self._kinds = dict[str, None]()
        self._lock = threading.Lock()

    def add(self, tried: Outcome) -> None:
        """Count one try; keep it if something went wrong."""
        with self._lock:
            self._kinds[tried.kind] = None
            self._counts[tried.kind, tried.column] += 1
            if tried.column not in RIGHT:
                self.findings.append(tried)
                self.say(tried.line())

    def of(self, kind: str, column: Column) -> int:
        """Return one count."""
        return self._counts[kind, column]

    @property
    def tried(self) -> int:
        """Number of tries."""
        return self._counts.total()

    def markdown(self) -> str:
        """Return a table with a row for each kind, in order, and their sum, aligned in plain text too."""
        kinds = sorted(self._kinds, key=[*self._order, *self._kinds].index)
        sums = [("all", kinds)] if len(kinds) > 1 else []
        return _aligned(
            [
                (self._heading, "tried", *map(str, self._columns)),
                *(self._row(name, of) for name, of in [*((kind, [kind]) for kind in kinds), *sums]),
            ]
        )

    def _row(self, name: str, kinds: list[str]) -> tuple[str, ...]:
        numbers = [sum(self._counts[kind, column] for kind in kinds) for column in self._columns]
        return (name, *(f"{number:,}" for number in (sum(numbers), *numbers)))


def attempt(try_it: Callable[[], tuple[Column, str]]) -> tuple[Column, str]:
    """Return the column and the reason of one try; an exception in these tools is a finding too, and the others go on."""
    try:
        return try_it()
    except Exception as error:
        traceback.print_exc()
        return Column.UNTRIED, f"{type(error).__name__}: {error}"


def _aligned(table: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in table]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])

"""What was measured of each pair, kept in results.json, and the counts of the page."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.machine.host import read_machine
from tools.repairs.measure import Comparison, Measured
from tools.repairs.table import Pair

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Row:
    """A pair and what was measured of it.

    Attributes:
        name: Name of the pair.
        date: Day of the measurement.
        cpu: Processor and number of its cores.
        found: The figures; None if the pair could not be measured.
        problem: Reason why it could not be; empty if it was.
    """

    name: str
    date: str
    cpu: str
    found: Comparison | None
    problem: str = ""


@dataclass(frozen=True)
class Counts:
    """How many pairs had which outcome.

    Attributes:
        measured: Pairs with figures.
        lost: Pairs whose own int8 file is shown to lose more than a point.
        mended: Those of them for which edgecnn's file is within half a point of float.
        worse: Pairs for which edgecnn's file is shown to lose more than a point, and theirs is not.
        unmeasured: Pairs without figures.
    """

    measured: int
    lost: int
    mended: int
    worse: int
    unmeasured: int


def new_row(pair: Pair, found: Comparison | None, problem: str = "") -> Row:
    """Return the row of a pair that was measured today on this machine."""
    machine = read_machine()
    return Row(pair.name, f"{datetime.now(UTC):%Y-%m-%d}", f"{machine.cpu}, {machine.cores} cores", found, problem)


def read_rows(path: Path = RESULTS) -> dict[str, Row]:
    """Return the kept rows by the name of their pair; none if nothing was measured yet."""
    if not path.exists():
        return {}
    return {row["name"]: _row(row) for row in json.loads(path.read_text(encoding="utf-8"))}


def write_rows(rows: Iterable[Row], path: Path = RESULTS) -> None:
    """Keep rows, one per line."""
    lines = ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def count(rows: Sequence[Row]) -> Counts:
    """Count the outcomes."""
    found = [row.found for row in rows if row.found]
    outcomes = [comparison.outcome for comparison in found]
    lost, mended = sum(comparison.theirs.loses for comparison in found), outcomes.count("mended")
    return Counts(len(found), lost, mended, outcomes.count("worse"), len(rows) - len(found))


def _row(record: dict[str, Any]) -> Row:
    found = record.pop("found")
    if found is None:
        return Row(**record, found=None)
    theirs, ours = (Measured(**side) if side else None for side in (found.pop("theirs"), found.pop("ours")))
    assert theirs
    return Row(**record, found=Comparison(**found, theirs=theirs, ours=ours))

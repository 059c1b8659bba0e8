"""Compares old results with new ones: which may be compared, and which files became slower."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any, Final, Literal

from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED, Policy, Status
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.between import Between, ratio_of
from edgecnn.benchmarks.results.choice import choose
from edgecnn.benchmarks.results.latency_summary import p50_ns
from edgecnn.benchmarks.results.records import Choice, FileResult, Report
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import Interval
from edgecnn.edge.records import to_value
from edgecnn.edge.result import Result
from edgecnn.edge.show import rendered
from edgecnn.edge.text import WIDTH

Results = Sequence[tuple[str, Report]]


def differences(results: Results, gone: Sequence[str], force: bool) -> tuple[str, ...]:
    """Return how machines, inputs and files differ from those of the first result, which is an error unless it is forced."""
    (_, first), *others = results
    missing = (f"{', '.join(gone)}: in the old results, but not in the new",) if gone else ()
    unlike = (*dict.fromkeys(text for _, report in others for text in _unlike(first, report)), *missing)
    if unlike and not force:
        how = f"use {field('force')} to compare them anyway"
        raise ConfigError(f"{names_of(results)} are not comparable: {'; '.join(unlike)}: {how}")
    return unlike


def require_one_file(files: Sequence[FileResult], results: Results) -> None:
    """Raise if the results of one side have different files of one name."""
    for (earlier, one), (later, other) in combinations(zip((name for name, _ in results), files, strict=True), 2):
        if one.artifact.sha256 != other.artifact.sha256:
            different = f"{earlier} and {later} have different files {one.artifact.path}"
            raise ConfigError(f"{different}: give each side results of one file")


def require_different_benchmarks(results: Results) -> None:
    """Raise if a result is a copy of another, whatever its name or layout: it would be compared with itself."""
    launches = [(name, {launch for file in report.files for launch in file.launches}) for name, report in results]
    for (earlier, one), (later, other) in combinations(launches, 2):
        if not one.isdisjoint(other):  # In nanoseconds, no launch repeats the times of another.
            raise ConfigError(f"{earlier} and {later} are the same benchmark: a copy adds no evidence, so measure again")


def names_of(results: Results) -> str:
    """Return the names of results for a message."""
    return " and ".join(name for name, _ in results)


def _unlike(old: Report, new: Report) -> tuple[str, ...]:
    pairs = [
        ("architecture", old.machine.machine, new.machine.machine),
        ("board", old.machine.board, new.machine.board),
        ("CPU", old.machine.cpu, new.machine.cpu),
        ("number of cores", old.machine.cores, new.machine.cores),
        ("test images", _images(old), _images(new)),
        ("timed region", old.timed_region, new.timed_region),
        ("governor", ", ".join(old.before.governors), ", ".join(new.before.governors)),
    ]
    return tuple(f"{what}: {then} and {now}" for what, then, now in pairs if then != now)


def _images(report: Report) -> str:
    return report.dataset.test_sha256[:12] if report.dataset else "none, random inputs"


Evidence = Literal["improved", "worse", "no evidence", "unstable"]
IMPROVED: Final = "improved"
WORSE: Final = "worse"
NO_EVIDENCE: Final = "no evidence"
UNSTABLE: Final = "unstable"

# Source of the variation between benchmarks of one file, beyond what their launches explain.
Spread = Literal["several benchmarks", "selftest", "assumed"]
MEASURED: Final = "several benchmarks"
FLOOR: Final = "selftest"
ASSUMPTION: Final = "assumed"

Key = tuple[str, int, str | None]  # Path, threads, and the runtime's package where a result has several of the file.
Files = dict[Key, FileResult]


@dataclass(frozen=True)
class Change:
    """One file on both sides.

    Attributes:
        name: Name of the file, with its threads and its runtime where a result has several.
        same_file: Whether both sides have exactly the same bytes.
        old_runtime: Package and version that ran it on the old side.
        new_runtime: Package and version that ran it on the new side.
        old_ns: Median of all its runs (p50) on the old side; for several benchmarks, the geometric mean of theirs.
        new_ns: The same on the new side.
        ratio: New / old, with its interval for further benchmarks of both (`edgecnn.benchmarks.results.between.ratio_of`).
        evidence: `unstable` if noise that is not ignored affected the file; else `improved` if the whole interval is
            below 1, `worse` if it is above 1, and `no evidence` otherwise.
        slowdown: `PASS`, `FAIL` or `UNDECIDED` for the limit on the slowdown; None without a limit.
        old_correct: Number of correct test images in the old result; None if inputs were random.
        new_correct: The same in the new result.
        old_images: Number of test images of which these are in the old result; None if inputs were random.
        new_images: The same in the new result.
    """

    name: str
    same_file: bool
    old_runtime: str
    new_runtime: str
    old_ns: float
    new_ns: float
    ratio: Interval
    evidence: Evidence
    slowdown: Status | None
    old_correct: int | None
    new_correct: int | None
    old_images: int | None
    new_images: int | None


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """A comparison of results from similar machines and inputs.

    Attributes:
        old: Names of the older results.
        new: Names of the newer ones.
        spread: Source of the variation between benchmarks of one file: `several benchmarks`, `selftest` or
            `assumed`.
        floor: Result of the selftest; None unless `spread` is `selftest`.
        max_slowdown_percent: Limit on the slowdown; None for no limit.
        unlike: Why the results are not comparable, if that was overruled.
        noise: Noise that made the times of any result unstable.
        refused: Part of that noise despite which a limit must not be judged.
        changes: Changes of the files that all results have, in the order of the first new result.
        only_old: Files that only the old side has.
        only_new: Files that only the new side has.
        ship: The file to ship by the old side, and by the new one, each by what counts first in the new one.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    spread: Spread
    floor: Between | None
    max_slowdown_percent: float | None
    unlike: tuple[str, ...]
    noise: tuple[str, ...]
    refused: tuple[str, ...]
    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    ship: tuple[Choice, Choice]

    def to_text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return the verdict, the table and what it rests on; `verbose` adds how the intervals are made."""
        return str(rendered(self, "to_text", width, verbose))

    @property
    def slower(self) -> tuple[Change, ...]:
        """The files that exceed the limit on the slowdown, or may exceed it."""
        return tuple(change for change in self.changes if change.slowdown in (FAIL, UNDECIDED))

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per file; times are in nanoseconds."""
        changes: list[dict[str, Any]] = to_value(self.changes)
        return changes


def compare_reports(  # Longer than 50 lines: its arguments and their docs.
    old: Results,
    new: Results,
    max_slowdown_percent: float | None = None,
    *,
    force: bool = False,
    policy: Policy = Policy(),  # noqa: B008  # Frozen.
    floor: Between | None = None,
) -> Comparison:
    """Compare the latency of the files that all results share.

    Args:
        old: Name and result of each benchmark of the old side, at least one.
        new: The same for the new side.
        max_slowdown_percent: Largest slowdown of a file in percent, 0 or more; None for no limit.
        force: Whether to compare results of different machines, inputs or files anyway.
        policy: Which noise is ignored.
        floor: Variation between this machine's benchmarks of one file, from `edgecnn selftest`; for one benchmark per side.

    Raises:
        ConfigError: If the results are from different machines or inputs, share no file, two of them are the same
            benchmark, one side has different files of one name, or a limit is for a file that is gone.
    """
    everything = (*old, *new)
    files = _files(everything)
    before, after = files[: len(old)], files[len(old) :]
    shared = _shared(everything, files, after[0])
    only_old, only_new = _only(before, after), _only(after, before)
    gone = only_old if max_slowdown_percent is not None else ()  # A limit must not pass what was not measured again.
    unlike = differences(everything, gone, force)
    if (several := len(everything) > 2) and floor is not None:
        raise ConfigError(f"{field('floor')} is for one benchmark per side; several need none: omit {field('floor')}")
    noise = _noise(everything, [{of_one[key].name for key in shared} for of_one in files])
    refused = [(name, item) for name, item in noise if not policy.allows(item)]
    sides = [[[of_one[key] for of_one in part] for part in (before, after)] for key in shared]
    for then, now in sides:
        require_one_file(then, old)
        require_one_file(now, new)
    require_different_benchmarks(everything)
    prefer = new[0][1].prefer  # Otherwise another wish would look like another result.
    return Comparison(
        old=tuple(name for name, _ in old),
        new=tuple(name for name, _ in new),
        spread=MEASURED if several else ASSUMPTION if floor is None else FLOOR,
        floor=floor,
        max_slowdown_percent=max_slowdown_percent,
        unlike=unlike,
        noise=tuple(f"{name}: {item.reason}" for name, item in noise),
        refused=() if max_slowdown_percent is None else tuple(f"{name}: {item.reason}" for name, item in refused),
        changes=tuple(
            _change(_text(key), then, now, max_slowdown_percent, [item for _, item in refused], floor)
            for key, (then, now) in zip(shared, sides, strict=True)
        ),
        only_old=only_old,
        only_new=only_new,
        ship=(choose([report for _, report in old], prefer), choose([report for _, report in new], prefer)),
    )


def evidence(ratio: Interval) -> Evidence:
    """Return the evidence of the interval of a ratio."""
    return WORSE if ratio.low > 1 else IMPROVED if ratio.high < 1 else NO_EVIDENCE


def _files(results: Results) -> list[Files]:
    """Return each result's files by what they are compared by."""
    counts = [Counter((file.artifact.path, file.threads) for file in report.files).items() for _, report in results]
    several = {place for of_one in counts for place, count in of_one if count > 1}

    def key(file: FileResult) -> Key:
        place = file.artifact.path, file.threads
        return (*place, file.runtime_name if place in several else None)

    return [{key(file): file for file in report.files} for _, report in results]


def _text(key: Key) -> str:
    path, threads, package = key
    return " ".join(filter(None, (path, package, f"x{threads}" if threads > 1 else None)))


def _noise(results: Results, compared: Sequence[set[str]]) -> list[tuple[str, Noise]]:
    """Return the noise in the times of the compared files, with the name of its result."""
    return [
        (name, item)
        for (name, report), files in zip(results, compared, strict=True)
        for item in report.noise
        if item.file is None or item.file in files
    ]


def _shared(results: Results, files: Sequence[Files], order: Files) -> list[Key]:
    """Return the files that all results have, in the order of one of them."""
    shared = [key for key in order if all(key in of_one for of_one in files)]
    if not shared:
        names = " and ".join(", ".join(_text(key) for key in of_one) for of_one in files)
        raise ConfigError(f"{names_of(results)} share no file: they have {names}")
    return shared


def _only(files: Sequence[Files], others: Sequence[Files]) -> tuple[str, ...]:
    keys = dict.fromkeys(key for of_one in files for key in of_one)
    return tuple(_text(key) for key in keys if not any(key in of_one for of_one in others))


def _change(
    name: str,
    old: Sequence[FileResult],
    new: Sequence[FileResult],
    max_slowdown_percent: float | None,
    refused: Sequence[Noise],
    floor: Between | None,
) -> Change:
    last, first = old[-1], new[0]
    if len(old) == len(new) == 1 and min(len(last.launches), len(first.launches)) < 2:
        raise ConfigError(
            f"{first.name} was opened by only one process, which gives no interval: bench with {field('launches')}=5"
        )
    ratio = ratio_of([file.launches for file in new], [file.launches for file in old], floor)
    slowdown: Status | None = None
    if max_slowdown_percent is not None:
        limit = 1 + max_slowdown_percent / 100
        slowdown = FAIL if ratio.low > limit else PASS if ratio.high <= limit else UNDECIDED
    unstable = any(item.file is None or item.file in {file.name for file in (*old, *new)} for item in refused)
    return Change(
        name=name,
        same_file=last.artifact.sha256 == first.artifact.sha256,
        old_runtime=last.runtime,
        new_runtime=first.runtime,
        old_ns=_p50_ns(old),
        new_ns=_p50_ns(new),
        ratio=ratio,
        evidence=UNSTABLE if unstable else evidence(ratio),
        slowdown=slowdown,
        old_correct=last.accuracy.correct if last.accuracy else None,
        new_correct=first.accuracy.correct if first.accuracy else None,
        old_images=last.accuracy.images if last.accuracy else None,
        new_images=first.accuracy.images if first.accuracy else None,
    )


def _p50_ns(files: Sequence[FileResult]) -> float:
    return math.exp(fmean(math.log(p50_ns(file.launches)) for file in files))

"""Two results -> what became faster, slower, or neither."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gate import FAIL, PASS, UNDECIDED, Policy
from benchmarks.intervals import Interval, difference_interval
from benchmarks.results import FileResult, Launch, Report
from benchmarks.summary import round_medians, typical_ns
from edge.errors import ConfigError

IMPROVED = "improved"
WORSE = "worse"
NO_EVIDENCE = "no evidence"


@dataclass(frozen=True)
class Change:
    """One file of both results.

    Attributes:
        name: The file's.
        same_file: Both results are of the very same bytes.
        old_runtime: Package and version that ran it then.
        new_runtime: And now.
        old_ns: Geometric mean of its rounds' medians, then.
        new_ns: And now.
        ratio: New over old, with Welch's interval over the launches of both, on logarithms.
        evidence: `improved` where the whole interval is below 1, `worse` where it is above, else `no evidence`.
        slowdown: `PASS`, `FAIL` or `UNDECIDED` beside the allowed slowdown; None without one.
        old_correct: Of the old result's test images; None where inputs were random.
        new_correct: Of the new result's.
    """

    name: str
    same_file: bool
    old_runtime: str
    new_runtime: str
    old_ns: float
    new_ns: float
    ratio: Interval
    evidence: str
    slowdown: str | None
    old_correct: int | None
    new_correct: int | None


@dataclass(frozen=True)
class Comparison:
    """Two results of like machines and inputs.

    Attributes:
        old: The older result's name.
        new: The newer's.
        max_slowdown_percent: What was allowed; None for no limit.
        unlike: Why the results are not comparable, where that was overruled.
        noise: What made either's times unstable.
        refused: That part of it which a limit must not be judged in spite of.
        changes: Of the files that both have, in the new one's order.
        only_old: Files that only the old one has.
        only_new: Files that only the new one has.
    """

    old: str
    new: str
    max_slowdown_percent: float | None
    unlike: tuple[str, ...]
    noise: tuple[str, ...]
    refused: tuple[str, ...]
    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]


def compare_reports(
    old: tuple[str, Report],
    new: tuple[str, Report],
    max_slowdown_percent: float | None = None,
    force: bool = False,
    policy: Policy = Policy(),  # noqa: B008  # Frozen.
) -> Comparison:
    """Compare the latency of the files that two results share.

    Args:
        old: Name and result.
        new: Name and result.
        max_slowdown_percent: How much slower a file may have become, 0 or more; None for no limit.
        force: Compare unlike results all the same.
        policy: Which noise a limit may be judged in spite of.

    Raises:
        ConfigError: If the results are of unlike machines or inputs, share no file, or a limit is out of range.
    """
    if max_slowdown_percent is not None and not 0 <= max_slowdown_percent <= 1000:
        raise ConfigError(f"--max-slowdown must be 0 to 1000 percent, got {max_slowdown_percent}")
    before, after = ({(file.artifact.path, file.threads): file for file in report.files} for _, report in (old, new))
    shared = [key for key in after if key in before]
    if not shared:
        names = [", ".join(_text(key) for key in files) for files in (before, after)]
        raise ConfigError(f"{old[0]} and {new[0]} share no file: they have {names[0]} and {names[1]}")
    unlike = _unlike(old[1], new[1])
    if unlike and not force:
        raise ConfigError(f"{old[0]} and {new[0]} are not comparable: {'; '.join(unlike)}: use --force to compare them anyway")
    noise = []
    for (origin, report), files in ((old, before), (new, after)):
        compared = {files[key].name for key in shared}
        noise += [(origin, item) for item in report.noise if item.file is None or item.file in compared]
    refused = [f"{origin}: {item.text} ({item.name})" for origin, item in noise if not policy.allows(item)]
    return Comparison(
        old=old[0],
        new=new[0],
        max_slowdown_percent=max_slowdown_percent,
        unlike=unlike,
        noise=tuple(f"{origin}: {item.text} ({item.name})" for origin, item in noise),
        refused=tuple(refused) if max_slowdown_percent is not None else (),
        changes=tuple(_change(before[key], after[key], max_slowdown_percent) for key in shared),
        only_old=tuple(_text(key) for key in before if key not in after),
        only_new=tuple(_text(key) for key in after if key not in before),
    )


def ratio_of(new: Sequence[Launch], old: Sequence[Launch]) -> Interval:
    """Return new over old of the geometric means of the rounds' medians, from launches that were not taken together.

    Raises:
        ValueError: If either has fewer than two launches.
    """
    logs = [np.log(round_medians(launches)).mean(axis=1) for launches in (new, old)]
    interval = difference_interval(logs[0], logs[1])
    return Interval(*(float(np.exp(value)) for value in (interval.estimate, interval.low, interval.high)))


def evidence(ratio: Interval) -> str:
    """Return what the interval of a ratio says."""
    return WORSE if ratio.low > 1 else IMPROVED if ratio.high < 1 else NO_EVIDENCE


def _text(key: tuple[str, int]) -> str:
    path, threads = key
    return path if threads == 1 else f"{path} x{threads}"


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


def _change(old: FileResult, new: FileResult, max_slowdown_percent: float | None) -> Change:
    if len(old.launches) < 2 or len(new.launches) < 2:
        raise ConfigError(f"{new.name} was opened by one process only, which gives no interval: bench with --launches 5")
    ratio = ratio_of(new.launches, old.launches)
    slowdown = None
    if max_slowdown_percent is not None:
        limit = 1 + max_slowdown_percent / 100
        slowdown = FAIL if ratio.low > limit else PASS if ratio.high <= limit else UNDECIDED
    return Change(
        name=_text((new.artifact.path, new.threads)),
        same_file=old.artifact.sha256 == new.artifact.sha256,
        old_runtime=old.runtime,
        new_runtime=new.runtime,
        old_ns=typical_ns(old.launches),
        new_ns=typical_ns(new.launches),
        ratio=ratio,
        evidence=evidence(ratio),
        slowdown=slowdown,
        old_correct=old.accuracy.correct if old.accuracy else None,
        new_correct=new.accuracy.correct if new.accuracy else None,
    )

"""Two results -> what became faster, slower, or neither."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gate import FAIL, PASS, UNDECIDED, Policy
from benchmarks.intervals import Interval, difference_interval
from benchmarks.results import FileResult, Launch, Report
from benchmarks.summary import round_medians
from edge.errors import ConfigError, InvalidMeasurement

IMPROVED = "improved"
WORSE = "worse"
NO_EVIDENCE = "no evidence"


@dataclass(frozen=True)
class Change:
    """One file of both results.

    Attributes:
        name: The file's.
        same_file: Both results are of the very same bytes.
        old_p50_ns: Geometric mean of its rounds' medians, then.
        new_p50_ns: And now.
        ratio: New over old, with Welch's interval over the launches of both, on logarithms.
        evidence: `improved` where the whole interval is below 1, `worse` where it is above, else `no evidence`.
        slowdown: `PASS`, `FAIL` or `UNDECIDED` beside the allowed slowdown; None without one.
        old_correct: Of the old result's test images.
        new_correct: Of the same images, now.
    """

    name: str
    same_file: bool
    old_p50_ns: float
    new_p50_ns: float
    ratio: Interval
    evidence: str
    slowdown: str | None
    old_correct: int
    new_correct: int


@dataclass(frozen=True)
class Comparison:
    """Two results of like machines and inputs.

    Attributes:
        old: The older result's name.
        new: The newer's.
        max_slowdown_percent: What was allowed; None for no limit.
        unlike: Why the results are not comparable, where that was overruled.
        noise: What made either's times unstable.
        changes: Of the files that both have, in the new one's order.
        only_old: Files that only the old one has.
        only_new: Files that only the new one has.
    """

    old: str
    new: str
    max_slowdown_percent: float | None
    unlike: tuple[str, ...]
    noise: tuple[str, ...]
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
        InvalidMeasurement: If there is a limit, and noise that is not allowed.
    """
    if max_slowdown_percent is not None and not 0 <= max_slowdown_percent <= 1000:
        raise ConfigError(f"--max-slowdown must be 0 to 1000 percent, got {max_slowdown_percent}")
    before, after = {file.name: file for file in old[1].files}, {file.name: file for file in new[1].files}
    shared = [name for name in after if name in before]
    if not shared:
        raise ConfigError(f"{old[0]} and {new[0]} share no file: they have {', '.join(before)} and {', '.join(after)}")
    unlike = _unlike(old[1], new[1], shared)
    if unlike and not force:
        raise ConfigError(f"{old[0]} and {new[0]} are not comparable: {'; '.join(unlike)}: use --force to compare them anyway")
    noise = [(name, item) for name, report in (old, new) for item in report.noise if item.file is None or item.file in shared]
    refused = [f"{name}: {item.text} ({item.name})" for name, item in noise if not policy.allows(item)]
    if max_slowdown_percent is not None and refused:
        raise InvalidMeasurement(f"the results are unstable: {'; '.join(refused)}: measure again, or --allow NAME")
    return Comparison(
        old=old[0],
        new=new[0],
        max_slowdown_percent=max_slowdown_percent,
        unlike=unlike,
        noise=tuple(f"{name}: {item.text} ({item.name})" for name, item in noise),
        changes=tuple(_change(before[name], after[name], max_slowdown_percent) for name in shared),
        only_old=tuple(name for name in before if name not in after),
        only_new=tuple(name for name in after if name not in before),
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


def _unlike(old: Report, new: Report, shared: Sequence[str]) -> tuple[str, ...]:
    pairs = [
        ("architecture", old.machine.machine, new.machine.machine),
        ("board", old.machine.board, new.machine.board),
        ("CPU", old.machine.cpu, new.machine.cpu),
        ("number of cores", old.machine.cores, new.machine.cores),
        ("test images", old.dataset.test_sha256[:12], new.dataset.test_sha256[:12]),
        ("timed region", old.timed_region, new.timed_region),
    ]
    for name in shared:
        then, now = (next(file for file in report.files if file.name == name) for report in (old, new))
        pairs.append((f"threads of {name}", then.threads, now.threads))
    return tuple(f"{what}: {then} and {now}" for what, then, now in pairs if then != now)


def _change(old: FileResult, new: FileResult, max_slowdown_percent: float | None) -> Change:
    if len(old.launches) < 2 or len(new.launches) < 2:
        raise ConfigError(f"{new.name} was opened by one process only, which gives no interval: bench with --launches 5")
    ratio = ratio_of(new.launches, old.launches)
    slowdown = None
    if max_slowdown_percent is not None:
        limit = 1 + max_slowdown_percent / 100
        slowdown = FAIL if ratio.low > limit else PASS if ratio.high <= limit else UNDECIDED
    p50 = [float(np.exp(np.log(round_medians(file.launches)).mean())) for file in (old, new)]
    return Change(
        name=new.name,
        same_file=old.artifact.sha256 == new.artifact.sha256,
        old_p50_ns=p50[0],
        new_p50_ns=p50[1],
        ratio=ratio,
        evidence=evidence(ratio),
        slowdown=slowdown,
        old_correct=old.accuracy.correct,
        new_correct=new.accuracy.correct,
    )

"""Chooses the file to ship, from a result or from those of several boards: every text that names one asks here.

The choice must be the same when the same files are measured again. So accuracy and time count only as far as they are shown to
differ, time and size only if the difference is worthwhile, and what is left is decided by what no measurement changes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, get_args

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNJUDGED, Status, worst
from edgecnn.benchmarks.measure.options import Preference
from edgecnn.benchmarks.results.latency_summary import fastest_round
from edgecnn.benchmarks.results.pareto import DIGITS, share_of_all
from edgecnn.benchmarks.results.records import Choice, DeviceResults, FileResult, Report
from edgecnn.benchmarks.statistics.proportions import drop_interval

Files = dict[str, FileResult]

SLOWER: Final = 1.15
"""How many times as long as the fastest a file's fastest round must take. Files 8 to 12 % apart count as equally fast."""
MARGIN: Final = f"{100 * (SLOWER - 1):.0f} %"
"""How much longer that is, as text."""
_LEAST_LAUNCHES = 2
_LARGER = 1.10
ORDER: tuple[Preference, ...] = get_args(Preference)
_WORSE: dict[Preference, str] = {"accuracy": "less accurate", "speed": f"over {MARGIN} slower", "size": "over 10 % larger"}
_BEST: dict[Preference, str] = {
    "accuracy": "the most accurate",
    "speed": f"the fastest, by over {MARGIN} in the fastest round of each,",
    "size": "the smallest",
}


def for_report(report: Report, prefer: Preference | None) -> Choice:
    """Return `Report.choice`."""
    return choose([report], prefer)


def for_devices(results: DeviceResults, prefer: Preference | None) -> Choice:
    """Return `DeviceResults.choice`."""
    return choose([device.result for device in results.devices if device.result], prefer)


def choose(reports: Sequence[Report], prefer: Preference | None = None) -> Choice:
    """Return the file to ship.

    Of the files that pass, each criterion in turn removes those that are worse than the best that is left:

    - accuracy: files that the images show to be right less often, by the paired test (95 %);
    - speed: files whose fastest round, by its median, takes over 15 % longer: `fastest_round` says why that one. One launch
      shows nothing: how fast a file is differs between processes;
    - size: files that are over 10 % larger.

    Of what remains it is the smallest file, and of equal sizes the first in the result.

    With several results, a criterion removes the files that are worse in more of them than another file. So if no file is fast
    on every board, those remain that are too slow on the fewest.

    Args:
        reports: One result, or results of the same files.
        prefer: The first criterion. The others follow in the order accuracy, speed, size, accuracy. Default: the result's own.
    """
    statuses, reason = _candidates(reports)
    if not statuses:
        return Choice(None, None, UNJUDGED, reason)
    left = list(statuses)
    others, kept, quick = dict[str, str](), list[Preference](), list[str]()
    for criterion, factor in _stages(prefer or reports[0].prefer):
        if len(left) == 1:
            break
        out = _removed(reports, left, criterion, factor)
        others |= out
        rest = [name for name in left if name not in out]
        quick = rest if criterion == "speed" else quick
        reason = _reason(criterion, len(left), kept, {*statuses.values()} == {PASS})
        left, kept = rest, [*kept, criterion]
    name, *equal = left
    if equal:
        reason += f", and comes before {' and '.join(equal)}, of the same size, in the result"
        others |= dict.fromkeys(equal, f"of the same size as {name}, and after it in the result")
    status = statuses[name]
    return Choice(
        file=name if status == PASS else None,
        closest=None if status == PASS else name,
        status=status,
        reason=_failed(reports, name) if status == FAIL else reason,
        maybe_faster=_maybe_faster(reports, quick, name),
        others=tuple(others.items()),
    )


def _stages(first: Preference) -> list[tuple[Preference, float]]:
    """Return the criteria in their order; and how many times the best's size makes a file larger: at last, any."""
    start = ORDER.index(first)
    stages = [(criterion, _LARGER) for criterion in (*ORDER[start:], *ORDER[:start])]
    return [*(stages[:-1] if first == ORDER[0] else stages), ("size", 1.0)]


def _candidates(reports: Sequence[Report]) -> tuple[dict[str, Status], str]:
    """Return the files with the best verdicts, and what to say if it is one; or no files, and the reason."""
    if not reports:
        return {}, "no board gave a result"
    if any(report.dataset is None for report in reports):
        return {}, "accuracy was not measured"
    if any(_have_own_references(report) for report in reports):
        return {}, "each network was judged by its own float model, so these files can't be compared: see sweep.json"
    if any(check.status == UNJUDGED for report in reports for file in report.files for check in file.verdict.checks):
        return {}, "there is nothing to judge accuracy by"
    files = [{name: file for name, file in _named(report).items() if file.artifact.exported} for report in reports]
    found = {
        name: worst(_status(report, of_one[name]) for report, of_one in zip(reports, files, strict=True))
        for name in files[0]
        if all(name in of_one for of_one in files)
    }
    if not found:
        return {}, "no exported file was measured" + (" on every board" if len(reports) > 1 else "")
    passed: dict[str, Status] = {name: status for name, status in found.items() if status == PASS}
    if passed:
        return passed, f"the only exported file that {'passes' if len(found) > 1 else 'was measured'}"
    not_failed: dict[str, Status] = {name: status for name, status in found.items() if status != FAIL}
    if not_failed:
        return not_failed, "the only exported file that does not fail"
    failures = {name: sum(check.status == FAIL for of in files for check in of[name].verdict.checks) for name in found}
    return {name: FAIL for name, count in failures.items() if count == min(failures.values())}, ""


def _have_own_references(report: Report) -> bool:
    """Return whether files were made from several models and each was judged by its own, as in a sweep."""
    measured = any(file.artifact.path == report.reference for file in report.files)
    return not measured and len({file.artifact.source_sha256 for file in report.files if file.artifact.exported}) > 1


def _status(report: Report, file: FileResult) -> Status:
    """Return a file's verdict; the reference, which has no limits of its own, passes where others are judged by it."""
    is_reference = file.artifact.path == report.reference and not file.verdict.judged
    return PASS if is_reference and report.verdict.judged else file.verdict.status


def _failed(reports: Sequence[Report], name: str) -> str:
    checks = [check for report in reports for check in _named(report)[name].verdict.checks]
    return next(check.text for check in checks if check.status == FAIL)


def _named(report: Report) -> Files:
    return {file.name: file for file in report.files}


def _removed(reports: Sequence[Report], names: Sequence[str], criterion: Preference, factor: float) -> dict[str, str]:
    """Return the files that are worse in more of the results than another one, each with how much worse it is in one."""
    found = [_CRITERIA[criterion](report, [_named(report)[name] for name in names], factor) for report in reports]
    counts = Counter(name for of_one in found for name in of_one)
    fewest = min(counts[name] for name in names)
    return {name: next(of[name] for of in found if name in of) for name in names if counts[name] > fewest}


def _less_accurate(report: Report, files: Sequence[FileResult], factor: float) -> dict[str, str]:
    groups: dict[int, list[tuple[str, Accuracy]]] = {}  # Of files that the same images judge.
    for file in files:
        if file.accuracy:
            groups.setdefault(file.accuracy.chose, []).append((file.name, file.accuracy))
    found = {}
    for same in groups.values():
        best, most = max(same, key=lambda of: round(share_of_all(report, of[1]), DIGITS))
        for name, accuracy in same:
            weight = min(most.weight, accuracy.weight)  # Groups of dependent images widen the interval.
            lost, gained = apart(most, accuracy)
            # It excludes 0 exactly if McNemar's p is at most 0.05.
            drop = drop_interval(lost * weight, gained * weight, most.images * weight)
            if drop.low > 0:
                points = f"{100 * drop.low:.2f} to {100 * drop.high:.2f} points"
                found[name] = f"right on {points} less of the images than {best} (95 %)"
    return found


def apart(one: Accuracy, other: Accuracy) -> tuple[int, int]:
    """Return how many images only `one` gets right, and only `other`; both were compared with the same reference."""
    chosen = [{flip.image: flip.candidate for flip in accuracy.flips} for accuracy in (one, other)]
    flips = {flip.image: flip for flip in (*one.flips, *other.flips)}.values()
    right = [[of.get(flip.image, flip.reference) == flip.label for of in chosen] for flip in flips]
    return right.count([True, False]), right.count([False, True])


def _slower(report: Report, files: Sequence[FileResult], factor: float) -> dict[str, str]:
    fastest = {file.name: fastest_round(file.launches) for file in files if len(file.launches) >= _LEAST_LAUNCHES}
    best = min(fastest, key=fastest.__getitem__, default="")
    return {
        name: f"its fastest round takes {time / fastest[best]:.2f} times as long as that of {best}"
        for name, time in fastest.items()
        if time > SLOWER * fastest[best]
    }


def _larger(report: Report, files: Sequence[FileResult], factor: float) -> dict[str, str]:
    sizes = {file.name: file.artifact.size_bytes for file in files}
    best = min(sizes, key=sizes.__getitem__)
    return {
        name: f"{size / 1024:,.1f} KiB, {best} has {sizes[best] / 1024:,.1f}"
        for name, size in sizes.items()
        if size > factor * sizes[best]
    }


_CRITERIA: dict[Preference, Callable[[Report, Sequence[FileResult], float], dict[str, str]]] = {
    "accuracy": _less_accurate,
    "speed": _slower,
    "size": _larger,
}


def _maybe_faster(reports: Sequence[Report], names: Sequence[str], name: str) -> tuple[str, ...]:
    """Return the files of `names` that may be so much faster than one that it would not be chosen: one launch shows nothing."""
    once = any(len(file.launches) < _LEAST_LAUNCHES for report in reports for file in report.files if file.name in names)
    return tuple(other for other in names if other != name) if once else ()


def _reason(criterion: Preference, files: int, kept: Sequence[Preference], passed: bool) -> str:
    worse = " or ".join(_WORSE[item] for item in dict.fromkeys(kept))
    of = f"not shown to be {worse} than the best" if kept else "that pass" if passed else "that did not fail"
    return f"{_BEST[criterion]} of {files} files {of}"

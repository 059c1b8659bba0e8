"""The recommended files of a report, with their limitations."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgecnn.benchmarks.gate.gate import PASS, UNDECIDED
from edgecnn.benchmarks.results.latency_summary import launch_percentile, p50_ns
from edgecnn.benchmarks.results.pareto import ParetoPoint, as_accurate, as_fast, pick
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.show.tables import unstable

# With several runtimes and threads there are dozens of rows.
_NAMES = 5


@dataclass(frozen=True)
class Pick:
    """A recommended file.

    Attributes:
        title: What the file is best at.
        rule: How it is chosen.
        file: Its results.
        p50_us: p50 in microseconds, with the bounds over the launches if there are several.
        notes: Limitations of the recommendation.
    """

    title: str
    rule: str
    file: FileResult
    p50_us: tuple[float, ...]
    notes: tuple[str, ...]


def recommend(report: Report, pickable: tuple[ParetoPoint, ...]) -> tuple[Pick, ...]:
    """Return the most accurate, the balanced and the fastest of these; an empty result if there are none."""
    picks = pick(pickable)
    if picks is None:
        return ()
    files = {file.name: file for file in report.files if file.name in {candidate.name for candidate in pickable}}
    noisy = any(unstable(report, file) for file in files.values())
    accurate, fastest = picks.most_accurate, picks.fastest
    alike = as_accurate(files[accurate.name], (file for name, file in files.items() if name != accurate.name))
    quick = tuple(name for name in as_fast(report, fastest.name) if name in files)
    tied = tuple(
        other.name
        for other in pickable
        if other != accurate and other.right == accurate.right and _chose(files[other.name]) == _chose(files[accurate.name])
    )
    unlike = tuple(name for name in alike if name not in tied)
    return (
        _pick(
            "Most accurate",
            "Highest accuracy. Ties go to the faster file, then to the smaller.",
            files[accurate.name],
            accurate,
            (
                _together("As accurate:", tied),
                _together("These images don't show it to be more accurate than", unlike),
                _unstable(noisy and bool(tied)),
            ),
        ),
        _pick(
            "Balanced",
            "The best compromise: on the Pareto front, closest to the best accuracy, time and size at once. Files below "
            "1 MiB are equally small.",
            files[picks.balanced.name],
            picks.balanced,
            (_unstable(noisy),),
        ),
        _pick(
            "Fastest",
            "Smallest typical time, as the ratios compare it. Ties go to the more accurate file, then to the smaller.",
            files[fastest.name],
            fastest,
            (_together("These launches don't show it to be faster than", quick), _unstable(noisy)),
        ),
    )


def advice(report: Report, picks: tuple[Pick, ...]) -> str:
    """Return one sentence: ship the balanced file of `recommend`, or the reason not to."""
    if not picks:
        reason = "none of the exported files passed" if report.dataset else "accuracy was not measured"
        return f"No file is recommended: {reason}."
    _, best, _ = picks
    accuracy = best.file.accuracy
    assert accuracy  # noqa: S101  # Without accuracy no file is recommended.
    size = best.file.artifact.size_bytes / 1024
    time = f"p50 {best.p50_us[0]:,.1f} µs{' (unstable)' if unstable(report, best.file) else ''}"
    judging = f" of {accuracy.images:,} held-out images" if accuracy.chose else ""
    figures = f"{100 * accuracy.accuracy:.2f} %{judging} right, {time}, {size:,.1f} KiB"
    status = best.file.verdict.status
    if status == PASS:
        return f"Ship {best.file.name}: {figures}."
    doubt = "more must be measured to be sure of it" if status == UNDECIDED else "no limit was set for it"
    return f"The best candidate is {best.file.name} ({figures}): {doubt}."


def _chose(file: FileResult) -> int:
    return file.accuracy.chose if file.accuracy else 0


def _pick(title: str, rule: str, file: FileResult, candidate: ParetoPoint, notes: Iterable[str]) -> Pick:
    found = launch_percentile(file.launches, 50)
    bounds = () if found.low_ns is None or found.high_ns is None else (found.low_ns, found.high_ns)
    return Pick(title, rule, file, tuple(time / 1e3 for time in (p50_ns(file.launches), *bounds)), tuple(filter(None, notes)))


def _together(text: str, names: tuple[str, ...]) -> str:
    more = [f"{len(names) - _NAMES} more"] if len(names) > _NAMES else []
    return f"{text} {' and '.join([', '.join(names[:_NAMES]), *more])}." if names else ""


def _unstable(noisy: bool) -> str:
    return "This choice rests on unstable times." if noisy else ""

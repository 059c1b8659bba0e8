"""The picks of a report, with what limits them."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.pareto import Candidate, as_accurate, as_fast, pick
from benchmarks.results import FileResult, Report
from benchmarks.tables import unstable


@dataclass(frozen=True)
class Pick:
    """A recommended file.

    Attributes:
        title: What it is best at.
        rule: How it is chosen.
        file: Its results.
        p50_us: With its interval, where there is one.
        notes: What limits the recommendation.
    """

    title: str
    rule: str
    file: FileResult
    p50_us: tuple[float, ...]
    notes: tuple[str, ...]


def recommend(report: Report, pickable: tuple[Candidate, ...]) -> tuple[Pick, ...]:
    """Return the most accurate, the balanced and the fastest of these; nothing if there are none."""
    picks = pick(pickable)
    if picks is None:
        return ()
    files = {file.name: file for file in report.files if file.name in {candidate.name for candidate in pickable}}
    noisy = any(unstable(report, file) for file in files.values())
    accurate, fastest = picks.most_accurate, picks.fastest
    alike = as_accurate(files[accurate.name], (file for name, file in files.items() if name != accurate.name))
    quick = as_fast(files[fastest.name], (file for name, file in files.items() if name != fastest.name))
    tied = any(other.correct == accurate.correct for other in pickable if other != accurate)
    return (
        _pick(
            "Most accurate",
            "The most test images right; of equals the faster, then the smaller.",
            files[accurate.name],
            accurate,
            (_together("These images do not tell it from", alike), _unstable(noisy and tied)),
        ),
        _pick(
            "Balanced",
            "On the Pareto front, the nearest to an imagined file with the front's best accuracy, time and size.",
            files[picks.balanced.name],
            picks.balanced,
            (_unstable(noisy),),
        ),
        _pick(
            "Fastest",
            "The smallest p50; of equals the more accurate, then the smaller.",
            files[fastest.name],
            fastest,
            (_together("These launches do not tell it from", quick), _unstable(noisy)),
        ),
    )


def _pick(title: str, rule: str, file: FileResult, candidate: Candidate, notes: Iterable[str]) -> Pick:
    interval = file.latency.p50_ns
    bounds = (interval.low, interval.high) if interval else ()
    return Pick(title, rule, file, tuple(time / 1e3 for time in (candidate.p50_ns, *bounds)), tuple(filter(None, notes)))


def _together(text: str, names: tuple[str, ...]) -> str:
    return f"{text} {', '.join(names)}." if names else ""


def _unstable(noisy: bool) -> str:
    return "This pick rests on unstable times." if noisy else ""

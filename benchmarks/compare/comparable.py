"""Whether results can be compared at all: of one machine, the same inputs and files, and each a benchmark of its own."""

from collections.abc import Sequence
from itertools import combinations

from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.edge.errors import ConfigError, field

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

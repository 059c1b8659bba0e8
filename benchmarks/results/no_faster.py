"""Which quantized files are not shown to be faster than their float32 file."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgecnn.benchmarks.results.records import Launch
from edgecnn.benchmarks.results.side_by_side import ratios
from edgecnn.benchmarks.statistics.intervals import Interval
from edgecnn.edge.export_records import FASTER
from edgecnn.edge.manifest import Artifact


class TimedFile(NamedTuple):
    """A file that was timed.

    Attributes:
        artifact: Its entry of the manifest.
        runtime: Package and version that ran it.
        threads: Number of threads.
        launches: Its times, measured side by side with those of the other files.
    """

    artifact: Artifact
    runtime: str
    threads: int
    launches: Sequence[Launch]


def no_faster_than_float(files: Sequence[TimedFile]) -> Iterator[tuple[int, int, Interval]]:
    """Yield each quantized file that is not shown to be 5 % faster than the float32 file of its format and runtime.

    These pairs are known beforehand, but there are several, and a reader finds some of them in the table of ratios too: their
    intervals are the same, which hold for all files at once.

    Args:
        files: The files of one benchmark.

    Yields:
        The file's place, the float32 file's place, and the ratio of their times.
    """
    launches = [file.launches for file in files]
    floats = {_kind(file): place for place, file in enumerate(files) if file.artifact.precision == "float32"}
    over = {place: ratios(launches, place) for place in floats.values()}
    for place, file in enumerate(files):
        other = floats.get(_kind(file), place)
        ratio = None if other == place else over[other][place]
        if ratio and ratio.high > FASTER:
            yield place, other, ratio


def _kind(file: TimedFile) -> tuple[str, str, int]:
    return file.artifact.format, file.runtime, file.threads

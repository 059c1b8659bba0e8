"""Which quantized files gain nothing: their times are invented."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.results.latency_summary import TimedFile, no_faster_than_float
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import Launch
from edgecnn.benchmarks.timing.times import Times

KEPT = Path(__file__).parents[1] / "kept_results/schema-3.json"
KINDS = {file.artifact.precision: file for file in read_report(KEPT).files if file.artifact.format == "tflite"}


def timed(precision: str, factor: float = 1.0, runtime: str = "litert 2.3.0") -> TimedFile:
    """Return a file with the float32 file's times, all multiplied by a factor."""

    def slowed(launch: Launch) -> Launch:
        rounds = (replace(r, measured=Times.pack((r.measured.unpack() * factor).astype(np.int64))) for r in launch.rounds)
        return replace(launch, rounds=tuple(rounds))

    return TimedFile(KINDS[precision].artifact, runtime, 1, [slowed(launch) for launch in KINDS["float32"].launches])


@pytest.mark.parametrize(("factor", "told"), [(2.0, True), (0.97, True), (0.9, False)])
def test_a_file_gains_nothing_unless_it_is_shown_to_be_a_twentieth_faster(factor: float, told: bool) -> None:
    found = list(no_faster_than_float([timed("float32"), timed("int8", factor)]))
    assert [(place, other) for place, other, _ in found] == ([(1, 0)] if told else [])
    assert all(ratio.estimate == pytest.approx(factor, rel=0.01) for _, _, ratio in found)


def test_a_file_is_compared_with_the_float_file_of_its_own_runtime() -> None:
    files = [timed("float32"), timed("int8", 2.0, "another 1.0"), timed("float32", 4.0, "another 1.0")]
    assert not list(no_faster_than_float(files))


def test_without_a_float_file_nothing_is_said() -> None:
    assert not list(no_faster_than_float([timed("int8", 3.0)]))

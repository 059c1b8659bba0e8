"""A file beside itself."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare_text import selftest_text
from benchmarks.intervals import Interval
from benchmarks.latency import Plan
from benchmarks.lineup import candidate_of
from benchmarks.selftest import SelfTest, _trials, selftest
from edge.errors import ConfigError
from edge.manifest import Manifest
from edge.records import from_json, to_json
from edge.runtimes import opener_for
from edge.splits import Split

SAME = Interval(1.0, 0.99, 1.01)
APART = Interval(1.02, 1.01, 1.03)


@pytest.fixture(scope="module")
def result(exported: Path, test_split: Split) -> SelfTest:
    """Four trials with the real runtime."""
    candidate = candidate_of(exported / "int8.tflite", Manifest.load(exported), opener_for("tflite"), 1, test_split)
    steps: list[tuple[int, int, str]] = []
    made = selftest(candidate, Plan(0.01, 40, 2, 2), 4, lambda *step: steps.append(step))
    assert [step[0] for step in steps] == list(range(4 * 2 * 2 * 3))
    assert {step[1] for step in steps} == {48}
    assert steps[-1][2] == "trial 4 of 4"
    return made


@pytest.mark.parametrize(
    ("trials", "launches", "message"), [(3, 5, "--trials must be 4 to 1000, got 3"), (20, 1, "--launches")]
)
def test_too_few_trials_or_launches_are_refused(
    trials: int, launches: int, message: str, exported: Path, test_split: Split
) -> None:
    candidate = candidate_of(exported / "int8.tflite", Manifest.load(exported), opener_for("tflite"), 1, test_split)
    with pytest.raises(ConfigError, match=message):
        selftest(candidate, Plan(launches=launches), trials, lambda *step: None)


@pytest.mark.parametrize(("apart", "holds"), [(20, False), (5, False), (4, True), (3, True), (0, True)])
def test_intervals_hold_unless_evidence_comes_too_often(apart: int, holds: bool) -> None:
    # Of 20 trials, 3 with evidence come by chance in 7.5 % of good machines, 4 in 1.6 %, 5 in 0.26 %.
    trials = _trials([APART] * apart + [SAME] * (20 - apart))
    assert trials.no_evidence == 20 - apart
    assert trials.holds is holds


def test_every_trial_is_there_with_its_interval(result: SelfTest) -> None:
    assert (len(result.side_by_side.ratios), len(result.one_after_another.ratios)) == (4, 2)
    for ratio in (*result.side_by_side.ratios, *result.one_after_another.ratios):
        assert 0 < ratio.low <= ratio.estimate <= ratio.high
    far = [abs(ratio.estimate - 1) for ratio in (*result.side_by_side.ratios, *result.one_after_another.ratios)]
    assert result.noise_floor == pytest.approx(np.percentile(far, 95))
    assert from_json(SelfTest, to_json(result), "selftest.json") == result


def test_the_text_gives_the_floor_and_both_counts(result: SelfTest) -> None:
    text = selftest_text(result)
    assert "int8.tflite against itself, 2 launches of 2 rounds on each side:" in text
    assert f"no evidence in {result.side_by_side.no_evidence} of 4" in text
    assert f"no evidence in {result.one_after_another.no_evidence} of 2" in text
    assert f"Noise floor: {result.noise_floor:.1%}" in text
    assert max(map(len, text.splitlines())) <= 100

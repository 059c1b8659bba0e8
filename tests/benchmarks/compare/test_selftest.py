"""Comparing a file with itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.compare.selftest import SelfTest, _trials, read_floor, selftest
from edgecnn.benchmarks.measure.candidates import candidate_of
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.show.checks import selftest_text
from edgecnn.commands import selftest as command
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.export_records import Interval
from edgecnn.edge.model_file import read_model
from edgecnn.edge.records import from_json, to_json
from edgecnn.edge.runtimes import opener_for
from tests.benchmarks.measure.launching import Stepping

pytestmark = pytest.mark.workstation("whole benchmarks, a process for each launch, take minutes under emulation")

SAME = Interval(1.0, 0.99, 1.01)
APART = Interval(1.02, 1.01, 1.03)


@pytest.fixture(scope="module")
def result(exported: Path, test_split: Split) -> SelfTest:
    """Four trials with the real runtime."""
    candidate = candidate_of(read_model(exported / "int8.tflite"), opener_for("tflite"), 1, test_split)
    steps: list[tuple[int, int, str]] = []
    made = selftest(candidate, Plan(0.01, 40, 2, 2), 4, Stepping(lambda *step: steps.append(step)))
    assert [step[0] for step in steps] == list(range(4 * 2 * 2 * 3))
    assert {step[1] for step in steps} == {48}
    assert steps[-1][2] == "trial 4 of 4"
    return made


@pytest.mark.parametrize(("trials", "launches", "message"), [(3, 5, "trials must be 4 to 1000, got 3"), (20, 1, "launches")])
def test_too_few_trials_or_launches_are_refused(trials: int, launches: int, message: str, exported: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        command.selftest(exported / "int8.tflite", trials=trials, plan=Plan(launches=launches))


@pytest.mark.parametrize(("apart", "holds"), [(20, False), (5, False), (4, True), (3, True), (0, True)])
def test_intervals_hold_unless_evidence_comes_too_often(apart: int, holds: bool) -> None:
    # By chance, 3 of 20 trials show evidence on 7.5 % of good machines, 4 on 1.6 %, 5 on 0.26 %.
    trials = _trials([APART] * apart + [SAME] * (20 - apart))
    assert trials.no_evidence == 20 - apart
    assert trials.holds is holds


def test_every_trial_is_there_with_its_interval_with_and_without_the_floor(result: SelfTest) -> None:
    assert (len(result.side_by_side.ratios), len(result.one_after_another.ratios)) == (4, 2)
    for ratio in (*result.side_by_side.ratios, *result.one_after_another.ratios):
        assert 0 < ratio.low <= ratio.estimate <= ratio.high
    far = [abs(ratio.estimate - 1) for ratio in (*result.side_by_side.ratios, *result.one_after_another.ratios)]
    assert result.noise_floor == pytest.approx(np.percentile(far, 95))
    assert from_json(SelfTest, to_json(result), "selftest.json") == result
    pairs = list(zip(result.one_after_another.ratios, result.with_floor.ratios, strict=True))
    assert [one.estimate for one, _ in pairs] == [other.estimate for _, other in pairs]
    assert result.between.variance >= 0
    assert result.launch_deviation > 0


def test_a_selftest_is_the_floor_of_its_own_machine_alone(result: SelfTest, measured: Report, tmp_path: Path) -> None:
    path = tmp_path / "selftest.json"
    path.write_text(to_json(result))
    same = replace(measured, machine=result.machine)
    assert read_floor(path, [same]) == result.between
    other = replace(measured, machine=replace(result.machine, cpu="Another"))
    with pytest.raises(ConfigError, match=r"selftest\.json is from another machine.*\(.*Another"):
        read_floor(path, [same, other])


@pytest.mark.parametrize("damage", [{"variance": -1.0}, {"degrees": 0.5}])
def test_a_floor_of_no_variance_is_damaged(damage: dict[str, float], result: SelfTest, tmp_path: Path) -> None:
    path = tmp_path / "selftest.json"
    path.write_text(to_json(replace(result, between=replace(result.between, **damage))))
    with pytest.raises(ArtifactError, match="is damaged"):
        read_floor(path, [])


def test_what_is_no_selftest_is_no_floor(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("{}")
    with pytest.raises(ArtifactError, match=r"result\.json"):
        read_floor(path, [])


@pytest.mark.parametrize(("with_floor", "told"), [(SAME, True), (APART, False)])
def test_a_machine_on_which_the_intervals_do_not_hold_is_told_and_whether_its_floor_helps(
    with_floor: Interval, told: bool, result: SelfTest
) -> None:
    bad = replace(
        result,
        side_by_side=_trials([SAME] * 20),
        one_after_another=_trials([APART] * 10),
        with_floor=_trials([with_floor] * 10),
    )
    assert not bad.holds
    text = " ".join(selftest_text(bad).split())
    assert text.startswith("The intervals do NOT hold")
    assert "difference in 0 of 10 " in text
    assert ("They hold in edgecnn compare" in text) == told


def test_the_text_gives_the_floor_and_both_counts(result: SelfTest) -> None:
    text = selftest_text(result)
    assert all(said in text for said in ("int8.tflite compared with itself", "2 launches of 2 rounds"))
    assert f"difference in {result.side_by_side.no_evidence} of 4" in text
    assert f"difference in {result.one_after_another.no_evidence} of 2" in text
    assert f"Noise floor: {result.noise_floor:.1%}" in text
    assert max(map(len, text.splitlines())) <= 100

"""How latency is judged, and how the machine's noise affects it."""

from dataclasses import replace

import pytest

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import FAIL, INVALID, PASS, UNDECIDED, Check, Policy
from edgecnn.benchmarks.machine.noise import NAMES, Noise
from edgecnn.benchmarks.statistics.percentiles import LaunchPercentile, Percentile
from edgecnn.edge.errors import ConfigError
from tests.benchmarks.gate.judged import DRIFT, EACH, FAST, LOAD, PERFECT, STEADY, figures, measured

GOVERNOR = Noise("governor", None, "the clock moved")
OTHER = Noise("rounds", "int8.onnx", "the rounds of int8.onnx disagree")


@pytest.mark.parametrize(("allowed", "status"), [(1.899, FAIL), (1.9, UNDECIDED), (2.099, UNDECIDED), (2.1, PASS)])
def test_p90_is_judged_by_its_bounds(allowed: float, status: str) -> None:
    check = judge(figures(), Budget(max_p90_ms=allowed)).checks[1]
    assert check.status == status
    assert check.text.startswith(f"p90 is 2 ms, the limit is {allowed:g}; ")


@pytest.mark.parametrize(("allowed", "direction"), [(2.2, "within"), (1.8, "exceed")])
def test_p90_says_of_how_many_launches_it_speaks_and_how_many_would_speak_of_9_in_10(allowed: float, direction: str) -> None:
    for count, share, more in ((2, "22%", True), (28, "90%", True), (29, "90%", False)):
        p90 = replace(STEADY, launches=EACH[:1] * count)
        text = judge(figures(p90=p90), Budget(max_p90_ms=allowed)).checks[1].text
        assert f"all {count} launches " in text
        assert f"{share} of launches or more " in text
        assert direction in text
        assert all((said in text) == more for said in ("; 29 launches would", "cover 9 in 10"))


def test_one_slow_launch_of_five_is_undecided_and_named() -> None:
    slow = LaunchPercentile(6_000_000, 5_900_000, 6_100_000)
    p90 = replace(STEADY, high_ns=slow.high_ns, launches=(*EACH, slow, *EACH))
    check = judge(figures(p90=p90), FAST).checks[1]
    assert check.status == UNDECIDED
    assert all(said in check.text for said in ("4 of 5 launches are", "slowest is launch 3", "3 with 6 ms"))
    # If the launches' own noise leaves it undecided, more runs help.
    assert judge(figures(), Budget(max_p90_ms=2)).checks[1].text.endswith("measure more runs")


def test_p90_of_one_launch_or_of_too_few_runs_is_invalid_and_says_how_many_it_takes() -> None:
    one = replace(STEADY, low_ns=None, high_ns=None, launches=EACH[:1])
    short = replace(one, launches=(EACH[0], LaunchPercentile(2_000_000, None, None)))
    for p90, mend in ((one, "measure more launches"), (short, "each launch needs 64 runs, all 2 have 1000: measure more runs")):
        check = judge(figures(p90=p90), FAST).checks[1]
        assert check.status == INVALID
        assert check.text.endswith(mend)
    few = Percentile(90, 63, 64, None, None, None)
    verdict = judge(figures(p90=few), FAST)
    assert verdict.status == INVALID
    assert all(said in verdict.checks[1].text for said in ("p90 can't be judged", "64 runs, but has 63:"))
    assert judge(figures(p90=few), FAST, (), Policy(("noise",))).status == INVALID
    assert judge(figures(p90=few), Budget()).status == PASS


@pytest.mark.parametrize("noise", [LOAD, DRIFT], ids=["of the machine", "of the file"])
@pytest.mark.parametrize("allowed", [0.001, 1.8, 2.0])
def test_noise_makes_p90_invalid_where_it_is_not_within_the_limit_and_says_why(noise: Noise, allowed: float) -> None:
    verdict = judge(figures(), Budget(max_p90_ms=allowed), (noise, OTHER))
    assert verdict.status == INVALID
    text = f"p90 is 2 ms, the limit is {allowed:g}, but it can't be judged: {noise.text} ({noise.name})"
    assert verdict.checks[1] == Check(INVALID, text)


def test_every_noise_is_named() -> None:
    (_, check) = judge(figures(), FAST, (LOAD, DRIFT)).checks
    assert check.status == INVALID
    assert check.text.endswith(f": {LOAD.text} (load); {DRIFT.text} (drift)")


@pytest.mark.parametrize("policy", [Policy(), Policy(strict=True)])
def test_the_noise_of_another_file_does_not_matter(policy: Policy) -> None:
    assert judge(figures(), FAST, (OTHER,), policy).status == PASS


def test_without_a_latency_budget_a_noisy_machine_still_gets_its_accuracy_verdict() -> None:
    for accuracy, status in ((PERFECT, PASS), (measured(500, 0), FAIL), (measured(50, 0), UNDECIDED)):
        assert judge(figures(accuracy), Budget(max_size_kib=10), (LOAD, DRIFT)).status == status


@pytest.mark.parametrize(
    ("allow", "status"),
    [
        ((), INVALID),
        (("load",), INVALID),
        (("governor",), INVALID),
        (("drift",), INVALID),
        (("governor", "drift"), PASS),
        (("noise",), PASS),
    ],
)
def test_allowed_noise_is_judged_anyway_and_the_rest_is_not(allow: tuple[str, ...], status: str) -> None:
    for strict in (False, True):
        verdict = judge(figures(), FAST, (GOVERNOR, DRIFT), Policy(allow, strict))
        assert verdict.status == status
    text = judge(figures(), FAST, (GOVERNOR, DRIFT), Policy(allow)).checks[1].text
    assert ("(governor)" in text, "(drift)" in text) == (
        status == INVALID and "governor" not in allow,
        status == INVALID and "drift" not in allow,
    )


def test_strict_makes_any_instability_invalid_and_does_not_mind_a_quiet_machine() -> None:
    verdict = judge(figures(), Budget(), (LOAD, DRIFT), Policy(strict=True))
    assert verdict.status == INVALID
    text = f"the measurement is unstable: {LOAD.text} (load); {DRIFT.text} (drift)"
    assert verdict.checks[1:] == (Check(INVALID, text),)
    assert judge(figures(), FAST, (), Policy(strict=True)) == judge(figures(), FAST)


@pytest.mark.parametrize("name", ["lod", "Load", "", "all"])
def test_an_unknown_name_of_noise_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^allow.*noise, {', '.join(NAMES[:-1])} or {NAMES[-1]}.*got {name}$"):
        Policy(("load", name))


def test_every_name_of_noise_can_be_allowed() -> None:
    for name in NAMES:
        assert Policy((name,)).allows(Noise(name, None, ""))
        assert not Policy(tuple(other for other in NAMES if other != name)).allows(Noise(name, None, ""))

"""The front, and the networks of a sweep that it names."""

from dataclasses import replace

import pytest

from edgecnn.benchmarks.results.latency_summary import typical_ns
from edgecnn.benchmarks.results.pareto import ParetoPoint, front, pareto_points, pick
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.timing.times import Times
from tests.benchmarks.show.pages import accuracy, file_result, report

A = ParetoPoint("a", 0.99, 100_000.0, 100_000_000)


def better(name: str, points: float = 0, times: float = 1, size: float = 1) -> ParetoPoint:
    """Return `A` with more accuracy, and a share of its time and size."""
    return ParetoPoint(name, A.right + points / 100, A.time_ns * times, round(A.size_bytes * size))


def names(files: tuple[ParetoPoint, ...]) -> list[str]:
    return [file.name for file in files]


def chosen(*files: ParetoPoint) -> tuple[str, str, str]:
    picks = pick(files)
    assert picks is not None
    return picks.most_accurate.name, picks.balanced.name, picks.fastest.name


@pytest.mark.parametrize(
    "other",
    [better("b", points=0.01), better("b", times=0.99), better("b", size=0.99), better("b", 0.5, 0.5, 0.5)],
    ids=["accuracy", "time", "size", "all"],
)
def test_a_file_that_another_one_beats_is_off_the_front(other: ParetoPoint) -> None:
    assert names(front((A, other))) == ["b"]
    assert names(front((other, A))) == ["b"]


@pytest.mark.parametrize(
    "other",
    [better("b", -0.01, 0.5, 0.5), better("b", 0.5, 1.01, 0.5), better("b", 0.5, 0.5, 1.01)],
    ids=["less accurate", "slower", "larger"],
)
def test_a_file_that_is_worse_in_one_thing_beats_nothing(other: ParetoPoint) -> None:
    assert names(front((A, other))) == ["a", "b"]


def test_equal_files_both_stay_on_the_front_one_is_every_pick_and_none_has_none() -> None:
    assert names(front((A, replace(A, name="b")))) == ["a", "b"]
    assert front(()) == ()
    assert pick(()) is None
    assert chosen(A) == ("a", "a", "a")


def test_picks_never_come_from_behind_the_front_which_does_not_stretch_the_scales() -> None:
    assert chosen(better("behind", 0, 0.5), better("front", 0, 0.5, 0.5)) == ("front", "front", "front")
    right, quick = better("right", 0, 4), better("quick", -0.4)
    assert chosen(right, quick)[1] == chosen(right, quick, better("behind", -0.4, 4_000))[1] == "quick"


def test_equally_accurate_files_are_told_by_time_then_by_size_and_equally_fast_ones_by_accuracy() -> None:
    assert chosen(better("slow", 0, 1, 0.5), better("quick", 0, 0.9, 1))[0] == "quick"
    assert chosen(better("large", 0, 1, 1), better("small", 0, 1, 0.5))[0] == "small"
    assert chosen(better("wrong", -1, 1, 0.5), better("right"))[2] == "right"


def test_the_balanced_file_is_neither_end_where_one_between_is_close_to_both() -> None:
    ends = better("accurate", 1, 1, 1), better("quick", -1, 0.1, 0.1)
    assert chosen(*ends, better("between", 0.9, 0.12, 0.12)) == ("accurate", "between", "quick")
    assert chosen(*ends, better("between", -0.9, 0.9, 0.9))[1] != "between"


def test_a_smaller_size_is_no_reason_for_a_slower_file_where_both_are_below_a_mebibyte() -> None:
    small, quick = better("small", 0, 0.6, 0.0004), better("quick", 0, 0.5, 0.001)
    assert chosen(small, quick)[1] == "quick"
    large = [replace(file, size_bytes=1_000 * file.size_bytes) for file in (small, quick)]
    assert chosen(*large)[1] == "small"


def test_a_tuned_file_is_compared_on_easier_images_by_its_drop() -> None:
    plain = file_result("int8.tflite", of=accuracy(flips=4))
    easier = replace(accuracy(flips=4, images=100), correct=98, reference_correct=100, lost=2, gained=0, chose=100)
    tuned = file_result("tuned.tflite", of=replace(easier, drop=replace(easier.drop, estimate=0.02)))
    shares = {point.name: point.right for point in pareto_points(report(tuned, plain))}
    assert shares == {"int8.tflite": 0.975, "tuned.tflite": pytest.approx(0.99 - 0.02)}
    # 198 / 200 - 0.06 is not 0.93 to the last binary digit.
    alike = replace(tuned, accuracy=replace(easier, drop=replace(easier.drop, estimate=0.06)))
    worse = replace(plain, accuracy=replace(accuracy(flips=4), correct=186))
    assert [point.right for point in pareto_points(report(alike, worse))] == [0.93, 0.93]
    # Alone, there is nothing to compare it with.
    assert [point.right for point in pareto_points(report(tuned))] == [0.98]


def test_times_are_compared_by_their_ratio() -> None:
    # 10, 31.6 and 100: the middle is half way by ratio, and a quarter by difference. Distances: 0.5 and 0.3 are 0.583.
    ends = better("accurate", 0, 1, 0.1), better("quick", -1, 0.1, 0.1)
    middle = better("between", -0.3, 10**-0.5, 0.1)
    assert chosen(*ends, middle)[1] == "between"
    # 0.9 of the way by ratio; by difference it would be 0.79, and the nearest.
    assert chosen(*ends, better("between", -0.5, 10**-0.1, 0.1))[1] == "accurate"


def test_an_image_in_ten_thousand_does_not_outweigh_a_five_times_shorter_time() -> None:
    assert chosen(better("one more", 0.01, 1, 1), better("quick", 0, 0.2, 1.03)) == ("one more", "quick", "quick")


def test_a_tie_of_distances_goes_to_the_more_accurate_file() -> None:
    # Each is best in one of two scales and worst in the other.
    assert chosen(better("quick", -1, 0.25, 1), better("right", 0, 1, 1))[1] == "right"
    assert chosen(better("right", 0, 1, 1), better("quick", -1, 0.25, 1))[1] == "right"
    # Both are 0.5 away, 0.3 and 0.4 of the scales, but not to the last binary digit.
    ends = better("accurate", 0, 2**10), better("quickest", -0.6)
    quick, right = better("quick", -0.24, 2**3), better("right", -0.18, 2**4)
    assert chosen(*ends, quick, right)[1] == "right"


def test_the_typical_time_weighs_every_round_alike() -> None:
    def a_round(times: list[int]) -> Round:
        return Round(Times.pack([1]), Times.pack(times), 1, None)

    launch = Launch(1, 1, Times.pack([1]), True, (a_round([100] * 50), a_round([400, 400, 9_000])), 1, 1)
    assert typical_ns([launch]) == pytest.approx(200)

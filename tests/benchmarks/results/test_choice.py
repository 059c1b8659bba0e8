"""The file to ship: one answer from a result, the same from the next one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.gate.gate import FAIL, INVALID, UNDECIDED, UNJUDGED, Check, Status, Verdict
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.benchmarks.measure.options import Preference
from edgecnn.benchmarks.results.choice import apart, choose
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DeviceResult, DeviceResults, FileResult, Report
from edgecnn.benchmarks.timing.times import Times
from tests.benchmarks.show.pages import accuracy, file_result, report

RIGHT = accuracy(flips=0)
"""Right on every image; 30 flips of 200 are shown to be less accurate, 2 are not."""
LAUNCHES = 5


def timed(file: FileResult, microseconds: Sequence[Sequence[float]]) -> FileResult:
    """Return a file with these medians of its rounds, (launches, rounds)."""
    first = file.launches[0]
    made = [
        replace(first, rounds=tuple(replace(first.rounds[0], measured=Times.pack([round(1000 * time)])) for time in launch))
        for launch in microseconds
    ]
    return replace(file, launches=tuple(made))


def made(
    name: str,
    microseconds: float = 50,
    kib: float = 40,
    of: Accuracy = RIGHT,
    status: Status = "PASS",
    launches: int = LAUNCHES,
) -> FileResult:
    """Return a file whose launches take nearly the same time."""
    file = file_result(name, status, of=of)
    file = replace(file, artifact=replace(file.artifact, size_bytes=round(1024 * kib)))
    return timed(file, [[microseconds * (1 + 0.001 * place)] * 2 for place in range(launches)])


def chosen(*files: FileResult, prefer: Preference | None = None) -> str | None:
    return choose([report(*files)], prefer).file


def test_of_files_as_accurate_and_as_fast_the_smallest_is_shipped() -> None:
    files = made("float32.tflite", 50, 140), made("int8.tflite", 55, 40, accuracy(flips=2)), made("int8.onnx", 52, 50)
    choice = choose([report(*files)])
    assert choice.file == "int8.tflite"
    assert choice.reason == "the smallest of 3 files not shown to be less accurate or over 15 % slower than the best"
    assert dict(choice.others) == {
        "float32.tflite": "140.0 KiB, int8.tflite has 40.0",
        "int8.onnx": "50.0 KiB, int8.tflite has 40.0",
    }
    assert not choice.maybe_faster


def test_a_file_that_is_shown_to_be_less_accurate_is_not_shipped_for_speed_or_size() -> None:
    files = made("float32.tflite", 500, 140), made("int8.tflite", 50, 40, accuracy(flips=30))
    assert chosen(*files) == "float32.tflite"
    assert "less of the images" in dict(choose([report(*files)]).others)["int8.tflite"]
    # Few images that change don't show it.
    assert chosen(files[0], made("int8.tflite", 50, 40, accuracy(flips=3))) == "int8.tflite"


def test_a_worthwhile_shown_difference_of_time_wins_over_size() -> None:
    large = made("float32.tflite", 50, 140)
    assert chosen(large, made("int8.tflite", 60, 40)) == "float32.tflite"
    assert chosen(large, made("int8.tflite", 56, 40)) == "int8.tflite"
    choice = choose([report(large, made("int8.tflite", 60, 40))])
    assert (
        choice.reason
        == "the fastest, by over 15 % in the fastest round of each, of 2 files not shown to be less accurate than the best"
    )


@pytest.mark.parametrize(
    ("prefer", "file"), [(None, "accurate.onnx"), ("accuracy", "accurate.onnx"), ("speed", "fast.onnx"), ("size", "small.onnx")]
)
def test_a_wish_says_what_counts_first(prefer: Preference | None, file: str) -> None:
    worse = accuracy(flips=30)
    files = made("accurate.onnx", 100, 90), made("fast.onnx", 50, 60, worse), made("small.onnx", 80, 40, worse)
    assert chosen(*files, prefer=prefer) == file
    # The result says which wish it was measured with.
    asked = replace(report(*files), prefer=prefer or "accuracy")
    assert asked.choice().file == file
    assert asked.choice("size").file == "small.onnx"


def test_after_the_first_criterion_the_others_follow_in_their_order() -> None:
    worse = accuracy(flips=30)
    # As fast as each other: by size before accuracy with speed first; sizes within 10 % count as equal before the last.
    assert chosen(made("a.onnx", 50, 90), made("b.onnx", 52, 60, worse), prefer="speed") == "b.onnx"
    assert chosen(made("a.onnx", 50, 64), made("b.onnx", 52, 60, worse), prefer="speed") == "a.onnx"
    assert chosen(made("a.onnx", 80, 64), made("b.onnx", 50, 60), made("c.onnx", 50, 60, worse), prefer="size") == "b.onnx"


def test_of_equal_files_the_first_in_the_result_is_shipped_and_the_reason_says_so() -> None:
    choice = choose([report(made("dynamic.tflite", 52), made("int8.tflite", 50))])
    assert choice.file == "dynamic.tflite"
    assert choice.reason.endswith("comes before int8.tflite, of the same size, in the result")


def test_neither_a_microsecond_nor_an_image_changes_the_choice() -> None:
    for microseconds, flips in ((49, 0), (51, 0), (50, 2), (51, 2)):
        other = made("int8.tflite", microseconds, 40, accuracy(flips=flips))
        assert chosen(made("float32.tflite", 50, 140, accuracy(flips=2 - flips)), other) == "int8.tflite"


def test_one_disturbed_launch_does_not_hide_a_far_slower_file() -> None:
    slow = made("int8.tflite", 100, 40)
    disturbed = timed(made("float32.tflite", 50, 140), [[50, 50]] * 4 + [[200, 300]])
    assert chosen(disturbed, slow) == "float32.tflite"
    why = "its fastest round takes 2.00 times as long as that of float32.tflite"
    assert choose([report(disturbed, slow)]).others == (("int8.tflite", why),)


def test_what_one_launch_leaves_open_is_said() -> None:
    noisy = timed(made("int8.tflite", 50, 40), [[50, 45], [70, 70], [50, 50], [64, 64], [55, 55]])
    choice = choose([report(made("float32.tflite", 50, 140), noisy)])
    assert (choice.file, choice.maybe_faster) == ("int8.tflite", ())
    once = made("float32.tflite", 50, 140, launches=1), made("int8.tflite", 500, 40, launches=1)
    choice = choose([report(*once)])  # Nothing is shown by one launch: accuracy and size decide.
    assert (choice.file, choice.maybe_faster) == ("int8.tflite", ("float32.tflite",))


def test_only_a_file_that_passes_is_shipped() -> None:
    passes, small = made("float32.tflite", 90, 140), made("int8.tflite", 50, 40)
    for status in (FAIL, UNDECIDED, INVALID):
        choice = choose([report(passes, replace(small, verdict=Verdict(status, (Check(status, "a reason"),))))])
        assert (choice.file, choice.reason) == ("float32.tflite", "the only exported file that passes")
    keras = replace(made("model.keras", 1), artifact=replace(made("model.keras").artifact, format="keras"))
    assert chosen(keras, passes) == "float32.tflite"


@pytest.mark.parametrize("status", [UNDECIDED, INVALID])
def test_where_none_is_known_to_pass_size_and_accuracy_name_a_candidate(status: Status) -> None:
    files = made("float32.tflite", 50, 140, status=status), made("int8.tflite", 50, 40, status=status)
    choice = choose([report(*files, made("small.tflite", 50, 4, status=FAIL))])
    assert (choice.file, choice.closest, choice.status) == (None, "int8.tflite", status)


def test_where_all_fail_the_closest_is_named_and_without_accuracy_no_file() -> None:
    def failing(name: str, *limits: str) -> FileResult:
        return replace(made(name), verdict=Verdict(FAIL, tuple(Check(FAIL, text) for text in limits)))

    choice = choose([report(failing("a.onnx", "too large", "too slow"), failing("b.onnx", "too slow"))])
    assert (choice.file, choice.closest, choice.status, choice.reason) == (None, "b.onnx", FAIL, "too slow")
    random = replace(report(replace(made("int8.tflite"), accuracy=None)), dataset=None)
    for found in (random, report(made("int8.tflite", status=UNJUDGED), made("float32.tflite"))):
        choice = choose([found])
        assert (choice.file, choice.closest) == (None, None)
        assert "accuracy" in choice.reason


def test_the_reference_passes_where_the_others_are_judged_by_it() -> None:
    first = replace(made("a.onnx", kib=30), verdict=Verdict(UNJUDGED, ()))
    assert choose([replace(report(first, made("b.onnx")), reference="a.onnx")]).file == "a.onnx"
    assert choose([report(first, made("b.onnx"))]).file == "b.onnx"
    unlimited = report(first, replace(made("b.onnx"), verdict=Verdict(UNJUDGED, ())))
    assert choose([replace(unlimited, reference="a.onnx")]).closest == "a.onnx"


def test_files_that_other_images_judge_are_not_compared_by_accuracy() -> None:
    tuned = replace(accuracy(flips=30), chose=150)
    assert chosen(made("float32.tflite", 50, 140), made("tuned.tflite", 50, 40, tuned)) == "tuned.tflite"


def devices(*reports: Report) -> DeviceResults:
    return DeviceResults(1, "edgecnn bench", tuple(DeviceResult(f"pi{at}", None, found) for at, found in enumerate(reports)))


def test_one_file_is_named_for_all_boards_together() -> None:
    # int8 is far slower on the second board alone; float16 is on neither.
    fast = report(made("float32.tflite", 50, 140), made("float16.tflite", 50, 70), made("int8.tflite", 50, 40))
    slow = report(made("float32.tflite", 50, 140), made("float16.tflite", 50, 70), made("int8.tflite", 90, 40))
    assert [choose([found]).file for found in (fast, slow)] == ["int8.tflite", "float16.tflite"]
    assert devices(fast, slow).choice().file == "float16.tflite"
    assert devices(fast, slow).choice("size").file == "int8.tflite"
    # A file that fails on one board is not shipped to all of them.
    failed = report(made("float32.tflite", 50, 140), made("float16.tflite", 50, 70, status=FAIL))
    assert devices(fast, failed).choice().file == "float32.tflite"
    assert devices(fast, report(made("other.onnx"))).choice().reason == "no exported file was measured on every board"
    assert devices().choice().file is None


def test_every_kept_result_of_an_earlier_schema_names_a_file() -> None:
    kept = sorted((Path(__file__).parents[1] / "kept_results").glob("schema-*.json"))
    assert len(kept) >= 6
    for path in kept:
        found = read_report(path)
        choice = found.choice()
        assert choice.file or choice.closest
        assert {name for name, _ in choice.others} < {file.name for file in found.files}


def probabilities(classes: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.eye(3, dtype=np.float32)[classes] * np.float32(0.8) + np.float32(0.1)


def test_two_files_are_compared_through_their_flips_from_the_same_reference() -> None:
    labels = [0, 1, 2, 0, 1, 2, 0, 0]
    reference = [0, 1, 2, 0, 0, 0, 1, 0]
    one = [0, 1, 1, 1, 1, 0, 2, 0]
    other = [1, 2, 2, 1, 0, 2, 2, 0]

    def against(classes: list[int]) -> Accuracy:
        return compare(probabilities(classes), probabilities(reference), np.array(labels))

    only_one = sum(a == label != b for a, b, label in zip(one, other, labels, strict=True))
    only_other = sum(b == label != a for a, b, label in zip(one, other, labels, strict=True))
    assert (only_one, only_other) == (3, 2)
    assert apart(against(one), against(other)) == (3, 2)


# Launches of a file that differ by this much (standard deviation), and rounds of which so many are slowed by so much. "busy" is
# what docs/explanation/choosing.md measured: the fastest rounds of 20 benchmarks differ by 0.5 %, two thirds are slower. In
# "bursts" a round is faster now and then, as where a virtual machine's clock rises for a moment.
NOISE = {"quiet": (0.005, 0.0, 0.0), "usual": (0.01, 0.05, 0.3), "busy": (0.005, 0.65, 0.35), "bursts": (0.005, 0.02, -0.25)}
# Times in microseconds and sizes in KiB, in the result's order.
SETS = {
    "as exported": ([57, 57, 25, 27, 48, 53], [139, 72, 40, 40, 140, 50]),
    "well separated": ([50, 100], [140, 40]),
    "equal": ([50, 50, 50, 50], [140, 70, 50, 40]),
    "8 % apart": ([50, 54], [140, 40]),
    "10 % apart": ([50, 55], [140, 40]),
    "12 % apart": ([50, 56], [140, 40]),
    "20 % apart": ([50, 60], [140, 40]),
    "25 % apart": ([80, 100], [140, 40]),
    "8 to 12 % apart": ([50, 54, 55, 56], [140, 70, 50, 40]),
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("files", SETS)
def test_of_20_benchmarks_19_name_the_same_file(files: str, noise: str) -> None:
    (spread, share, size), (times, sizes) = NOISE[noise], SETS[files]
    rng, named = np.random.default_rng(20), Counter[str | None]()
    like = [made(f"{at}.tflite", 50, kib) for at, kib in enumerate(sizes)]
    for _ in range(20):
        shape = (len(times), LAUNCHES, 4)
        logs = rng.normal(0, spread, (*shape[:2], 1)) + rng.normal(0, 0.3 * spread, shape)
        logs += (rng.random(shape) < share) * rng.exponential(abs(size), shape) * np.sign(size)
        medians = np.array(times)[:, None, None] * np.exp(logs)
        found = report(*(timed(file, rows.tolist()) for file, rows in zip(like, medians, strict=True)))
        named[choose([found]).file] += 1
    assert named.most_common(1)[0][1] >= 19, named


def test_a_file_that_other_images_judge_does_not_keep_less_accurate_ones() -> None:
    tuned = made("tuned.tflite", 50, 140, replace(accuracy(flips=0), chose=150))
    right, wrong = made("float32.tflite", 50, 140, accuracy(flips=1)), made("int8.tflite", 50, 40, accuracy(flips=30))
    assert chosen(right, wrong) == "float32.tflite"
    choice = choose([report(tuned, right, wrong)])
    assert choice.file != "int8.tflite"
    assert "float32.tflite" in dict(choice.others)["int8.tflite"]


def test_networks_that_each_have_a_reference_of_their_own_are_not_compared() -> None:
    other = replace(made("b/int8.tflite"), artifact=replace(made("b/int8.tflite").artifact, source_sha256="0" * 64))
    choice = choose([report(made("a/int8.tflite"), other)])
    assert (choice.file, choice.closest, choice.status) == (None, None, UNJUDGED)
    assert "sweep.json" in choice.reason
    assert choose([replace(report(made("a/int8.tflite"), other), reference="a/int8.tflite")]).file

"""What a reader of a report must know besides its figures: quantized files that are no faster, and the file to ship."""

import re
from dataclasses import replace

import pytest

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.checks import drop
from edgecnn.benchmarks.gate.gate import UNDECIDED, UNJUDGED, Verdict
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.choice import choose
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.remarks import causes, images_show, other_wishes, ship_line, verdict
from edgecnn.benchmarks.show.report import to_markdown, to_text
from edgecnn.benchmarks.timing.profile import OpTime
from edgecnn.edge.export_records import Folded, Interval, Tuned
from tests.benchmarks.show.pages import accuracy, file_result, report
from tests.benchmarks.slowed import slowed


@pytest.mark.parametrize(
    ("name", "factor", "told"),
    [
        ("int8.tflite", 1.25, True),
        ("int8.tflite", 0.8, False),
        ("float32.onnx", 1.25, False),  # Another format's.
    ],
)
def test_a_quantized_file_that_is_slower_than_its_float_file_is_told_in_words(
    quiet: Report, name: str, factor: float, told: bool
) -> None:
    # What was really measured may be either.
    faster = slowed(quiet, "int8.tflite", "float32.tflite", 0.5)
    report = slowed(faster, name, "float32.tflite", factor)
    line = "int8.tflite is slower here than float32.tflite, 1.25 (1.25-1.25) of its time: it saves size alone."
    for text in (to_text(report), to_markdown(report)):
        assert (line in " ".join(text.split())) == told
        assert ("is slower here than" in text) == told


def test_a_quantized_file_that_is_no_faster_says_where_its_time_goes(quiet: Report) -> None:
    report = slowed(quiet, "int8.tflite", "float32.tflite", 1)
    report = replace(report, files=tuple(replace(file, slowest_op=None) for file in report.files))
    said = "int8.tflite is not shown to be faster here than float32.tflite, 1.00 (1.00-1.00) of its time: it saves size alone."
    text = " ".join(to_text(report).split())
    assert said in text
    assert "export with tune=here leaves" in text
    slowest = OpTime("CONV_2D (operator 1 of 9)", 38.0, 0.71)
    files = tuple(replace(f, slowest_op=slowest) if f.name == "int8.tflite" else f for f in report.files)
    text = " ".join(to_text(replace(report, files=files)).split())
    assert "71% of it goes to CONV_2D (operator 1 of 9)" in text


def test_a_file_that_is_tuned_by_folds_alone_is_not_advised_to_be_tuned(quiet: Report) -> None:
    report = slowed(quiet, "int8.tflite", "float32.tflite", 1)
    tuned = Tuned("here", "time", "float32.tflite", Interval(0.9, 0.8, 0.95), 3, 1.0, 0, (), folded=(Folded("conv2d", 2),))
    files = tuple(
        replace(file, slowest_op=None, artifact=replace(file.artifact, tuned=tuned)) if file.name == "int8.tflite" else file
        for file in report.files
    )
    text = to_text(replace(report, files=files))
    assert "int8.tflite is not shown to be faster" in " ".join(text.split())
    assert "tune=" not in " ".join(text.split())


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (0.97, "is not shown to be 5 % faster here than float32.tflite, 0.97 (0.97-0.97) of its time: it mostly saves size."),
        (0.9, ""),
    ],
)
def test_a_file_that_gains_little_is_not_said_to_gain_nothing(quiet: Report, factor: float, said: str) -> None:
    text = " ".join(to_text(slowed(quiet, "int8.tflite", "float32.tflite", factor)).split())
    assert said in text
    assert ("int8.tflite is not shown" in text) == bool(said)


def test_of_one_launch_no_file_is_called_slower(quiet: Report) -> None:
    report = slowed(quiet, "int8.tflite", "float32.tflite", 2)
    one = replace(report, files=tuple(replace(file, launches=file.launches[:1]) for file in report.files))
    assert "is slower here than" not in to_text(one)


def shipped(*files: FileResult) -> str:
    return ship_line(report(*files))


def test_the_line_has_the_file_its_figures_and_the_reason() -> None:
    slow = file_result("float32.tflite", microseconds=500, of=accuracy(flips=4))
    text = shipped(slow, file_result("int8.tflite", microseconds=50, of=accuracy(flips=4)))
    assert text.startswith("Ship int8.tflite: 97.50 % right, p50 5")
    best = "the fastest, by over 15 % in the fastest round of each"
    assert text.endswith(f"39.1 KiB. It is {best}, of 2 files not shown to be less accurate than the best.")
    (reason,) = [choose([report(slow)]).reason]
    assert shipped(slow).endswith(f"39.1 KiB. It is {reason}.")


def test_a_file_that_failed_is_never_shipped_and_the_closest_says_which_limit_it_missed() -> None:
    text = shipped(file_result("int8.tflite", "FAIL"))
    assert text.startswith("Ship none: no file passes. The closest is int8.tflite (97.50 % right")
    assert text.endswith("the drop of int8.tflite was looked at.")
    assert shipped(file_result("int8.tflite", "FAIL"), file_result("b.tflite", microseconds=90)).startswith("Ship b.tflite: ")


def test_a_file_that_is_undecided_or_has_no_limit_is_a_candidate_and_not_shipped() -> None:
    unlimited = replace(file_result("int8.tflite"), verdict=Verdict(UNJUDGED, ()))
    for file, doubt in ((file_result("int8.tflite", "UNDECIDED"), "it is UNDECIDED"), (unlimited, "no limit was set")):
        text = shipped(file)
        assert text.startswith("Ship none yet: the best candidate is int8.tflite (97.50 % right")
        assert doubt in text


def test_a_tuned_file_is_shipped_with_the_number_of_images_that_judge_it() -> None:
    tuned = replace(accuracy(flips=4), chose=150)
    assert shipped(file_result("tuned.tflite", of=tuned)).startswith("Ship tuned.tflite: 97.50 % of 200 held-out images right")


def test_what_the_launches_leave_open_is_in_the_line_with_five_files_at_most() -> None:
    files = [file_result(f"{name}.tflite", microseconds=50, launched=1) for name in "abcdefgh"]
    text = shipped(*files)
    assert text.startswith("Ship a.tflite: ")
    longer = "whether it takes over 15 % longer than b.tflite, c.tflite, d.tflite, e.tflite, f.tflite or 2 more."
    assert text.endswith(f"One launch does not show {longer}")


def test_a_wish_that_names_another_file_is_said_and_one_that_does_not_is_not() -> None:
    large, small = file_result("float32.tflite", microseconds=50), file_result("int8.tflite", microseconds=500)
    small = replace(small, artifact=replace(small.artifact, size_bytes=10_000))
    assert other_wishes(report(large, small)) == ["It would be int8.tflite with prefer=size."]
    assert other_wishes(replace(report(large, small), prefer="size")) == [
        "It would be float32.tflite with prefer=accuracy, float32.tflite with prefer=speed."
    ]
    assert not other_wishes(report(large))


def test_an_unstable_time_is_called_so_and_without_accuracy_no_file_is_named() -> None:
    made = report(file_result("int8.tflite"), noise=(Noise("load", None, "others were busy"),))
    assert " µs (unstable), " in ship_line(made)
    made = replace(report(replace(file_result("int8.tflite"), accuracy=None)), dataset=None)
    assert ship_line(made) == "No file is named to ship: accuracy was not measured."


def of_few_images(name: str, images: int, limit: float | None = 0.5, flips: int = 0) -> FileResult:
    """Return a file judged by the drop alone; without a limit it is the reference."""
    file = file_result(name, of=accuracy(flips=flips, images=images))
    assert file.accuracy
    checks = () if limit is None else (drop(file.accuracy, limit, "the float Keras model"),)
    return replace(file, budget=Budget(limit), verdict=Verdict(checks[0].status if checks else UNJUDGED, checks))


def test_images_that_are_too_few_say_first_what_they_show_and_how_many_more_would_decide() -> None:
    few = report(of_few_images("model.keras", 520, limit=None), *(of_few_images(f"{name}.onnx", 520) for name in "ab"))
    shown = "520 images show every file within 0.71 points of the float Keras model (95 %), the limit is 0.50: about 220 more"
    assert verdict(few)[0].startswith(f"{UNDECIDED}: {shown} images")
    assert f"**{UNDECIDED}: {shown.partition(' (')[0]}" in to_markdown(few).replace("\\", "")
    assert f"{shown} images" in " ".join(to_html(few, None).split())
    assert [line.split()[1] for line in to_text(few).splitlines() if line.startswith(" model.keras")][-1] == "reference"


def test_what_the_images_show_is_that_of_the_widest_file() -> None:
    mixed = report(of_few_images("a.onnx", 520), of_few_images("b.onnx", 520, flips=3), of_few_images("c.onnx", 9000))
    text = images_show(mixed)
    assert text
    assert mixed.files[1].accuracy
    within = 100 * mixed.files[1].accuracy.drop.high
    shown = re.fullmatch(r"520 images show a.onnx, b.onnx within ([\d.]+) points .* about (\d\d,000) more images .*", text)
    assert shown
    assert within <= float(shown[1]) < within + 0.01
    (met,) = re.findall(r"or max_drop_points=([\d.]+), if", text)
    assert within <= float(met) < within + 0.1


def test_a_limit_that_the_images_decide_says_nothing_of_their_number() -> None:
    assert images_show(report(of_few_images("a.onnx", 9000))) is None
    assert images_show(report(of_few_images("a.onnx", 520), of_few_images("b.onnx", 520, flips=200))) is None


def test_a_cause_of_noise_of_several_files_is_one_line_that_names_them() -> None:
    noise = (
        Noise("load", None, "others used 0.50 cores"),
        *(Noise("drift", f"{name}.onnx", f"the rounds of {name}.onnx drift") for name in "abc"),
        Noise("load", None, "the hypervisor took 0.20 cores"),
        Noise("rounds", "b.onnx", "the rounds of b.onnx disagree"),
    )
    lines = [
        "others used 0.50 cores (load)",
        "the rounds of a.onnx drift (drift); the same of b.onnx, c.onnx",
        "the hypervisor took 0.20 cores (load)",
        "the rounds of b.onnx disagree (rounds)",
    ]
    assert causes(noise) == lines
    assert causes(noise, every=True) == [item.reason for item in noise]
    made = report(*(file_result(f"{name}.onnx") for name in "abc"), noise=noise)
    for text in (to_text(made), to_markdown(made), to_html(made, None)):
        assert [text.count(f"rounds of {name}.onnx drift") for name in "abc"] == [1, 0, 0]
    assert to_text(made, verbose=True).count(" drift (drift)") == 3

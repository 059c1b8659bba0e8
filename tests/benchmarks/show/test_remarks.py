"""What a reader of a report must know besides its figures: quantized files that are no faster."""

from dataclasses import replace

import pytest

from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.show.report import to_markdown, to_text
from edgecnn.benchmarks.timing.profile import OpTime
from edgecnn.edge.export_records import Folded, Interval, Tuned
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
    assert "export that is tuned leaves" in text
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
    assert "that is tuned" not in " ".join(text.split())


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

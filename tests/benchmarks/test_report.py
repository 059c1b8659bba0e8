"""A report as text and as JSON."""

from dataclasses import replace

import pytest

from benchmarks.accuracy import Accuracy
from benchmarks.gate import Budget, join, judge
from benchmarks.host import Host
from benchmarks.latency import TIMED_REGION, LatencySample, Plan
from benchmarks.report import WIDTH, to_table
from benchmarks.run import SCHEMA, FileResult, Report
from benchmarks.statistics import LatencySummary, summarize
from edge.manifest import Artifact, DatasetRecord, Parity, Quantization, TensorSpec
from edge.records import from_json, to_json

HOST = Host("2026-01-02T03:04:05Z", "aarch64", "Board 5", "Cortex-A76", 4, "ondemand", 48.3, 0.25, "Linux 6", "3.11.2")
NAMES = ("model.keras", "float32.tflite", "dynamic.tflite", "int16x8.tflite", "float32.onnx")


def result(name: str, correct: int = 9_900) -> FileResult:
    spec = TensorSpec("image", (None, 28, 28, 1), "int8", Quantization((1 / 255,), (-128,)))
    stem, model_format = name.split(".")
    artifact = Artifact(model_format, stem, name, 51_200, "a" * 64, "b" * 64, spec, spec, None, Parity(10_000, 9_990, 0.1))
    accuracy = Accuracy(10_000, correct, 9_900, max(9_900 - correct, 0), max(correct - 9_900, 0), 9_876, 0.04)
    sample = LatencySample((9_000_000,), (40_000, 41_000, 1_000_000))
    return FileResult(
        artifact,
        f"runtime-{model_format} 1.0",
        5,
        3_200_000,
        55 * 2**20,
        sample,
        summarize(sample),
        accuracy,
        judge(name, accuracy, Budget()),
    )


def report(*files: FileResult) -> Report:
    dataset = DatasetRecord("mnist", "shipped", "c" * 64, "d" * 64)
    verdict = join(tuple(file.verdict for file in files))
    return Report(
        SCHEMA, "artifacts/mnist", dataset, 1, Plan(), TIMED_REGION, Budget(), HOST, replace(HOST, load=1.5), files, verdict
    )


def row(text: str, name: str) -> list[str]:
    (cells,) = (line.split() for line in text.splitlines() if line.split()[:1] == [name])
    return cells


def test_a_failed_report_says_fail_and_every_reason() -> None:
    text = to_table(report(result("int8.tflite", 9_700), result("float32.onnx"), result("int8.onnx", 9_800)))
    assert [row(text, name)[-1] for name in ("int8.tflite", "float32.onnx", "int8.onnx")] == ["FAIL", "PASS", "FAIL"]
    first, second = text.splitlines()[-2:]
    assert first.startswith("FAIL: int8.tflite: accuracy 97.00% is 2.00 points below")
    assert second.startswith("FAIL: int8.onnx: accuracy 98.00% is 1.00 points below")


def test_a_passed_report_names_the_budget() -> None:
    last = to_table(report(result("int8.tflite"))).splitlines()[-1]
    assert last == "PASS: every file is within 0.50 points of the float Keras model."


def test_a_row_has_the_files_own_figures_in_the_headings_units() -> None:
    assert row(to_table(report(result("int8.tflite", 9_901))), "int8.tflite") == [
        *("int8.tflite", "50.0", "3.2", "41.0", "1,000", "2,775", "55", "99.01", "-0.01", "98.76", "PASS")
    ]


def test_the_text_says_how_and_on_what_it_was_measured() -> None:
    text = to_table(report(*map(result, NAMES)))
    for part in (
        TIMED_REGION,
        "At least 3 runs a file after 50 of warm-up, 1 thread.",
        "10,000 test images of mnist",
        "Board 5, Cortex-A76, aarch64, 4 cores; load 0.2 before, 1.5 after",
        "runtime-keras 1.0, runtime-onnx 1.0, runtime-tflite 1.0. 2026-01-02T03:04:05Z.",
    ):
        assert part in text


def test_a_machine_that_does_not_say_its_name_leaves_no_gap() -> None:
    unknown = replace(report(result("int8.tflite")), before=replace(HOST, board=None, cpu=None), threads=2)
    text = to_table(unknown)
    assert "Machine: aarch64, 4 cores;" in text
    assert "2 threads." in text


@pytest.mark.parametrize(
    ("summary", "figures"),
    [
        (LatencySummary(1_000, 123_456_700, 987_654_300, 8.1), ("123,457", "987,654", "8")),
        (LatencySummary(999_999, 1_000, 1_100, 999_999.0), ("1.0", "1.1", "999,999")),
    ],
    ids=["slow", "fast"],
)
def test_the_table_is_at_most_100_columns_wide_and_cuts_nothing(summary: LatencySummary, figures: tuple[str, ...]) -> None:
    files = [
        replace(
            old,
            artifact=replace(old.artifact, size_bytes=1_264_128),
            load_ns=4_321_500_000,
            peak_memory_bytes=999_999 * 2**20,
            summary=summary,
        )
        for old in (result(name, 0) for name in NAMES)
    ]
    text = to_table(report(*files))
    assert max(map(len, text.splitlines())) <= WIDTH == 100
    for name in NAMES:
        assert row(text, name) == [name, "1,234", "4,322", *figures, "999999", "0.00", "+99.00", "98.76", "FAIL"]


def test_a_report_comes_back_from_json_whole_with_its_raw_times() -> None:
    before = report(result("int8.tflite", 9_700), *map(result, NAMES))
    after = from_json(Report, to_json(before), "report.json")
    assert after == before
    assert after.files[0].latency == LatencySample((9_000_000,), (40_000, 41_000, 1_000_000))

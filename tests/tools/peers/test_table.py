"""Output of `make peers` for rows that passed and rows that did not."""

from dataclasses import replace

import pytest

from tools.peers.lineup import ENTRIES, Agreement, Comparison, Entry, Figures, Row
from tools.peers.table import target_line, to_text

AGREEMENT = Agreement(10_000, 9_995, 0.066, 9_930, 9_929)
FIGURES = Figures(1, 6, 10_000, 26_000, 27_000, 1.0, 200e6, 5e6, 3e6, 50 * 2**20)


def row(name: str, ratio: float = 1.0, problem: str | None = None) -> Row:
    entry = next(entry for entry in ENTRIES if entry.name == name)
    figures = tuple(replace(FIGURES, threads=threads, ratio=ratio) for threads in (1, 2))
    return Row(entry, 42_000, AGREEMENT, figures, problem)


OURS = row("int8.tflite")
ROWS = (OURS, row("float32.tflite", 0.5), row("ExecuTorch int8", 1.4), row("OpenVINO int8", 1.8))
BROKEN = Row(Entry("MNN", "int8"), None, None, (), "its file could not be built: " + "the tool crashed, " * 10)


def text(*rows: Row) -> str:
    return to_text(Comparison("2026-11-25T17:00:00Z", "a CPU, x86_64, 2 cores", {"mnn": "3.6.1"}, 6, rows))


def test_the_target_is_missed_where_another_int8_is_within_a_third_of_ours() -> None:
    assert target_line((OURS, row("ExecuTorch int8", 1.3), row("OpenVINO int8", 1.8))) == (
        "int8.tflite takes 0.77 of the time of the best other int8 (ExecuTorch int8): target at most 0.75, missed"
    )


def test_the_target_is_met_by_the_best_other_int8_and_no_float_file_counts() -> None:
    told = "int8.tflite takes 0.71 of the time of the best other int8 (ExecuTorch int8): target at most 0.75, met"
    assert target_line(ROWS) == told


def test_a_share_just_above_the_target_is_not_rounded_down_to_it() -> None:
    assert target_line((OURS, row("OpenVINO int8", 1 / 0.754))) == (
        "int8.tflite takes 0.754 of the time of the best other int8 (OpenVINO int8): target at most 0.75, missed"
    )


def test_a_row_that_did_not_pass_is_no_competitor_and_a_slower_one_is_named_instead() -> None:
    told = target_line((OURS, row("ExecuTorch int8", 1.1, "another class for 3 of 10,000 images"), row("OpenVINO int8", 1.8)))
    assert "0.56 of the time of the best other int8 (OpenVINO int8)" in told
    assert told.endswith("\nNot compared, since they did not pass: ExecuTorch int8")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((replace(OURS, problem="it crashed"), *ROWS[1:]), "int8.tflite did not pass: there is nothing to compare"),
        ((OURS, BROKEN), "no other int8 passed: int8.tflite has nothing to be compared with"),
    ],
)
def test_without_two_that_passed_no_target_is_met(rows: tuple[Row, ...], told: str) -> None:
    assert target_line(rows) == told


def test_a_peer_that_failed_keeps_its_row_says_why_and_is_not_counted_as_passed() -> None:
    printed = text(*ROWS, BROKEN)
    rows = [line.split() for line in printed.splitlines() if line.strip().startswith("MNN int8 !")]
    assert [line[3:] for line in rows[:3]] == [["-"] * 7, ["-"] * 4, ["-"] * 4 + ["failed"]]
    assert "\nMNN int8: its file could not be built: the tool crashed" in printed
    assert "4 of 5 rows passed." in printed


def test_a_peer_with_wrong_predictions_keeps_its_times_under_a_mark() -> None:
    printed = text(OURS, row("MNN int8", 0.9, "right on 97.40 % only"))
    latency = next(line.split() for line in printed.splitlines() if line.strip().startswith("MNN int8 !"))
    assert latency[3:] == ["41.0", "26.0", "27.0", "0.90", "26.0", "27.0", "0.90"]
    assert printed.count("failed") == 1


def test_the_tables_fit_a_terminal_of_100_columns_and_name_cpu_date_and_versions() -> None:
    printed = text(*(row(entry.name, 12.34, "because") for entry in ENTRIES))
    assert max(map(len, printed.splitlines())) <= 100
    assert "Machine: a CPU, x86_64, 2 cores. 2026-11-25T17:00:00Z." in printed
    assert "Versions: mnn 3.6.1." in printed

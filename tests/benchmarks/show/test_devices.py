"""The tables of several devices."""

from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest

from edgecnn.benchmarks.gate.gate import FAIL, PASS, Check, Verdict
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DeviceResult, DeviceResults, Report
from edgecnn.benchmarks.show.remarks import ship_line
from edgecnn.benchmarks.show.report import devices_text

pytestmark = pytest.mark.workstation("boards are reached from the workstation, with its ssh client")


@pytest.fixture(scope="module")
def report() -> Report:
    """A quiet result that passed."""
    found = read_report(Path(__file__).parents[1] / "kept_results/schema-3.json")
    verdict = Verdict(PASS, ())
    return replace(
        found, noise=(), allowed=(), verdict=verdict, files=tuple(replace(file, verdict=verdict) for file in found.files)
    )


def text(*devices: tuple[str, Report | str]) -> str:
    results = (
        DeviceResult(host, given, None) if isinstance(given, str) else DeviceResult(host, None, given)
        for host, given in devices
    )
    return devices_text(DeviceResults(1, "edgecnn bench", tuple(results)))


def rows(shown: str, title: str) -> list[list[str]]:
    """Return the cells under a title, including the tables below; cells have spaces only before a mark."""
    blocks = shown.split("\n\n")
    first = next(place for place, block in enumerate(blocks) if block.startswith(title))
    below = takewhile(lambda block: block.startswith(" "), blocks[first + 1 :])
    lines = [*blocks[first].splitlines()[1:], *(line for block in below for line in block.splitlines())]
    return [line.replace(" !", "!").replace(" (", "(").split() for line in lines]


def test_a_device_without_a_result_has_no_column_and_its_reason_is_said(report: Report) -> None:
    shown = text(("pi4", report), ("pi3", "it does not answer: is it on, and on this network?"))
    assert rows(shown, "Latency")[0] == ["file", "pi4"]
    assert "\n\npi3: NO RESULT: it does not answer: is it on, and on this network?\n\n" in shown
    assert shown.splitlines()[0].endswith(": 1 of 2 devices.")
    shown = text(("a", "it refuses your key: x"), ("b", "the connection broke: y"))
    assert shown == (
        "Within the limits: 0 of 2 devices.\n\na: NO RESULT: it refuses your key: x\n\nb: NO RESULT: the connection broke: y"
    )


def test_each_device_says_which_file_to_ship_and_one_line_says_it_for_all(report: Report) -> None:
    shown = " ".join(text(("one", report), ("two", report)).split())
    assert shown.count(ship_line(report)) == 2
    choice = report.choice()
    assert f"Ship {choice.file} to all 2 devices. It is {choice.reason}." in shown
    # One device alone needs no such line, nor do devices without a result.
    assert "to all" not in text(("one", report), ("two", "it does not answer"))
    failed = replace(report, files=tuple(replace(file, verdict=Verdict(FAIL, (Check(FAIL, "x"),))) for file in report.files))
    shown = " ".join(text(("one", report), ("two", failed)).split())
    assert f"Ship none to all 2 devices: the closest is {failed.choice().closest}, which is FAIL on one or more" in shown


def test_a_file_that_a_device_did_not_measure_is_named_so(report: Report) -> None:
    fewer = replace(report, files=report.files[:1], baseline=report.files[0].name)
    table = rows(text(("one", fewer), ("two", report)), "Latency")
    assert len(report.files) > 1
    assert table[0] == ["file", "one", "two"]
    assert [row[0] for row in table[2:]] == [file.name for file in report.files]
    assert table[3][1:3] == ["not", "measured"]


def test_figures_are_the_result_s_own(report: Report) -> None:
    file = report.files[0]
    p50, p90 = (next(item.value_ns for item in file.latency.percentiles if item.percent == percent) for percent in (50, 90))
    assert p50
    assert p90
    shown = text(("pi", report))
    assert rows(shown, "Latency")[2] == [file.name, f"{p50 / 1e3:.1f}({p90 / 1e3:.1f})"]
    assert file.accuracy
    assert rows(shown, "Right %")[2] == [file.name, f"{100 * file.accuracy.accuracy:.2f}", "PASS"]


def test_a_time_that_too_few_runs_support_is_a_dash_with_its_reason(report: Report) -> None:
    file = report.files[0]
    without = tuple(replace(item, value_ns=None) for item in file.latency.percentiles)
    few = replace(file, latency=replace(file.latency, percentiles=without))
    shown = text(("pi", replace(report, files=(few, *report.files[1:]))))
    assert rows(shown, "Latency")[2] == [file.name, "-(-)"]
    assert all(part in shown for part in ("-: too few runs", "p50 or p90."))
    assert "too few" not in text(("pi", report))


def test_unstable_times_are_marked_and_explained_at_their_device_alone(report: Report) -> None:
    noise = Noise("rounds", report.files[0].name, "rounds disagree")
    shown = text(("calm", report), ("hot", replace(report, noise=(noise,), allowed=("rounds",))))
    row = rows(shown, "Latency")[2]
    assert not row[1].endswith("!")
    assert row[2].endswith("!")
    paragraph = next(block for block in shown.split("\n\n") if block.startswith("hot:"))
    assert "Unstable times, marked with !:\n  rounds disagree (rounds)" in paragraph.replace("\n    ", "\n  ")
    assert "Judged anyway, as asked: rounds." in paragraph


def test_a_failed_limit_is_in_the_table_and_at_its_device(report: Report) -> None:
    verdict = Verdict(FAIL, (Check(FAIL, "int8.tflite takes too long"),))
    failed = replace(report, verdict=verdict, files=tuple(replace(file, verdict=verdict) for file in report.files))
    shown = text(("fast", report), ("slow", failed))
    assert rows(shown, "Right %")[2][1:] == [rows(shown, "Right %")[2][1], "PASS", rows(shown, "Right %")[2][1], "FAIL"]
    assert "slow: FAIL." in shown
    assert "FAIL: int8.tflite takes too long" in shown
    assert shown.splitlines()[0].endswith(": 1 of 2 devices.")


@pytest.mark.parametrize("length", [3, 22, 40, 90])
def test_many_devices_with_any_names_are_stacked_within_100_columns(report: Report, length: int) -> None:
    hosts = [f"pi{number:x}@" + "n" * (length - 4) for number in range(12)]
    shown = text(*((host, report) for host in hosts))
    assert max(map(len, shown.splitlines())) <= 100
    # Every device has one column in each kind of table, with its whole name.
    assert "…" not in shown
    joined = "".join("".join(line.split()) for line in shown.splitlines())
    for number in range(12):
        assert joined.count(f"pi{number:x}@") == 3
    values = [cell for row in rows(shown, "Latency") if row and row[0] == report.files[0].name for cell in row[1:]]
    assert len(values) == 12


def test_text_of_a_device_can_t_steer_the_terminal(report: Report) -> None:
    evil = replace(report, machine=replace(report.machine, board="\x1b]0;x\x07Pi\r"))
    shown = text(("pi", evil), ("b", "x\x1b[2J"))
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert r"\u001b]0;x\u0007Pi" in shown

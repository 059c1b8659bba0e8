"""A report as text, Markdown and CSV: what it says first, its tables and width, its one p50, and that no name is markup."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNJUDGED, Check, Verdict
from edgecnn.benchmarks.machine.noise import Load, Noise
from edgecnn.benchmarks.results.latency_summary import p50_ns, summarize, typical_ns
from edgecnn.benchmarks.results.records import FileResult, Report, Round
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.remarks import ship_line
from edgecnn.benchmarks.show.report import to_csv, to_markdown, to_text
from edgecnn.benchmarks.show.tables import figure
from edgecnn.benchmarks.statistics.percentiles import Percentile
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.export_records import Interval, Mended
from edgecnn.edge.records import to_json

BUSY = Noise("load", None, "other processes used 1.20 cores while files were timed: stop them")
EVIL = "\x1b[31mcat\r\x9b2J\u202edog\nPASS: every file is within 0.50 points"


def change(report: Report, name: str, **fields: object) -> Report:
    """Return the report with other fields of one file's latency."""

    def changed(file: FileResult) -> FileResult:
        return replace(file, latency=replace(file.latency, **fields)) if file.name == name else file  # type: ignore[arg-type]

    return replace(report, files=tuple(map(changed, report.files)))


def row(text: str, name: str, which: int = 0) -> list[str]:
    return [line.split() for line in text.splitlines() if line.split()[:1] == [name]][which]


def test_a_passed_report_names_the_limits_and_every_one_that_is_not_met_is_a_line_at_the_start(quiet: Report) -> None:
    checks = (
        Check(FAIL, "int8.tflite: a reason"), Check(PASS, "float32.onnx: fine"), Check("INVALID", "another"),
        Check("INVALID", "int8.onnx: a reason"),
    )  # fmt: skip
    lines = to_text(replace(quiet, verdict=Verdict(FAIL, checks))).splitlines()
    assert lines[:3] == ["FAIL: int8.tflite: a reason", "INVALID: another", "INVALID: int8.onnx: a reason"]
    assert "**FAIL: int8.tflite: a reason**  " in to_markdown(replace(quiet, verdict=Verdict(FAIL, checks)))
    first = " ".join(to_text(quiet).split("\n\n")[0].split())
    assert first.startswith(
        "PASS: every file is within 100.00 points of the float Keras model (95 %), and within its other limits; the reference "
        "is right on 100.00 % of the images. Ship "
    )


def test_a_row_has_the_files_own_figures_in_the_headings_units(quiet: Report) -> None:
    percentiles = (
        Percentile(50, 1_000, 11, 41_250, 41_000, 42_000),
        Percentile(90, 1_000, 64, 1_234_500, 1_000_000, 2_000_000),
        Percentile(99.9, 1_000, 6_636, None, None, None),
    )
    report = change(
        replace(quiet, baseline="int8.tflite"),
        "float32.onnx",
        load_ns=3_210_000,
        first_ns=250_000,
        import_ns=21_000_000,
        percentiles=percentiles,
        ratio=Interval(2.2049, 2.1, 2.3),
        images_per_second=24_000.4,
        peak_memory_bytes=66 * 2**20,
        steady_memory_bytes=60 * 2**20,
    )
    size = f"{next(file for file in report.files if file.name == 'float32.onnx').artifact.size_bytes / 1024:.1f}"
    assert row(to_text(report), "float32.onnx") == [
        *("float32.onnx", size, "41.2", "1,234", "needs", "6,636", "2.20", "(2.10-2.30)", "24,000")
    ]
    assert row(to_text(report), "float32.onnx", 1) == ["float32.onnx", "21.0", "3.21", "0.25", "66", "60"]
    assert row(to_text(report), "int8.tflite")[-2] == "1"


def test_a_single_launch_gives_no_interval_and_says_so(quiet: Report) -> None:
    report = change(replace(quiet, baseline="int8.tflite"), "float32.onnx", ratio=None)
    assert row(to_text(report), "float32.onnx")[-3:-1] == ["one", "launch"]


def test_unstable_times_are_marked_with_their_reasons_in_every_output(quiet: Report) -> None:
    assert "!" not in to_text(quiet)
    report = replace(quiet, noise=(BUSY,), allowed=("load",))
    for text in (to_text(report), to_markdown(report)):
        assert "Unstable times, marked with !:" in text
        assert f"{BUSY.text} (load)" in text
        assert "Judged anyway, as asked: load." in text
    # Wherever there are times; accuracy does not depend on them.
    assert [row(to_text(report), "int8.tflite", which)[1] == "!" for which in range(5)] == [True, True, False, True, True]
    assert "int8.tflite ! by op: " in to_text(report)
    for line in csv.DictReader(io.StringIO(to_csv(report))):
        assert (line["noise"], line["noise_reasons"], line["allowed"]) == ("load", BUSY.text, "load")


def test_noise_of_one_file_marks_that_file_alone(quiet: Report) -> None:
    report = replace(quiet, noise=(Noise("drift", "int8.tflite", "it drifted"),))
    marked = [name for name in ("float32.tflite", "int8.tflite", "float32.onnx") if "!" in " ".join(row(to_text(report), name))]
    assert marked == ["int8.tflite"]


def test_a_time_near_the_cost_of_an_empty_call_is_marked_and_a_files_name_is_no_mark(quiet: Report) -> None:
    p50 = int(np.median(next(f for f in quiet.files if f.name == "int8.tflite").launches[0].rounds[0].measured.unpack()))
    assert "~" not in to_text(quiet)
    near = to_text(replace(quiet, empty_call=Times.pack([p50 // 2])))
    assert "~: so short" in near
    assert any(cell.endswith("~") for cell in row(near, "int8.tflite"))
    loop = to_text(replace(quiet, empty_call=Times.pack([p50 // 2])), verbose=True)
    assert f"empty call takes {p50 // 2 / 1000:.2f} µs" in " ".join(loop.split())
    first = quiet.files[0]
    assert "~: so short" not in to_text(replace(quiet, files=(replace(first, name=f"~{first.name}"), *quiet.files[1:])))


def test_the_text_says_how_and_on_what_it_was_measured(quiet: Report) -> None:
    machine = replace(quiet.machine, board="Board 5", cpu="Cortex-A76", machine="aarch64", cores=4)
    before = replace(quiet.before, governors=("ondemand",), temperature_celsius=48.3, throttled=0, time="2026-01-02T03:04:05Z")
    after = replace(quiet.after, temperature_celsius=61.0, throttled=0x50000)
    found = replace(quiet, machine=machine, before=before, after=after)
    assert "Machine: " not in to_text(found)
    text = " ".join(to_text(found, verbose=True).split())
    for part in (
        quiet.timed_region,
        "in 3 launches of 2 rounds, with 1 thread.",
        "60 test images of bars",
        "Machine: Board 5, Cortex-A76, aarch64, 4 cores; other processes used 0.01 cores during the timing; governor ondemand; "
        "48 °C before, 61 °C after; throttled 0x0 before, 0x50000 after.",
        "2026-01-02T03:04:05Z.",
        "*: the file takes a fixed number of images, so each batch is a loop.",
    ):
        assert part in text


def test_a_machine_that_says_nothing_leaves_no_gap(quiet: Report) -> None:
    machine = replace(quiet.machine, board=None, cpu=None, machine="aarch64", cores=4)
    state = replace(quiet.before, governors=(), temperature_celsius=None, throttled=None)
    text = to_text(replace(quiet, machine=machine, before=state, after=state, load=None), verbose=True)
    assert "Machine: aarch64, 4 cores; load, governor and temperature are not reported." in text


def test_the_file_to_ship_is_named_in_text_and_markdown_and_a_failed_one_is_not(quiet: Report) -> None:
    for shown in (to_text(quiet), to_markdown(quiet)):
        assert ship_line(quiet) in " ".join(shown.split())
    failed = tuple(replace(file, verdict=Verdict(FAIL, (Check(FAIL, "too large"),))) for file in quiet.files)
    assert "Ship none: no file passes." in to_text(replace(quiet, files=failed))


def test_others_work_beside_the_extras_and_more_threads_than_cores_are_told(quiet: Report) -> None:
    busy = replace(quiet, extras_load=Load(1.0, 0.5, 0.0))
    assert "others used 0.50 cores" in " ".join(to_text(busy).split())
    assert "those figures are unstable" not in to_text(replace(quiet, extras_load=Load(1.0, 0.05, 0.0)))
    files = tuple(replace(file, threads=8) for file in quiet.files)
    text = to_text(replace(quiet, files=files, machine=replace(quiet.machine, cores=4)))
    assert "than this machine's 4 cores" in text


def test_a_percentile_close_to_100_keeps_its_name(quiet: Report) -> None:
    close = (Percentile(99.99999, 10, 100, None, None, None),)
    files = tuple(replace(file, latency=replace(file.latency, percentiles=close)) for file in quiet.files)
    assert "p99.99999_ns" in to_csv(replace(quiet, files=files))


def test_the_text_is_at_most_100_columns_wide_and_cuts_nothing(quiet: Report) -> None:
    slow = tuple(Percentile(p, 9_999_999, 64, 123_456_700, 123_456_600, 987_654_300) for p in (50, 90, 99))
    report = replace(quiet, noise=(BUSY,), baseline="int8.tflite")
    for name in ("float32.tflite", "int8.tflite", "float32.onnx"):
        ratio = Interval(123.45, 111.11, 135.79)
        report = change(report, name, percentiles=slow, ratio=ratio, load_ns=4_321_500_000, images_per_second=8.1)
    text = to_text(report)
    assert max(map(len, text.splitlines())) <= 100
    assert row(text, "float32.tflite")[3:8] == ["123,457", "123,457", "123,457", "123", "(111-136)"]
    assert "…" not in text


def test_csv_has_one_row_a_file_in_plain_numbers(quiet: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(quiet))))
    assert [line["file"] for line in lines] == [file.name for file in quiet.files]
    for line, file in zip(lines, quiet.files, strict=True):
        assert int(line["size_bytes"]) == file.artifact.size_bytes
        assert int(line["p50_ns"]) == file.latency.percentiles[0].value_ns
        assert int(line["p90_high_ns"]) == file.latency.percentiles[1].high_ns
        assert line["p99.9_ns"] == ""
        assert file.accuracy
        assert float(line["drop_high"]) == file.accuracy.drop.high
        assert (int(line["images"]), line["gate"], int(line["missed"])) == (60, "PASS", file.paced.missed if file.paced else -1)


def test_markdown_has_a_table_for_each_of_the_texts(quiet: Report) -> None:
    text = to_markdown(quiet)
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles[:5] == [
        "Latency of one image",
        "Start and memory of the process",
        "Accuracy compared with the float Keras model",
        "Throughput of batches, and a fixed rate",
        "Sustained",
    ]
    assert len(titles) == 5 + len(quiet.files)
    tables = [line for line in text.splitlines() if line.startswith("|---")]
    assert len(tables) == len(titles)
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if line.startswith("|---"):
            assert line.count("|") == lines[index - 1].count("|") == lines[index + 1].count("|")


@pytest.fixture
def latency_only(quiet: Report) -> Report:
    """`quiet`, as if no labelled images had been given."""
    none = Budget(max_drop_points=None)
    files = tuple(replace(file, accuracy=None, budget=none, verdict=Verdict(UNJUDGED, ())) for file in quiet.files)
    return replace(quiet, dataset=None, class_names=(), files=files, verdict=Verdict(UNJUDGED, ()))


def test_a_report_without_accuracy_says_so_and_has_no_accuracy_anywhere(latency_only: Report) -> None:
    for text in (to_text(latency_only), to_markdown(latency_only)):
        assert "Latency only: no labelled images" in text
        assert "one run on random inputs" in text
        assert all(part in text for part in ("UNJUDGED: nothing was judged", "example on p90."))
        for word in ("Accuracy:", "Brier", "test images", "Ship ", "PASS", "images\n/s"):
            assert word not in text
    for line in csv.DictReader(io.StringIO(to_csv(latency_only))):
        assert (line["gate"], "drop" in line, "correct" in line) == ("UNJUDGED", False, False)
        assert int(line["p50_ns"]) > 0


def test_limits_that_are_met_without_accuracy_pass_without_a_word_of_it(latency_only: Report) -> None:
    budget = Budget(max_drop_points=None, max_size_kib=100)
    passed = Verdict(PASS, (Check(PASS, "size"),))
    files = tuple(replace(file, budget=budget, verdict=passed) for file in latency_only.files)
    text = to_text(replace(latency_only, files=files, verdict=passed))
    assert text.startswith("PASS: every file is within its limits.\n")


def test_another_reference_has_its_name_in_the_tables_and_in_the_verdict(quiet: Report) -> None:
    text = to_text(replace(quiet, reference="float32.tflite"))
    assert "Accuracy compared with float32.tflite" in text
    assert "within 100.00 points of float32.tflite (95 %), and within its other limits" in " ".join(text.split())
    assert "Keras" not in text


def test_a_reference_that_nothing_judges_is_not_said_to_be_within_a_limit(quiet: Report) -> None:
    first, *others = quiet.files
    unjudged = replace(first, budget=Budget(max_drop_points=None), verdict=Verdict(UNJUDGED, ()))
    others = [replace(file, budget=Budget(100), verdict=Verdict(PASS, (Check(PASS, "drop"),))) for file in others]
    text = to_text(replace(quiet, reference=first.name, files=(unjudged, *others)))
    assert " ".join(text.split()).count("every file is within 100.00 points of float32.tflite (95 %); the") == 1
    sized = replace(unjudged, verdict=Verdict(PASS, (Check(PASS, "size"),)))
    text = to_text(replace(quiet, reference=first.name, files=(sized, *others)))
    assert " ".join(text.split()).count("points of float32.tflite (95 %), and within its other limits; the") == 1


def test_at_80_columns_nothing_is_wider_and_the_columns_that_matter_stay(quiet: Report) -> None:
    text = to_text(quiet, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "(too narrow for: confid. moved" in text
    table = text[text.index("Accuracy compared") :].splitlines()
    assert table[2].split()[:2] == ["file", "gate"]
    assert "(too narrow for" not in to_text(quiet, width=120)


def test_of_many_reasons_for_unstable_times_the_first_are_given_and_all_when_asked(quiet: Report) -> None:
    noise = tuple(replace(BUSY, text=f"reason {number}") for number in range(9))
    found = replace(quiet, noise=noise)
    assert "4 (load)\n  and 4 more" in to_text(found)
    for text in (to_text(found, verbose=True), to_markdown(found)):
        assert "reason 8 (load)" in text


def test_there_is_one_p50_in_text_csv_json_page_and_pick(quiet: Report) -> None:
    # Rounds of unlike medians: their geometric mean is another figure than the median of all runs.
    def with_slow(rounds: tuple[Round, ...]) -> tuple[Round, ...]:
        times = (*([10_000] * (len(rounds) - 1)), 400_000)
        return tuple(replace(item, measured=Times.pack([time] * 9)) for item, time in zip(rounds, times, strict=True))

    files = tuple(
        replace(
            file,
            launches=tuple(replace(launch, rounds=with_slow(launch.rounds)) for launch in file.launches),
        )
        for file in quiet.files
    )
    files = tuple(replace(file, latency=summarize(file.launches, (50, 90), file.images_per_run)) for file in files)
    report = replace(quiet, files=files)
    page = to_html(report, None)
    for file, line in zip(report.files, csv.DictReader(io.StringIO(to_csv(report))), strict=True):
        p50 = file.latency.percentiles[0].value_ns
        assert p50 is not None
        assert p50 == int(line["p50_ns"]) == p50_ns(file.launches)
        assert p50 != pytest.approx(typical_ns(file.launches), rel=0.2)
        assert row(to_text(report), file.name)[2] == figure(p50 / 1e3)
    chosen = next(file for file in report.files if file.name == report.choice().file)
    shown_p50 = f"{p50_ns(chosen.launches) / 1e3:,.1f} µs"
    assert shown_p50 in ship_line(report)
    assert page.count(shown_p50) > 1


def test_what_the_figures_of_accuracy_rest_on_is_told(quiet: Report) -> None:
    first, *others = quiet.files
    assert first.accuracy
    mended = Mended(("conv",), "float32", 0.5, 7, 1000, 1.1, held_out=0)
    chosen = replace(first, artifact=replace(first.artifact, mended=mended), accuracy=replace(first.accuracy, groups=5))
    text = " ".join(to_text(replace(quiet, files=(chosen, *others))).split())
    assert "images come in 5 groups" in text
    assert all(part in text for part in (f"{first.name} was chosen among 7", "on these very images"))
    held = replace(chosen, artifact=replace(first.artifact, mended=replace(mended, held_out=30)))
    assert "on these very images" not in to_text(replace(quiet, files=(held, *others)))


def test_files_that_the_same_number_of_images_judges_are_one_line(quiet: Report) -> None:
    accuracy = quiet.files[0].accuracy
    assert accuracy
    files = [replace(file, accuracy=replace(accuracy, chose=7)) for file in quiet.files]
    assert len(files) > 1
    names = ", ".join(file.name for file in files)
    text = " ".join(to_text(replace(quiet, files=tuple(files))).split())
    assert all(part in text for part in (f"{names} are judged on {accuracy.images}", "the other 7 chose"))
    assert text.count("judged on") == 1


@pytest.mark.parametrize(("low", "high", "told"), [(-0.69, -0.66, True), (-0.69, -0.004, False), (0.66, 0.69, False)])
def test_a_file_that_is_shown_to_be_much_better_than_its_reference_is_told(
    quiet: Report, low: float, high: float, told: bool
) -> None:
    first, *others = quiet.files
    assert first.accuracy
    better = replace(first, accuracy=replace(first.accuracy, drop=Interval((low + high) / 2, low, high)))
    report = replace(quiet, files=(better, *others))
    line = f"{first.name} is right on {-100 * high:.2f} to {-100 * low:.2f} % more of the images than {quiet.reference}: "
    assert (line in " ".join(to_text(report).split())) == told
    assert ("more of the images than" in to_text(report)) == told


def test_no_name_is_markup_in_markdown(measured: Report) -> None:
    first, *others = measured.files
    report = replace(measured, baseline=others[0].name, files=(replace(first, name="a|b`c`<img src=x>[d](e)"), *others))
    rows = [line for line in to_markdown(report).splitlines() if "img" in line]
    assert rows
    for row in rows:
        bare = re.sub(r"\\[\\`*_\[\]<>|~]", "", row)
        assert not re.search(r"[`<>\[\]]", bare)
        assert re.fullmatch(r"\| [^|]+( \| [^|]*)*\|?", bare) or not row.startswith("|")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "int8.tflite"])
def test_no_cell_of_a_csv_file_is_a_formula_and_numbers_stay_numbers(name: str, measured: Report) -> None:
    first, *others = measured.files
    accuracy = first.accuracy
    assert accuracy
    worse = replace(first, name=name, accuracy=replace(accuracy, drop=replace(accuracy.drop, estimate=-0.25)))
    (row, *_) = csv.DictReader(to_csv(replace(measured, files=(worse, *others))).splitlines())
    assert not row["file"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row["file"].lstrip("'") == name or not name.isprintable()
    assert float(row["drop"]) == -0.25


def test_a_table_keeps_its_rows_whatever_a_file_is_called(measured: Report) -> None:
    first, *others = measured.files
    evil = replace(measured, baseline=others[0].name, files=(replace(first, name=EVIL), *others))
    text = to_text(evil)
    assert text.replace("\n", "").isprintable()
    assert EVIL[EVIL.index("\nPASS") :] not in text
    assert json.loads(to_json(evil))["files"][0]["name"] == EVIL

"""A result as JSON: what is written is read again, now and later."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.gate.accuracy import Flip
from edgecnn.benchmarks.gate.gate import Check, Verdict, join
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import SCHEMA, Report
from edgecnn.benchmarks.show.report import to_text
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.export_records import Interval
from edgecnn.edge.records import to_json

# One result of each schema number since 2, as written by its edgecnn (with at most 100 times of each kind).
KEPT = sorted((Path(__file__).parents[1] / "kept_results").glob("*.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, rf"result\.json has schema 1; this edgecnn reads {SCHEMA}: write it again"),
        ({"schema": SCHEMA + 1}, rf"result\.json has schema {SCHEMA + 1}, but this edgecnn reads {SCHEMA}: update edgecnn"),
        ({"baseline": None}, r"result\.json: baseline must be str"),
        ({"extra": 1}, r"result\.json: field extra is unknown"),
    ],
)
def test_a_result_of_another_layout_is_refused(
    change: dict[str, object], message: str, measured: Report, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**json.loads(to_json(measured)), **change}))
    with pytest.raises(ArtifactError, match=message):
        read_report(path)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"not json", b"\xff\xfe", b"5", b'{"schema": 1, "artifacts": []}', b"[" * 9_999]
)
def test_a_file_that_is_no_result_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"result\.json is "):
        read_report(tmp_path / "result.json")


def test_a_result_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"result\.json does not exist.*edgecnn bench"):
        read_report(tmp_path / "result.json")


def change_file(report: Report, **fields: object) -> Report:
    first, *others = report.files
    return replace(report, files=(replace(first, **fields), *others))  # type: ignore[arg-type]  # Of the lists below.


def damage_accuracy(**fields: object) -> Callable[[Report], Report]:
    def damage(report: Report) -> Report:
        assert report.files[0].accuracy
        return change_file(report, accuracy=replace(report.files[0].accuracy, **fields))  # type: ignore[arg-type]

    return damage


FLIP = Flip(image=0, label=0, reference=0, candidate=1, reference_confidence=0.6, candidate_confidence=0.6)
NOTHING = Times.pack([])
COUNTS = ("correct", "reference_correct", "lost", "gained", "same_class")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda r: replace(r, files=()), "no files"),
        (lambda r: replace(r, baseline="other"), "the baseline other is not one of its files"),
        (lambda r: replace(r, empty_call=NOTHING), "no times of the empty call"),
        (lambda r: change_file(r, latency=replace(r.files[0].latency, percentiles=())), "files with different percentiles"),
        (lambda r: change_file(r, launches=()), "launches without rounds"),
        (lambda r: change_file(r, launches=r.files[0].launches[1:]), "files with different numbers of launches or rounds"),
        (lambda r: change_file(r, launches=tuple(replace(x, rounds=()) for x in r.files[0].launches)), "launches without"),
        (
            lambda r: change_file(r, launches=(replace(r.files[0].launches[0], rounds=()), *r.files[0].launches[1:])),
            "launches without rounds, or with different numbers",
        ),
        (
            lambda r: change_file(r, launches=tuple(replace(x, warm_up=NOTHING) for x in r.files[0].launches)),
            "invalid times",
        ),
        (
            lambda r: change_file(
                r,
                launches=tuple(
                    replace(x, rounds=tuple(replace(y, measured=Times.pack([0, 5])) for y in x.rounds))
                    for x in r.files[0].launches
                ),
            ),
            "invalid times",
        ),
        (damage_accuracy(images=0), "a confusion of 60 for 0 images"),
        (damage_accuracy(confusion=((0, 0, 60), (1, 1, 2**62))), "a confusion of"),
        (damage_accuracy(confusion=((0, 0, 61), (1, 1, -1))), "a confusion of 60 for 60 images"),
        (damage_accuracy(confusion=()), "a confusion of 0 for 60 images"),
        (damage_accuracy(confusion=((0, 0, 60, 0),)), "an invalid confusion"),
        (damage_accuracy(confusion=((0, 0, 30), (0, 0, 30))), "an invalid confusion"),
        (damage_accuracy(confusion=((0, 3, 60),)), "classes, where there are 3"),
        (damage_accuracy(confusion=((-1, 0, 60),)), "classes, where there are 3"),
        (lambda r: change_file(r, images_per_run=0), "runs of 0 images"),
        (damage_accuracy(brier_increase=Interval(-2.1, -2.2, -2.0)), "a Brier score that rises by -2.1"),
        (lambda r: change_file(r, accuracy=None), "accuracy without test images, or test images without it"),
        (lambda r: replace(r, dataset=None), "accuracy without test images, or test images without it"),
        (damage_accuracy(classes=()), "classes, where there are 3"),
        *((damage_accuracy(**{name: 1000}), "counts of right answers that its images contradict") for name in COUNTS),
        (damage_accuracy(flips=(replace(FLIP, image=60),)), "a flip of image 60"),
        (damage_accuracy(flips=(replace(FLIP, image=-1),)), "a flip of image -1"),
        (damage_accuracy(flips=(replace(FLIP, candidate=3),)), "a flip of image 0"),
        (damage_accuracy(flips=(replace(FLIP, label=-1),)), "a flip of image 0"),
        (lambda r: change_file(r, artifact=replace(r.files[0].artifact, size_bytes=0)), "a size or rate of nothing"),
        (lambda r: change_file(r, paced=replace(r.files[0].paced, rate=0.0)), "a size or rate of nothing"),
        (lambda r: change_file(r, paced=replace(r.files[0].paced, busy=Times.pack([0]))), "frames that took no time"),
        (
            lambda r: change_file(r, throughput=replace(r.files[0].throughput, measured=NOTHING)),
            "batches of nothing, or",
        ),
        (lambda r: change_file(r, profile=replace(r.files[0].profile, ops=())), "ops that took no time"),
    ],
)
def test_a_result_whose_parts_do_not_fit_is_refused(
    damage: Callable[[Report], Report], problem: str, measured: Report, tmp_path: Path
) -> None:
    (tmp_path / "result.json").write_text(to_json(damage(measured)))
    with pytest.raises(ArtifactError, match=rf"result\.json.*damaged \(.*{problem}.*\): measure.*edgecnn bench"):
        read_report(tmp_path / "result.json")


def test_a_verdict_that_is_no_word_of_ours_is_refused(measured: Report, tmp_path: Path) -> None:
    fine: Any = "FINE"
    damaged = (
        (replace(measured, verdict=replace(measured.verdict, status=fine)), r"verdict\.status"),
        (change_file(measured, verdict=Verdict("PASS", (Check(fine, "x"),))), r"files\[0\]\.verdict\.checks\[0\]\.status"),
    )
    for report, where in damaged:
        (tmp_path / "result.json").write_text(to_json(report))
        with pytest.raises(ArtifactError, match=rf'result\.json: {where} must.*PASS or.*got "FINE"'):
            read_report(tmp_path / "result.json")


def test_a_report_comes_back_whole_with_its_raw_times(measured: Report, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(to_json(measured))
    again = read_report(tmp_path / "result.json")
    assert again == measured
    assert again.files[0].launches[0].rounds[0].measured.unpack().min() > 0


def test_every_kept_result_is_read_and_shown() -> None:
    assert [json.loads(path.read_text())["schema"] for path in KEPT] == list(range(2, SCHEMA + 1))
    for path in KEPT:
        report = read_report(path)
        assert report.files
        assert report.verdict.status in to_text(report)


def test_a_matrix_of_schema_2_is_read_as_its_counts() -> None:
    path = next(path for path in KEPT if path.name == "schema-2.json")
    dense = [file["accuracy"]["confusion"] for file in json.loads(path.read_text())["files"]]
    report = read_report(path)
    for file, rows in zip(report.files, dense, strict=True):
        assert file.accuracy
        made = [[0] * len(rows) for _ in rows]
        for label, chosen, count in file.accuracy.confusion:
            made[label][chosen] = count
        assert made == rows
    assert (report.schema, report.reference) == (SCHEMA, "the float Keras model")
    assert {file.images_per_run for file in report.files} == {1}


def test_the_typical_time_of_schema_4_is_read_by_its_new_name() -> None:
    path = next(path for path in KEPT if path.name == "schema-4.json")
    old = [file["latency"]["p50_ns"]["estimate"] for file in json.loads(path.read_text())["files"]]
    found = [file.latency.typical_ns for file in read_report(path).files]
    assert [time and time.estimate for time in found] == old


def test_checks_of_schema_6_that_say_the_same_of_several_files_are_one() -> None:
    report = read_report(next(path for path in KEPT if path.name == "schema-6.json"))
    assert not any(check.text.startswith(file.name) for file in report.files for check in file.verdict.checks)
    assert join([(file.name, file.verdict) for file in report.files]).checks == report.verdict.checks
    names = [check.text.partition(":")[0].split(", ") for check in report.verdict.checks if check.status == "UNDECIDED"]
    assert any(len(files) > 1 for files in names)


@pytest.mark.parametrize("confusion", [None, 3, [3], [[60], "no"], [[[60]]], {"a": 1}])
def test_a_damaged_matrix_of_schema_2_is_refused(confusion: object, tmp_path: Path) -> None:
    found = json.loads(next(path for path in KEPT if path.name == "schema-2.json").read_text())
    found["files"][0]["accuracy"]["confusion"] = confusion
    (tmp_path / "result.json").write_text(json.dumps(found))
    with pytest.raises(ArtifactError, match=r"result\.json"):
        read_report(tmp_path / "result.json")


def test_a_result_without_accuracy_comes_back_whole(measured: Report, tmp_path: Path) -> None:
    files = tuple(replace(file, accuracy=None, verdict=Verdict("UNJUDGED", ())) for file in measured.files)
    report = replace(measured, dataset=None, class_names=(), files=files, verdict=Verdict("UNJUDGED", ()))
    (tmp_path / "result.json").write_text(to_json(report))
    assert read_report(tmp_path / "result.json") == report

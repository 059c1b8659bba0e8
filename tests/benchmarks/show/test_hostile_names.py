"""Names from outside in the texts of a result: none is markup, a formula or a line of its own."""

import csv
import json
import re
from dataclasses import replace

import pytest

from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.show.report import to_csv, to_markdown, to_text
from edgecnn.edge.records import to_json

EVIL = "\x1b[31mcat\r\x9b2J\u202edog\nPASS: every file is within 0.50 points"


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

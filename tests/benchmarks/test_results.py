"""A result as JSON: what is written is what is read, now and later."""

import json
from pathlib import Path

import pytest

from benchmarks.report import to_text
from benchmarks.results import SCHEMA, Report, read_report
from edge.errors import ArtifactError
from edge.records import to_json

# One result of each schema number since 2, as the edgecnn of its time wrote it (at most 100 times of each kind are kept).
KEPT = sorted((Path(__file__).parent / "results").glob("*.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, r"result\.json has schema 1, this edgecnn reads 2: write it again"),
        ({"schema": 3}, r"result\.json has schema 3, this edgecnn reads 2: write it again"),
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


@pytest.mark.parametrize("text", ["", "{", "[]", "not json"])
def test_a_file_that_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"result\.json"):
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

"""What every result can do; a bad result is a value and not an exception."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.benchmarks.bundle.golden import GoldenCheck
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.result import Result

QUICK = ec.BenchOptions(plan=ec.PlanOptions(launches=2, min_runs=30, min_seconds=0))


@pytest.fixture(scope="module")
def report(exported: Path) -> ec.Report:
    """A result of one file, without a limit on its times. Read it only."""
    return ec.bench(exported / "int8.tflite", options=QUICK)


def check(result: Any, has_rows: bool = True) -> None:
    """Check what all results have in common, and that rows are valid for pandas.DataFrame."""
    text = result.to_text()
    assert text.strip()
    assert json.loads(result.to_json()) == json.loads(json.dumps(result.to_dict()))
    assert "\n" not in repr(result)
    page = result._repr_html_()
    start, _, content = page.partition(">")
    assert start.startswith("<pre ")
    assert "<" not in content.removesuffix("</pre>")
    if has_rows:
        assert len({tuple(row) for row in result.rows()}) == 1


def test_a_name_that_is_markup_is_text_in_a_notebook() -> None:
    class Named(Result):
        def to_text(self, width: int = 100) -> str:
            return "<script>alert(1)</script>\x1b[2J"

    page = Named()._repr_html_()
    assert page.endswith(">&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[2J</pre>")
    # nbconvert's page has its own font for every <pre> that names none.
    assert page.startswith('<pre style="font-family: monospace;')


def test_a_file_outside_its_budget_is_a_verdict(exported: Path) -> None:
    report = ec.bench(exported, runtime="tflite", budget=ec.Budget(max_size_kib=0.1), options=QUICK)
    assert report.verdict.status == "FAIL"
    assert report.verdict.refuses
    assert repr(report).startswith("<Report FAIL: float32.tflite")


def test_a_difference_beyond_the_tolerance_is_a_result(exported: Path) -> None:
    result = ec.verify(exported / "int8.tflite", tolerance=0.0)
    assert not result.passed
    assert result.problem
    assert all(part in result.problem for part in ("int8.tflite differs from", "the float Keras model"))
    assert ec.verify(exported / "float32.tflite").problem is None


def test_a_folder_is_parsed_once_for_one_call(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Path] = []
    load = Manifest.load.__func__  # type: ignore[attr-defined]  # A class method's function.

    def noted(kind: type[Manifest], folder: Path) -> Manifest:
        parsed.append(folder)
        manifest: Manifest = load(kind, folder)
        return manifest

    monkeypatch.setattr(Manifest, "load", classmethod(noted))
    ec.bench(exported, runtime="tflite", options=QUICK)
    ec.evaluate(exported)
    ec.summary(exported)
    assert parsed == [exported] * 3


def test_what_is_asked_for_and_not_there_is_named_as_python_names_it(exported: Path) -> None:
    with pytest.raises(ec.ConfigError, match="indices=60 is out of range"):
        ec.predict(exported / "int8.tflite", indices=[60])
    with pytest.raises(ec.ConfigError, match="nothing to predict"):
        ec.predict(exported / "int8.tflite")
    with pytest.raises(ec.ConfigError, match="got nonsense"):
        ec.evaluate(exported / "int8.tflite", interface="nonsense")
    with pytest.raises(ec.ConfigError, match=r"reach_percent .*1 to 100 percent"):
        ec.sweep([(4, 4, 4)], reach_percent=0)


def test_a_list_of_no_files_or_results_is_refused() -> None:
    with pytest.raises(ec.ConfigError, match="bench takes one folder, or model files"):
        ec.bench([])
    with pytest.raises(ec.ConfigError, match="old has no result"):
        ec.compare([], [])
    with pytest.raises(ec.ConfigError, match="targets names nothing"):
        ec.serve([])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"tune": True}, "tune must be a text, for example here, got True"),
        ({"tune": "here", "tune_seconds": "10s"}, "tune_seconds must be 1 to 86,400 s, got 10s"),
        ({"tune": "here", "tune_seed": 1.5}, r"tune_seed must be a whole number, at least 0, got 1\.5"),
        ({"tune_seconds": 10}, "tune_seconds says how to tune: add tune=here"),
    ],
)
def test_arguments_of_tuning_are_refused_before_the_model_is_read(arguments: dict[str, Any], part: str) -> None:
    with pytest.raises(ec.ConfigError, match=part):
        ec.export("nowhere.keras", **arguments)


def test_a_report(report: ec.Report, tmp_path: Path) -> None:
    check(report)
    assert report.rows()[0]["file"] == "int8.tflite"
    page = report.to_html(str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").read_text() == page
    assert "int8.tflite" in report.to_markdown()
    assert report.to_csv().startswith("file,")
    path = tmp_path / "result.json"
    path.write_text(report.to_json())
    assert ec.read_report(path) == report
    check(ec.compare(path, ec.bench(Path(report.folder) / report.files[0].name, options=QUICK), force=True))


def test_an_evaluation_of_a_folder(exported: Path) -> None:
    result = ec.evaluate(str(exported))
    check(result)
    assert [Path(row["file"]).name for row in result.rows()] == list(ec.open(exported).names)


def test_a_summary(exported: Path) -> None:
    with ec.open(exported / "int8.tflite") as models:
        result = ec.summary(models)
    check(result)
    check(result.files[0])


def test_a_bundle_and_what_verify_says_of_it(exported: Path, tmp_path: Path) -> None:
    made = ec.bundle(exported, tmp_path / "bars.zip", files=["int8.onnx"], test_images=10)
    check(made, has_rows=False)
    golden = ec.verify(made.path)
    assert isinstance(golden, GoldenCheck)
    check(golden)
    assert golden.passed
    assert golden.problem is None
    check(ec.open(made.path), has_rows=False)


def test_predictions(exported: Path, tmp_path: Path) -> None:
    image = np.full((40, 30, 3), 90, np.uint8)
    result = ec.predict(exported / "int8.tflite", [image], indices=[3])
    check(result)
    assert [row["image"] for row in result.rows()] == ["test image 3", "picture 0"]
    result.save(tmp_path / "shown.png")
    assert (tmp_path / "shown.png").read_bytes().startswith(b"\x89PNG")


def test_a_diagnosis_a_verification_and_an_inspection(exported: Path, idx_folder: Path) -> None:
    check(ec.diagnose(exported / "int8.tflite", count=2))
    check(ec.verify(exported / "int8.tflite"), has_rows=False)
    check(ec.inspect_images(idx_folder))


def test_an_examination_of_this_machine() -> None:
    check(ec.doctor())


def test_a_folder_shows_what_was_exported(exported: Path) -> None:
    models = ec.open(exported)
    check(models, has_rows=False)
    assert models.to_dict()["class_names"] == ["0", "1", "2"]
    assert "int16x8.tflite" in models.to_text()
    assert repr(ec.load_dataset(models.to_dict()["dataset"]["source"])).startswith("<Dataset bars (")

"""`edgecnn sweep` from end to end: small networks, real training, real files."""

import json
import re
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import pytest
from PIL import Image

from edgecnn.__main__ import main
from edgecnn.benchmarks.gate.gate import UNDECIDED, UNJUDGED, Check, Verdict
from edgecnn.benchmarks.results.latency_summary import p50_ns, typical_ns
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.sweep import SweptNetwork, _interval, sweep_of
from edgecnn.benchmarks.runners.timed import Here
from edgecnn.benchmarks.show.sweep import sweep_text
from edgecnn.convert.export.export import export as real_export
from edgecnn.convert.export.keep_accuracy import UnfitReference
from edgecnn.convert.training.records import Diverged
from edgecnn.convert.training.train import train
from edgecnn.edge.export_records import Settings
from edgecnn.edge.manifest import Manifest
from edgecnn.workflows import networks as network_work
from edgecnn.workflows import sweep as sweep_call
from tests.schemas import require_valid

pytestmark = pytest.mark.usefixtures("few_launches", "one_stage")

NETWORKS = ("4,4,4", "2,3,4")


def arguments(idx_folder: Path, out: Path, *more: str | Path) -> list[str | Path]:
    filters = [word for text in NETWORKS for word in ("--filters", text)]
    plain = ("--epochs", "1", "--val-share", "0", "--out", out, "--allow", "noise")
    return ["sweep", "--data", idx_folder, *filters, *plain, *more]


@pytest.fixture(scope="module")
def swept(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep. Do not write to it."""
    out = tmp_path_factory.mktemp("swept")
    assert main([str(word) for word in arguments(idx_folder, out)]) == 0
    return out


def record(out: Path) -> Any:
    return json.loads((out / "sweep.json").read_text())


def test_each_row_is_what_the_files_say(swept: Path) -> None:
    report = read_report(swept / "bench.json")
    rows = record(swept)["rows"]
    assert [row["network"]["filters"] for row in rows] == [[4, 4, 4], [2, 3, 4]]
    for row, file in zip(rows, report.files, strict=True):
        folder = swept / "-".join(map(str, row["network"]["filters"]))
        assert file.accuracy
        assert row["network"]["parameters"] == keras.models.load_model(folder / "model.keras").count_params()
        assert row["size_bytes"] == (folder / "int8.tflite").stat().st_size
        assert (row["correct"], row["images"]) == (file.accuracy.correct, 60)
        trained = json.loads((folder / "train.json").read_text())
        assert row["keras_correct"] == round(60 * trained["test_accuracy"])  # Of its own model, not of the first.
        assert row["p50_ns"] == p50_ns(file.launches)
    # 12 x 12 images, 3 x 3 kernels in steps of two pixels, 3 classes.
    first, second = (row["network"]["macs"] for row in rows)
    assert first == 36 * (9 * 4 + 3 * 4)
    assert second == 36 * (9 * 2 + 3 * 2)
    assert rows[0]["ratio"] is None
    times = [typical_ns(file.launches) for file in report.files]
    assert rows[1]["ratio"]["estimate"] == pytest.approx(times[1] / times[0])


def test_sweep_json_is_what_its_schema_says_and_the_picture_is_one(swept: Path) -> None:
    require_valid("sweep", (swept / "sweep.json").read_text())
    with Image.open(swept / "sweep.png") as picture:
        assert picture.size == (1620, 552)
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50


def test_a_network_of_a_sweep_is_the_one_that_train_makes(swept: Path, idx_folder: Path, tmp_path: Path, terminal: Any) -> None:
    typed = ("train", "--data", idx_folder, "--filters", NETWORKS[1], "--epochs", "1", "--val-share", "0", "--out", tmp_path)
    terminal.passes(*typed)
    assert "Total params" in terminal.err
    alone, in_sweep = (keras.models.load_model(folder / "model.keras") for folder in (tmp_path, swept / "2-3-4"))
    for one, other in zip(alone.get_weights(), in_sweep.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [layer.name for layer in alone.layers] == [layer.name for layer in in_sweep.layers]


def test_a_finished_sweep_is_measured_again_and_only_a_damaged_file_is_exported_again(
    swept: Path, idx_folder: Path, terminal: Any
) -> None:
    damaged = swept / "4-4-4/int8.tflite"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    files = [swept / "4-4-4/train.json", *sorted(path for path in (swept / "2-3-4").rglob("*") if path.is_file())]
    before = [path.stat().st_mtime_ns for path in files]
    text = terminal.passes(*arguments(idx_folder, swept, "--reach", "1"))
    assert [path.stat().st_mtime_ns for path in files] == before
    assert all(f"1 of 2, 4,4,4: {done}" in terminal.err for done in ("trained before", "exporting int8.tflite"))
    assert all(f"2 of 2, 2,3,4: {done}" in terminal.err for done in ("trained before", "exported before"))
    assert damaged.read_bytes() == whole
    assert re.search(r"smallest file.*\b1\.00 %.*\b95 %.*\b2 files", " ".join(text.split()))
    rows = [line.split() for line in text.splitlines() if line.split()[:1] and line.split()[0] in NETWORKS]
    assert [row[0] for row in rows if "smallest" not in row] == list(NETWORKS)


def test_every_network_has_every_size(swept: Path, idx_folder: Path, tmp_path: Path, terminal: Any) -> None:
    shutil.copytree(swept / "2-3-4", tmp_path / "2-3-4")  # The cnn keeps the folder that earlier versions named.
    more = ("--network", "cnn", "--network", "strided")
    text = terminal.passes("sweep", "--data", idx_folder, *more, *arguments(idx_folder, tmp_path)[5:])
    names = ("2,3,4", "strided 2,3,4")
    for place, name in enumerate(names):
        assert f"{place + 1} of 2, {name}: {'trained before' if name == '2,3,4' else 'training'}" in terminal.err
        assert name in text[text.index("Networks by size") :]
    require_valid("sweep", (tmp_path / "sweep.json").read_text())
    networks = [row["network"] for row in record(tmp_path)["rows"]]
    assert [(item["network"], item["filters"]) for item in networks] == [("cnn", [2, 3, 4]), ("strided", [2, 3, 4])]
    folders = ["2-3-4", "strided-2-3-4"]
    assert [item["file"] for item in networks] == [f"{folder}/int8.tflite" for folder in folders]
    for item, folder in zip(networks, folders, strict=True):
        assert item["parameters"] == keras.models.load_model(tmp_path / folder / "model.keras").count_params()
        assert json.loads((tmp_path / folder / "train.json").read_text())["config"]["network"] == item["network"]
    assert "network" not in record(tmp_path)["settings"]  # It is not one of all.


def test_a_file_of_another_folder_gets_a_row_and_is_never_chosen(
    swept: Path, idx_folder: Path, artifacts: Path, tmp_path: Path, terminal: Any
) -> None:
    out = tmp_path / "sweep"
    shutil.copytree(swept / "2-3-4", tmp_path / "deep" / "real" / "2-3-4")
    out.symlink_to(tmp_path / "deep" / "real")  # What `..` means there is the file system's to say.
    wanted = [*arguments(idx_folder, out)[:3], *arguments(idx_folder, out)[5:], "--reach", "1", "--beside"]
    text = terminal.passes(*wanted, artifacts)
    own, beside = record(out)["rows"]
    report = read_report(out / "bench.json")
    assert beside["network"]["beside"]
    assert beside["network"]["file"] == report.files[1].name == "../../bars/int8.tflite"
    assert beside["size_bytes"] == (artifacts / "int8.tflite").stat().st_size
    reference = Manifest.load(artifacts).reference
    assert reference
    assert beside["keras_correct"] == reference.correct
    assert not beside["on_front"]
    assert own["on_front"]
    assert {record(out)[pick] for pick in ("most_accurate", "balanced", "fastest", "smallest")} == {"2,3,4"}
    assert f"{artifacts} was not trained by this sweep" in " ".join(text.split())
    require_valid("sweep", (out / "sweep.json").read_text())
    manifest = Manifest.load(artifacts)
    replace(manifest, artifacts=tuple(one for one in manifest.artifacts if one.path != "int8.tflite")).save(artifacts)
    for folder, message in (
        (out / "2-3-4", "is one of the sweep's own folders"),
        (
            artifacts,
            f"{artifacts} has no int8.tflite: type edgecnn export {artifacts}/model.keras --format tflite --quantize int8",
        ),
    ):
        assert message in terminal.fails(2, *wanted, folder)
    assert "not the model's test images" in terminal.fails(2, "sweep", "--data", "mnist", *wanted[3:], artifacts)
    assert "--beside names a folder twice" in terminal.fails(2, *wanted, artifacts, "--beside", artifacts / ".." / "bars")
    (artifacts / "reference.npy").unlink()
    replace(manifest).save(artifacts)
    assert "reference.npy does not exist" in terminal.fails(4, *wanted, artifacts)


def test_a_network_that_diverges_is_named(idx_folder: Path, tmp_path: Path, terminal: Any) -> None:
    with mock.patch("edgecnn.convert.training.train.train", side_effect=Diverged("loss", float("nan"), 1)):
        line = terminal.fails(2, *arguments(idx_folder, tmp_path))
    assert re.search(r"1 of 2, 4,4,4:.*nan.*epoch 1:.*leave", line)


def test_an_interrupted_sweep_goes_on(
    swept: Path, idx_folder: Path, tmp_path: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(run: Any) -> Any:
        if run.config.filters == (2, 3, 4):
            raise KeyboardInterrupt
        return train(run)

    shutil.copytree(swept / "4-4-4", tmp_path / "4-4-4")  # The first network is finished.
    with monkeypatch.context() as patch:
        patch.setattr("edgecnn.convert.training.train.train", interrupted)
        assert terminal.run(*arguments(idx_folder, tmp_path)) == 130
    assert not (tmp_path / "sweep.json").exists()
    terminal.passes(*arguments(idx_folder, tmp_path))
    assert "4,4,4: trained before" in terminal.err
    assert "2,3,4: training" in terminal.err
    assert "Total params" not in terminal.err  # The layers of all networks would bury the rest.
    assert terminal.err.count(" training and ") == 1  # And so would the same images, described again.
    found, expected = (record(out)["rows"] for out in (tmp_path, swept))
    assert [(row["correct"], row["size_bytes"]) for row in found] == [(row["correct"], row["size_bytes"]) for row in expected]


def test_what_another_sweep_left_is_not_taken_for_this_ones(swept: Path, idx_folder: Path, terminal: Any) -> None:
    line, folder = terminal.fails(2, *arguments(idx_folder, swept)[:-2], "--seed", "5"), swept / "4-4-4"
    assert re.search(rf"{folder} .*--seed 0, not 5.*--out.*{folder}$", line)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--filters", "4,4"), "--filters must be three numbers, for example 8,16,32, got 4,4"),
        (("--filters", "4,4,4", "--reach", "0.985"), "--reach must be 1 to 100 percent, got 0.985"),
        (
            ("--filters", "4,4,4", "--set", "dropout"),
            "--set must be written like width=8,16,32, got ",
        ),
        (("--filters", "4,4,4", "--set", "dropout=0", "--set", "dropout=0.1"), "--set must name each argument once"),
        (("--filters", "4,4,4", "--set", "dropout=0,1"), "--set: dropout must be 0 or more and less than 1, got 1"),
        (
            ("--filters", "4,4,4", "--preprocess", "raw"),
            "--preprocess applies to module:function, and edgecnn's own networks take",
        ),
        (("--network", "nets:small"), "how nets:small takes pixels is not known: state it with --preprocess"),
        (("--filters", "4,4,4", "--minutes", "0"), "--minutes must be above 0, got 0"),
        (("--filters", "4,4,4", "--minutes", "3", "--epochs", "4"), "--minutes plans the number of epochs: omit --epochs"),
        (("--filters", "4,4,4", "--tune", "--quantize", "float16"), "--tune makes int8 files: use it with --quantize int8"),
    ],
)
def test_what_can_not_work_is_said_before_anything_is_trained(options: tuple[str, ...], message: str, terminal: Any) -> None:
    assert message in terminal.fails(2, "sweep", "--data", "mnist", *options)
    assert "training" not in terminal.err


@pytest.mark.parametrize("option", ["--minutes", "--patience"])
def test_what_needs_validation_images_says_so_before_anything_is_trained(option: str, idx_folder: Path, terminal: Any) -> None:
    line = terminal.fails(2, "sweep", "--data", idx_folder, "--filters", "4,4,4", "--val-share", "0", option, "3")
    assert re.search(rf"{option} needs validation images.*bars.*--val", line)
    assert "4,4,4: training" not in terminal.err


def test_the_smallest_that_reaches_is_among_those_that_may_be_shipped(swept: Path) -> None:
    report = read_report(swept / "bench.json")
    shares = [file.accuracy.accuracy for file in report.files if file.accuracy]
    sizes = [file.artifact.size_bytes for file in report.files]
    assert sizes[1] < sizes[0]
    # 60 images only prove a share well below the observed one.
    assert sweep_of(report, PLAIN, 0.5 * min(shares), {}).smallest == "2,3,4"
    nothing = replace(sweep_of(report, PLAIN, max(shares), {"file": "int8.tflite"}), report=report)
    assert nothing.smallest is None
    assert "No file is shown" in sweep_text(nothing)


PLAIN = [SweptNetwork(filters, f"{name}/int8.tflite", 1, 1) for filters, name in (((4, 4, 4), "4-4-4"), ((2, 3, 4), "2-3-4"))]


def of_shares(report: Any, val: tuple[int, int], reach: float) -> Any:
    networks = [
        SweptNetwork(filters, file.name, 1, 1, val_images=60, val_correct=right)
        for filters, file, right in zip(((4, 4, 4), (2, 3, 4)), report.files, val, strict=True)
    ]
    return replace(sweep_of(report, networks, reach, {"file": "int8.tflite"}), report=report)


def test_the_front_and_the_picks_follow_the_validation_images(swept: Path) -> None:
    report = read_report(swept / "bench.json")
    large, small = NETWORKS
    assert report.files[1].artifact.size_bytes < report.files[0].artifact.size_bytes
    assert of_shares(report, (60, 0), 0.5).most_accurate == large
    assert of_shares(report, (0, 60), 0.5).most_accurate == small
    assert [row.on_front for row in of_shares(report, (0, 60), 0.5).rows][1]
    # Chosen by one set of images, judged by the other: 60 of 60 shows at least 94 %, which the test images don't confirm.
    found = of_shares(report, (60, 60), 0.94)
    assert (found.smallest_chosen, found.smallest) == (small, None)
    assert "test images do not confirm" in sweep_text(found, 500)
    found = of_shares(report, (60, 60), 0.01)
    assert (found.smallest_chosen, found.smallest) == (small, small)
    assert "the test images confirm it" in sweep_text(found, 500)
    assert "the test images chose nothing." in sweep_text(found, 500)
    files = tuple(replace(file, accuracy=replace(file.accuracy, chose=7)) for file in report.files if file.accuracy)
    text = sweep_text(replace(found, report=replace(report, files=files)), 500)
    assert "test images chose only layers" in text
    assert "the other 7 chose" in text
    found = of_shares(report, (20, 20), 0.9)
    assert (found.smallest_chosen, found.smallest) == (None, None)
    assert re.search(r"No file .*by the validation", sweep_text(found, 500))


def test_a_network_that_only_guesses_is_left_out_alone(swept: Path) -> None:
    report = read_report(swept / "bench.json")
    # Its size, on which there is a limit too, is undecided.
    checks = [Check(status, f"{report.files[0].name}: {status}") for status in (UNJUDGED, UNDECIDED)]
    guessing = Verdict(UNDECIDED, tuple(checks))
    report = replace(report, files=(replace(report.files[0], verdict=guessing), *report.files[1:]))
    found = of_shares(report, (60, 60), 0.5)
    assert (found.most_accurate, found.smallest_chosen) == ("2,3,4", "2,3,4")
    assert [row.on_front for row in found.rows] == [False, True]
    assert "No network is the best" not in sweep_text(found, 500)


def test_of_networks_that_only_guess_none_is_the_best(swept: Path) -> None:
    report = read_report(swept / "bench.json")
    guessing = Verdict(UNDECIDED, tuple(Check(status, status) for status in (UNJUDGED, UNDECIDED)))
    report = replace(report, files=tuple(replace(file, verdict=guessing) for file in report.files))
    for val in ((60, 60), None):
        found = of_shares(report, val, 0.5) if val else sweep_of(report, PLAIN, 0.5, {"file": "int8.tflite"})
        assert (found.most_accurate, found.balanced, found.fastest, found.smallest) == (None,) * 4
        text = sweep_text(replace(found, report=report), 500)
        assert "No network is the best, since none can be judged: train them for more epochs" in text
        assert "Most accurate" not in text
        assert "the best of several" not in text


@pytest.mark.parametrize("networks", [1, 4, 10])
def test_files_below_the_share_are_said_to_reach_it_in_one_of_forty_sweeps_at_most(networks: int) -> None:
    """However many sizes are tried: the true accuracy of all is 98.4 %, and 98.5 % is required."""
    drawn = np.random.default_rng(0).binomial(2000, 0.9849, (400, networks))
    lowest = cache(lambda right: _interval(right, 2000, networks).low)
    reached = sum(any(lowest(right) >= 0.985 for right in row) for row in drawn.tolist())
    assert reached / len(drawn) <= 0.025 + 0.01
    if networks == 10:  # By their estimates alone.
        assert (drawn >= 0.985 * 2000).any(axis=1).mean() > 0.9


def test_an_invalid_measurement_is_exit_code_7(
    swept: Path, idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = replace(read_report(swept / "bench.json"), verdict=Verdict("INVALID", ()))
    monkeypatch.setattr(sweep_call, "benchmark", lambda *given, **named: report)
    line = terminal.fails(7, *arguments(idx_folder, swept))
    assert "times are too noisy" in line
    assert all(text in terminal.out for text in ("Picture:", "No validation images: the best"))


def test_a_tuned_network_is_measured_in_place_of_the_plain_one(
    swept: Path, idx_folder: Path, tmp_path: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[Path] = []

    def tuned_export(path: Path, *given: Any, tuning: Any, **others: Any) -> None:
        """Tune the first network alone: of the other, no choice gains, and its float file is the fastest."""
        assert isinstance(tuning.runner, Here)
        tuned.append(path)
        manifest = Manifest.load(path.parent)
        source, best = ("int8", "tuned") if path.parent.name == "4-4-4" else ("float32", "float32")
        plain = manifest.artifact(f"{source}.tflite")
        assert plain
        (path.parent / f"{best}.tflite").write_bytes((path.parent / plain.path).read_bytes())
        settings = Settings(tuning.runner.machine, "time", ())
        manifest.with_artifacts(replace(plain, path=f"{best}.tflite", settings=settings)).save(path.parent)

    for folder in ("4-4-4", "2-3-4"):
        shutil.copytree(swept / folder, tmp_path / folder)
    monkeypatch.setattr(network_work, "export_model", tuned_export)
    text = terminal.passes(*arguments(idx_folder, tmp_path, "--tune"))
    assert [file.name for file in read_report(tmp_path / "bench.json").files] == ["4-4-4/tuned.tflite", "2-3-4/float32.tflite"]
    rows = [line.split() for line in text.splitlines() if line.split()[:1] and line.split()[0] in NETWORKS]
    assert [row[1] for row in rows] == ["tuned", "float32"]
    # What was tuned is not tuned again.
    monkeypatch.setattr(sweep_call, "benchmark", mock.Mock(side_effect=KeyboardInterrupt))
    assert terminal.run(*arguments(idx_folder, tmp_path, "--tune")) == 130
    assert [path.parent.name for path in tuned] == ["4-4-4", "2-3-4"]


def test_a_network_that_can_not_be_tuned_has_its_plain_file_measured(
    swept: Path, idx_folder: Path, tmp_path: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(path: Path, *given: Any, tuning: Any = None, **options: Any) -> None:
        if tuning:
            raise UnfitReference("not even the float Keras model would pass")
        assert path.parent.name == "4-4-4"  # The other one was exported before.
        real_export(path, *given, **options)

    for folder in ("4-4-4", "2-3-4"):
        shutil.copytree(swept / folder, tmp_path / folder)
    (tmp_path / "4-4-4" / "int8.tflite").unlink()
    monkeypatch.setattr(network_work, "export_model", export)
    terminal.passes(*arguments(idx_folder, tmp_path, "--tune"))
    assert terminal.err.count("not tuned, since not even") == 2
    assert [file.name for file in read_report(tmp_path / "bench.json").files] == ["4-4-4/int8.tflite", "2-3-4/int8.tflite"]

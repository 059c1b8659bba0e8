"""`edgecnn fit`: what is measured, trained, chosen and judged, with real networks."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import edgecnn as ec
from edgecnn.benchmarks.emulator.counting import Stretch
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED
from edgecnn.benchmarks.runners.emulated import Emulated
from edgecnn.benchmarks.statistics import binomial
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model import backbones
from edgecnn.convert.training.model.networks import NETWORKS
from edgecnn.edge.data.pixel_digests import evidence, held_out
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import correct
from edgecnn.workflows import fit as fit_work
from edgecnn.workflows import prune, rungs
from edgecnn.workflows import sweep as sweep_work
from edgecnn.workflows.export import tuning_for
from edgecnn.workflows.fit_costs import Cost, kept_costs
from edgecnn.workflows.rungs import TrainingPace
from tests.convert.export.conftest import Invented
from tests.convert.training.model.weights import shorten_mobilenet, write_weights
from tests.drawings import write_letters
from tests.schemas import require_valid

pytestmark = pytest.mark.usefixtures("few_launches", "one_stage")

LIMIT_KIB = 6.5
# Two networks for three epochs of six seconds each, and two that show the time; a tenth is kept to train for integers.
MINUTES = (3 + 2) * 2 * 6.1 / 60 / 0.9
_COMMAND = ("--val-share", "0.2", "--minutes", f"{MINUTES}", "--allow", "noise")


def few_networks(patch: pytest.MonkeyPatch, kind: Any = "cnn", scales: tuple[float, ...] = (0.25, 0.5, 1.0)) -> None:
    """One kind of network in few widths, whose epochs take six seconds however busy the machine is."""
    patch.setattr(fit_work, "NETWORKS", {kind: NETWORKS[kind]})
    patch.setattr(fit_work, "_SCALES", scales)
    patch.setattr(fit_work, "_least_epochs", lambda job: 3)
    patch.setattr(rungs, "_paces", lambda networks, minutes, fewer: [TrainingPace(0.0, 6.0)] * len(networks))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    few_networks(monkeypatch)


@pytest.fixture(scope="module")
def found(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder and the record of a search. Do not write to it."""
    out = tmp_path_factory.mktemp("fit") / "out"
    options = ec.FolderOptions(val_share=0.2)
    budget = ec.Budget(max_drop_points=None, max_p90_ms=1000, max_size_kib=LIMIT_KIB)
    with pytest.MonkeyPatch.context() as patch:
        few_networks(patch)
        return out, ec.fit(idx_folder, budget, out, minutes=MINUTES, allow=("noise",), images=options)


def test_only_networks_within_the_limits_are_trained_and_the_most_accurate_file_is_judged(
    found: tuple[Path, Any], idx_folder: Path
) -> None:
    out, fit = found
    assert [network.epochs for network in fit.networks] == [3, 3, None]
    for network in fit.networks:
        fits = network.cost.size_bytes <= LIMIT_KIB * 1024
        assert network.is_within == fits
        assert fits or network.epochs is None
    assert any(not network.is_within for network in fit.networks)
    passed = [file for file in fit.files if file.status == PASS]
    assert fit.chosen == max(passed, key=lambda file: file.val_correct).file
    # An untrained file is as large as the trained one.
    sizes = {network.cost.name: network.cost.size_bytes for network in fit.networks}
    for file in fit.files:
        assert file.size_bytes == (out / file.file).stat().st_size
        assert abs(file.size_bytes - sizes[file.name]) <= 128
        assert file.qat.compared_on == "validation"
        assert file.val_correct == (file.qat.correct if file.qat.taken else file.qat.plain_correct)
        assert file.qat.taken == (file.qat.correct > file.qat.plain_correct)
    test = ec.load_dataset(idx_folder).test
    right = int(correct(Classifier.load(out / fit.chosen).split_probabilities(test), test.labels).sum())
    assert (fit.images, fit.accuracy) == (len(test.labels), binomial.interval(right, len(test.labels)))


def test_the_record_is_what_its_schema_says_and_the_text_begins_with_the_file_to_ship(found: tuple[Path, Any]) -> None:
    out, fit = found
    require_valid("fit", (out / "fit.json").read_text())
    with Image.open(out / "fit.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    assert fit.to_text(200).startswith(f"Ship {out / fit.chosen}: ")
    assert "32,32,32" not in fit.to_text(200)
    assert "32,32,32" in fit.to_text(200, verbose=True)


def test_the_same_command_neither_measures_the_untrained_nor_trains_again(
    found: tuple[Path, Any], few: None, idx_folder: Path, terminal: Any
) -> None:
    out, fit = found
    models = {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")}
    limits = ("--max-p90-ms", "1000", "--max-size-kib", str(LIMIT_KIB))
    terminal.passes("fit", "--data", idx_folder, "--out", out, *limits, *_COMMAND, "--json", "-")
    assert "3 networks: measured before" in terminal.err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")} == models
    assert json.loads(terminal.out)["chosen"] == fit.chosen


def test_a_file_that_is_no_better_than_a_guess_on_the_test_images_is_not_shipped(
    found: tuple[Path, Any], few: None, idx_folder: Path, tmp_path: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(found[0], tmp_path / "out")
    test = len(ec.load_dataset(idx_folder).test.labels)
    monkeypatch.setattr(fit_work, "is_a_guess", lambda probabilities, labels: len(labels) == test)
    limits = ("--max-p90-ms", "1000", "--max-size-kib", str(LIMIT_KIB))
    assert terminal.fails(3, "fit", "--data", idx_folder, "--out", tmp_path / "out", *limits, *_COMMAND)
    assert f"of {test} test images, not shown to be better" in " ".join(terminal.out.split())
    fit = json.loads((tmp_path / "out/fit.json").read_text())
    assert (fit["chosen"], fit["accuracy"], fit["images"]) == (None, None, 0)


def test_a_file_whose_launches_disagree_is_not_shipped_and_the_same_command_is_advised(
    found: tuple[Path, Any], few: None, idx_folder: Path, tmp_path: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(found[0], tmp_path / "out")
    undecided = Cost("int8", 5000, 17250.0, 16000.0, None, UNDECIDED, ("p90 is 0.01725 ms",))
    monkeypatch.setattr(fit_work, "measured", lambda job, root, files, test: [undecided] * len(files))
    limits = ("--max-p90-ms", "1000", "--max-size-kib", str(LIMIT_KIB))
    error = terminal.fails(3, "fit", "--data", idx_folder, "--out", tmp_path / "out", *limits, *_COMMAND)
    assert "the same command" in error
    assert re.search(r"int8\.tflite +UNDECIDED +4\.9 +0\.01725 ", terminal.out)
    assert json.loads((tmp_path / "out/fit.json").read_text())["chosen"] is None


def test_limits_that_no_network_is_within_are_refused_with_what_the_smallest_takes(
    found: tuple[Path, Any], few: None, idx_folder: Path, terminal: Any
) -> None:
    out, fit = found
    line = terminal.fails(3, "fit", "--data", idx_folder, "--out", out, "--max-size-kib", "0.5", *_COMMAND)
    smallest = min(network.cost.size_bytes for network in fit.networks) / 1024
    assert "--max-size-kib" in line
    assert f"{smallest:.1f} KiB" in line


def test_channels_are_cut_out_of_a_model_until_it_is_within_the_limits(
    exported: Path, idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "_ROUNDS", 1)
    counts, cuts = prune._counts, list[dict[str, int]]()

    def few_at_first(*arguments: Any) -> dict[str, int]:
        found = counts(*arguments)
        cuts.append(found if cuts else {name: min(count, 1) for name, count in found.items()})
        return cuts[-1]

    monkeypatch.setattr(prune, "_counts", few_at_first)
    before, limit = (exported / "int8.tflite").stat().st_size, 0.8 * (exported / "int8.tflite").stat().st_size / 1024
    budget, images = ec.Budget(max_drop_points=None, max_size_kib=limit), ec.FolderOptions(val_share=0.2)
    options: Any = {"minutes": 0.1, "allow": ("noise",), "images": images, "model": exported / "model.keras"}
    fit = ec.fit(None, budget, tmp_path / "out", **options)  # The model's own images.
    first, last = fit.networks
    assert len(cuts) > 1
    assert not first.is_within
    assert abs(first.cost.size_bytes - before) < 0.1 * before  # Without a description and thresholds.
    assert last.is_within
    assert last.cost.parameters < first.cost.parameters
    assert fit.chosen is not None
    assert (tmp_path / "out" / fit.chosen).stat().st_size <= limit * 1024
    record = Manifest.load((tmp_path / "out" / fit.chosen).parent).dataset
    assert record.source == str(idx_folder)
    assert record.validation
    assert record.validation.val_may_be_learnt  # The model was trained on all of its training images.
    cut = (tmp_path / "out" / "cuts" / "1.keras").stat().st_mtime_ns
    assert ec.fit(idx_folder, budget, tmp_path / "out", **options).networks == fit.networks
    assert (tmp_path / "out" / "cuts" / "1.keras").stat().st_mtime_ns == cut
    with pytest.raises(ConfigError, match=r"cuts has cuts into another model, .*: name another folder with out"):
        ec.fit(idx_folder, replace(budget, max_size_kib=limit / 2), tmp_path / "out", **options)


@pytest.mark.usefixtures("made_here")
def test_a_model_with_nothing_left_to_cut_fails_by_its_limit_and_errors_name_the_model(
    idx_folder: Path, tmp_path: Path, terminal: Any
) -> None:
    layers = [keras.Input((12, 12, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    path = tmp_path / "theirs.keras"
    keras.Sequential(layers).save(path)
    typed = ("fit", "--data", idx_folder, "--out", tmp_path / "out", "--preprocess", "unit", "--model", path, *_COMMAND)
    line = terminal.fails(3, *typed, "--max-size-kib", "0.5")
    assert "--max-size-kib" in line
    assert "theirs.keras" in line
    line = terminal.fails(2, *typed, "--max-size-kib", "500")
    assert f"--model {path} is within the limits" in line


def test_a_network_beyond_the_limits_is_tried_with_smaller_pictures_and_its_file_takes_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_by_area(job: Any, models: Any, path: Path) -> Any:
        """A microsecond for each pixel, on any machine."""
        height, width, _ = job.work.dataset.train.shape
        return tuple(replace(cost, p90_ns=1000.0 * height * width) for cost in kept_costs(job, models, path))

    monkeypatch.setattr(fit_work, "kept_costs", slow_by_area)
    # It is the network for pictures, with the layers of a smaller one.
    monkeypatch.setitem(NETWORKS, "residual", NETWORKS["residual"]._replace(build=NETWORKS["strided"].build))
    few_networks(monkeypatch, "residual", (0.125,))
    monkeypatch.setattr(fit_work, "is_a_guess", lambda probabilities, labels: False)
    write_letters(tmp_path / "photos", 20)
    side = ec.load_dataset(tmp_path / "photos").train.shape[0]
    smaller = max(size for size in (96, 64, 48, 32, 24, 16) if size < side)
    options: Any = {"minutes": 5.2 * 6 / 60 / 0.9, "allow": ("noise",), "images": ec.FolderOptions(val_share=0.2)}
    out, budget = tmp_path / "out", ec.Budget(max_drop_points=None, max_p90_ms=0.9 * side * side / 1000)
    fit = ec.fit(tmp_path / "photos", budget, out, **options)
    name = f"residual 4,8,16 size={smaller}x{smaller}"
    # The next size is not tried: it could not be better.
    assert [(network.cost.name, network.epochs) for network in fit.networks] == [("residual 4,8,16", None), (name, 3)]
    assert fit.chosen == f"residual-4-8-16-size-{smaller}x{smaller}/int8.tflite"
    fitted = Manifest.load((out / fit.chosen).parent).dataset.fitted
    assert fitted
    assert fitted.shape == (smaller, smaller, 3)
    test = ec.load_dataset(tmp_path / "photos", ec.FolderOptions(size=(smaller, smaller), val_share=0.2)).test
    right = int(correct(Classifier.load(out / fit.chosen).split_probabilities(test), test.labels).sum())
    assert (fit.images, fit.accuracy) == (len(test.labels), binomial.interval(right, len(test.labels)))


def test_pictures_of_a_folder_have_smaller_sizes_unless_something_says_theirs(
    tmp_path: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, jobs = write_letters(tmp_path / "photos", 5), list[Any]()
    monkeypatch.setattr(fit_work, "fitted", jobs.append)
    budget, own, teacher = ec.Budget(max_drop_points=None, max_size_kib=9), ec.FolderOptions(val_share=0.2), "teacher.keras"
    ec.fit(photos, budget, tmp_path / "out", images=own)
    ec.fit(photos, budget, tmp_path / "out", images=replace(own, size=(40, 40)))
    ec.fit(photos, budget, tmp_path / "out", images=own, config=TrainConfig(teacher=teacher))
    ec.fit(ec.load_dataset(photos, own), budget, tmp_path / "out")
    ec.fit(idx_folder, budget, tmp_path / "out", images=own)
    side = ec.load_dataset(photos).train.shape[0]
    smaller = [size for size in (64, 48, 32, 24, 16) if size < side][:2]
    assert [job.sizes for job in jobs] == [tuple((size, size) for size in smaller), (), (), (), ()]


def test_on_an_emulated_core_instructions_are_limited_and_no_time_is_measured(
    found: tuple[Path, Any], few: None, idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, were_thorough = list[str](), list[bool]()

    def counts(core: Emulated, folder: Path, *, thorough: bool) -> dict[str, Stretch]:
        were_thorough.append(thorough)
        return {file.path: Stretch(100 * file.size_bytes, 0) for file in Manifest.load(folder).exported}

    monkeypatch.setattr(Emulated, "counts", counts)
    monkeypatch.setattr(Emulated, "prepare", lambda core: prepared.append(core.core))
    shutil.copytree(found[0], tmp_path / "out")  # What is within that limit is trained.
    options: Any = {"minutes": MINUTES, "images": ec.FolderOptions(val_share=0.2), "device": "cortex-a72"}
    limit = int(100 * LIMIT_KIB * 1024)
    fit = ec.fit(idx_folder, ec.Budget(max_drop_points=None), tmp_path / "out", max_instructions=limit, **options)
    assert prepared == ["cortex-a72"]
    assert were_thorough == [False, True]
    assert [network.is_within for network in fit.networks] == [
        100 * network.cost.size_bytes <= limit for network in fit.networks
    ]
    assert {network.is_within for network in fit.networks} == {True, False}
    assert all(file.instructions == 100 * file.size_bytes and file.p90_ns is None for file in fit.files)
    assert [file.status for file in fit.files] == [PASS if (file.instructions or 0) <= limit else FAIL for file in fit.files]
    chosen = next(file for file in fit.files if file.file == fit.chosen)
    assert (fit.max_p90_ms, fit.max_instructions) == (None, limit)
    text = fit.to_text(1000)
    assert f"{chosen.instructions:,} instructions" in text
    assert " ms" not in text
    require_valid("fit", (tmp_path / "out" / "fit.json").read_text())


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("", "--max-p90-ms"),  # Without a limit there is nothing to search.
        ("--device cortex-a72", "--max-instructions"),
        # Instructions are a limit on emulated cores alone.
        ("--device cortex-a72 --max-p90-ms 2", "--max-p90-ms"),
        ("--device cortex-a8 --max-instructions 9000", "cortex-a8"),
        ("--max-instructions 9000", "--device"),
        ("--max-size-kib 5 --transfer resnet152", "got resnet152"),
        ("--max-size-kib 5 --transfer mobilenetv2=", "names no file"),
        ("--max-size-kib 5 --transfer mobilenetv2 --transfer mobilenetv2=weights.h5", "twice"),
        # What would stay idle.
        ("--max-size-kib 5 --transfer mobilenetv2 --model x.keras", "--transfer .* --model"),
        ("--max-size-kib 5 --ray auto --model x.keras", "--ray.* --model"),
    ],
)
def test_what_can_not_be_searched_is_refused_before_anything_is_read(
    typed: str, named: str, tmp_path: Path, terminal: Any
) -> None:
    assert re.search(named, terminal.fails(2, "fit", *typed.split(), "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_tuned_file_is_measured_beside_the_plain_one_and_judged_by_images_that_chose_none_of_its_layers(
    found: tuple[Path, Any], idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, files = fit_work.judged, list[Any]()

    def some_floats(operators: frozenset[str]) -> float:
        """The cheapest file has two operators of integers, and the others in float."""
        return 5.0 + abs(len(operators) - 2)

    def only_tuned(*given: Any) -> list[Any]:
        files.extend(judged(*given))
        return [one for one in files if "tuned" in one[1].file]

    few_networks(monkeypatch, scales=(0.25,))
    monkeypatch.setattr(fit_work, "judged", only_tuned)
    monkeypatch.setattr(fit_work, "is_a_guess", lambda probabilities, labels: False)
    monkeypatch.setattr(fit_work, "learns_integers", lambda model_format: False)  # Other tests have that.
    monkeypatch.setattr(sweep_work, "usual_tuning", lambda *given: tuning_for(None, Invented(some_floats)))
    options: Any = {"minutes": 5.2 * 6 / 60 / 0.9, "allow": ("noise",), "images": ec.FolderOptions(val_share=0.2)}
    shutil.copytree(found[0] / "8-8-8", tmp_path / "out" / "8-8-8")  # Trained for as many epochs.
    fit = ec.fit(idx_folder, ec.Budget(max_drop_points=None, max_p90_ms=1000), tmp_path / "out", tune=True, **options)
    assert "int8.tflite or float32.tflite" in (tmp_path / "out" / "costs.json").read_text()
    assert [Path(file.file).name for _, file in files] == ["tuned.tflite", "int8.tflite", "float32.tflite"]
    assert fit.chosen == files[0][1].file
    folder = (tmp_path / "out" / files[0][1].file).parent
    tuned = Manifest.load(folder).artifact("tuned.tflite")
    assert tuned
    assert tuned.mended
    assert tuned.mended.layers
    test = ec.load_dataset(idx_folder).test
    every, digests = evidence(test, ())
    held = every & held_out(digests)
    right = correct(Classifier.load(folder / "tuned.tflite").split_probabilities(test), test.labels)
    assert 0 < fit.images < every.sum()
    assert (fit.images, fit.chose) == (held.sum(), every.sum() - held.sum())
    assert fit.accuracy == binomial.interval(int(right[held].sum()), fit.images)
    assert f"{fit.chose} other test images chose its layers in float" in fit.to_text(1000)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MobileNet has its first blocks alone, and weights are tried in this process, where they fit those."""
    shorten_mobilenet(monkeypatch)
    monkeypatch.setattr(backbones, "run_in_child", lambda call, *named: call())


@pytest.mark.usefixtures("shallow")
def test_a_network_with_learnt_weights_is_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_networks(monkeypatch, scales=())  # None of edgecnn's own.
    monkeypatch.setattr(fit_work, "is_a_guess", lambda probabilities, labels: False)
    write_letters(tmp_path / "photos", 30)
    weights = write_weights(tmp_path / "net.weights.h5", (32, 32, 3))
    monkeypatch.setattr(fit_work, "learns_integers", lambda model_format: False)  # Other tests have that.
    minutes = 5.2 * 6 / 60  # For three epochs, and two that show the time.
    options: Any = {"minutes": minutes, "allow": ("noise",), "images": ec.FolderOptions(size=(32, 32), val_share=0.2)}
    out, budget = tmp_path / "out", ec.Budget(max_drop_points=None, max_size_kib=1000)
    fit = ec.fit(tmp_path / "photos", budget, out, transfer=[f"mobilenet-0.25={weights}"], **options)
    assert [(network.cost.name, network.epochs) for network in fit.networks] == [("mobilenet-0.25", 3)]
    assert fit.chosen == "mobilenet-0.25/int8.tflite"
    manifest = Manifest.load(out / "mobilenet-0.25")
    assert (manifest.preprocessing.scale, manifest.preprocessing.mean) == (1 / 127.5, (1.0,))
    # Nobody knows what the weights of a file have learnt.
    assert manifest.dataset.may_be_learnt
    assert fit.doubt is not None
    assert f"Doubtful: {fit.doubt}" in fit.to_text(1000)
    models = {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")}
    ec.fit(tmp_path / "photos", budget, out, transfer=[f"mobilenet-0.25={weights}"], **options)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")} == models


def test_limits_that_bench_alone_judges_by_are_refused(idx_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="budget"):
        ec.fit(idx_folder, ec.Budget(max_size_kib=20, max_memory_mib=50), tmp_path / "out")

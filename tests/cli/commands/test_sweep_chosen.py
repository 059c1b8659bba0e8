"""`edgecnn sweep` with your own networks, your own photos, validation images and a time limit."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.training.records import TrainResult
from edgecnn.convert.training.train import train
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.records import from_json
from edgecnn.workflows.rungs import planned_seconds
from tests.cli.commands.own_things import photos
from tests.convert.training.own_nets import MODULE
from tests.schemas import require_valid

pytestmark = pytest.mark.usefixtures("few_launches", "module")


def record(out: str = "out") -> Any:
    text = Path(out, "sweep.json").read_text()
    require_valid("sweep", text)
    return json.loads(text)


def trained(folder: str | Path) -> TrainResult:
    path = Path(folder, "train.json")
    return from_json(TrainResult, path.read_bytes(), str(path))


def test_own_networks_are_swept_over_their_arguments_beside_edgecnns(idx_folder: Path, terminal: Any) -> None:
    own = ("--network", "own_nets:sized", "--set", "width=2,3", "--set", "activation=tanh", "--preprocess", "raw")
    typed = ("sweep", "--data", idx_folder, "--network", "separable", "--filters", "4,4,4", *own)
    options = ("--epochs", "1", "--val-share", "0", "--out", "out", "--allow", "noise")
    text = terminal.passes(*typed, *options)
    names = ["separable 4,4,4", "own_nets:sized width=2 activation=tanh", "own_nets:sized width=3 activation=tanh"]
    rows = [row["network"] for row in record()["rows"]]
    assert [(row["network"], row["filters"], row["arguments"]) for row in rows] == [
        ("separable", [4, 4, 4], []),
        ("own_nets:sized", [], ["width=2", "activation=tanh"]),
        ("own_nets:sized", [], ["width=3", "activation=tanh"]),
    ]
    folders = ["separable-4-4-4", "own_nets-sized-width-2-activation-tanh", "own_nets-sized-width-3-activation-tanh"]
    assert [row["file"] for row in rows] == [f"{folder}/int8.tflite" for folder in folders]
    table = text[text.index("Networks by size") :]
    assert all(name.removesuffix(" activation=tanh") in table for name in names)  # A long name has two lines.
    assert "No validation images: the best" in text
    for folder, scale in zip(folders, (1 / 255, 1, 1), strict=True):
        assert Classifier.load(Path("out", folder, "int8.tflite")).preprocessing.scale == pytest.approx(scale)
    # The same network by itself.
    alone = ("--model", "own_nets:sized", "--set", "width=3", "--set", "activation=tanh", "--preprocess", "raw")
    terminal.passes("train", "--data", idx_folder, *alone, "--epochs", "1", "--val-share", "0", "--out", "alone")
    models = [keras.models.load_model(Path(folder, "model.keras")).get_weights() for folder in ("alone", f"out/{folders[2]}")]
    assert all(np.array_equal(one, other) for one, other in zip(*models, strict=True))
    terminal.passes(*typed, *options)
    assert all(f"{name}: trained before" in terminal.err and f"{name}: exported before" in terminal.err for name in names)
    Path("own_nets.py").write_text(MODULE + "\n")
    sys.modules.pop("own_nets")
    assert re.search(r"own_nets:sized has changed.*--out", terminal.fails(2, *typed, *options))


def test_a_network_with_layers_of_its_own_is_swept(idx_folder: Path, terminal: Any) -> None:
    typed = ("--network", "own_nets:subclassed", "--preprocess", "unit", "--format", "tflite", "--allow", "noise")
    terminal.passes("sweep", "--data", idx_folder, *typed, "--epochs", "1", "--out", "out")
    (row,) = record()["rows"]
    assert row["network"]["parameters"] == 144 * 3 + 3


def test_photos_in_colour_are_swept(terminal: Any) -> None:
    photos("photos", test=6)
    sizes = ("--network", "separable", "--filters", "8,12,16", "--size", "12x8")
    terminal.passes("sweep", "--data", "photos", *sizes, "--epochs", "1", "--out", "out", "--allow", "noise")
    assert keras.models.load_model("out/separable-8-12-16/model.keras").input_shape == (None, 12, 8, 3)
    assert Classifier.load("out/separable-8-12-16/int8.tflite").class_names == ("cat", "dog")


def test_validation_images_choose_and_the_test_images_judge_what_was_chosen(idx_folder: Path, terminal: Any) -> None:
    sizes = ("--filters", "4,4,4", "--filters", "2,4,4", "--set", "dropout=0")
    typed = ("sweep", "--data", idx_folder, *sizes, "--val-share", "0.25", "--epochs", "3", "--out", "out", "--allow", "noise")
    text = " ".join(terminal.passes(*typed, "--reach", "20").split())
    found = record()
    val = load_dataset(idx_folder, FolderOptions(val_share=0.25)).val
    assert val
    for row in found["rows"]:
        answers = Classifier.load(Path("out", row["network"]["file"])).split_probabilities(val)
        right = int((answers.argmax(axis=1) == val.labels).sum())
        assert (row["network"]["val_images"], row["network"]["val_correct"]) == (60, right)
        assert row["network"]["arguments"] == ["dropout=0"]
    assert found["settings"]["dropout"] == "0.0"
    named = {found[name] for name in ("most_accurate", "balanced", "fastest", "smallest_chosen")}
    assert {chosen["name"] for chosen in found["chosen"]} == named
    assert re.search(r"Chosen on 60 validation.*\b95 %", text)
    assert "the test images chose nothing" in text
    assert "validation images chose each network's" in text
    assert trained("out/4-4-4-dropout-0").kept_for == "lowest_validation_loss"


LIMITED = tuple(word for size in ("2,2,2", "2,4,4", "4,4,4", "8,8,8") for word in ("--filters", size))


def test_a_time_limit_trains_all_for_a_few_epochs_and_the_better_half_for_more(
    idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = ("sweep", "--data", idx_folder, *LIMITED, "--val-share", "0.25", "--out", "out", "--allow", "noise")
    assert re.search(r"--minutes 0\.0001.*short.*\b1 of the 4", terminal.fails(2, *limited, "--minutes", "0.0001"))
    assert not Path("out/sweep.json").exists()

    def interrupted_at(epochs: int, minutes: float) -> None:
        def stops(run: Any) -> Any:
            if run.config.epochs >= epochs:
                raise KeyboardInterrupt
            return train(run)

        with monkeypatch.context() as patch:
            patch.setattr("edgecnn.convert.training.train.train", stops)
            assert terminal.run(*limited, "--minutes", f"{minutes:.6f}") == 130

    interrupted_at(2, 500)  # On a busy machine, an epoch of each may take minutes.
    seconds = [trained(folder).seconds for folder in Path("out/rungs/1").iterdir()]
    # Enough for one epoch in the first rung: the one by which the time was learnt. More: tests/api/test_rungs.py.
    minutes = (sum(seconds) + 1.5 * planned_seconds(seconds)) / 60
    text = terminal.passes(*limited, "--minutes", f"{minutes:.6f}")
    assert re.search(r"halving of 4.*\b4, then 3\b.*twice", terminal.err)
    assert terminal.err.count("Chosen, since not stated") == 1  # For all four.
    assert "Plan: 4 for 1 epoch, 3 for 2 epochs; at most about" in terminal.err
    assert terminal.err.count("1 epoch: trained before") == 8  # To learn the time, and as the first rung.
    (rung,) = record()["rungs"]
    assert (rung["epochs"], len(rung["networks"])) == (1, 4)
    went_on = [network["name"] for network in rung["networks"] if network["goes_on"]]
    assert [row["network"]["filters"] for row in record()["rows"]] == [list(map(int, name.split(","))) for name in went_on]
    assert len(went_on) == 3
    for name in went_on:
        result = trained(f"out/{name.replace(',', '-')}")
        assert result.config.epochs == 2
        assert {*result.chosen} == {"batch_size", "augment", "class_weights"}  # The limit plans the epochs.
    for network in rung["networks"]:
        result = trained(f"out/rungs/1/{network['name'].replace(',', '-')}")
        kept = result.history[result.epoch - 1]
        assert (result.config.epochs, result.val_images) == (1, 60)
        assert kept.val_accuracy == pytest.approx(network["val_correct"] / 60)
    assert "After 1 epoch went on: " in text

"""`edgecnn sweep` with your own networks, your own photos, validation images and a time limit."""

import json
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import keras
import numpy as np
import pytest

from edgecnn.convert.training.records import TrainResult
from edgecnn.convert.training.train import train
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.records import from_json
from edgecnn.workflows import sweep as sweep_call
from edgecnn.workflows.rungs import TrainingPace, planned_seconds
from tests.cli.commands.own_things import photos
from tests.convert.training.own_nets import MODULE
from tests.schemas import require_valid

pytestmark = pytest.mark.usefixtures("few_launches", "one_stage", "module")


def record(out: str = "out") -> Any:
    text = Path(out, "sweep.json").read_text()
    require_valid("sweep", text)
    return json.loads(text)


def trained(folder: str | Path) -> TrainResult:
    path = Path(folder, "train.json")
    return from_json(TrainResult, path.read_bytes(), str(path))


def test_own_networks_are_swept_over_their_arguments_beside_edgecnns_on_photos_in_colour(
    terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos("photos", test=6)
    data = ("--data", "photos", "--size", "12x8", "--epochs", "1", "--val-share", "0")
    # The second one has layers of its own.
    own = (
        "--network", "own_nets:sized", "--set", "width=2,3", "--set", "activation=tanh", "--preprocess", "raw",
        "--network", "own_nets:subclassed",
    )  # fmt: skip
    typed = ("sweep", *data, "--network", "cnn", "--filters", "8,12,16", *own, "--out", "out", "--allow", "noise")
    text = terminal.passes(*typed)
    names = ["8,12,16", "own_nets:sized width=2 activation=tanh", "own_nets:sized width=3 activation=tanh"]
    names.append("own_nets:subclassed")
    rows = [row["network"] for row in record()["rows"]]
    assert [(row["network"], row["filters"], row["arguments"]) for row in rows] == [
        ("cnn", [8, 12, 16], []),
        ("own_nets:sized", [], ["width=2", "activation=tanh"]),
        ("own_nets:sized", [], ["width=3", "activation=tanh"]),
        ("own_nets:subclassed", [], []),
    ]
    assert rows[3]["parameters"] == 12 * 8 * 3 * 2 + 2
    folders = ["8-12-16", "own_nets-sized-width-2-activation-tanh", "own_nets-sized-width-3-activation-tanh"]
    folders.append("own_nets-subclassed")
    assert [row["file"] for row in rows] == [f"{folder}/int8.tflite" for folder in folders]
    table = text[text.index("Networks by size") :]
    assert all(name.removesuffix(" activation=tanh") in table for name in names)  # A long name has two lines.
    for folder, scale in zip(folders, (1 / 255, 1, 1, 1), strict=True):
        file = Classifier.load(Path("out", folder, "int8.tflite"))
        assert file.preprocessing.scale == pytest.approx(scale)
        assert file.class_names == ("cat", "dog")
        assert file.shape == (12, 8, 3)
    # The same network by itself.
    alone = ("--model", "own_nets:sized", "--set", "width=3", "--set", "activation=tanh", "--preprocess", "raw")
    terminal.passes("train", *data, *alone, "--out", "alone")
    models = [keras.models.load_model(Path(folder, "model.keras")).get_weights() for folder in ("alone", f"out/{folders[2]}")]
    assert all(np.array_equal(one, other) for one, other in zip(*models, strict=True))
    monkeypatch.setattr(sweep_call, "benchmark", Mock(side_effect=KeyboardInterrupt))
    assert terminal.run(*typed) == 130
    assert all(f"{name}: trained before" in terminal.err and f"{name}: exported before" in terminal.err for name in names)
    Path("own_nets.py").write_text(MODULE + "\n")
    sys.modules.pop("own_nets")
    assert re.search(r"own_nets:sized has changed.*--out", terminal.fails(2, *typed))


SIZES = tuple(word for size in ("2,2,2", "3,3,3", "4,4,4", "8,8,8") for word in ("--filters", size))
LIMITED = ("sweep", *SIZES, "--set", "dropout=0", "--val-share", "0.25", "--reach", "20", "--out", "out", "--allow", "noise")


def test_a_time_limit_trains_all_for_a_few_epochs_and_the_better_half_by_validation_images_for_more(
    idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = (*LIMITED, "--data", idx_folder, "--minutes")
    assert re.search(r"--minutes 0\.0001.*short.*\b1 of the 4", terminal.fails(2, *limited, "0.0001"))
    assert not Path("out/sweep.json").exists()

    def stops(run: Any) -> Any:
        if run.config.epochs > 2:
            raise KeyboardInterrupt
        return train(run)

    with monkeypatch.context() as patch:
        patch.setattr("edgecnn.convert.training.train.train", stops)
        assert terminal.run(*limited, "500") == 130  # On a busy machine, an epoch of each may take minutes.
    timed = [trained(folder) for folder in Path("out/rungs/2").iterdir()]
    paces = [TrainingPace(max(0.0, one.seconds - 2 * one.history[1].seconds), one.history[1].seconds) for one in timed]
    # Enough for two epochs in the first rung: those by which the time was learnt. More: tests/api/test_rungs.py.
    minutes = (planned_seconds(paces, 2) + 0.01) / 60
    text = terminal.passes(*limited, f"{minutes:.6f}")
    assert re.search(r"halving of 4.*\b4, then 3\b.*twice", terminal.err)
    assert terminal.err.count("Chosen, since not stated") == 1  # For all four.
    assert "Plan: 4 for 2 epochs, 3 for 4 epochs; at most about" in terminal.err
    assert terminal.err.count("2 epochs: trained before") == 8  # To learn the time, and as the first rung.
    (rung,) = record()["rungs"]
    assert (rung["epochs"], len(rung["networks"])) == (2, 4)
    went_on = [network["name"] for network in rung["networks"] if network["goes_on"]]
    assert [name_of(row["network"]) for row in record()["rows"]] == went_on
    assert len(went_on) == 3
    for name in went_on:
        result = trained(f"out/{folder_of(name)}")
        assert (result.config.epochs, result.kept_for) == (4, "lowest_validation_loss")
        assert {*result.chosen} == {"learning_rate", "batch_size", "augment", "class_weights"}  # The limit plans the epochs.
    for network in rung["networks"]:
        result = trained(f"out/rungs/2/{folder_of(network['name'])}")
        kept = result.history[result.epoch - 1]
        assert (result.config.epochs, result.val_images) == (2, 60)
        assert kept.val_accuracy == pytest.approx(network["val_correct"] / 60)
    assert "After 2 epochs went on: " in text
    require_chosen_by_validation_images(idx_folder, " ".join(text.split()))


def name_of(network: Any) -> str:
    return " ".join((",".join(map(str, network["filters"])), *network["arguments"]))


def folder_of(name: str) -> str:
    return name.translate(str.maketrans(", =", "---"))


def require_chosen_by_validation_images(idx_folder: Path, text: str) -> None:
    """The validation images have chosen, and the test images judge what was chosen."""
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

"""Training: repeatable, resumable, and safe to interrupt."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]  # Untyped.

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.fit.callbacks import board
from edgecnn.convert.training.model.normalization import unsettled_share
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest, Output, Preprocessing
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.model_file import read_model
from tests.convert.training.runs import UNIT, same, stop_at, train
from tests.schemas import require_valid

pytestmark = pytest.mark.usefixtures("one_stage")

SMALL = (4, 4, 4)
CONFIG = TrainConfig(epochs=2, recipe="notebook", batch_size=32, augment="none", learning_rate=0.003, filters=SMALL)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """The messages while `trained` was trained."""
    return []


@pytest.fixture(scope="module")
def trained(said: list[str], bars: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after two epochs. Do not write to it."""
    folder = tmp_path_factory.mktemp("trained")
    train(bars, CONFIG, folder, UNIT, on_text=said.append)
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained` to break."""
    return Path(shutil.copytree(trained, tmp_path / "copied"))


def test_a_resumed_run_of_the_same_seed_ends_where_an_unbroken_one_does_whatever_is_in_the_folder(
    trained: Path, bars: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text("{")  # It is damaged: it is replaced.
    said: list[str] = []
    train(bars, replace(CONFIG, epochs=1), tmp_path, UNIT, on_text=said.append)
    assert any("new manifest will be written" in text for text in said)
    assert read_model(tmp_path / "model.keras").unverified is None
    assert not same(trained, tmp_path)
    result = train(bars, CONFIG, tmp_path, UNIT, resume=True)
    assert same(trained, tmp_path)
    assert [epoch.number for epoch in result.history] == [1, 2]


def test_a_resumed_run_of_a_planned_rate_and_varied_images_ends_where_an_unbroken_one_does(
    bars: Dataset, tmp_path: Path
) -> None:
    config = TrainConfig(epochs=2, batch_size=32, filters=SMALL)
    unbroken = train(bars, config, tmp_path / "unbroken", UNIT)

    train(bars, config, tmp_path / "broken", UNIT, on_batch=stop_at(2, 3))
    with pytest.raises(ConfigError, match=r"broken.*planned.* 2 epochs, not 3:.*epochs=2"):
        train(bars, replace(config, epochs=3), tmp_path / "broken", UNIT, resume=True)
    resumed = train(bars, config, tmp_path / "broken", UNIT, resume=True)
    assert same(tmp_path / "unbroken", tmp_path / "broken")
    assert resumed.optimizer == unbroken.optimizer == "AdamW, learning rate up to 0.01 by CosineDecay"


def test_batch_normalisation_that_has_not_settled_is_told(trained: Path, said: list[str]) -> None:
    # 0.9 ** 16
    (line,) = [line for line in said if line.startswith("Batch normalisation's averages")]
    assert all(part in line for part in ("19%", "initial values", "after 16 batches"))
    model = keras.models.load_model(trained / "model.keras")
    assert unsettled_share(model, CONFIG, 460) < 0.01
    # Their averages started elsewhere.
    assert unsettled_share(model, TrainConfig(transfer="base.keras"), 16) == 0
    assert unsettled_share(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), CONFIG, 16) == 0


def test_ctrl_c_keeps_the_finished_epoch_of_lowest_loss_also_of_a_resumed_run_and_the_best_stays_on_disk(
    bars: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, epochs=5, learning_rate=5.0)
    for finished in (3, 4):
        result = train(bars, config, tmp_path, UNIT, resume=finished > 3, on_batch=stop_at(finished + 1, 2))
        losses = [epoch.loss for epoch in result.history]
        assert len(losses) == finished
        assert losses[-1] > min(losses)  # Otherwise this proves nothing.
        assert result.interrupted
        assert result.epoch == 1 + losses.index(min(losses))
        assert read_model(tmp_path / "model.keras").unverified is None
    whole = train(bars, config, tmp_path, UNIT, resume=True)
    assert whole.history[:4] == result.history
    best = min(whole.history, key=lambda epoch: epoch.loss).number
    assert {path.name for path in (tmp_path / "checkpoint").glob("*.keras")} == {f"epoch-{best}.keras", "epoch-5.keras"}


def test_ctrl_c_in_the_first_epoch_writes_no_model(bars: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(bars, CONFIG, tmp_path, UNIT, on_batch=stop_at(1))
    assert not list(tmp_path.glob("*.*"))


def test_train_json_and_the_manifest_say_how_the_model_came_to_be(trained: Path, bars: Dataset) -> None:
    require_valid("train", (trained / "train.json").read_text())
    record = json.loads((trained / "train.json").read_text())
    manifest = Manifest.load(trained)
    settings = {
        "epochs": 2, "recipe": "notebook", "batch_size": 32, "augment": "none", "learning_rate": 0.003,
        "dropout": 0.5, "network": "cnn", "filters": [4, 4, 4], "seed": 0,
    }  # fmt: skip
    own = {"model": None, "transfer": None, "weights": None, "fine_tune": False, "source_sha256": None, "teacher": None}
    assert record["config"] == settings | own | {"teacher_sha256": None} | {
        "keep": "best", "patience": None, "class_weights": "none", "arguments": [],
    }  # fmt: skip
    assert (record["epoch"], record["kept_for"], record["val_images"]) == (2, "last_epoch", None)
    assert record["optimizer"] == "Adam, learning rate 0.003"
    assert record["model_sha256"] == manifest.source().sha256
    assert set(record["versions"]) == {"python", "edgecnn", "tensorflow", "keras", "numpy"}
    test = bars.test
    probabilities = Classifier.load(trained / "model.keras").split_probabilities(test)
    assert record["test_accuracy"] == float((probabilities.argmax(axis=1) == test.labels).mean())
    assert manifest.dataset.test_sha256 == test.sha256
    assert manifest.preprocessing == UNIT
    assert (manifest.output, manifest.trusted) == ("probabilities", ())
    # The manifest has no setting that is off, and names only other networks than the CNN.
    text = {name: str(value) for name, value in settings.items() if value not in ("none", "cnn")} | {"filters": "4,4,4"}
    assert manifest.provenance.train_config == text | {"optimizer": record["optimizer"]}


@pytest.mark.parametrize(
    ("change", "taken", "output", "message"),
    [
        ({"epochs": 2}, UNIT, "probabilities", "has finished its 2 epochs: give more epochs, or train without resume"),
        ({"batch_size": 16}, UNIT, "probabilities", "trained with batch_size=32, not 16"),
        ({"network": "strided"}, UNIT, "probabilities", "trained with network=cnn, not strided: give that value"),
        ({}, SCHEMES["tf"], "probabilities", "trained with other preprocess,.* logits"),
        ({}, replace(UNIT, mean=(0.5,)), "probabilities", "trained with other preprocess,.* logits"),
        ({}, UNIT, "logits", "trained with other preprocess,.* logits"),
    ],
)
def test_a_resume_that_does_not_fit_is_refused(
    trained: Path, bars: Dataset, change: dict[str, Any], taken: Preprocessing, output: Output, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(bars, replace(CONFIG, **{"epochs": 3, **change}), trained, taken, output, resume=True)


def test_tensorboard_gets_curves_and_no_graph_that_it_can_not_read(trained: Path) -> None:
    (run,) = (trained / "logs").glob("*/train")
    tags = EventAccumulator(str(run)).Reload().Tags()
    assert set(tags["tensors"]) >= {"batch_loss", "epoch_loss", "epoch_accuracy"}
    assert "keras" not in tags["tensors"]  # Keras's name for a model's graph.
    assert not tags["graph"]
    assert not tags["meta_graph"]


@pytest.mark.parametrize(("batches", "written", "apart"), [(8, 8, 1), (60, 60, 1), (125, 63, 2)])
def test_about_50_batches_of_each_epoch_are_written(batches: int, written: int, apart: int, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    values = np.ones((batches, 1), np.float32)
    model.fit(values, values, batch_size=1, epochs=2, verbose=0, callbacks=[board(tmp_path, batches)])
    log = EventAccumulator(str(tmp_path / "train"), {"tensors": 0}).Reload()
    steps = [event.step for event in log.Tensors("batch_loss")]
    assert (len(steps), steps[written] - steps[0]) == (2 * written, batches)  # The second epoch's first batch.
    assert {late - early for early, late in pairwise(steps[:written])} == {apart}
    assert len(log.Tensors("epoch_loss")) == 2


def test_a_folder_of_something_else_is_left_alone_and_one_without_a_checkpoint_not_resumed(
    bars: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "app"}')
    with pytest.raises(ConfigError, match=r"manifest\.json is not edgecnn's:.* out"):
        train(bars, CONFIG, tmp_path, UNIT)
    assert (tmp_path / "manifest.json").read_text() == '{"name": "app"}'
    with pytest.raises(ArtifactError, match=r"does not exist:.* resume"):
        train(bars, CONFIG, tmp_path / "none", UNIT, resume=True)


def test_a_resume_on_other_images_is_refused(trained: Path) -> None:
    with pytest.raises(ConfigError, match="was trained on other images"):
        train(load_dataset(None), replace(CONFIG, epochs=3), trained, UNIT, resume=True)


def test_a_damaged_checkpoint_is_refused(copied: Path, bars: Dataset) -> None:
    path = copied / "checkpoint" / "epoch-2.keras"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"epoch-2\.keras is damaged"):
        train(bars, replace(CONFIG, epochs=3), copied, UNIT, resume=True)


def test_training_again_with_another_seed_gives_other_weights_and_makes_the_exported_files_stale(
    trained: Path, artifacts: Path, bars: Dataset
) -> None:
    train(bars, replace(CONFIG, seed=1), artifacts, UNIT)
    assert not same(trained, artifacts)
    with pytest.raises(ArtifactError, match=r"int8\.tflite is stale.*export.*model\.keras.* formats=tflite.* precisions=int8"):
        read_model(artifacts / "int8.tflite")


def test_a_loss_that_is_no_number_is_an_error_and_leaves_no_model(bars: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss.* (nan|inf).*epoch 1: lower learning_rate"):
        train(bars, replace(CONFIG, learning_rate=1e38), tmp_path, UNIT)
    assert not list(tmp_path.glob("**/*.keras"))


def test_a_run_whose_disk_is_full_before_an_epoch_is_kept_leaves_nothing(
    bars: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise ConfigError("the disk is full")

    monkeypatch.setattr("edgecnn.convert.training.fit.callbacks.save_epoch", full)
    with pytest.raises(ConfigError, match="the disk is full"):
        train(bars, CONFIG, tmp_path, UNIT)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert not (tmp_path / "logs").exists()


def test_a_run_that_was_cut_off_after_its_last_epoch_is_finished_by_resume(trained: Path, copied: Path, bars: Dataset) -> None:
    for name in ("model.keras", "train.json", "manifest.json"):
        (copied / name).unlink()
    assert len(train(bars, CONFIG, copied, UNIT, resume=True).history) == 2
    assert same(copied, trained)


def test_ctrl_c_while_old_epochs_are_deleted_loses_none(bars: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecnn.convert.training.fit.callbacks.prune", interrupt)
    result = train(bars, CONFIG, tmp_path, UNIT)
    assert result.interrupted
    assert len(result.history) == 1
    assert read_model(tmp_path / "model.keras").unverified is None

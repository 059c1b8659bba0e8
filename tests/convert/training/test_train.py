"""Training: repeatable, resumable, and safe to interrupt."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]  # Untyped.

from edgecnn.convert.training.checkpoint import load_checkpoint
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import resolved, unsettled_share
from edgecnn.convert.training.train import train
from edgecnn.convert.training.training_run import TrainState
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest, Output, Preprocessing
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model
from tests.schemas import require_valid

UNIT = Preprocessing(1 / 255, "letterbox", "dark")
SMALL = (4, 4, 4)
CONFIG = TrainConfig(epochs=2, recipe="notebook", batch_size=32, augment="none", learning_rate=0.003, filters=SMALL)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """The messages while `trained` was trained."""
    return []


@pytest.fixture(scope="module")
def trained(said: list[str], idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after two epochs. Do not write to it."""
    folder = tmp_path_factory.mktemp("trained")
    train(load_dataset(idx_folder), CONFIG, folder, UNIT, on_text=said.append)
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained` to break."""
    return Path(shutil.copytree(trained, tmp_path / "copied"))


def weights(folder: Path) -> list[Any]:
    return list(keras.models.load_model(folder / "model.keras").get_weights())


def same(first: list[Any], second: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
        ({"filters": (32, 32)}, "filters must be three numbers, .*, got 32,32"),
        ({"filters": (8, 0, 8)}, "filters must be at least 1, got 8,0,8"),
        ({"filters": (8, 8, 8), "model": "a:b"}, "filters applies to edgecnn's own networks, not to a:b: omit it"),
        ({"network": "separable", "model": "a:b"}, "network applies to edgecnn's own networks, not to a:b: omit it"),
        ({"network": "resnet"}, "network must be cnn, strided or separable, got resnet"),
        ({"seed": -1}, "seed must be 0 to 4,294,967,295"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"augment": "flip"}, "augment must be photo, digit or none, got flip"),
        ({"keep": "first"}, "keep must be best or last, got first"),
        ({"class_weights": "even"}, "class_weights must be none or balanced, got even"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained: Path, idx_folder: Path, tmp_path: Path) -> None:
    train(load_dataset(idx_folder), CONFIG, tmp_path / "again", UNIT)
    train(load_dataset(idx_folder), replace(CONFIG, seed=1), tmp_path / "other", UNIT)
    assert same(weights(trained), weights(tmp_path / "again"))
    assert not same(weights(trained), weights(tmp_path / "other"))


def test_a_resumed_run_ends_where_an_unbroken_one_does(trained: Path, idx_folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(idx_folder)
    train(dataset, replace(CONFIG, epochs=1), tmp_path, UNIT)
    assert not same(weights(trained), weights(tmp_path))
    result = train(dataset, CONFIG, tmp_path, UNIT, resume=True)
    assert same(weights(trained), weights(tmp_path))
    assert [epoch.number for epoch in result.history] == [1, 2]


def test_a_resumed_run_of_a_planned_rate_and_varied_images_ends_where_an_unbroken_one_does(
    idx_folder: Path, tmp_path: Path
) -> None:
    dataset, config = load_dataset(idx_folder), TrainConfig(epochs=2, batch_size=32, filters=SMALL)
    unbroken = train(dataset, config, tmp_path / "unbroken", UNIT)

    def interrupt(state: TrainState) -> None:
        if (state.epoch, state.batch) == (2, 3):
            raise KeyboardInterrupt

    train(dataset, config, tmp_path / "broken", UNIT, on_batch=interrupt)
    with pytest.raises(ConfigError, match=r"broken.*planned.* 2 epochs, not 3:.*epochs=2"):
        train(dataset, replace(config, epochs=3), tmp_path / "broken", UNIT, resume=True)
    resumed = train(dataset, config, tmp_path / "broken", UNIT, resume=True)
    assert same(weights(tmp_path / "unbroken"), weights(tmp_path / "broken"))
    assert resumed.optimizer == unbroken.optimizer == "AdamW, learning rate up to 0.01 by CosineDecay"


def test_batch_normalisation_that_has_not_settled_is_told(trained: Path, said: list[str]) -> None:
    # 0.99 ** 16
    (line,) = [line for line in said if line.startswith("Batch normalisation's averages")]
    assert all(part in line for part in ("85%", "initial values", "after 16 batches"))
    model = keras.models.load_model(trained / "model.keras")
    assert unsettled_share(model, CONFIG, 460) < 0.01
    # Their averages started elsewhere.
    assert unsettled_share(model, TrainConfig(transfer="base.keras"), 16) == 0
    assert unsettled_share(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), CONFIG, 16) == 0


@pytest.mark.parametrize("resumed", [False, True])
def test_ctrl_c_keeps_the_finished_epoch_of_lowest_loss(resumed: bool, idx_folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(idx_folder)

    def interrupt(state: TrainState) -> None:
        if (state.epoch, state.batch) == (3, 2):
            raise KeyboardInterrupt

    # With this rate the second epoch is worse than the first, as the history below shows.
    config = replace(CONFIG, epochs=4, learning_rate=0.5)
    if resumed:
        train(dataset, replace(config, epochs=2), tmp_path, UNIT)
    result = train(dataset, config, tmp_path, UNIT, resume=resumed, on_batch=interrupt)
    losses = [epoch.loss for epoch in result.history]
    assert len(losses) == 2
    assert result.interrupted
    assert result.epoch == 1 + losses.index(min(losses))
    assert read_model(tmp_path / "model.keras").unverified is None
    assert train(dataset, config, tmp_path, UNIT, resume=True).history[:2] == result.history


def test_the_best_epoch_stays_on_disk_when_a_later_one_is_worse(idx_folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(idx_folder)
    config = replace(CONFIG, epochs=3, learning_rate=0.5)
    result = train(dataset, config, tmp_path, UNIT)
    checkpoint = load_checkpoint(tmp_path, resolved(replace(config, epochs=4), 1), dataset.record(), Interface(UNIT))
    losses = [epoch.loss for epoch in result.history]
    assert checkpoint.best_epoch == 1 + losses.index(min(losses))
    kept = {path.name for path in (tmp_path / "checkpoint").glob("*.keras")}
    assert kept == {f"epoch-{checkpoint.best_epoch}.keras", "epoch-3.keras"}


def test_ctrl_c_in_the_first_epoch_writes_no_model(idx_folder: Path, tmp_path: Path) -> None:
    def interrupt(state: TrainState) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(load_dataset(idx_folder), CONFIG, tmp_path, UNIT, on_batch=interrupt)
    assert not list(tmp_path.glob("*.*"))


def test_train_json_and_the_manifest_say_how_the_model_came_to_be(trained: Path, idx_folder: Path) -> None:
    require_valid("train", (trained / "train.json").read_text())
    record = json.loads((trained / "train.json").read_text())
    manifest = Manifest.load(trained)
    settings = {
        "epochs": 2, "recipe": "notebook", "batch_size": 32, "augment": "none", "learning_rate": 0.003,
        "dropout": 0.5, "network": "cnn", "filters": [4, 4, 4], "seed": 0,
    }  # fmt: skip
    own = {"model": None, "transfer": None, "weights": None, "fine_tune": False, "source_sha256": None, "teacher": None}
    assert record["config"] == settings | own | {"teacher_sha256": None, "workers": 1} | {
        "keep": "best", "patience": None, "class_weights": "none", "arguments": [],
    }  # fmt: skip
    assert (record["epoch"], record["kept_for"], record["val_images"]) == (2, "last_epoch", None)
    assert record["optimizer"] == "Adam, learning rate 0.003"
    assert record["model_sha256"] == manifest.keras_model().sha256
    assert set(record["versions"]) == {"python", "edgecnn", "tensorflow", "keras", "numpy"}
    test = load_dataset(idx_folder).test
    probabilities = Classifier.load(trained / "model.keras").split_probabilities(test)
    assert record["test_accuracy"] == float((probabilities.argmax(axis=1) == test.labels).mean())
    assert manifest.dataset.test_sha256 == test.sha256
    assert manifest.preprocessing == UNIT
    assert (manifest.output, manifest.trusted) == ("probabilities", ())
    # The manifest has no setting that is off, and names only other networks than the CNN.
    text = {name: str(value) for name, value in settings.items() if value not in ("none", "cnn")} | {"filters": "4,4,4"}
    assert manifest.provenance.train_config == text | {"optimizer": record["optimizer"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 2}, "has finished its 2 epochs: give more epochs, or train without resume"),
        ({"epochs": 3, "batch_size": 16}, "trained with batch_size=32, not 16"),
        ({"epochs": 3, "network": "strided"}, "trained with network=cnn, not strided: give that value"),
    ],
)
def test_a_resume_that_does_not_fit_is_refused(trained: Path, idx_folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(load_dataset(idx_folder), replace(CONFIG, **change), trained, UNIT, resume=True)


@pytest.mark.parametrize(
    ("taken", "output"), [(SCHEMES["tf"], "probabilities"), (replace(UNIT, mean=(0.5,)), "probabilities"), (UNIT, "logits")]
)
def test_a_resume_with_other_inputs_or_outputs_is_refused(
    trained: Path, idx_folder: Path, taken: Preprocessing, output: Output
) -> None:
    with pytest.raises(ConfigError, match=r"trained with other preprocess,.* logits"):
        train(load_dataset(idx_folder), replace(CONFIG, epochs=3), trained, taken, output, resume=True)


def test_tensorboard_gets_curves_and_no_graph_that_it_can_not_read(trained: Path) -> None:
    (run,) = (trained / "logs").glob("*/train")
    board = EventAccumulator(str(run))
    board.Reload()
    tags = board.Tags()
    assert set(tags["tensors"]) >= {"batch_loss", "epoch_loss", "epoch_accuracy"}
    assert "keras" not in tags["tensors"]  # Keras's name for a model's graph.
    assert not tags["graph"]
    assert not tags["meta_graph"]


def test_a_folder_with_a_manifest_of_something_else_is_left_alone(idx_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "app"}')
    with pytest.raises(ConfigError, match=r"manifest\.json is not edgecnn's:.* out"):
        train(load_dataset(idx_folder), CONFIG, tmp_path, UNIT)
    assert (tmp_path / "manifest.json").read_text() == '{"name": "app"}'


def test_a_resume_on_other_images_is_refused(trained: Path) -> None:
    with pytest.raises(ConfigError, match="was trained on other images"):
        train(load_dataset(None), replace(CONFIG, epochs=3), trained, UNIT, resume=True)


def test_a_resume_without_a_checkpoint_is_refused(idx_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"does not exist:.* resume"):
        train(load_dataset(idx_folder), CONFIG, tmp_path, UNIT, resume=True)


def test_a_damaged_checkpoint_is_refused(copied: Path, idx_folder: Path) -> None:
    path = copied / "checkpoint" / "epoch-2.keras"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"epoch-2\.keras is damaged"):
        train(load_dataset(idx_folder), replace(CONFIG, epochs=3), copied, UNIT, resume=True)


def test_training_again_makes_the_exported_files_stale(artifacts: Path, idx_folder: Path) -> None:
    train(load_dataset(idx_folder), replace(CONFIG, epochs=1), artifacts, UNIT)
    with pytest.raises(ArtifactError, match=r"int8\.tflite is stale.*export.*model\.keras.* formats=tflite.* precisions=int8"):
        read_model(artifacts / "int8.tflite")


def test_a_loss_that_is_no_number_is_an_error_and_leaves_no_model(idx_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss.* (nan|inf).*epoch 1: lower learning_rate"):
        train(load_dataset(idx_folder), replace(CONFIG, learning_rate=1e30), tmp_path, UNIT)
    assert not list(tmp_path.glob("**/*.keras"))


def test_a_run_whose_disk_is_full_before_an_epoch_is_kept_leaves_nothing(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise ConfigError("the disk is full")

    monkeypatch.setattr("edgecnn.convert.training.fit.callbacks.save_epoch", full)
    with pytest.raises(ConfigError, match="the disk is full"):
        train(load_dataset(idx_folder), CONFIG, tmp_path, UNIT)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert not (tmp_path / "logs").exists()


def test_a_run_that_was_cut_off_after_its_last_epoch_is_finished_by_resume(
    trained: Path, copied: Path, idx_folder: Path
) -> None:
    for name in ("model.keras", "train.json", "manifest.json"):
        (copied / name).unlink()
    assert len(train(load_dataset(idx_folder), CONFIG, copied, UNIT, resume=True).history) == 2
    assert same(weights(copied), weights(trained))


def test_ctrl_c_while_old_epochs_are_deleted_loses_none(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecnn.convert.training.fit.callbacks.prune", interrupt)
    result = train(load_dataset(idx_folder), CONFIG, tmp_path, UNIT)
    assert result.interrupted
    assert len(result.history) == 1
    assert read_model(tmp_path / "model.keras").unverified is None


def test_a_damaged_manifest_is_replaced_and_said(idx_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    said: list[str] = []
    train(load_dataset(idx_folder), replace(CONFIG, epochs=1), tmp_path, UNIT, on_text=said.append)
    assert any("new manifest will be written" in text for text in said)
    assert read_model(tmp_path / "model.keras").unverified is None

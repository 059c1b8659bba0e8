"""Validation in training: its figures, which epoch it keeps, when it stops, and that a resume goes on with all of it."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]  # Untyped.

from edgecnn.convert.training.checkpoint import save_epoch
from edgecnn.convert.training.config import ClassWeights, TrainConfig
from edgecnn.convert.training.fit.batches import balanced_weights
from edgecnn.convert.training.model.networks import build_network
from edgecnn.convert.training.records import Epoch, TrainResult, TrainState
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.data.splits import Subset
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import cross_entropy
from tests.convert.training.runs import UNIT, same, stop_at, train
from tests.schemas import require_valid

pytestmark = pytest.mark.usefixtures("one_stage")

# At this rate the loss on validation goes up and down, and its lowest is not that of the last epoch.
CONFIG = TrainConfig(epochs=4, recipe="notebook", batch_size=32, augment="none", learning_rate=0.1, filters=(4, 4, 4), seed=5)


@pytest.fixture(scope="module")
def npz(bars: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars of which three in ten have a label by chance: with the right ones alone the loss would be zero."""
    rng = np.random.default_rng(0)
    wrong = rng.random(240) < 0.3
    labels = np.where(wrong, rng.integers(0, 3, 240), bars.train.labels)
    train, test = bars.train.images(range(240)), bars.test.images(range(60))
    path = tmp_path_factory.mktemp("noisy") / "bars.npz"
    np.savez(path, x_train=train, y_train=labels, x_test=test, y_test=bars.test.labels)
    return path


@pytest.fixture(scope="module")
def dataset(npz: Path) -> Dataset:
    return load_dataset(npz, FolderOptions(val_share=0.2))


@pytest.fixture(scope="module")
def states() -> list[TrainState]:
    """The progress of `validated`."""
    return []


@pytest.fixture(scope="module")
def fitted() -> list[Any]:
    """The batches of images, and of validation images, that Keras got for `validated`."""
    return []


@pytest.fixture(scope="module")
def validated(states: list[TrainState], fitted: list[Any], dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after four epochs. Do not write to it."""
    folder, fit = tmp_path_factory.mktemp("validated"), keras.Model.fit

    def watched(model: Any, batches: Any, **options: Any) -> Any:
        fitted.extend([batches, options["validation_data"]])
        return fit(model, batches, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", watched)
        train(dataset, CONFIG, folder, UNIT, on_batch=states.append)
    return folder


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "train.json").read_text())
    return found


def val_losses(result: TrainResult) -> list[float]:
    return [epoch.val_loss for epoch in result.history if epoch.val_loss is not None]


def figures(result: TrainResult) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in result.history]


def on_validation(folder: Path, dataset: Dataset) -> tuple[float, float]:
    """Return the loss and accuracy of a folder's model on the validation images, without Keras's own evaluation."""
    assert dataset.val is not None
    probabilities = Classifier.load(folder / "model.keras").split_probabilities(dataset.val)
    accuracy = float((probabilities.argmax(axis=1) == dataset.val.labels).mean())
    return cross_entropy(probabilities, dataset.val.labels), accuracy


def test_the_epoch_of_lowest_loss_on_validation_is_kept_and_its_figures_are_those_of_the_model(
    validated: Path, dataset: Dataset
) -> None:
    found = record(validated)
    require_valid("train", (validated / "train.json").read_text())
    losses = [epoch["val_loss"] for epoch in found["history"]]
    training = [epoch["loss"] for epoch in found["history"]]
    best = losses.index(min(losses))
    assert best not in (len(losses) - 1, training.index(min(training)))  # Otherwise this proves nothing.
    assert (found["epoch"], found["kept_for"], found["val_images"]) == (best + 1, "lowest_validation_loss", 49)
    loss, accuracy = on_validation(validated, dataset)
    assert losses[best] == pytest.approx(loss, rel=1e-4)
    assert found["history"][best]["val_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert found["model_sha256"] == Manifest.load(validated).source().sha256


def test_the_last_state_of_an_epoch_has_the_figures_of_validation(validated: Path, states: list[TrainState]) -> None:
    last = [state for state in states if state.batch == state.batches]
    assert [(state.epoch.number, state.epoch.val_loss, state.epoch.val_accuracy) for state in last] == [
        (epoch["number"], epoch["val_loss"], epoch["val_accuracy"]) for epoch in record(validated)["history"]
    ]
    assert {state.epoch.val_loss for state in states if state.batch < state.batches} == {None}


@pytest.mark.usefixtures("validated")
def test_tensorflow_does_not_tune_how_batches_are_read(fitted: list[Any]) -> None:
    """Its thread misses the end of an epoch if the machine is busy, and the next epoch waits for it, up to a minute."""
    assert [(len(batches), batches.options().autotune.enabled) for batches in fitted] == [(6, False), (2, False)]


def test_the_manifest_records_the_validation_images(validated: Path, dataset: Dataset) -> None:
    found = Manifest.load(validated).dataset
    assert found == dataset.record()
    assert found.validation is not None
    assert (found.validation.val_share, found.validation.val_seed) == (0.2, 0)


def test_tensorboard_gets_the_curves_of_validation(validated: Path) -> None:
    (run,) = (validated / "logs").glob("*/validation")
    board = EventAccumulator(str(run))
    board.Reload()
    assert {"epoch_loss", "epoch_accuracy"} <= set(board.Tags()["tensors"])
    assert len(board.Tensors("epoch_loss")) == 4


def test_validation_changes_nothing_in_training_and_last_keeps_the_last_epoch(
    validated: Path, dataset: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, keep="last")
    without = replace(dataset, val=None, val_share=None, val_seed=None)
    plain = train(without, config, tmp_path / "plain", UNIT)
    last = train(dataset, config, tmp_path / "last", UNIT)
    assert (last.epoch, last.kept_for, plain.kept_for) == (4, "last_epoch", "last_epoch")
    assert same(tmp_path / "plain", tmp_path / "last")
    assert not same(validated, tmp_path / "last")
    assert val_losses(plain) == []


def test_a_resumed_run_keeps_what_an_unbroken_one_does(validated: Path, dataset: Dataset, tmp_path: Path) -> None:
    broken = train(dataset, CONFIG, tmp_path, UNIT, on_batch=stop_at(4, 2))
    assert (broken.interrupted, len(broken.history)) == (True, 3)
    assert broken.epoch == 1 + val_losses(broken).index(min(val_losses(broken)))
    assert broken.kept_for == "lowest_validation_loss"
    resumed = train(dataset, CONFIG, tmp_path, UNIT, resume=True)
    assert [{**epoch, "seconds": 0.0} for epoch in record(validated)["history"]] == [vars(epoch) for epoch in figures(resumed)]
    assert resumed.epoch == record(validated)["epoch"]
    assert same(validated, tmp_path)


def test_patience_stops_the_run_and_a_resume_may_have_more_of_it(validated: Path, dataset: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    history = record(validated)["history"]
    losses = [epoch["val_loss"] for epoch in history]
    stop = next(number for number in range(2, 4) if losses[number - 1] >= min(losses[: number - 1]))
    config = replace(CONFIG, patience=1)
    short = train(dataset, config, tmp_path, UNIT, on_text=said.append)
    assert val_losses(short) == losses[:stop]
    assert (short.stopped_early, short.interrupted, short.epoch) == (True, False, stop - 1)
    assert any(all(part in text for part in (f"early after epoch {stop}:", "loss for 1 epoch")) for text in said)
    assert "stopped early after 1 epoch" in " ".join(short.to_text().split())
    with pytest.raises(ConfigError, match=rf"stopped.* {stop} epochs, 1 .*patience"):
        train(dataset, config, tmp_path, UNIT, resume=True)
    # Cut off before its result: a resume writes it, and trains no more.
    (tmp_path / "train.json").unlink()
    assert figures(train(dataset, config, tmp_path, UNIT, resume=True)) == figures(short)
    more = train(dataset, replace(CONFIG, patience=9), tmp_path, UNIT, resume=True)
    assert (val_losses(more), more.stopped_early) == (losses, False)


def test_patience_without_validation_images_is_refused(bars: Dataset, tmp_path: Path) -> None:
    message = r"^patience needs validation images, which bars does not have: take .* with val_share=0\.1, or add a val/"
    with pytest.raises(ConfigError, match=message):
        train(bars, replace(CONFIG, patience=1), tmp_path, UNIT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            FolderOptions(),
            r"was trained with val_share=0\.2 and split_seed=0, not without validation images: give the same, or",
        ),
        (FolderOptions(val_share=0.3), r"was trained with val_share=0\.2 and .*, not with val_share=0\.3 and split_seed=0"),
        (FolderOptions(val_share=0.2, split_seed=1), r"split_seed=0, not with val_share=0\.2 and split_seed=1"),
    ],
)
def test_a_resume_with_other_validation_images_is_refused(
    validated: Path, npz: Path, options: FolderOptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(load_dataset(npz, options), replace(CONFIG, epochs=5), validated, UNIT, resume=True)


def test_a_resume_with_other_images_in_the_dataset_s_own_validation_part_is_refused(npz: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(npz))
    given = {**arrays, "x_val": arrays["x_train"][:30], "y_val": arrays["y_train"][:30]}
    np.savez(tmp_path / "own.npz", **given)
    train(load_dataset(tmp_path / "own.npz"), replace(CONFIG, epochs=1), tmp_path, UNIT)
    np.savez(tmp_path / "own.npz", **{**given, "y_val": np.roll(given["y_val"], 1)})
    with pytest.raises(ConfigError, match=r"validated.* other images \(own\):.* resume"):
        train(load_dataset(tmp_path / "own.npz"), replace(CONFIG, epochs=2), tmp_path, UNIT, resume=True)


def test_ctrl_c_while_the_last_epoch_is_saved_leaves_a_complete_run(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(run: Any, previous: Any, model: Any, epoch: Epoch) -> Any:
        if epoch.number == 2:
            os.kill(os.getpid(), signal.SIGINT)  # Held back until the epoch is saved.
        return save_epoch(run, previous, model, epoch)

    monkeypatch.setattr("edgecnn.convert.training.fit.callbacks.save_epoch", interrupted)
    without, config = replace(dataset, val=None, val_share=None, val_seed=None), replace(CONFIG, epochs=2)
    result = train(without, config, tmp_path, UNIT)
    assert (result.interrupted, result.complete, result.epoch, result.kept_for) == (True, True, 2, "last_epoch")
    with pytest.raises(ConfigError, match="has finished its 2 epochs"):
        train(without, config, tmp_path, UNIT, resume=True)


def test_a_resume_with_other_weights_or_another_choice_is_refused(validated: Path, dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="trained with class_weights=none, not balanced"):
        train(dataset, replace(CONFIG, epochs=5, class_weights="balanced"), validated, UNIT, resume=True)
    with pytest.raises(ConfigError, match="trained with keep=best, not last"):
        train(dataset, replace(CONFIG, epochs=5, keep="last"), validated, UNIT, resume=True)


def test_a_checkpoint_of_an_earlier_release_is_continued(bars: Dataset, tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1)
    train(bars, config, tmp_path, UNIT)
    path = tmp_path / "checkpoint" / "checkpoint.json"
    old = json.loads(path.read_text())
    assert old["config"]["augment"] == "none"
    old["config"]["augment"] = False
    for name in ("keep", "patience", "class_weights", "network"):
        del old["config"][name]
    for name in ("val_sha256", "val_share", "val_seed"):
        del old["dataset"][name]
    for epoch in old["history"]:
        del epoch["val_loss"], epoch["val_accuracy"]
    old["config"]["workers"] = 2
    path.write_text(json.dumps(old))
    with pytest.raises(ArtifactError, match=r"checkpoint\.json: config\.workers must be 1, got 2"):
        train(bars, replace(CONFIG, epochs=2), tmp_path, UNIT, resume=True)
    old["config"]["workers"] = 1
    path.write_text(json.dumps(old))
    resumed = train(bars, replace(CONFIG, epochs=2), tmp_path, UNIT, resume=True)
    assert [epoch.number for epoch in resumed.history] == [1, 2]


def test_the_loss_on_validation_is_that_of_the_labels_with_a_teacher_too_and_with_the_weights_of_training(
    exported: Path, dataset: Dataset, tmp_path: Path
) -> None:
    config = TrainConfig(
        epochs=1, recipe="notebook", augment="none", filters=(4, 4, 4), batch_size=32, learning_rate=0.003,
        teacher=str(exported / "model.keras"), class_weights="balanced",
    )  # fmt: skip
    rare = np.flatnonzero(dataset.train.labels == 0)[8:]
    uneven = replace(dataset, train=Subset(dataset.train, np.setdiff1d(np.arange(len(dataset.train.labels)), rare)))
    (epoch,) = train(uneven, config, tmp_path, UNIT).history
    assert dataset.val is not None
    labels, weights = dataset.val.labels, balanced_weights(uneven.train.labels, 3)
    found = Classifier.load(tmp_path / "model.keras").split_probabilities(dataset.val)
    losses = -np.log(found[np.arange(len(labels)), labels])
    assert weights[0] > 2 * weights[1]
    assert epoch.val_loss == pytest.approx((weights[labels] * losses).mean(), rel=1e-4)
    assert epoch.val_accuracy == pytest.approx(on_validation(tmp_path, dataset)[1])


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    # compute_class_weight("balanced", classes=[0, 1, 2], y=[0] * 6 + [1] * 3 + [2]) of scikit-learn 1.7.
    assert balanced_weights(np.repeat([0, 1, 2], [6, 3, 1]), 3) == pytest.approx([0.55555556, 1.11111111, 3.33333333])
    assert balanced_weights(np.array([0, 2, 2]), 3) == pytest.approx([1.5, 1, 0.75])
    assert balanced_weights(np.array([0, 2, 2]), 3).dtype == np.float32


@pytest.mark.parametrize("rule", ["none", "balanced"])
def test_balanced_weights_change_the_loss_by_the_formula(rule: ClassWeights, bars: Dataset, tmp_path: Path) -> None:
    labels = bars.train.labels
    chosen = np.concatenate([np.flatnonzero(labels == label)[:count] for label, count in enumerate((10, 20, 60))])
    uneven = replace(bars, train=Subset(bars.train, chosen))
    # All in one batch: the loss of the first step is that of the initial weights.
    config = replace(CONFIG, epochs=1, batch_size=90, dropout=0.0, class_weights=rule)
    result = train(uneven, config, tmp_path, UNIT)
    keras.utils.clear_session()
    keras.utils.set_random_seed(config.seed)
    model = build_network("cnn", bars.train.shape, 3, 0.0, config.filters)
    probabilities = np.asarray(model(uneven.train.images(range(90)).astype(np.float32) / 255, training=True))
    losses = -np.log(probabilities[np.arange(90), uneven.train.labels])
    weights = np.repeat([3.0, 1.5, 0.5], [10, 20, 60]) if rule == "balanced" else np.ones(90)
    assert result.history[0].loss == pytest.approx((weights * losses).mean(), rel=1e-4)
    assert Manifest.load(tmp_path).provenance.train_config.get("class_weights", "none") == rule

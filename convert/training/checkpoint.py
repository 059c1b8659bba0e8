"""Saves a run after every epoch, so that Ctrl-C or a power cut costs at most one, and tells which epoch is kept."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgecnn.convert.keras.runtime import load_from_bytes
from edgecnn.convert.training.config import TrainConfig, phases_of
from edgecnn.convert.training.model.networks import CNN
from edgecnn.convert.training.recipes import COSINE
from edgecnn.convert.training.records import Checkpoint, Epoch, KeptFor, OtherRun, TrainingRun, TrainResult, UnusableCheckpoint
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.files import libraries_folder, read_bytes, sha256
from edgecnn.edge.manifest import TRAIN_NAME, DatasetRecord, Validation
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.records import from_json, to_json
from edgecnn.edge.text import counted
from edgecnn.edge.transaction import finish, locked, replaced_together


def best_of(history: Sequence[Epoch]) -> int:
    """Return the number of the epoch of lowest loss, on validation or, without it, in training; of equal ones the first."""
    return min(history, key=lambda epoch: epoch.loss if epoch.val_loss is None else epoch.val_loss).number


def is_out_of_patience(history: Sequence[Epoch], config: TrainConfig) -> bool:
    """Return whether the last `patience` epochs were no better than one before them; False without a patience.

    Only the epochs of the last phase count: the layers that it trains have not learnt before.
    """
    last = history[phases_of(config)[-1].start :]
    return config.patience is not None and len(last) > config.patience and len(history) - best_of(last) >= config.patience


def is_complete(history: Sequence[Epoch], config: TrainConfig) -> bool:
    """Return whether a run has no epoch left."""
    return len(history) >= config.epochs or is_out_of_patience(history, config)


def kept_epoch(config: TrainConfig, history: Sequence[Epoch]) -> tuple[int, KeptFor]:
    """Return the number of the epoch whose weights are kept, and why; `history` has at least one finished epoch."""
    if config.keep == "best" and history[-1].val_loss is not None:
        return best_of(history), "lowest_validation_loss"
    # The training loss falls from epoch to epoch, so that it chooses only when a run was cut short.
    if config.keep == "best" and not is_complete(history, config):
        return best_of(history), "lowest_training_loss"
    return len(history), "last_epoch"


def needs_validation(name: str, dataset: Dataset) -> ConfigError:
    """Return the error that a setting, here named, needs validation images, which the dataset does not have."""
    return ConfigError(
        f"{field(name)} needs validation images, which {dataset.name} does not have: take some of the training "
        f"images with {field('val_share')}=0.1, or add a val/ (x_val and y_val in an .npz)"
    )


_ANEW = f"train without {field('resume')}"
_FOLDER = "checkpoint"
_RECORD = "checkpoint.json"
# What each hash field is the hash of.
_HASHES = {
    "source_sha256": lambda config: config.weights or config.start,
    "teacher_sha256": lambda config: config.teacher,
}


def save_epoch(run: TrainingRun, previous: Checkpoint | None, model: Any, epoch: Epoch) -> Checkpoint:
    """Save the model with its optimizer, and the record that names it, which always names whole files.

    `prune` then deletes files that the record does not name. The caller holds `writing(folder)`.
    """
    name, folder = f"epoch-{epoch.number}.keras", run.folder / _FOLDER
    with replaced_together(folder) as new, libraries_folder():
        model.save(new / name)
        history = (*(previous.history if previous else ()), epoch)
        last, best_epoch = (name, sha256(read_bytes(new / name))), best_of(history)
        best = previous.best if previous and best_epoch != epoch.number else last
        taken = run.interface.preprocessing, run.interface.output
        checkpoint = Checkpoint(run.config, run.dataset.record(), *taken, history, last, best, best_epoch)
        (new / _RECORD).write_bytes(to_json(checkpoint).encode())
    return checkpoint


def writing(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock for saving epochs there. Errors are those of `edgecnn.edge.transaction.locked`."""
    return locked(folder / _FOLDER)


def prune(checkpoint: Checkpoint, folder: Path) -> None:
    """Delete the models of all epochs except the last and the best."""
    for old in (folder / _FOLDER).glob("epoch-*.keras"):
        if old.name not in (checkpoint.last[0], checkpoint.best[0]):
            old.unlink()


def begun(folder: Path) -> bool:
    """Return whether a run has finished an epoch there."""
    finish(folder / _FOLDER)
    return (folder / _FOLDER / _RECORD).exists()


def is_finished(folder: Path, config: TrainConfig, dataset: DatasetRecord, interface: Interface) -> bool:
    """Return whether the run there is this one and has all its epochs and its result.

    Raises:
        UnusableCheckpoint: As in `load_checkpoint`.
        OtherRun: As there, or if it was not ended by these epochs and this patience.
    """
    checkpoint = _same_run(folder, config, dataset, interface)
    history = checkpoint.history
    if any(is_complete(history[:count], config) for count in range(1, len(history))):
        planned = checkpoint.config.epochs, checkpoint.config.patience
        before, now = (_length(*lengths) for lengths in (planned, (config.epochs, config.patience)))
        raise OtherRun(f"{folder} was trained with {before}, not {now}", "give the same")
    return is_complete(history, config) and _has_result(folder, checkpoint, config)


def load_checkpoint(folder: Path, config: TrainConfig, dataset: DatasetRecord, interface: Interface) -> Checkpoint:
    """Return the run to continue.

    Raises:
        UnusableCheckpoint: If there is no checkpoint, or it is damaged.
        OtherRun: If it was made with other settings (except epochs and patience), images or preprocessing, or has no epoch
            left.
    """
    checkpoint = _same_run(folder, config, dataset, interface)
    # A run may have stopped before its result.
    if is_complete(checkpoint.history, config) and _has_result(folder, checkpoint, config):
        done = len(checkpoint.history)
        if is_out_of_patience(checkpoint.history, config):
            raise OtherRun(
                f"{folder} stopped early after {done} epochs, {config.patience} of them without improvement",
                f"give more {field('patience')}, or {_ANEW}",
            )
        more = "" if _is_planned(config) else f"give more {field('epochs')}, or "
        raise OtherRun(f"{folder} has finished its {counted(done, 'epoch')}", more + _ANEW)
    return checkpoint


def _length(epochs: int, patience: int | None) -> str:
    return f"{field('epochs')}={epochs}" + ("" if patience is None else f" and {field('patience')}={patience}")


def _is_planned(config: TrainConfig) -> bool:
    """Return whether the number of epochs decides how each of them trains: by a cosine, or by phases."""
    return config.recipe == COSINE or bool(config.fine_tune)


def _has_result(folder: Path, checkpoint: Checkpoint, config: TrainConfig) -> bool:
    """Return whether there is a result of the epoch that these settings keep: an interrupted run may have kept another."""
    found = _result(folder, checkpoint)
    return found is not None and found.epoch == kept_epoch(config, checkpoint.history)[0]


def _result(folder: Path, checkpoint: Checkpoint) -> TrainResult | None:
    """Return train.json if it belongs to this run's epochs, not to an earlier run."""
    path = folder / TRAIN_NAME
    try:
        found = from_json(TrainResult, read_bytes(path), str(path))
    except ArtifactError:  # It does not exist or is damaged: it will be written again.
        return None
    return found if found.history == checkpoint.history else None


def _same_run(folder: Path, config: TrainConfig, dataset: DatasetRecord, interface: Interface) -> Checkpoint:
    path = folder / _FOLDER / _RECORD
    if not path.exists():
        raise UnusableCheckpoint(f"{field('resume')}: {path} does not exist")
    checkpoint = from_json(Checkpoint, read_bytes(path), str(path))
    _require_same_images(folder, checkpoint, dataset)
    if (checkpoint.preprocessing, checkpoint.output) != (interface.preprocessing, interface.output):
        others = ", ".join(map(field, ("preprocess", "scale", "mean", "std", "bgr")))
        raise OtherRun(f"{folder} was trained with other {others} or {field('logits')}", "give the same")
    planned = checkpoint.config.epochs
    if _is_planned(config) and config.epochs != planned:
        raise OtherRun(
            f"the training of {folder} was planned for {planned} epochs, not {config.epochs}",
            f"give {field('epochs')}={planned}, or {_ANEW}",
        )
    given = asdict(config)
    # How long to train may change on the way. Earlier releases did not write what they had no choice of.
    saved = checkpoint.config
    made_with = replace(saved, network=saved.network or CNN, class_weights=saved.class_weights or "none")
    made_with = replace(made_with, epochs=config.epochs, patience=config.patience)
    # The dropout may follow from the network, which is then named.
    for name, value in sorted(asdict(made_with).items(), key=lambda item: item[0] == "dropout"):
        if value != given[name] and name in _HASHES:
            raise OtherRun(f"{_HASHES[name](config)} has changed", _ANEW)
        if value != given[name]:
            before, now = (",".join(map(str, it)) if isinstance(it, tuple) else it for it in (value, given[name]))
            raise OtherRun(f"{folder} was trained with {field(name)}={before}, not {now}", "give that value")
    files = (checkpoint.last, checkpoint.best)
    if any(len(file) != 2 for file in files) or not 1 <= checkpoint.best_epoch <= len(checkpoint.history):
        raise UnusableCheckpoint(f"{path} is damaged")
    return checkpoint


def _require_same_images(folder: Path, checkpoint: Checkpoint, dataset: DatasetRecord) -> None:
    made = checkpoint.dataset
    before, now = _validation(made.validation), _validation(dataset.validation)
    if before != now:
        raise OtherRun(f"{folder} was trained {before}, not {now}", f"give the same, or {_ANEW}")
    # The test images choose nothing: a broken one, found when the epochs are over, may be mended for the result.
    measured = _result(folder, checkpoint)
    if made.train_sha256 != dataset.train_sha256 or (measured and measured.dataset.test_sha256 != dataset.test_sha256):
        raise OtherRun(f"{folder} was trained on other images ({made.name})", _ANEW)
    if made.validation and dataset.validation and made.validation.val_sha256 != dataset.validation.val_sha256:
        raise OtherRun(f"{folder} was validated on other images ({made.name})", _ANEW)


def _validation(validation: Validation | None) -> str:
    if validation is None:
        return "without validation images"
    if validation.val_share is None:
        return "with the dataset's own validation images"
    return f"with {field('val_share')}={validation.val_share:g} and {field('split_seed')}={validation.val_seed}"


def checkpoint_bytes(folder: Path, file: tuple[str, ...]) -> bytes:
    """Return the bytes of `Checkpoint.last` or `.best`.

    Raises:
        UnusableCheckpoint: If they are not the saved ones.
    """
    name, expected = file
    path = folder / _FOLDER / Path(name).name
    data = read_bytes(path)
    if sha256(data) != expected:
        raise UnusableCheckpoint(f"{path} is damaged (its SHA-256 changed)")
    return data


def load_last(folder: Path, checkpoint: Checkpoint, trust: tuple[str, ...]) -> Any:
    """Return the Keras model of the last finished epoch, compiled, with its optimizer's state. Errors are as above."""
    data = checkpoint_bytes(folder, checkpoint.last)
    return load_from_bytes(data, str(folder / _FOLDER / checkpoint.last[0]), trust, training=True)

"""Saving a run after every epoch, so that Ctrl-C or a power cut costs one epoch at most."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from convert.keras_runtime import load_from_bytes
from convert.recipes import COSINE
from convert.train_records import Checkpoint, Epoch, TrainConfig, option
from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256, staged, write_bytes
from edge.interface import Interface
from edge.manifest import DatasetRecord
from edge.records import from_json, to_json

_FOLDER = "checkpoint"
_RECORD = "checkpoint.json"
TRAIN_NAME = "train.json"
# Field -> what it is the hash of.
_HASHES = {
    "source_sha256": lambda config: config.model or config.transfer,
    "teacher_sha256": lambda config: config.teacher,
}


def save_epoch(
    previous: Checkpoint | None,
    model: Any,
    epoch: Epoch,
    config: TrainConfig,
    dataset: DatasetRecord,
    interface: Interface,
    folder: Path,
) -> Checkpoint:
    """Save the model with its optimizer, then the record that names it.

    The record is replaced in one step, so that it always names whole files; a new run takes an old one's away first.
    `prune` then deletes what the record does not name.
    """
    if previous is None:
        (folder / _FOLDER / _RECORD).unlink(missing_ok=True)
    path = folder / _FOLDER / f"epoch-{epoch.number}.keras"
    with staged(path) as temporary:
        model.save(temporary)
    last = (path.name, sha256(read_bytes(path)))
    history = (*(previous.history if previous else ()), epoch)
    best, best_epoch = last, epoch.number
    if previous and previous.history[previous.best_epoch - 1].loss <= epoch.loss:
        best, best_epoch = (previous.best[0], previous.best[1]), previous.best_epoch
    taken = interface.preprocessing, interface.output
    checkpoint = Checkpoint(config, dataset, *taken, history, last, best, best_epoch)
    write_bytes(folder / _FOLDER / _RECORD, to_json(checkpoint).encode())
    return checkpoint


def prune(checkpoint: Checkpoint, folder: Path) -> None:
    """Delete the models of epochs that are neither the last nor the best."""
    for old in (folder / _FOLDER).glob("epoch-*.keras"):
        if old.name not in (checkpoint.last[0], checkpoint.best[0]):
            old.unlink()


def begun(folder: Path) -> bool:
    """Tell whether a run has finished an epoch there."""
    return (folder / _FOLDER / _RECORD).exists()


def is_finished(folder: Path, config: TrainConfig, dataset: DatasetRecord, interface: Interface) -> bool:
    """Tell whether the run there, which is this one, has all its epochs and its result. Errors as `load_checkpoint`."""
    return _left(folder, config, _same_run(folder, config, dataset, interface)) <= 0


def load_checkpoint(folder: Path, config: TrainConfig, dataset: DatasetRecord, interface: Interface) -> Checkpoint:
    """Return the run to go on with.

    Raises:
        ArtifactError: If there is none, or it is damaged.
        ConfigError: If it was made with other settings (epochs aside), images or preprocessing, or has no epoch left to do.
    """
    checkpoint = _same_run(folder, config, dataset, interface)
    if _left(folder, config, checkpoint) <= 0:
        raise ConfigError(f"--resume: {folder} has {len(checkpoint.history)} finished epochs: give more with --epochs")
    return checkpoint


def _left(folder: Path, config: TrainConfig, checkpoint: Checkpoint) -> int:
    """Return how many epochs are left to do, or 1 if it is only the result: a run may be cut off before that."""
    return config.epochs - len(checkpoint.history) or int(not (folder / TRAIN_NAME).exists())


def _same_run(folder: Path, config: TrainConfig, dataset: DatasetRecord, interface: Interface) -> Checkpoint:
    path = folder / _FOLDER / _RECORD
    if not path.exists():
        raise ArtifactError(f"--resume: {path} does not exist: train without --resume")
    checkpoint = from_json(Checkpoint, read_bytes(path), str(path))
    made = checkpoint.dataset
    if (made.train_sha256, made.test_sha256) != (dataset.train_sha256, dataset.test_sha256):
        raise ConfigError(f"--resume: {folder} was trained on other images ({made.name}): train without --resume")
    if (checkpoint.preprocessing, checkpoint.output) != (interface.preprocessing, interface.output):
        raise ConfigError(
            f"--resume: {folder} was trained with other --preprocess, --scale, --mean, --std, --bgr or --logits: give the same"
        )
    planned = checkpoint.config.epochs
    if config.recipe == COSINE and config.epochs != planned:
        raise ConfigError(
            f"--resume: the learning rate of {folder} was planned for {planned} epochs, not {config.epochs}: give --epochs "
            f"{planned}, or train without --resume"
        )
    given = asdict(config)
    for name, value in asdict(replace(checkpoint.config, epochs=config.epochs)).items():
        if value != given[name] and name in _HASHES:
            raise ConfigError(f"--resume: {_HASHES[name](config)} has changed: train without --resume")
        if value != given[name] and name == "workers":
            raise ConfigError(
                f"--resume: {folder} was trained by {_workers(value)}, not {_workers(given[name])}: "
                "start as many, several on one machine if need be"
            )
        if value != given[name]:
            raise ConfigError(f"--resume: {folder} was trained with {option(name)} {value}, not {given[name]}: give that")
    files = (checkpoint.last, checkpoint.best)
    if any(len(file) != 2 for file in files) or not 1 <= checkpoint.best_epoch <= len(checkpoint.history):
        raise ArtifactError(f"{path} is damaged: train without --resume")
    return checkpoint


def _workers(count: int) -> str:
    return "one process" if count == 1 else f"{count} workers (--distribute)"


def checkpoint_bytes(folder: Path, file: tuple[str, ...]) -> bytes:
    """Return the bytes of `Checkpoint.last` or `.best`.

    Raises:
        ArtifactError: If they are not the ones that were saved.
    """
    name, expected = file
    path = folder / _FOLDER / Path(name).name
    data = read_bytes(path)
    if sha256(data) != expected:
        raise ArtifactError(f"{path} is damaged (its SHA-256 changed): train without --resume")
    return data


def load_last(folder: Path, checkpoint: Checkpoint, trust: tuple[str, ...]) -> Any:
    """Return the Keras model of the last finished epoch, compiled, with its optimizer's state. Errors as above."""
    data = checkpoint_bytes(folder, checkpoint.last)
    return load_from_bytes(data, str(folder / _FOLDER / checkpoint.last[0]), trust, training=True)

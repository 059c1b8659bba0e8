"""Two processes that train together compared with one that trains alone, with the real engine on this machine."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]  # Untyped.

from edgecnn.convert.training.checkpoint import load_checkpoint
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.distributed.worker import weights_digest
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.model.networks import build_cnn
from edgecnn.convert.training.records import TrainState
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.sandbox.unverified import remember_made
from tests.convert.training.runs import train
from tests.end_to_end import distributed_worker
from tests.end_to_end.forks import FORKS

ROOT = Path(__file__).parents[2]
# Relative, of the running mean of the loss, after every batch: docs/how-to/several-machines.md states it.
TOLERANCE = 5e-4


@dataclass(frozen=True)
class Run:
    """The results of two workers.

    Attributes:
        folder: Their folder; only worker 0 writes there.
        said: Messages of each worker.
        losses: Running mean of the loss after each batch, for each worker.
    """

    folder: Path
    said: tuple[list[str], ...]
    losses: tuple[list[float], ...]

    def digests(self) -> list[str]:
        """Return each worker's hash of its weights at the end."""
        return [text.rpartition(" ")[2] for said in self.said for text in said if "SHA-256" in text]


def addresses(count: int = 2) -> list[str]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"localhost:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def run_two(
    config: TrainConfig, images: Path, folder: Path, interrupt_at: tuple[int, int] | None = None, resume: bool = False
) -> Run:
    """Train with two workers; at a batch of an epoch, Ctrl-C is pressed at worker 1."""
    folder.mkdir(exist_ok=True)
    both = addresses()
    logs = [folder / f"{'resumed' if resume else 'log'}-{worker}" for worker in (0, 1)]
    workers = []
    for worker in (0, 1):
        given = {
            "addresses": both,
            "worker": worker,
            "images": str(images),
            "folder": str(folder / ("out" if worker == 0 else "of worker 1")),
            "config": config,
            "log": str(logs[worker]),
            "resume": resume,
            "interrupt_at": list(interrupt_at) if interrupt_at and worker == 1 else None,
        }
        workers.append(FORKS.Process(target=distributed_worker.run, args=(given,)))
        workers[-1].start()
    try:
        for process in workers:
            process.join(300)
            assert process.exitcode == 0
    finally:
        for process in workers:
            process.kill()
            process.join()
    lines = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]
    said = tuple([line for line in log if isinstance(line, str)] for log in lines)
    losses = tuple([line["loss"] for line in log if isinstance(line, dict)] for log in lines)
    assert not (folder / "of worker 1").exists()
    return Run(folder / "out", said, losses)


def environment() -> dict[str, str]:
    # Two cores: one thread each is faster than two each.
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """The CNN without dropout, whose draws would differ between workers: only rounding distinguishes two workers from one.

    Its optimizer, unlike Adam, distinguishes a gradient from twice that gradient. With 240 images the last batch has 20.
    """
    keras.utils.set_random_seed(5)
    model = build_cnn((12, 12, 1), 3, dropout=0.0, filters=(8, 8, 8))
    # A low rate: a high one amplifies rounding.
    model.compile(keras.optimizers.SGD(0.005, momentum=0.9), "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path_factory.mktemp("model") / "cnn.keras"
    model.save(path)
    remember_made(path.read_bytes())  # Else each worker tries it in a process that imports TensorFlow.
    return TrainConfig(epochs=2, batch_size=44, model=str(path))


@pytest.fixture(scope="module")
def unbroken(config: TrainConfig, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_two(config, idx_folder, tmp_path_factory.mktemp("together"))


def test_two_workers_learn_what_one_process_does(config: TrainConfig, unbroken: Run, idx_folder: Path, tmp_path: Path) -> None:
    alone: list[float] = []

    def keep(state: TrainState) -> None:
        alone.append(state.epoch.loss)

    one = train(load_dataset(idx_folder), config, tmp_path, SCHEMES["unit"], on_batch=keep)
    assert len(alone) == 12
    assert alone[0] > 1.05 * alone[-1]  # It learns something.
    np.testing.assert_allclose(unbroken.losses[0], alone, rtol=TOLERANCE)
    # Another order of the images gives another curve.
    other: list[float] = []
    train(
        load_dataset(idx_folder),
        replace(config, seed=1),
        tmp_path / "other",
        SCHEMES["unit"],
        on_batch=lambda state: other.append(state.epoch.loss),
    )
    assert np.abs(np.array(other) / alone - 1).max() > 20 * TOLERANCE
    two = json.loads((unbroken.folder / "train.json").read_text())
    assert [epoch["loss"] for epoch in two["history"]] == pytest.approx([epoch.loss for epoch in one.history], rel=TOLERANCE)
    assert two["config"]["workers"] == 2
    assert Manifest.load(unbroken.folder).provenance.train_config["workers"] == "2"
    assert "workers" not in Manifest.load(tmp_path).provenance.train_config
    assert Manifest.load(unbroken.folder).class_names == load_dataset(idx_folder).class_names


def test_both_workers_end_with_the_weights_that_are_saved(unbroken: Run) -> None:
    first, second = unbroken.digests()
    assert first == second == weights_digest(keras.models.load_model(unbroken.folder / "model.keras"))
    assert unbroken.losses[0] == unbroken.losses[1]
    assert not [text for text in unbroken.said[0] if "drifted" in text]
    (log,) = (unbroken.folder / "logs").glob("*/train")
    board = EventAccumulator(str(log), {"tensors": 0}).Reload()  # All of them, not a sample.
    assert len(board.Tensors("batch_loss")) == 12


def test_a_saved_layer_is_as_it_was(unbroken: Run) -> None:
    model = keras.models.load_model(unbroken.folder / "model.keras")
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [layer.synchronized for layer in layers] == [False] * 3


def test_ctrl_c_at_one_worker_ends_both_at_one_batch_and_a_resumed_run_ends_where_an_unbroken_one_does(
    config: TrainConfig, unbroken: Run, idx_folder: Path, tmp_path: Path
) -> None:
    broken = run_two(config, idx_folder, tmp_path, interrupt_at=(2, 2))
    # The next batch carried the message.
    assert len(broken.losses[0]) == len(broken.losses[1]) == 6 + 3
    assert json.loads((broken.folder / "train.json").read_text())["interrupted"]
    assert broken.said[1][-1] == "interrupted"
    images = load_dataset(idx_folder)
    with pytest.raises(ConfigError, match=r"2 workers \(addresses\), not one"):
        load_checkpoint(broken.folder, resolved(config, images.train), images.record(), Interface(SCHEMES["unit"]))
    resumed = run_two(config, idx_folder, tmp_path, resume=True)
    assert resumed.losses[0] == unbroken.losses[0][6:]
    assert resumed.digests() == unbroken.digests()


def test_a_worker_that_dies_ends_the_other_with_one_line(idx_folder: Path, tmp_path: Path) -> None:
    both = addresses()
    options: list[Any] = ["--data", idx_folder, "--epochs", 200, "--batch-size", 48, "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "edgecnn", "train", *map(str, options), "--distribute", ",".join(both), "--worker"]
    workers, logs = [], [tmp_path / "0", tmp_path / "1"]
    for worker, log in enumerate(logs):
        with log.open("w") as file:
            workers.append(subprocess.Popen([*command, str(worker)], env=environment(), cwd=ROOT, stdout=file, stderr=file))
    try:
        end = time.monotonic() + 300
        while "epoch 1/" not in logs[0].read_text():
            assert time.monotonic() < end, logs[0].read_text()
            time.sleep(0.1)
        workers[1].send_signal(signal.SIGKILL)
        assert workers[0].wait(300) == 1
    finally:
        for process in workers:
            process.kill()
            process.wait()
    said = logs[0].read_text()
    (line,) = re.findall(r"^edgecnn: .*", said, re.M)
    assert f"worker 1 ({both[1]}) no longer" in line
    assert line.endswith("same commands and --resume")
    after = said[said.index("TensorFlow is building the training step") :].splitlines()[1:]
    assert not [other for other in after if other.strip() and other != line and not other.startswith("epoch ")]


def test_validation_patience_and_class_weights_are_those_of_one_process(
    config: TrainConfig, idx_folder: Path, tmp_path: Path
) -> None:
    bars = load_dataset(idx_folder)
    images, labels = bars.train.images(range(240)), bars.train.labels
    # Wrong labels: what is learnt in training makes the loss on validation worse, so that patience ends soon.
    wrong: dict[str, Any] = {"x_val": images[:50], "y_val": (labels[:50] + 1) % 3}
    chosen = np.concatenate([np.flatnonzero(labels == label)[:count] for label, count in enumerate((30, 50, 70))])
    test = bars.test.images(range(60))
    np.savez(
        tmp_path / "bars.npz", x_train=images[chosen], y_train=labels[chosen], x_test=test, y_test=bars.test.labels, **wrong
    )
    patient = replace(config, epochs=6, patience=2, class_weights="balanced")
    together = run_two(patient, tmp_path / "bars.npz", tmp_path / "together")
    alone = train(load_dataset(tmp_path / "bars.npz"), patient, tmp_path / "alone", SCHEMES["unit"])
    assert alone.stopped_early
    found = json.loads((together.folder / "train.json").read_text())
    assert (found["epoch"], found["kept_for"], found["stopped_early"]) == (alone.epoch, alone.kept_for, True)
    for name in ("loss", "val_loss", "val_accuracy"):
        expected = [getattr(epoch, name) for epoch in alone.history]
        assert [epoch[name] for epoch in found["history"]] == pytest.approx(expected, rel=1e-3)
    assert len(set(together.digests())) == 1
    for said in together.said:
        assert any(text.startswith("Stopped early after epoch") for text in said)

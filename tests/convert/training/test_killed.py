"""Training or an export that is killed at any step leaves the earlier files whole."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.training.checkpoint import begun, load_checkpoint
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import remove_stale, sha256
from edgecnn.edge.manifest import Manifest, Preprocessing
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model_file import read_model
from edgecnn.edge.transaction import locked
from tests.convert.training.runs import train

pytestmark = pytest.mark.usefixtures("one_stage")

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


class Recorder:
    """Copies a folder before each step that changes it: a process killed there leaves exactly that.

    Data handed to the system before the kill is kept; data still in memory is lost. A lock is not copied, since it ends
    with its process.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._copies = Path()
        self.states: list[Path] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        folder = self._folder
        if folder is None or event not in CHANGES or not self._within(folder, event, arguments):
            return
        self._folder = None  # Copying does not count as a step.
        self._copy(folder)
        self._folder = folder

    def record(self, folder: Path, copies: Path, work: Callable[[], object]) -> None:
        self._folder, self._copies, self.states = folder, copies, []
        try:
            work()
        finally:
            self._folder = None
        self._copy(folder)

    def _copy(self, folder: Path) -> None:
        state = self._copies / str(len(self.states))
        shutil.copytree(folder, state, symlinks=True)
        self.states.append(state)

    def _within(self, folder: Path, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
        # Only edgecnn.edge.transaction names files by their folder's descriptor.
        named = [part for part in arguments if isinstance(part, str | os.PathLike)]
        return any(str(folder) in str(part) or not Path(part).is_absolute() for part in named)


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    """An audit hook, which Python can't remove."""
    made = Recorder()
    sys.addaudithook(made)
    return made


@pytest.fixture
def preprocessing(bars: Dataset) -> Preprocessing:
    return Preprocessing(1 / 255, bars.image_rule.fit, bars.image_rule.background)


def files(folder: Path) -> dict[str, str]:
    """Open a folder as a command does; return the hash of each file, as its manifest lists it."""
    read_model(folder / "model.keras")
    manifest = Manifest.load(folder)
    assert manifest.reference
    found = {path.name: sha256(path.read_bytes()) for path in folder.iterdir() if path.is_file()}
    said = {artifact.path: artifact.sha256 for artifact in manifest.artifacts}
    said[manifest.reference.path] = manifest.reference.sha256
    assert {name: found[name] for name in said} == said
    return found


def check(states: list[Path]) -> None:
    """Assert that each state is either all of the first or all of the last, in this order."""
    found = [files(state) for state in states]
    assert found[0] != found[-1]
    assert [state for state in found if state not in (found[0], found[-1])] == []
    turn = found.index(found[-1])
    assert found == [found[0]] * turn + [found[-1]] * (len(found) - turn)
    # The commit is neither before the first step nor after the last.
    assert 0 < turn < len(found) - 1
    for state in states:
        assert [path.name for path in state.iterdir() if path.name.startswith(".")] == []


def test_an_export_killed_at_any_step_leaves_the_earlier_one_or_the_new_one(
    recorder: Recorder, artifacts: Path, bars: Dataset, tmp_path: Path
) -> None:
    config = ExportConfig(("tflite",), ("int8",), batch="dynamic")
    recorder.record(artifacts, tmp_path / "states", lambda: export(artifacts / "model.keras", bars, config))
    assert len(recorder.states) > 10
    check(recorder.states)


def test_a_training_killed_at_any_step_leaves_the_earlier_model_or_the_new_one(
    recorder: Recorder, artifacts: Path, bars: Dataset, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    config = TrainConfig(epochs=2, recipe="notebook", batch_size=64, augment="none", seed=7)
    recorder.record(artifacts, tmp_path / "states", lambda: train(bars, config, artifacts, preprocessing))
    assert len(recorder.states) > 10
    epochs = []
    interface = Interface(preprocessing, "probabilities", bars.class_names)
    for state in recorder.states:
        remove_stale(state / "checkpoint")
        if begun(state):
            checkpoint = load_checkpoint(state, resolved(replace(config, epochs=3), bars.train), bars.record(), interface)
            epochs.append(len(checkpoint.history))
            named = {checkpoint.last, checkpoint.best}
            assert all(sha256((state / "checkpoint" / name).read_bytes()) == digest for name, digest in named)
    assert epochs == sorted(epochs)
    assert {*epochs} == {1, 2}
    check(recorder.states)


def test_only_one_training_writes_into_a_folder_and_an_earlier_result_does_not_finish_a_run_that_was_killed(
    tmp_path: Path, bars: Dataset, preprocessing: Preprocessing
) -> None:
    config = TrainConfig(epochs=1, recipe="notebook", batch_size=64, augment="none", seed=7)
    refused: list[str] = []

    def on_batch(state: object) -> None:
        if not refused:
            with pytest.raises(ConfigError, match="another edgecnn is writing into") as caught:
                train(bars, config, tmp_path, preprocessing)
            refused.append(str(caught.value))

    train(bars, config, tmp_path, preprocessing, on_batch=on_batch)
    assert str(tmp_path / "checkpoint") in refused[0]
    # An earlier run's train.json, as after a kill between the last epoch and the result.
    result = json.loads((tmp_path / "train.json").read_text())
    (epoch,) = result["history"]
    earlier = {"model_sha256": "0" * 64, "history": [epoch | {"loss": epoch["loss"] + 1}]}
    (tmp_path / "train.json").write_text(json.dumps(result | earlier))
    resumed = train(bars, config, tmp_path, preprocessing, resume=True)
    assert len(resumed.history) == 1
    assert Manifest.load(tmp_path).source().sha256 == resumed.model_sha256


def test_an_export_into_a_folder_that_another_one_writes_is_refused(artifacts: Path, bars: Dataset) -> None:
    before = files(artifacts)
    with locked(artifacts), pytest.raises(ConfigError, match=f"edgecnn is writing into {artifacts}"):
        export(artifacts / "model.keras", bars, ExportConfig(("tflite",), ("float16",)))
    assert files(artifacts) == before

"""Training on image files: however they are read, the weights are the same, and what goes wrong is one line."""

import gc
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import keras
import numpy as np
import pytest
from PIL import Image

from edgecnn.convert.training import train as training
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.fit import readers
from edgecnn.convert.training.fit.readers import DecoderProcesses
from edgecnn.convert.training.records import TrainResult, TrainState
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError
from edgecnn.edge.manifest import Preprocessing
from tests.cli.commands.own_things import photos
from tests.conftest import Lines
from tests.convert.training.runs import same, stop_at, train

pytestmark = pytest.mark.usefixtures("one_stage")

UNIT = Preprocessing(1 / 255, "letterbox", "any")
CONFIG = TrainConfig(epochs=2, batch_size=16, network="cnn", filters=(4, 4, 4))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A folder of 80 training, 20 validation and 10 test photos (24, 24, 3) of two classes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part, count in (("train", 80), ("val", 20), ("test", 10)):
        for number in range(count):
            place = folder / part / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(100 * (number % 2), 156 + 100 * (number % 2), (30, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{number:02}.jpg")
    return load_dataset(folder, FolderOptions(size=(24, 24)))


@pytest.fixture(params=[2], ids="{} processes".format)
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Decoding here, or in so many processes."""
    count: int = request.param
    monkeypatch.setattr(readers, "_FEWEST_IMAGES", 1)
    monkeypatch.setattr(readers, "_LEAST_CORES", 1)
    monkeypatch.setattr(readers, "usable_cores", lambda: count)
    return count


@pytest.fixture(scope="module")
def plain(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that keeps nothing in memory and has no processes."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "free_bytes", lambda: 0)
        train(dataset, CONFIG, folder, UNIT)
    return folder


@pytest.mark.parametrize(("processes", "room"), [(0, 100), (2, 37)], indirect=["processes"])
def test_the_weights_are_the_same_whatever_decodes_and_however_much_is_kept_also_of_a_run_that_was_broken_off(
    processes: int, room: int, dataset: Dataset, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "free_bytes", lambda: 4 * room * 24 * 24 * 3)
    said: list[str] = []
    if processes:
        train(dataset, CONFIG, tmp_path, UNIT, on_batch=stop_at(2, 2))
        assert not same(plain, tmp_path)
    train(dataset, CONFIG, tmp_path, UNIT, on_text=said.append, resume=bool(processes))
    assert same(plain, tmp_path)
    (line,) = [text for text in said if text.startswith("Image files are decoded")]
    assert f"in {processes} process" in line if processes else "in this process" in line


@pytest.fixture(scope="module")
def digits(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Path, list[str]]:
    """A run whose images are varied as digits, its folder, and what it said."""
    folder, said = tmp_path_factory.mktemp("digits"), list[str]()
    return train(dataset, replace(CONFIG, augment="digit"), folder, UNIT, on_text=said.append), folder, said


def test_what_takes_seconds_before_the_first_batch_has_a_line(
    dataset: Dataset, digits: tuple[TrainResult, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def stop(run: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "tensorflow")
        patch.setattr(training, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            training.trained(dataset, tmp_path, CONFIG, progress=Lines(said))
    assert said[-1] == "Starting TensorFlow"
    said = digits[2]
    assert said.count(f"Reading {len(dataset.test.labels)} test images once") == 1
    _, building, *_ = said[next(i for i, text in enumerate(said) if text.startswith("Image files are decoded")) :]
    assert "building the training step" in building


def test_colour_images_are_varied_as_photos_unless_it_is_said_otherwise(
    plain: Path, digits: tuple[TrainResult, Path, list[str]]
) -> None:
    result, folder, said = digits
    assert not same(plain, folder)
    assert json.loads((plain / "train.json").read_text())["config"]["augment"] == "photo"
    assert result.config.augment == "digit"
    assert any(all(part in text for part in ("varied", ": as a digit,", "rotation, scale and shift")) for text in said)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_broken_picture_is_named_in_one_line(part: str, dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(dataset.source, folder)
    broken = load_dataset(folder, FolderOptions(size=(24, 24)))
    # Training begins with a look at the first images.
    (folder / part / "b" / f"{79 if part == 'train' else 19}.jpg").write_text("no picture")
    with pytest.raises(ArtifactError, match=r"9\.jpg is not an image.*replace") as found:
        train(broken, CONFIG, tmp_path / "out", UNIT)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "out" / "model.keras").exists()


@pytest.mark.usefixtures("processes")
def test_a_killed_process_is_one_line(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Watched(DecoderProcesses):
        def __init__(self, count: int) -> None:
            super().__init__(count)
            made.append(self)

    def kill(state: TrainState) -> None:
        for child in made[0]._children:
            child.kill()

    monkeypatch.setattr(readers, "DecoderProcesses", Watched)
    monkeypatch.setattr(readers, "free_bytes", lambda: 0)
    with pytest.raises(EdgeCnnError, match=r"decodes images was killed \(SIGKILL\)"):
        train(dataset, replace(CONFIG, batch_size=4), tmp_path, UNIT, on_batch=kill)


def test_a_trained_model_is_not_held_by_what_read_its_images(dataset: Dataset, tmp_path: Path) -> None:
    def models() -> list[Any]:
        return [item for item in gc.get_objects() if isinstance(item, keras.Model)]

    before = WeakSet(models())
    assert train(dataset, replace(CONFIG, epochs=1), tmp_path, UNIT).epoch == 1
    gc.collect()
    assert [model.name for model in models() if model not in before] == []


def test_the_test_images_may_be_mended_before_the_result(tmp_path: Path) -> None:
    photos(str(tmp_path / "photos"), test=6)
    broken = next((tmp_path / "photos" / "test").rglob("*.png"))
    whole, said = broken.read_bytes(), list[str]()
    config, out = TrainConfig(epochs=1, network="cnn", filters=(2, 2, 2), batch_size=4), tmp_path / "out"
    options, images = FolderOptions(), load_dataset(tmp_path / "photos", FolderOptions())
    assert images.record()  # Hashes the whole file.

    def break_it(state: TrainState) -> None:
        broken.write_bytes(whole[:-40])

    with pytest.raises(ArtifactError, match=broken.name):
        train(images, config, out, UNIT, on_text=said.append, on_batch=break_it)
    assert all(part in said[-1] for part in ("resume", "test images are mended"))
    assert not (out / "model.keras").exists()
    with pytest.raises(ArtifactError, match=broken.name):  # Broken before, it is found before anything is trained.
        train(load_dataset(tmp_path / "photos", options), config, tmp_path / "other", UNIT, on_batch=stop_at(1))
    broken.write_bytes(whole)
    mended = load_dataset(tmp_path / "photos", options)
    result = train(mended, config, out, UNIT, resume=True)
    assert (len(result.history), result.dataset.test_sha256) == (1, mended.test.sha256)
    # Once there is a result, it is of these test images.
    with pytest.raises(ConfigError, match="has finished its 1 epoch"):
        train(mended, config, out, UNIT, resume=True)
    broken.unlink()
    with pytest.raises(ConfigError, match="was trained on other images"):
        train(load_dataset(tmp_path / "photos", options), config, out, UNIT, resume=True)

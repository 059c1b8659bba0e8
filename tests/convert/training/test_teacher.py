"""Learning from a trained model's answers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import compile_model, resolved
from edgecnn.convert.training.prepared_model import Teacher
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from tests.conftest import Terminal
from tests.convert.training.runs import UNIT, same, train

pytestmark = pytest.mark.usefixtures("one_stage")

CONFIG = TrainConfig(epochs=2, filters=(4, 4, 4), batch_size=32, learning_rate=0.003)


def taught(exported: Path, name: str = "float32.tflite") -> TrainConfig:
    return replace(CONFIG, teacher=str(exported / name))


def test_what_is_learnt_is_the_label_and_the_softened_answers(exported: Path, bars: Dataset) -> None:
    images, labels = bars.train.images(range(40)), bars.train.labels[:40]
    targets = Teacher(taught(exported), bars, ()).targets(images, labels)
    answers = Classifier.load(exported / "float32.tflite").predict(images).probabilities.astype(np.float64)
    softened = np.sqrt(answers) / np.sqrt(answers).sum(axis=1, keepdims=True)
    assert targets == pytest.approx(0.45 * softened + 0.55 * np.eye(3)[labels], abs=1e-6)
    assert targets.dtype == np.float32
    assert (targets.argmax(axis=1) == labels).all()


def test_a_keras_file_teaches_as_its_export_does_and_a_wrong_one_does_not_outvote_the_label(
    exported: Path, bars: Dataset
) -> None:
    wrong = (bars.train.labels[:40] + 1) % 3
    targets = Teacher(taught(exported), bars, ()).targets(bars.train.images(range(40)), wrong)
    assert (targets.argmax(axis=1) == wrong).all()
    images, labels = bars.train.images(range(20)), bars.train.labels[:20]
    files = [Teacher(taught(exported, name), bars, ()).targets(images, labels) for name in ("model.keras", "float32.onnx")]
    assert files[0] == pytest.approx(files[1], abs=1e-4)


def test_a_taught_run_differs_says_who_taught_and_goes_on_after_an_interruption(
    exported: Path, bars: Dataset, tmp_path: Path
) -> None:
    config = taught(exported)
    result = train(bars, config, tmp_path / "taught", UNIT)
    train(bars, CONFIG, tmp_path / "alone", UNIT)
    assert not same(tmp_path / "taught", tmp_path / "alone")
    settings = json.loads((tmp_path / "taught/manifest.json").read_text())["provenance"]["train_config"]
    assert settings["teacher"] == config.teacher
    assert settings["teacher_sha256"] == resolved(config, bars.train).teacher_sha256

    class Cut(Exception):
        pass

    def cut(state: Any) -> None:
        if state.epoch.number == 2:
            raise Cut

    with pytest.raises(Cut):
        train(bars, config, tmp_path / "resumed", UNIT, on_batch=cut)
    again = train(bars, config, tmp_path / "resumed", UNIT, resume=True)
    assert same(tmp_path / "taught", tmp_path / "resumed")
    assert again.history[-1].accuracy == result.history[-1].accuracy > 0.4  # Accuracy on the labels, without the teacher.


def test_the_command_learns_from_a_teacher_and_records_its_path(
    exported: Path, idx_folder: Path, tmp_path: Path, terminal: Terminal
) -> None:
    teacher = exported / "int8.tflite"
    few = ("--filters", "2,2,2", "--epochs", "1", "--out", tmp_path / "out")
    terminal.passes("train", "--data", idx_folder, "--teacher", teacher, *few)
    settings = json.loads((tmp_path / "out/manifest.json").read_text())["provenance"]["train_config"]
    assert settings["teacher"] == str(teacher)


def test_another_teacher_is_refused_on_resume(exported: Path, bars: Dataset, tmp_path: Path) -> None:
    teachers = tmp_path / "teachers"
    shutil.copytree(exported, teachers, ignore=shutil.ignore_patterns("logs", "checkpoint"))
    config = replace(CONFIG, recipe="notebook", epochs=1)
    train(bars, replace(config, teacher=str(teachers / "float32.onnx")), tmp_path / "run", UNIT)
    more = replace(config, epochs=2)
    with pytest.raises(ConfigError, match=r"resume:.* was trained with teacher"):
        train(bars, replace(more, teacher=str(teachers / "int8.onnx")), tmp_path / "run", UNIT, resume=True)
    with pytest.raises(ConfigError, match=r"resume:.* was trained with teacher"):
        train(bars, more, tmp_path / "run", UNIT, resume=True)
    (teachers / "float32.onnx").write_bytes((teachers / "int8.onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"float32\.onnx has changed:.* resume"):
        train(bars, replace(more, teacher=str(teachers / "float32.onnx")), tmp_path / "run", UNIT, resume=True)


def test_a_teacher_that_does_not_fit_is_refused(exported: Path, bars: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(12, 12, 1\),.*mnist.*\(28, 28, 1\):.*another"):
        Teacher(taught(exported), load_dataset("mnist"), ())
    with pytest.raises(ConfigError, match="has other classes than bars"):
        Teacher(taught(exported), replace(bars, class_names=("a", "b", "c")), ())
    alone = tmp_path / "alone.tflite"
    alone.write_bytes((exported / "float32.tflite").read_bytes())
    with pytest.raises(ArtifactError, match=r"alone\.tflite: .*edgecnn trained or exported"):
        Teacher(replace(CONFIG, teacher=str(alone)), bars, ())
    with pytest.raises(ArtifactError, match="does not exist"):
        train(bars, replace(CONFIG, teacher=str(tmp_path / "none.keras")), tmp_path / "run", UNIT)


def test_a_model_of_one_number_can_not_be_taught() -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    with pytest.raises(ConfigError, match=r"end the model in Dense\(2\)"):
        compile_model(model, 1, keras.optimizers.Adam(), "probabilities", taught=True)

"""A program that uses edgecnn as its users do: mypy --strict checks it with the rest, and it runs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import edgecnn as ec


class Printed:
    """The program's own progress."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        pass


def chain(images: str | Path, out: Path) -> ec.Report:
    """Train, export and judge a small network."""
    progress: ec.Progress = Printed()
    data: ec.Dataset = ec.load_dataset(images)
    config = ec.TrainConfig(recipe="notebook", epochs=12, batch_size=8, learning_rate=0.003)
    model: ec.TrainResult = ec.train(data, out=out, config=config, progress=progress)
    accuracy: float = model.test_accuracy
    folder: ec.ModelFolder = ec.export(model, data, formats=["tflite"], precisions=["int8"], keep_accuracy=20.0)
    assert folder.manifest is not None
    names: list[str] = [artifact.path for artifact in folder.manifest.artifacts]
    options = ec.BenchOptions(threads=(1,), plan=ec.PlanOptions(launches=2, min_runs=30, min_seconds=0))
    report: ec.Report = ec.bench(folder, budget=ec.Budget(max_drop_points=50.0), options=options, runtime="tflite")
    status: str = report.verdict.status
    rows: list[dict[str, object]] = report.rows()
    print(f"{accuracy:.2f} {names} {status} {rows[0]['file']}")
    return report


def classified(file: Path, pictures: list[str | Path], image: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return the labels of pictures in files and of an image in memory."""
    classifier = ec.Classifier.load(file)
    prediction: ec.Prediction = classifier.predict(pictures)
    single = classifier.predict(ec.read_image(image, classifier))
    return (*prediction.labels, *single.labels)


def refused(path: str) -> int:
    """Return the exit code of an error."""
    try:
        ec.evaluate(path)
    except ec.ArtifactError as error:
        return error.exit_code
    except ec.EdgeCnnError:
        return 1
    return 0


def test_a_missing_file_is_an_error_of_its_kind() -> None:
    assert refused("nowhere.tflite") == 4


def test_from_images_to_a_verdict(idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = chain(str(idx_folder), tmp_path / "bars")
    assert [file.name for file in report.files] == ["float32.tflite", "int8.tflite"]
    assert report.command == f"edgecnn.bench({str(tmp_path / 'bars')!r})"
    printed = capsys.readouterr()
    assert "['model.keras', 'float32.tflite', 'int8.tflite'] PASS float32.tflite" in printed.out
    assert "epoch 12/12" in printed.err
    assert "exported" not in printed.out  # Only the program's output: its progress goes to standard error.


def test_pictures_of_any_kind_are_classified(exported: Path, tmp_path: Path) -> None:
    image = np.zeros((24, 24, 3), np.uint8)
    image[4:8, 4:-4] = 255
    Image.fromarray(image).save(tmp_path / "bar.png")
    labels = classified(exported / "int8.tflite", [tmp_path / "bar.png", str(tmp_path / "bar.png")], image)
    assert len(labels) == 3
    assert len(set(labels)) == 1

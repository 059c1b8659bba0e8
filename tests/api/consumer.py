"""A program that uses edgecnn as its users do; mypy --strict checks it with the rest, and a test runs it."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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

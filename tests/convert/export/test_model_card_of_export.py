"""An export writes the model card together with its files, and keeps what somebody wrote into it."""

from pathlib import Path

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.splits import CHUNK, chunks
from edgecnn.edge.manifest import Manifest


class Said:
    """Keeps what an export says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        pass


def test_an_export_writes_and_renews_a_card_of_its_files_and_leaves_an_edited_one_alone(
    artifacts: Path, idx_folder: Path
) -> None:
    def export() -> list[str]:
        said = Said()
        ec.export(artifacts / "model.keras", idx_folder, formats=["tflite"], precisions=["float32"], progress=said)
        return [line for line in said.lines if "MODEL_CARD.md" in line]

    card = artifacts / "MODEL_CARD.md"
    assert export() == []
    artifact = Manifest.load(artifacts).artifact("float32.tflite")
    assert artifact
    assert artifact.sha256 in card.read_text()
    mine = card.read_text().replace("[name]", "Anna")
    card.write_text(mine)
    assert export() == []
    assert "Anna" in card.read_text()
    edited = card.read_text().replace("## Limitations", "## No limits")
    card.write_text(edited)
    (told,) = export()
    assert "stays as it is" in told
    assert card.read_text() == edited


@pytest.mark.parametrize("keep_accuracy", [None, 50.0])
def test_the_card_s_accuracy_is_that_of_distinct_test_images_as_in_bench(
    keep_accuracy: float | None, artifacts: Path, idx_folder: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(idx_folder)
    images, labels = np.concatenate([*chunks(dataset.test, CHUNK)]), np.asarray(dataset.test.labels)
    train = np.concatenate([*chunks(dataset.train, CHUNK)])
    few = slice(0, 40)
    np.savez(
        tmp_path / "copies.npz",
        x_train=train,
        y_train=np.asarray(dataset.train.labels),
        x_test=np.repeat(images[few], 50, axis=0),
        y_test=np.repeat(labels[few], 50),
    )
    out = tmp_path / "out"
    ec.export(
        _alone(artifacts / "model.keras", tmp_path),
        tmp_path / "copies.npz",
        formats=["tflite"],
        precisions=["float32"],
        interface="unit",
        out=out,
        keep_accuracy=keep_accuracy,
    )
    report = ec.bench(
        out, runtime="tflite", options=ec.BenchOptions(plan=ec.PlanOptions(launches=1, min_runs=4, min_seconds=0))
    )
    accuracy = report.files[0].accuracy
    assert accuracy
    assert (accuracy.images, accuracy.copies) == (40, 1960)
    right = binomial.interval(accuracy.reference_correct, 40)
    interval = f"95 % interval {100 * right.low:.2f} to {100 * right.high:.2f} %"
    part = f"({accuracy.reference_correct} of 40 distinct images; {interval})"
    assert part in (out / "MODEL_CARD.md").read_text()


def _alone(model: Path, folder: Path) -> Path:
    """Return a copy of a model without its manifest."""
    copy = folder / "alone.keras"
    copy.write_bytes(model.read_bytes())
    return copy

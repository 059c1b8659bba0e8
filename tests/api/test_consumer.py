"""The typed program of consumer.py runs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.api import consumer


def test_a_missing_file_is_an_error_of_its_kind() -> None:
    assert consumer.refused("nowhere.tflite") == 4


def test_from_images_to_a_verdict(idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = consumer.chain(str(idx_folder), tmp_path / "bars")
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
    labels = consumer.classified(exported / "int8.tflite", [tmp_path / "bar.png", str(tmp_path / "bar.png")], image)
    assert len(labels) == 3
    assert len(set(labels)) == 1

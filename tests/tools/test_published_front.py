"""The picture of small MNIST networks next to the published ones."""

import json
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from PIL import Image

from tools.published_front import Point, draw, published, swept


def rows(*rows: tuple[int, int, int | None]) -> str:
    networks = [
        {
            "network": {
                "network": "nets:small",
                "filters": [],
                "parameters": parameters,
                "val_images": val,
                "file": "int8.tflite",
            },
            "images": 10_000,
            "correct": right,
        }
        for parameters, right, val in rows
    ]
    return json.dumps({"rows": networks})


def test_every_published_number_names_a_fixed_source_and_how_it_was_chosen() -> None:
    found = json.loads(Path("tools/published_front.json").read_text())
    for row in found:
        assert len(row["source"].split("/tree/")[1].split("/")[0]) == 40  # A commit: what was read stays.
        assert (row.get("parameters") or row["weight_bytes"]) > 500
        assert row["chosen_on"] in ("test images", "validation images")
        assert row["how"]
    assert [point.right for point in published()] == [round(10_000 * row["accuracy"]) for row in found]


def test_a_sweep_without_validation_images_was_chosen_on_the_test_images(exported: Path, tmp_path: Path) -> None:
    path, file = tmp_path / "sweep.json", tmp_path / "int8.tflite"
    copyfile(exported / file.name, file)
    path.write_text(rows((1958, 9870, 6000), (700, 9700, None)))
    weights = swept(path)[0].weight_bytes
    assert weights
    assert 0 < weights < file.stat().st_size
    assert swept(path) == [Point("small", 1958, weights, 9870, False, True), Point("small", 700, weights, 9700, True, True)]
    path.write_text(rows((1958, 9870, 6000)).replace("10000", "60"))
    with pytest.raises(SystemExit, match=r"60 images, not.*MNIST's 10,000"):
        swept(path)


def test_the_picture_has_both_kinds(tmp_path: Path) -> None:
    path = tmp_path / "front.png"
    draw(path, [*published(), Point("small", 1958, 1800, 9870, chosen_on_test=False, ours=True)])
    with Image.open(path) as picture:
        assert picture.size == (1440, 600)
        pixels = np.asarray(picture.convert("RGB"))
    for panel in np.split(pixels, 2, axis=1):  # Some publish parameters, some bytes.
        colors = {tuple(color) for color in panel.reshape(-1, 3).tolist()}
        assert {(0xC2, 0x41, 0x0C), (0x25, 0x63, 0xEB)} <= colors

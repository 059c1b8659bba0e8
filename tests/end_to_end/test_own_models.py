"""Networks and images like users', through the whole chain: train, export, bench, predict.

Every float file must compute what Keras computes (an export that does not is refused), and every int8 file must pass the
gate at the drop that its test states.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgecnn.__main__ import main

NETWORKS = Path(__file__).parent / "networks.py"
SHORT = ("--launches", "1", "--min-runs", "4", "--min-seconds", "0", "--json", "result.json")
# Batch normalisation needs some hundred steps before its moving averages match the images.
SMALL_STEPS = ("--recipe", "notebook", "--batch-size", "8", "--learning-rate", "0.003")
LARGER_STEPS = ("--recipe", "notebook", "--batch-size", "16", "--learning-rate", "0.005")
Draw = Callable[[int, np.random.Generator], NDArray[np.uint8]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with the networks."""
    shutil.copy(NETWORKS, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> None:
    assert main(list(arguments)) == code, arguments


def colours(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photo-like image (40, 48, 3): a disc in one of five colours somewhere on a noisy background."""
    image = rng.integers(60, 120, (40, 48, 3))
    colour = ((220, 40, 40), (40, 200, 60), (50, 70, 230), (230, 210, 40), (200, 60, 210))[label]
    y, x = np.mgrid[0:40, 0:48]
    disc = (y - rng.integers(14, 26)) ** 2 + (x - rng.integers(14, 34)) ** 2 < rng.integers(64, 121)
    image[disc] = np.array(colour) + rng.integers(-25, 26, (int(disc.sum()), 3))
    return image.clip(0, 255).astype(np.uint8)


def corners(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A grey image (20, 20, 1): a bright spot at one of 300 places."""
    image = rng.integers(0, 60, (20, 20, 1)).astype(np.uint8)
    top, left = divmod(label, 20)
    image[top + 2 : top + 5, max(left - 1, 0) : left + 2] = rng.integers(180, 256)
    return image


def bars(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A grey image (12, 12, 1) like the training images of `bad_network`: a bright bar at one of three heights."""
    image = rng.integers(0, 60, (12, 12, 1)).astype(np.uint8)
    top = 2 + 3 * label
    image[top : top + 2, 2:-2] = rng.integers(150, 256, (2, 8, 1))
    return image


def folder_of_images(folder: Path, draw: Draw, classes: int, train: int, test: int) -> None:
    """Write `train/` and `test/` with a folder for each class; every third file is a JPEG of another size."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        for label in range(classes):
            place = folder / part / f"class{label:03d}"
            place.mkdir(parents=True)
            for number in range(count):
                picture = Image.fromarray(draw(label, rng))
                if number % 3 == 2:
                    picture.resize((60, 50)).save(place / f"{number}.jpg", quality=95)
                else:
                    picture.save(place / f"{number}.png")


def arrays(path: Path, draw: Draw, classes: int, train: int, test: int) -> None:
    rng = np.random.default_rng(0)
    parts: dict[str, Any] = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(classes * count) % classes
        parts |= {f"x_{part}": np.stack([draw(int(label), rng) for label in labels]), f"y_{part}": labels}
    np.savez(path, **parts)


def benched(folder: str, points: str) -> dict[str, Any]:
    """Bench a folder, which must pass with this limit in points, and return each file's accuracy."""
    run("bench", folder, "--runtime", "tflite", "--runtime", "onnx", "--max-drop", points, *SHORT)
    files = json.loads(Path("result.json").read_text())["files"]
    assert [file["name"] for file in files] == ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
    for file in files:
        if file["name"].startswith("float32"):
            assert file["accuracy"]["same_class"] == file["accuracy"]["images"]
    return {file["name"]: file["accuracy"] for file in files}


def test_a_folder_of_colour_photos_trains_the_cnn_and_a_photo_is_predicted(home: Path) -> None:
    folder_of_images(home / "discs", colours, classes=5, train=60, test=40)
    run("train", "--data", "discs", "--size", "32x32", "--network", "cnn", "--epochs", "4", *SMALL_STEPS)
    run("export", "artifacts/discs/model.keras")
    accuracies = benched("artifacts/discs", "2")
    assert accuracies["int8.tflite"]["correct"] >= 190
    run("predict", "artifacts/discs/int8.tflite", "discs/test/class003/2.jpg", "--json", "said.json")
    assert json.loads(Path("said.json").read_text())["images"][0]["predicted"] == "class003"
    run("verify", "artifacts/discs/int8.onnx")


def test_a_mobile_network_with_depthwise_convolutions_that_rescales_and_normalizes_inside(home: Path) -> None:
    arrays(home / "discs.npz", colours, classes=5, train=200, test=80)
    run("train", "--data", "discs.npz", "--model", "networks:mobile", "--preprocess", "raw", "--epochs", "5", *LARGER_STEPS)
    run("export", "artifacts/discs/model.keras")
    assert benched("artifacts/discs", "2")["float32.onnx"]["correct"] >= 380


def test_a_residual_network_with_dilation_that_ends_in_logits_of_three_hundred_classes(home: Path) -> None:
    arrays(home / "spots.npz", corners, classes=300, train=8, test=2)
    command = ("train", "--data", "spots.npz", "--model", "networks:residual", "--preprocess", "tf", "--epochs", "3")
    run(*command, code=4)  # Its rows are not probabilities, which must be stated.
    run(*command, "--logits", *LARGER_STEPS)
    run("export", "artifacts/spots/model.keras")
    assert benched("artifacts/spots", "2")["float32.tflite"]["correct"] >= 570
    run("report", "result.json", "--html", "report.html")


def test_a_network_that_quantizes_badly_fails_is_diagnosed_and_is_not_mended_for_nothing(home: Path, bad_network: Any) -> None:
    bad_network.model.save("bad.keras")
    arrays(home / "bars.npz", bars, classes=3, train=80, test=400)
    bench = ("bench", "artifacts/bad", "--runtime", "tflite", "--runtime", "onnx", "--max-drop", "1", *SHORT)

    run("export", "bad.keras", "--data", "bars.npz", "--preprocess", "unit")
    run(*bench, code=3)
    statuses = {file["name"]: file["verdict"]["status"] for file in json.loads(Path("result.json").read_text())["files"]}
    assert statuses == {"float32.tflite": "PASS", "int8.tflite": "FAIL", "float32.onnx": "PASS", "int8.onnx": "FAIL"}

    for name in ("int8.tflite", "int8.onnx"):
        run("diagnose", f"artifacts/bad/{name}", "--json", "layers.json", "--save", "layers.png")
        assert "wild" in json.loads(Path("layers.json").read_text())["layers"][0]["name"]

    # So small a network is no smaller with float layers, nor faster: float32 is the file to ship, and nothing is replaced.
    before = Path("artifacts/bad/manifest.json").read_bytes()
    run("export", "artifacts/bad/model.keras", "--keep-accuracy", "1", code=3)
    assert Path("artifacts/bad/manifest.json").read_bytes() == before

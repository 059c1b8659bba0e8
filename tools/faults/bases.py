"""The valid files to alter: a small dataset, a model trained on it, and everything that edgecnn makes from it."""

import gzip
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.faults.mutators.arrays import saved, zipped

SIDE = 12
CLASSES = 4
RARE = 3
"""A rare class, with only 16 of the 2,000 test images."""
TRAIN_IMAGES, TEST_IMAGES, FEW_IMAGES = 800, 2000, 100

MODELS = ("float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx")
_TRAIN = "--recipe notebook --batch-size 16 --augment none --learning-rate 0.003 --filters 4,8,8"
QUICK = "--launches 1 --min-runs 5 --min-seconds 0 --allow noise"
"""Options that ignore the machine's noise: a verdict must be given, so that a wrong one can be seen."""

Pixels = NDArray[np.uint8]


class BrokenBase(Exception):
    """A command failed on valid files."""


def drawings(labels: Pixels, seed: int) -> Pixels:
    """Return noisy images (n, 12, 12): a bright bar whose height identifies the class, upright for the rare one."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (len(labels), SIDE, SIDE)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top = 2 + 3 * int(label)
        bar = (slice(2, -2), slice(5, 7)) if label == RARE else (slice(top, top + 2), slice(2, -2))
        image[bar] = rng.integers(150, 256, image[bar].shape)
    return images


def parts() -> dict[str, tuple[Pixels, Pixels]]:
    """Return the images and labels of each part."""
    train = (np.arange(TRAIN_IMAGES) % CLASSES).astype(np.uint8)
    test = (np.arange(TEST_IMAGES) % RARE).astype(np.uint8)
    test[:: TEST_IMAGES // 16] = RARE
    return {"train": (drawings(train, 1), train), "test": (drawings(test, 2), test)}


def write_idx_folder(folder: Path, images: dict[str, tuple[Pixels, Pixels]]) -> None:
    """Write the parts as MNIST's four gzipped files."""
    folder.mkdir(parents=True)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for name, array in zip(("images-idx3", "labels-idx1"), images[part], strict=True):
            data = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(data, mtime=0))


def npz(images: dict[str, tuple[Pixels, Pixels]]) -> bytes:
    """Return the parts as an .npz file."""
    files = {}
    for part, (pixels, labels) in images.items():
        files[f"x_{part}.npy"], files[f"y_{part}.npy"] = saved(pixels), saved(labels.astype(np.int64))
    return zipped(files)


def run(folder: Path, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
    """Run a command in `folder` and return what it printed.

    Raises:
        BrokenBase: If it ends with an unexpected exit code.
    """
    done = subprocess.run(
        [sys.executable, "-m", "edgecnn", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    if done.returncode not in allowed:
        raise BrokenBase(f"edgecnn {' '.join(arguments)} ended with {done.returncode} on valid files:\n{done.stderr[-2000:]}")
    return done.stdout


def environment() -> dict[str, str]:
    """Return an environment in which a child imports this tree's edgecnn, in whatever folder it runs."""
    tree = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), tree]))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"}


def make_bases(folder: Path) -> None:
    """Make all valid files; this takes half a minute.

    data/ (IDX), few.npz (100 test images), m/ (the exported model), m.zip, bare/ (its files, without a manifest), result.json,
    digit.png, photos/ (a folder of images by class), labels.txt, budget.toml, probabilities.npz (what each file computes).
    """
    shutil.rmtree(folder, ignore_errors=True)
    write_inputs(folder)
    run(folder, "train", "--data", "data", "--out", "m", "--epochs", "12", *_TRAIN.split())
    run(folder, "export", "m/model.keras")
    for name in ("checkpoint", "logs"):
        shutil.rmtree(folder / "m" / name)
    run(folder, "bundle", "m", "--images", "1000")
    bench = ("bench", "m", "--runtime", "tflite", *QUICK.split(), "--launches", "5", "--json")  # compare needs several.
    for name in ("result.json", "newer.json"):
        run(folder, *bench, name, allowed=(0, 3, 7))
    (folder / "bare").mkdir()
    for name in (*MODELS, "model.keras"):
        shutil.copy(folder / "m" / name, folder / "bare" / name)


def write_inputs(folder: Path) -> None:
    """Write what a user brings: images, labels and limits."""
    images = parts()
    write_idx_folder(folder / "data", images)
    few = {part: (pixels[:FEW_IMAGES], labels[:FEW_IMAGES]) for part, (pixels, labels) in images.items()}
    (folder / "few.npz").write_bytes(npz(few))
    (folder / "labels.txt").write_text("none\none\ntwo\nthree\n", encoding="utf-8")
    (folder / "budget.toml").write_text(
        'max_drop_points = 50.0\nmax_size_kib = 100.0\n[files."int8.tflite"]\nmin_agreement_percent = 10.0\n'
    )
    _write_photos(folder, images["test"])


def _write_photos(folder: Path, part: tuple[Pixels, Pixels]) -> None:
    from PIL import Image

    for number, (pixels, label) in enumerate(zip(*part, strict=True)):
        if number < 24 or (label == RARE and number < TEST_IMAGES // 2):
            home = folder / "photos" / str(label)
            home.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(home / f"{number}.png")
    shutil.copy(folder / "photos" / "1" / "1.png", folder / "digit.png")

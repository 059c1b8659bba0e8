"""How photos are read for training: beside Keras's own input pipeline, on one core and on two, and in flat memory."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from edgecnn.convert.keras.load import load_keras
from tools.claims.claims import EDGECNN, Claim, at_least, at_most
from tools.claims.memory import peak_mib

# All of them fit into both caches; Keras keeps float32, 12 GB of 224x224.
_IMAGES = 20_000
_FEW = 2_000
_CLASSES = 5
_EPOCHS = 2
_BATCH = 64
_RATE = 0.001
_SMALL = 96
_SIDES = (_SMALL, 224)
_RATES = 3
_PEAKS = 2
_TRANSFER_EPOCHS = 12
_CACHED = 500
_CACHE_ONLY = (
    "from edgecnn.convert.training.fit import readers; from edgecnn.__main__ import run; "
    f"readers.free_bytes = lambda: {4 * _CACHED * 3 * _SMALL**2}; run()"
)


def measure(folder: Path) -> list[Claim]:
    """Measure on JPEG files that are written first. The files of `folder` are not used."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:  # /tmp is often memory.
        many, few = (_data(Path(scratch), count) for count in (_IMAGES, _FEW))
        by_side = [claim for side in _SIDES for claim in _beside_keras(many, side, Path(scratch) / "out")]
        return [*by_side, _transfer(few, Path(scratch)), _of_two_cores(many), _memory(Path(scratch), few)]


def _data(scratch: Path, count: int) -> Path:
    folder = scratch / f"photos-{count}"
    _write_photos(folder / "train", count)
    _write_photos(folder / "test", _CLASSES)
    return folder


def _write_photos(folder: Path, count: int) -> None:
    """Write JPEGs of 320x240 pixels in 5 classes: soft colours with a little noise, of a photo's size in bytes."""
    rng = np.random.default_rng(0)
    for label in range(_CLASSES):
        (folder / f"class-{label}").mkdir(parents=True)
    noise = rng.integers(-12, 13, (16, 240, 320, 3))
    for index in range(count):
        label = index % _CLASSES
        low = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        low[..., label % 3] //= 1 + label
        soft = np.asarray(Image.fromarray(low).resize((320, 240), Image.Resampling.BICUBIC), np.int64)
        photo = np.clip(soft + noise[index % len(noise)], 0, 255).astype(np.uint8)
        Image.fromarray(photo).save(folder / f"class-{label}" / f"{index:06}.jpg", quality=85)


def _beside_keras(photos: Path, side: int, out: Path) -> list[Claim]:
    # One turn: it takes minutes, in which short disturbances even out.
    times = zip(_edgecnn(photos, side, out), _keras(photos / "train", side), strict=True)
    return [
        at_most(
            f"{side}x{side}: epoch {epoch} of edgecnn train / of Keras",
            ours / theirs,
            0.9,
            f"{_IMAGES:,} JPEGs of 320x240, MobileNetV2 0.35: {ours:.0f} and {theirs:.0f} s",
        )
        for epoch, (ours, theirs) in enumerate(times, 1)
    ]


def _edgecnn(photos: Path, side: int, out: Path) -> list[float]:
    """Return the seconds of each epoch of `edgecnn train`."""
    model = ("--model", "tools.claims.photos.keras_fit:network", "--preprocess", "unit", "--size", f"{side}x{side}")
    recipe = ("--recipe", "notebook", "--learning-rate", str(_RATE), "--batch-size", str(_BATCH), "--augment", "photo")
    files = ("--data", str(photos), "--out", str(out), "--json", str(out / "result.json"))
    subprocess.run([EDGECNN, "train", *model, *recipe, *files, "--epochs", str(_EPOCHS)], check=True, capture_output=True)
    return [epoch["seconds"] for epoch in json.loads((out / "result.json").read_text(encoding="utf-8"))["history"]]


def _keras(folder: Path, side: int) -> list[float]:
    command = [sys.executable, "-m", "tools.claims.photos.keras_fit", str(folder), *map(str, (side, _BATCH, _RATE, _EPOCHS))]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(line) for line in printed.split()]


def _transfer(photos: Path, scratch: Path) -> Claim:
    """Time the whole command of docs/how-to/own-pictures.md with a larger network; the weights are random."""
    weights = scratch / "mobilenetv2.weights.h5"
    load_keras().applications.MobileNetV2((_SMALL, _SMALL, 3), include_top=False, weights=None).save_weights(weights)
    files = ("--data", str(photos), "--weights", str(weights), "--out", str(scratch / "out"))
    options = ("--size", f"{_SMALL}x{_SMALL}", "--val-share", "0.1", "--epochs", str(_TRANSFER_EPOCHS))
    start = time.monotonic()
    command = [EDGECNN, "train", "--transfer", "mobilenetv2", *files, *options]
    subprocess.run(command, check=True, capture_output=True)
    return at_most(
        "edgecnn train --transfer mobilenetv2, minutes",
        (time.monotonic() - start) / 60,
        10,
        f"{_FEW:,} JPEGs of 320x240 in {_CLASSES} classes at {_SMALL}x{_SMALL}, {_TRANSFER_EPOCHS} epochs, all of it",
    )


def _of_two_cores(photos: Path) -> Claim:
    """Time the input path without a training, on one core and on two, in turns."""
    command = [sys.executable, "-m", "tools.claims.photos.read_batches", str(photos), str(_SMALL), str(_BATCH)]
    found: dict[int, list[list[float]]] = {1: [], 2: []}
    for _ in range(_RATES):
        for cores, rows in found.items():
            done = subprocess.run([*command, str(cores)], check=True, capture_output=True, text=True)
            rows.append([float(word) for word in done.stdout.split()])
    one, two = ([median(column) for column in zip(*rows, strict=True)] for rows in found.values())
    return at_least(
        "images made ready a second, two cores / one",
        median(b[0] / a[0] for a, b in zip(*found.values(), strict=True)),
        1.8,
        f"{two[0]:,.0f} and {one[0]:,.0f}, JPEGs of 320x240 into {_SMALL}x{_SMALL}, varied; kept ones {two[1]:,.0f} and "
        f"{one[1]:,.0f}; processor time an image: {two[2]:.2f} ms in the training's process, {two[3]:.2f} in those that decode",
    )


def _memory(scratch: Path, few: Path) -> Claim:
    counts = (_FEW, 4 * _FEW)
    size = f"{_SMALL}x{_SMALL}"

    def peak(photos: Path, epochs: int) -> float:
        options = ("--size", size, "--epochs", str(epochs), "--filters", "4,4,4", "--out", scratch / "small")
        # What the allocator leaves unused differs by tens of MiB between two runs; it only adds.
        return min(peak_mib("train", "--data", photos, *options, start=("-c", _CACHE_ONLY)) for _ in range(_PEAKS))

    # Memory also grows with the training's length, however few images there are: as many epochs, and as many steps.
    same_epochs, same_steps = peak(few, _EPOCHS), peak(few, _EPOCHS * counts[1] // counts[0])
    most = peak(_data(scratch, counts[1]), _EPOCHS)
    return at_most(
        "growth of memory beyond the cache, KiB an image",
        (most - min(same_epochs, same_steps)) * 1024 / (counts[1] - counts[0]),
        2.7,  # A tenth of the pixels: more than names and labels take.
        f"{same_epochs:.0f} MiB for {counts[0]:,} images in {_EPOCHS} epochs, {same_steps:.0f} for them in as many steps as "
        f"{counts[1]:,} take in {_EPOCHS}, {most:.0f} for those; {_CACHED} images cached; an image has "
        f"{3 * _SMALL**2 / 1024:.0f} KiB of pixels",
    )

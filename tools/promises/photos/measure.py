"""How photos are read for training: beside Keras's own input pipeline, by one process and by two, and in flat memory."""

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
from edgecnn.convert.training.reading.decoder_processes import DecoderProcesses
from edgecnn.edge.data.splits import FileSplit
from tools.promises.claims import Claim, at_least, at_most
from tools.promises.memory import peak_mib

_EDGECNN = str(Path(sys.executable).with_name("edgecnn"))
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
    "from edgecnn.convert.training.reading import readers; from edgecnn.__main__ import run; "
    f"readers.free_bytes = lambda: {4 * _CACHED * 3 * _SMALL**2}; run()"
)


def measure(folder: Path) -> list[Claim]:
    """Measure on JPEG files that are written first. The files of `folder` are not used."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:  # /tmp is often memory.
        many, few = (_data(Path(scratch), count) for count in (_IMAGES, _FEW))
        by_side = [claim for side in _SIDES for claim in _beside_keras(many, side, Path(scratch) / "out")]
        return [*by_side, _transfer(few, Path(scratch)), _of_two_processes(few / "train"), _memory(Path(scratch), few)]


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
    model = ("--model", "tools.promises.photos.keras_fit:network", "--preprocess", "unit", "--size", f"{side}x{side}")
    recipe = ("--recipe", "notebook", "--learning-rate", str(_RATE), "--batch-size", str(_BATCH), "--augment", "photo")
    files = ("--data", str(photos), "--out", str(out), "--json", str(out / "result.json"))
    subprocess.run([_EDGECNN, "train", *model, *recipe, *files, "--epochs", str(_EPOCHS)], check=True, capture_output=True)
    return [epoch["seconds"] for epoch in json.loads((out / "result.json").read_text(encoding="utf-8"))["history"]]


def _keras(folder: Path, side: int) -> list[float]:
    command = [sys.executable, "-m", "tools.promises.photos.keras_fit", str(folder), *map(str, (side, _BATCH, _RATE, _EPOCHS))]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(line) for line in printed.split()]


def _transfer(photos: Path, scratch: Path) -> Claim:
    """Time the whole command of docs/how-to/own-pictures.md with a larger network; the weights are random."""
    weights = scratch / "mobilenetv2.weights.h5"
    load_keras().applications.MobileNetV2((_SMALL, _SMALL, 3), include_top=False, weights=None).save_weights(weights)
    files = ("--data", str(photos), "--weights", str(weights), "--out", str(scratch / "out"))
    options = ("--size", f"{_SMALL}x{_SMALL}", "--val-share", "0.1", "--epochs", str(_TRANSFER_EPOCHS))
    start = time.monotonic()
    command = [_EDGECNN, "train", "--transfer", "mobilenetv2", *files, *options]
    subprocess.run(command, check=True, capture_output=True)
    return at_most(
        "edgecnn train --transfer mobilenetv2, minutes",
        (time.monotonic() - start) / 60,
        10,
        f"{_FEW:,} JPEGs of 320x240 in {_CLASSES} classes at {_SMALL}x{_SMALL}, {_TRANSFER_EPOCHS} epochs, all of it",
    )


def _of_two_processes(folder: Path) -> Claim:
    names = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg")))
    side = _SMALL
    split = FileSplit(folder, names, np.zeros(len(names), np.int64), (side, side, 3), "letterbox")
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(_RATES):
        for count, found in rates.items():
            processes = DecoderProcesses(count)
            processes.start(split, range(_BATCH))()  # They have imported everything.
            start = time.monotonic()
            processes.start(split, range(len(names)))()
            found.append(len(names) / (time.monotonic() - start))
            processes.close()
    one, two = median(rates[1]), median(rates[2])
    return at_least(
        "images decoded a second, two processes / one",
        median(b / a for a, b in zip(rates[1], rates[2], strict=True)),
        1.8,
        f"{two:,.0f} and {one:,.0f}, JPEGs of 320x240 into {side}x{side}",
    )


def _memory(scratch: Path, few: Path) -> Claim:
    counts, peaks = (_FEW, 4 * _FEW), []
    size = f"{_SMALL}x{_SMALL}"
    for count, photos in zip(counts, (few, _data(scratch, counts[1])), strict=True):
        # As many steps with each: memory grows with the steps, however few images there are.
        epochs = str(_EPOCHS * counts[1] // count)
        options = ("--size", size, "--epochs", epochs, "--filters", "4,4,4", "--out", scratch / "small")
        # What the allocator leaves unused differs by tens of MiB between two runs; it only adds.
        peaks.append(min(peak_mib("train", "--data", photos, *options, start=("-c", _CACHE_ONLY)) for _ in range(_PEAKS)))
    return at_most(
        "growth of memory beyond the cache, KiB an image",
        (peaks[1] - peaks[0]) * 1024 / (counts[1] - counts[0]),
        2.7,  # A tenth of the pixels: more than names and labels take.
        f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB for {counts[0]:,} and {counts[1]:,} images, {_CACHED} of them cached; "
        f"an image has {3 * _SMALL**2 / 1024:.0f} KiB of pixels",
    )

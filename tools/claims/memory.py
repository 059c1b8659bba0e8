"""Shows whether memory stays flat as the data grows: each command's peak on image folders of several sizes.

    python tools/claims/memory.py

A peak is the resident memory of the command's largest process: its own or a child's.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.edge.show.table import TextTable, table_text

SIZES = (1_000, 2_000, 4_000, 8_000)
CLASSES = 4
SIDE = 96


def write_images(folder: Path, count: int) -> None:
    """Write PNG files of 96 x 96 colour pixels in 4 classes: noise with a bright corner that identifies the class."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 100, (64, SIDE, SIDE, 3)).astype(np.uint8)
    for label in range(CLASSES):
        (folder / f"corner-{label}").mkdir(parents=True)
    for index in range(count):
        label = index % CLASSES
        image = np.roll(noise[index % len(noise)], int(rng.integers(SIDE * SIDE)), axis=(0, 1))
        top, left = (label // 2) * SIDE // 2, (label % 2) * SIDE // 2
        image[top : top + SIDE // 2, left : left + SIDE // 2] += 150
        Image.fromarray(image).save(folder / f"corner-{label}" / f"{index:05}.png", compress_level=1)


def peak_mib(*arguments: str | Path, start: Sequence[str] = ("-m", "edgecnn")) -> float:
    """Run a command of edgecnn and return the peak of its largest process in MiB; raise a RuntimeError if it fails.

    Args:
        arguments: The command's.
        start: Python's own, which start edgecnn.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, *start, *map(str, arguments)], stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            raise RuntimeError(
                f"edgecnn {arguments[0]} ended with {process.returncode}:\n{said.read().decode(errors='replace')}"
            )
    return usage.ru_maxrss / 1024  # KiB on Linux.


def main() -> None:
    """Print a row for each command: its peaks, and the growth at the last one in KiB per image."""
    peaks: dict[str, list[float]] = {"train": [], "export": [], "evaluate": [], "bench": []}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # /tmp is often memory.
        for count in SIZES:
            print(f"{count:,} images", file=sys.stderr)
            data, out = Path(name) / f"images-{count}", Path(name) / f"models-{count}"
            write_images(data, count)
            peaks["train"].append(peak_mib("train", "--data", data, "--size", f"{SIDE}x{SIDE}", "--epochs", "1", "--out", out))
            peaks["export"].append(peak_mib("export", out / "model.keras", "--quantize", "int8"))
            peaks["evaluate"].append(peak_mib("evaluate", out / "int8.tflite"))
            limits = ("--max-drop", "100", "--min-seconds", "0.1", "--min-runs", "100", "--launches", "2")
            peaks["bench"].append(peak_mib("bench", out, "--runtime", "tflite", *limits))
    pixels, rows = SIDE * SIDE * 3 / 1024, []
    for command, values in peaks.items():
        growth = (values[-1] - values[0]) * 1024 / (SIZES[-1] - SIZES[0])
        rows.append((command, *(f"{value:.0f}" for value in values), f"{growth:.2f}"))
    print(table_text(TextTable(("peak MiB", *(f"{count:,}" for count in SIZES), "KiB per image"), rows)))
    print(f"An image has {pixels:.0f} KiB of pixels, and four times as much in float32.")


if __name__ == "__main__":
    main()

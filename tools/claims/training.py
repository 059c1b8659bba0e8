"""The accuracy and speed of `edgecnn train`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from tools.claims.claims import EDGECNN, Claim, at_least, at_most

_SEEDS = (0, 1, 2)
_TURNS = 3


def measure_speed(folder: Path) -> list[Claim]:
    """Time the second epochs of the notebook's recipe, of a plain `model.fit` and by default, in turns, and the rest."""
    ratios, ours, plain, same, default, around = [], [], [], [], [], []
    for _ in range(_TURNS):
        plain.append(_second_epoch("plain_fit", "2"))
        same.append(_second_epoch("plain_fit", "2", TF_ENABLE_ONEDNN_OPTS="1"))
        default.append(_trained(0, 2)["history"][1]["seconds"])
        start = time.monotonic()
        result = _trained(0, 2, "--recipe", "notebook")
        around.append(time.monotonic() - start - result["seconds"])
        ours.append(result["history"][1]["seconds"])
        ratios.append(ours[-1] / plain[-1])
    return [
        at_most(
            "an epoch of edgecnn train --recipe notebook / of model.fit",
            median(ratios),
            0.65,
            f"second epochs: {median(ours):.1f} and {median(plain):.1f} s, and {median(same):.1f} s of model.fit with "
            f"TF_ENABLE_ONEDNN_OPTS=1; {median(default):.1f} s with the default recipe, twice as many steps of varied images; "
            f"median of {_TURNS} turns; outside its epochs the command takes {median(around):.1f} s",
        )
    ]


def measure_taught(folder: Path) -> list[Claim]:
    """Time the second epochs of 8,8,8 that learns from MNIST's CNN, by edgecnn and as in Keras's guide, in turns."""
    ours: dict[str, list[float]] = {"float32.tflite": [], "model.keras": []}
    plain = []
    for _ in range(_TURNS):
        plain.append(_second_epoch("plain_distill", str(folder / "model.keras"), "2"))
        for name, times in ours.items():
            taught = _trained(0, 2, "--filters", "8,8,8", "--teacher", str(folder / name))
            times.append(taught["history"][1]["seconds"])
    exported, keras = ours.values()
    how = (
        f"second epochs: {median(exported):.1f} s taught by float32.tflite, {median(keras):.1f} s by model.keras, and "
        f"{median(plain):.1f} s; median of {_TURNS} turns"
    )
    ratio = median(one / other for one, other in zip(exported, plain, strict=True))
    return [at_most("an epoch of 8,8,8 with a teacher / of Keras's distiller", ratio, 0.5, how)]


def _second_epoch(module: str, *arguments: str, **variables: str) -> float:
    """Return the seconds of the second epoch that a baseline prints."""
    command = [sys.executable, "-m", f"tools.claims.baselines.{module}", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | variables)
    return float(done.stdout.split()[1])


def measure_few(folder: Path) -> list[Claim]:
    """Train for 2 and for 5 epochs."""
    two = _trained(0, 2)["test_accuracy"]
    return [
        at_least("accuracy after edgecnn train --epochs 2", two, 0.9907, "seed 0, 10,000 test images"),
        _of_seeds(5, 0.9938),
    ]


def measure_many(folder: Path) -> list[Claim]:
    """Train for 25 epochs."""
    return [_of_seeds(25, 0.9952)]


def _of_seeds(epochs: int, least: float) -> Claim:
    found = [_trained(seed, epochs)["test_accuracy"] for seed in _SEEDS]
    said = ", ".join(f"{accuracy:.4f}" for accuracy in found)
    return at_least(f"mean accuracy of 3 seeds after {epochs} epochs", mean(found), least, f"seeds 0, 1, 2: {said}")


def _trained(seed: int, epochs: int, *others: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        arguments = ["--seed", str(seed), "--epochs", str(epochs), "--out", scratch, "--json", f"{scratch}/result.json"]
        subprocess.run([EDGECNN, "train", *arguments, *others], check=True, capture_output=True)
        found: dict[str, Any] = json.loads(Path(scratch, "result.json").read_text(encoding="utf-8"))
        return found

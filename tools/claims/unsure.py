"""Answers that are not sure: what the thresholds of `--max-error` accept of strangers, and whether their bound holds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.statistics.selective import certified, least_images
from edgecnn.convert.export.thresholds import Acceptance, Outputs, threshold_of
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.data.splits import Split, Subset
from edgecnn.edge.errors import GateFailed
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import accepts, correct
from tools.claims.claims import EDGECNN, Claim, at_most

_FILES = ("float32.tflite", "int8.tflite")
_STRANGERS = "/usr/share/datasets/fashion-mnist"  # Debian's.
_ASKED = 1.0
# Of all answers of MNIST's CNN about 0.6 % are wrong, so that any threshold would hold 1 %.
_ASKED_OF_SPLITS = 0.5
_SPLITS = 100


def measure(folder: Path) -> list[Claim]:
    """Train MNIST's CNN with validation images, and set thresholds by them, and by halves of the test images."""
    out = folder.parent / "unsure"
    if not (out / "model.keras").exists():
        train = [EDGECNN, "train", "--val-share", "0.1", "--out", str(out)]
        subprocess.run(train, check=True, stdout=sys.stderr)
    export = [EDGECNN, "export", str(out / "model.keras"), "--format", "tflite", "--max-error", f"{_ASKED:g}"]
    subprocess.run([*export, "--strangers", _STRANGERS], check=True, stdout=sys.stderr)
    files = {file["path"]: file for file in json.loads((out / "manifest.json").read_text())["artifacts"]}
    return [claim for name in _FILES for claim in _of_file(out / name, files[name]["threshold"]["strangers"][0])]


def _of_file(path: Path, strangers: dict[str, int]) -> list[Claim]:
    accepted, plain = strangers["accepted"], strangers["plain"]
    counts = f"{accepted:,} of {strangers['images']:,}, softmax's loosest threshold {plain:,}"
    exceeding, without = _exceeding(path)
    return [
        at_most(f"{path.name}: accepted of Fashion-MNIST, of softmax's", accepted / plain, 0.5, counts),
        at_most(
            f"{path.name}: of {_SPLITS} splits, with more errors than asked",
            exceeding,
            0.05 * _SPLITS,
            f"at most {_ASKED_OF_SPLITS:g} % asked; half of MNIST's test images sets the threshold, and none in {without}",
        ),
    ]


def _exceeding(path: Path) -> tuple[int, int]:
    """Return in how many random halves of the test images more errors are accepted than were asked, by a threshold that the
    other half set; and how many halves can set none.
    """
    test = load_test()
    probabilities = Classifier.load(path).split_probabilities(test)
    wrong = ~correct(probabilities, test.labels)
    job = Acceptance(_ASKED_OF_SPLITS / 100, (), 0, None, False, certified, least_images)  # The loosest threshold.

    def run(split: Split) -> Outputs:
        assert isinstance(split, Subset)
        return Outputs(probabilities[split.indices], None)

    exceeding = without = 0
    for seed in range(_SPLITS):
        sets, judges = np.split(np.random.default_rng(seed).permutation(len(wrong)), 2)
        try:
            threshold = threshold_of(path.name, run, job, (Subset(test, sets), 1), "")
        except GateFailed:
            without += 1
            continue
        exceeding += bool(wrong[judges][accepts(threshold, probabilities[judges], None)].mean() > _ASKED_OF_SPLITS / 100)
    return exceeding, without

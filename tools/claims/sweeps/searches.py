"""Whether the interval that `edgecnn fit` states holds the true accuracy of the file that it chooses."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.splits import chunks
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import correct
from tools.claims.claims import EDGECNN, Claim, at_least

_SEARCHES = 40
# Images of MNIST that a search gets to train and to test, and how many others tell how accurate its file is.
_TRAIN, _TEST, _OTHERS = 1800, 500, 20_000
_KIB, _MINUTES = 12, 1.0


def measure(folder: Path) -> list[Claim]:
    """Search with other seeds and images; each search is kept in `searches` next to `folder`, by its seed."""
    out = folder.parent / "searches"
    out.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset("mnist")
    images = np.concatenate([part for split in (dataset.train, dataset.test) for part in chunks(split)])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    found = [_search(out, seed, images, labels) for seed in range(_SEARCHES)]
    held = sum(low <= truth <= high for truth, low, high in found)
    away = [100 * (truth - (low + high) / 2) for truth, low, high in found]
    wide = 100 * float(np.mean([high - low for _, low, high in found]))
    how = (
        f"{_TRAIN:,} and {_TEST} images of MNIST, {_KIB} KiB, {_MINUTES:g} min; {_OTHERS:,} others {np.mean(away):+.2f} points "
        f"from the interval's middle on average, which is {wide:.1f} points wide"
    )
    return [at_least(f"fit: of {_SEARCHES} searches, true accuracy in the interval", held, 0.95 * _SEARCHES, how)]


def _search(out: Path, seed: int, images: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Return the true share of right answers of the chosen file, and the two ends of the stated interval."""
    place, (train, test, others) = out / str(seed), _drawn(seed, len(labels))
    if not (place / "fit.json").exists():
        with tempfile.TemporaryDirectory() as scratch:
            data = Path(scratch, "images.npz")
            parts = {"train": train, "test": test}
            arrays = {
                f"{kind}_{name}": array[of] for name, of in parts.items() for kind, array in (("x", images), ("y", labels))
            }
            np.savez(data, **arrays)
            place.mkdir(exist_ok=True)
            if seed and not (place / "costs.json").exists():  # What untrained networks cost does not depend on the images.
                shutil.copy(out / "0" / "costs.json", place)
            limits = ["--max-size-kib", str(_KIB), "--minutes", f"{_MINUTES:g}", "--allow", "noise"]
            command = [EDGECNN, "fit", "--data", str(data), "--out", str(place), *limits, "--seed", str(seed)]
            subprocess.run(command, check=True, stdout=sys.stderr)
    result = json.loads((place / "fit.json").read_text(encoding="utf-8"))
    right = correct(Classifier.load(place / result["chosen"]).probabilities(images[others]), labels[others]).mean()
    return float(right), result["accuracy"]["low"], result["accuracy"]["high"]


def _drawn(seed: int, count: int) -> tuple[np.ndarray, ...]:
    order = np.random.default_rng(seed).permutation(count)[: _TRAIN + _TEST + _OTHERS]
    return tuple(np.split(order, [_TRAIN, _TRAIN + _TEST]))

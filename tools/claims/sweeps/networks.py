"""What small networks reach, chosen on validation images: docs/how-to/network-size.md."""

import json
import re
import subprocess
from pathlib import Path
from statistics import mean
from typing import Any

import edgecnn as ec
from edgecnn.benchmarks.results.latency_summary import typical_ns
from tools.claims.claims import EDGECNN, Claim, at_least, at_most
from tools.published_front import published

_PAGE = Path("docs/how-to/network-size.md")
_SEEDS = (0, 1, 2)
_FAST, _TINY, _NARROW, _DEEP = "strided", "nets:tiny", "nets:narrow", "nets:deep"
_OWN = ("--preprocess", "unit", "--epochs", "60")
_TAUGHT = (*_OWN, "--teacher", "../mnist/float32.tflite")
_SWEEPS = {
    _FAST: ("--network", _FAST, "--filters", "12,24,32", "--epochs", "40"),
    _TINY: ("--network", _TINY, *_TAUGHT, "--augment", "none"),
    _NARROW: ("--network", _NARROW, "--set", "width=13", *_TAUGHT, "--qat", "3"),
    _DEEP: ("--network", _DEEP, *_OWN),
}


def measure(folder: Path) -> list[Claim]:
    """Run or continue the sweeps with each seed; then time the fast network with MNIST's CNN."""
    out = folder.parent / "networks"
    out.mkdir(exist_ok=True)
    (out / "nets.py").write_text(networks_of_the_page(), encoding="utf-8")
    fast, tiny, narrow, deep = ([_swept(network, seed, out) for seed in _SEEDS] for network in _SWEEPS)
    sizes = [row["size_bytes"] for row in narrow]
    return [
        _right("fast", fast, 0.9907),
        time_of_fastest(folder / "int8.tflite", (out / _folder(_FAST, 0) / fast[0]["network"]["file"]).parent, _FAST, 0.2),
        *_small("tiny", tiny, 0.99, 1_000),
        *_small("narrow", narrow, 0.9925, 2_000),
        at_most("its int8.tflite, KiB", max(sizes) / 1024, 12, f"{sizes} bytes with labels and metadata"),
        *_small("deep", deep, 0.995, 10_000),
    ]


def networks_of_the_page() -> str:
    """Return the module of networks that the page shows."""
    module = re.search(r"^```python\n(# nets\.py\n.*?)^```", _PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert module, "the page has no nets.py"
    return module[1]


def _swept(network: str, seed: int, out: Path) -> dict[str, Any]:
    """Return the row of a network in its sweep with a seed."""
    name = _folder(network, seed)
    options = (*_SWEEPS[network], "--val-share", "0.1", "--allow", "noise", "--seed", str(seed), "--out", name)
    subprocess.run([EDGECNN, "sweep", *options], cwd=out, check=True, stdout=subprocess.DEVNULL)
    (row,) = json.loads((out / name / "sweep.json").read_text(encoding="utf-8"))["rows"]
    return dict(row)


def _folder(network: str, seed: int) -> str:
    return f"{network.rpartition(':')[2]}-{seed}"


def _right(name: str, rows: list[dict[str, Any]], least: float, published_to: int = 0) -> Claim:
    """Promise the mean accuracy of the seeds; others' networks of at most so many parameters are named."""
    network, parameters = rows[0]["network"]["network"], rows[0]["network"]["parameters"]
    said = ", ".join(f"{_accuracy(row):.4f}" for row in rows)
    how = (
        f"{network}, {parameters:,} parameters; seeds {', '.join(map(str, _SEEDS))}: {said}; validation images chose the epochs"
    )
    for other in published():
        if other.parameters is not None and other.parameters <= published_to:
            chose = "test" if other.chosen_on_test else "validation"
            how += f"; others: {other.name} {other.right / 10_000:.4f}, float, chosen on {chose} images"
    return at_least(f"{name}: mean accuracy of 3 seeds, int8", mean(map(_accuracy, rows)), least, how)


def _small(name: str, rows: list[dict[str, Any]], least: float, most: int) -> tuple[Claim, Claim]:
    """Promise the mean accuracy of the seeds, and that the network has at most so many parameters."""
    network = rows[0]["network"]
    how = f"{network['network']} of {_PAGE}"
    return _right(name, rows, least, most), at_most("its parameters", network["parameters"], most, how)


def _accuracy(row: dict[str, Any]) -> float:
    return float(row["correct"] / row["images"])


def time_of_fastest(cnn: Path, folder: Path, network: str, limit: float) -> Claim:
    """Tune a network, time its int8 files together with that of 32,32,32, and promise the faster one's share of its time.

    Args:
        cnn: The int8 file of 32,32,32.
        folder: Folder of the network.
        network: What to call it.
        limit: The largest share.
    """
    command = [EDGECNN, "export", str(folder / "model.keras"), "--format", "tflite", "--tune"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    paths = [path for path in (folder / "int8.tflite", folder / "tuned.tflite", folder / "float32.tflite") if path.exists()]
    base, *own = ec.bench([cnn, *paths], allow=("noise",)).files
    times = {path.name: typical_ns(file.launches) for path, file in zip(paths, own, strict=True)}
    right = {path.name: file.accuracy for path, file in zip(paths, own, strict=True)}
    name = min((name for name in times if name != "float32.tflite"), key=times.__getitem__)
    found = right[name]
    assert found  # A folder's files have test images.
    how = ", ".join(f"{name} {time / 1e3:.1f} µs" for name, time in times.items())
    how += f", 32,32,32 {typical_ns(base.launches) / 1e3:.1f} µs; {name} right on {found.correct:,} of {found.images:,} images"
    share = times[name] / typical_ns(base.launches)
    return at_most(f"{network}'s {name} / 32,32,32's int8.tflite, time", share, limit, how)

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
_OWN = ("--preprocess", "unit", "--epochs", "60")
_TAUGHT = (*_OWN, "--teacher", "../mnist/float32.tflite")
_NARROW = ("--network", "nets:narrow", *_TAUGHT, "--set")


def measure_strided(folder: Path) -> list[Claim]:
    """Sweep a fast network with each seed, in `networks` next to `folder`; then time it with MNIST's CNN."""
    rows = _swept(folder, "strided", "--network", "strided", "--filters", "12,24,32", "--epochs", "40")
    own = _out(folder) / "strided-0" / rows[0]["network"]["file"]
    return [
        _right("strided 12,24,32", rows, 0.9907),
        time_of_fastest(folder / "int8.tflite", own.parent, "strided", 0.2),
    ]


def measure_tiny(folder: Path) -> list[Claim]:
    """Sweep a network of at most 1,000 parameters with each seed."""
    return _small("tiny", _swept(folder, "tiny", "--network", "nets:tiny", *_TAUGHT, "--augment", "none"), 0.99, 1_000)


def measure_narrow(folder: Path) -> list[Claim]:
    """Sweep a network of at most 2,000 parameters with each seed."""
    rows = _swept(folder, "narrow", *_NARROW, "width=13", "--qat", "3")
    return [*_small("narrow", rows, 0.9925, 2_000), _size(rows, 12)]


def measure_five_kib(folder: Path) -> list[Claim]:
    """Sweep a network whose file has at most 5 KiB with each seed."""
    rows = _swept(folder, "five_kib", *_NARROW, "width=15", "--format", "ncnn")
    return [_right("narrow, width 15", rows, 0.993), _size(rows, 5)]


def measure_deep(folder: Path) -> list[Claim]:
    """Sweep a network of at most 10,000 parameters with each seed."""
    return _small("deep", _swept(folder, "deep", "--network", "nets:deep", *_OWN), 0.995, 10_000)


def networks_of_the_page() -> str:
    """Return the module of networks that the page shows."""
    module = re.search(r"^```python\n(# nets\.py\n.*?)^```", _PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert module, "the page has no nets.py"
    return module[1]


def _out(folder: Path) -> Path:
    return folder.parent / "networks"


def _swept(folder: Path, name: str, *options: str) -> list[dict[str, Any]]:
    """Return a network's rows, one of each seed, of new or continued sweeps."""
    out, rows = _out(folder), []
    out.mkdir(exist_ok=True)
    (out / "nets.py").write_text(networks_of_the_page(), encoding="utf-8")
    for seed in map(str, _SEEDS):
        command = [
            EDGECNN,
            "sweep",
            *options,
            "--val-share",
            "0.1",
            "--allow",
            "noise",
            "--seed",
            seed,
            "--out",
            f"{name}-{seed}",
        ]
        subprocess.run(command, cwd=out, check=True, stdout=subprocess.DEVNULL)
        rows += json.loads((out / f"{name}-{seed}" / "sweep.json").read_text(encoding="utf-8"))["rows"]
    return rows


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


def _small(name: str, rows: list[dict[str, Any]], least: float, most: int) -> list[Claim]:
    """Promise the mean accuracy of the seeds, and that the network has at most so many parameters."""
    network = rows[0]["network"]
    how = f"{network['network']} of {_PAGE}"
    return [_right(name, rows, least, most), at_most("its parameters", network["parameters"], most, how)]


def _size(rows: list[dict[str, Any]], most_kib: int) -> Claim:
    sizes = [row["size_bytes"] for row in rows]
    return at_most(f"its {Path(rows[0]['network']['file']).name}, KiB", max(sizes) / 1024, most_kib, f"{sizes} bytes")


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

"""How small a network can be: the sweep of docs/how-to/network-size.md."""

import json
import subprocess
from pathlib import Path

from tools.claims.claims import EDGECNN, Claim, at_least, at_most
from tools.claims.sweeps.networks import time_of_fastest

_FILTERS = ("32,32,32", "16,16,16", "8,16,12", "8,8,8", "4,8,8", "4,8,4", "2,8,4")


def measure(folder: Path) -> list[Claim]:
    """Run or continue the sweep, and look for the promised network."""
    filters = [word for text in _FILTERS for word in ("--filters", text)]
    out = folder.parent / "sweep"
    teacher = ["--teacher", str(folder / "model.keras")]
    options = [*teacher, "--epochs", "10", "--reach", "98.5", "--out", str(out), "--allow", "noise"]
    subprocess.run([EDGECNN, "sweep", *filters, *options], check=True, stdout=subprocess.DEVNULL)
    sweep = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    first, *others = sweep["rows"]
    right = {",".join(map(str, row["network"]["filters"])): row for row in others}
    small = [
        name
        for name, row in right.items()
        if row["size_bytes"] <= 16 * 1024 and row["network"]["macs"] <= first["network"]["macs"] / 5
    ]
    good = [name for name in small if right[name]["correct"] >= 0.9907 * right[name]["images"]]
    # The network closest to the promise: the fastest that is accurate enough, or the most accurate if none is.
    name = min(good, key=lambda name: right[name]["p50_ns"]) if good else max(small, key=lambda name: right[name]["correct"])
    row = right[name]
    smallest = right.get(sweep["smallest"], first)
    return [
        at_least(
            f"accuracy of {name} as int8",
            row["correct"] / row["images"],
            0.9907,
            "the fastest of the sweep that is small and accurate enough",
        ),
        at_most(
            f"{name} / 32,32,32, multiply-accumulates",
            row["network"]["macs"] / first["network"]["macs"],
            0.2,
            f"{row['network']['macs']:,}",
        ),
        at_most(f"{name}, KiB of int8.tflite", row["size_bytes"] / 1024, 16, f"{row['network']['parameters']:,} parameters"),
        time_of_fastest(out / first["network"]["file"], (out / row["network"]["file"]).parent, name, 0.4),
        at_least(
            f"accuracy of the smallest file that reaches 0.985: {sweep['smallest']}",
            smallest["correct"] / smallest["images"],
            0.985,
            f"{smallest['size_bytes'] / 1024:.1f} KiB, {smallest['network']['macs']:,} multiply-accumulates",
        ),
    ]

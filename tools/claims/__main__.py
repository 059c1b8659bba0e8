"""`make benchmark`: compares every figure that edgecnn promises with its measured value.

    python -m tools.claims [PART...]

Measured parts are kept in artifacts/benchmark.json until they are measured again; all kept parts are printed, each with
its date. A part that fails ends none of the others. `make arm-cost` counts ARM instructions.
"""

import json
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.machine.host import read_machine
from tools.claims import (
    converters,
    integers,
    measuring,
    own_tools,
    predicting,
    startup,
    threads,
    training,
    unsure,
)
from tools.claims.claims import EDGECNN, Claim, to_text
from tools.claims.photos import letters
from tools.claims.photos.measure import measure as measure_photos
from tools.claims.serve import deploying, differing, serving
from tools.claims.sweeps import fitting, networks, searches, several_nodes, shrinking

_FOLDER = Path("artifacts/mnist")
_KEPT = Path("artifacts/benchmark.json")
_PARTS: dict[str, Callable[[Path], list[Claim]]] = {
    "startup": startup.measure,
    "predict": predicting.measure,
    "onnx": measuring.measure,
    "threads": threads.measure,
    "serve": serving.measure,
    "differing": differing.measure,
    "deploy": deploying.measure,
    "tools": own_tools.measure,
    "converters": converters.measure,
    "integers": integers.measure,
    "speed": training.measure_speed,
    "taught": training.measure_taught,
    "few": training.measure_few,
    "many": training.measure_many,
    "letters": letters.measure,
    "unsure": unsure.measure,
    "small": shrinking.measure,
    "strided": networks.measure_strided,
    "tiny": networks.measure_tiny,
    "narrow": networks.measure_narrow,
    "five_kib": networks.measure_five_kib,
    "deep": networks.measure_deep,
    "fit": fitting.measure,
    "searches": searches.measure,
    "input": measure_photos,
    "several_nodes": several_nodes.measure,
}
_WITHOUT_FILES = {
    "differing",
    "speed",
    "few",
    "many",
    "tools",
    "converters",
    "integers",
    "input",
    "letters",
    "unsure",
    "searches",
    "several_nodes",
}


def main(names: list[str]) -> None:
    """Measure the named parts, or all."""
    if unknown := [name for name in names if name not in _PARTS]:
        sys.exit(f"benchmark: {unknown[0]} is unknown: name parts from {', '.join(_PARTS)}")
    wanted = names or list(_PARTS)
    if "serve" in wanted and not shutil.which("wrk"):
        sys.exit("benchmark: serve needs wrk: sudo apt-get install wrk, or name the other parts")
    if not {*wanted} <= _WITHOUT_FILES:
        _make_files()
    failed = [name for name in wanted if not _measured(name)]
    for name, part in sorted(_kept().items(), key=lambda item: list(_PARTS).index(item[0])):
        print(f"{name}, {part['date']}, {part['cpu']}")
        print(to_text([Claim(**claim) for claim in part["claims"]]), end="\n\n")
    if failed:
        sys.exit(f"benchmark: failed, see above: {', '.join(failed)}")


def _make_files() -> None:
    """Train and export MNIST's CNN, unless that was done."""
    for command, made in (("train", "model.keras"), ("export", "int8.onnx")):
        if not (_FOLDER / made).exists():
            subprocess.run([EDGECNN, command], check=True, stdout=sys.stderr)


def _measured(name: str) -> bool:
    """Measure a part and keep it; return whether that worked."""
    print(f"benchmark: measuring {name}", file=sys.stderr, flush=True)
    try:
        claims = _PARTS[name](_FOLDER)
    except Exception:
        traceback.print_exc()
        return False
    machine = read_machine()
    cpu = f"{machine.cpu}, {machine.cores} cores"
    kept = _kept()
    kept[name] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "cpu": cpu, "claims": [asdict(claim) for claim in claims]}
    _KEPT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(to_text(claims), file=sys.stderr, flush=True)
    return True


def _kept() -> dict[str, Any]:
    return json.loads(_KEPT.read_text(encoding="utf-8")) if _KEPT.exists() else {}


if __name__ == "__main__":
    main(sys.argv[1:])

"""The time a command takes to answer, compared with the imports it can't avoid, and to end after its answer."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image

from edgecnn.edge.data.dataset import load_test
from tools.claims.claims import EDGECNN, Claim, at_most

_TURNS = 25
_ENDS = 5


def measure(folder: Path) -> list[Claim]:
    """Time `edgecnn --help` and `edgecnn predict`, each in turns with its baseline."""
    with tempfile.TemporaryDirectory() as scratch:
        digit = Path(scratch) / "digit.png"
        Image.fromarray(load_test().images([47])[0, :, :, 0]).save(digit)
        model = str(folder / "int8.tflite")
        commands = {
            "typer": [sys.executable, "-c", "import typer"],
            "help": [EDGECNN, "--help"],
            "bench help": [EDGECNN, "bench", "--help"],
            "five lines": [sys.executable, str(Path(__file__).with_name("baselines") / "five_lines.py"), model, str(digit)],
            "predict": [EDGECNN, "predict", model, str(digit)],
            "predict --index": [EDGECNN, "predict", model, "--index", "47"],
            # The imports that any typer command needs to run the file.
            "floor": [sys.executable, "-c", "import typer, numpy, ai_edge_litert.interpreter, PIL.Image"],
        }
        # With it, every run would compile the modules again.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(1 + _TURNS):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                if turn:  # The first turn compiles, and tries the file in a child process.
                    times[name].append(time.perf_counter() - start)

    def ratio(one: str, other: str) -> float:
        return median(a / b for a, b in zip(times[one], times[other], strict=True))

    said = {name: f"{name} {1e3 * median(values):.0f} ms" for name, values in times.items()}
    return [
        *(
            at_most(f"edgecnn {typed} / python -c 'import typer'", ratio(name, "typer"), 1.5, f"{said[name]}, {said['typer']}")
            for name, typed in (("help", "--help"), ("bench help", "bench --help"))
        ),
        *(
            at_most(
                f"edgecnn predict int8.tflite {typed} / a five-line script",
                ratio(name, "five lines"),
                1.3,
                f"{said[name]}, {said['five lines']}; the imports of the five lines plus typer's: "
                f"{ratio('floor', 'five lines'):.2f}",
            )
            for name, typed in (("predict", "digit.png"), ("predict --index", "--index 47"))
        ),
        *_ends(folder),
    ]


def _ends(folder: Path) -> list[Claim]:
    """Time commands that import TensorFlow from their last line to their end."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(folder, Path(scratch, "copy"))
        quickly = ["--epochs", "1", "--filters", "4,4,4", "--out", str(Path(scratch, "small"))]
        commands = {
            "evaluate model.keras": ["evaluate", str(folder / "model.keras")],
            "export --format tflite": ["export", str(copy / "model.keras"), "--format", "tflite"],
            "train --epochs 1": ["train", *quickly],
        }
        return [_end(name, command) for name, command in commands.items()]


def _end(name: str, command: list[str]) -> Claim:
    times = []
    for _ in range(_ENDS):
        process = subprocess.Popen([EDGECNN, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout
        last = 0.0
        for _line in process.stdout:
            last = time.perf_counter()
        code = process.wait()
        assert last, f"edgecnn {name} printed nothing"
        assert code == 0, f"edgecnn {name} ended with {code}"
        times.append(time.perf_counter() - last)
    said = ", ".join(f"{1e3 * taken:.0f}" for taken in times)
    return at_most(f"edgecnn {name}, last line to end, s", median(times), 0.3, f"{said} ms")

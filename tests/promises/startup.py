"""How long a command line takes to answer, beside what it can't do without."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image

from convert.dataset import load_test
from tests.promises.claims import Claim, at_most

_TURNS = 25
_EDGECNN = str(Path(sys.executable).with_name("edgecnn"))


def measure(folder: Path) -> list[Claim]:
    """Time `edgecnn --help` and `edgecnn predict`, each in turns with what it is compared with."""
    with tempfile.TemporaryDirectory() as scratch:
        digit = Path(scratch) / "digit.png"
        Image.fromarray(load_test().images([47])[0, :, :, 0]).save(digit)
        model = str(folder / "int8.tflite")
        commands = {
            "typer": [sys.executable, "-c", "import typer"],
            "help": [_EDGECNN, "--help"],
            "five lines": [sys.executable, str(Path(__file__).with_name("five_lines.py")), model, str(digit)],
            "predict": [_EDGECNN, "predict", model, str(digit)],
            # What any command of typer's needs to run the file, before a line of its own.
            "floor": [sys.executable, "-c", "import typer, numpy, ai_edge_litert.interpreter, PIL.Image"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(_TURNS):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times[name].append(time.perf_counter() - start)

    def ratio(one: str, other: str) -> float:
        return median(a / b for a, b in zip(times[one], times[other], strict=True))

    said = {name: f"{name} {1e3 * median(values):.0f} ms" for name, values in times.items()}
    return [
        at_most("edgecnn --help / python -c 'import typer'", ratio("help", "typer"), 1.5, f"{said['help']}, {said['typer']}"),
        at_most(
            "edgecnn predict int8.tflite / a five-line script",
            ratio("predict", "five lines"),
            1.3,
            f"{said['predict']}, {said['five lines']}; the imports of the five lines and typer's alone: "
            f"{ratio('floor', 'five lines'):.2f}",
        ),
    ]

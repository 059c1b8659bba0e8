"""Tries every hole, and counts the findings like those of altered files."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.faults.bases import environment
from tools.faults.holes.accuracy import HOLES, Hole
from tools.faults.holes.timing import compared, slow_launch, stops
from tools.faults.judge import Column, Expected, judge
from tools.faults.lay import copied
from tools.faults.pool import Lane, run_script
from tools.faults.table import Log, Outcome, attempt

_STATE = "predict state.tflite first.png second.png first.png --preprocess unit --json -"


def torture_verdicts(bases: Path, out: Path, pairs: int, log: Log) -> None:
    """Inject every hole once.

    Args:
        bases: Result of `make_bases`.
        out: Working folder.
        pairs: Number of pairs of benchmarks of identical files to compare.
        log: Takes the outcomes.
    """

    def inject(hole: Hole) -> tuple[Column, str]:
        folder = _fresh(bases, out)
        hole.lay(folder)
        answer = lane.run(hole.command.split(), folder)
        column, reason = judge(answer, Expected())
        return _held(hole.wrong(folder, answer)) if column in (Column.REFUSED, Column.ACCEPTED) else (column, reason)

    def measure(wrong: Callable[[Path], str]) -> tuple[Column, str]:
        return _held(wrong(_fresh(bases, out)))

    lane = Lane(out / "holes", "device")
    try:
        for hole in HOLES:
            column, reason = attempt(partial(inject, hole))
            log.add(Outcome(hole.name, column, "injected", hole.command, reason))
    finally:
        lane.close()
    timing: dict[str, tuple[str, Callable[[Path], str]]] = {
        "state from image to image": (_STATE, _state_leaks),
        "one launch in five is slow": ("bench slow.onnx --max-p90-ms ...", slow_launch),
        "processes are stopped": ("bench bare/float32.tflite", stops),
        f"{pairs} pairs of identical files under load": ("compare old.json new.json", compared(pairs)),
    }
    for name, (command, wrong) in timing.items():
        column, reason = attempt(partial(measure, wrong))
        log.add(Outcome(name, column, "injected", command, reason))


def _held(wrong: str) -> tuple[Column, str]:
    return (Column.VERDICT if wrong else Column.HELD), wrong


def _fresh(bases: Path, out: Path) -> Path:
    folder = out / "holes" / "try"
    shutil.rmtree(folder, ignore_errors=True)
    copied(bases, folder, "m", "bare")
    shutil.copy(bases / "photos" / "1" / "1.png", folder / "first.png")
    shutil.copy(bases / "photos" / "2" / "2.png", folder / "second.png")
    return folder


def _state_leaks(folder: Path) -> str:
    """The same image before and after another one must get the same answer."""
    made = subprocess.run(
        [sys.executable, "-m", "tools.faults.holes.state", str(folder / "state.tflite")],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        return f"no model with state could be made: {made.stderr.strip().splitlines()[-1:]}"
    answer = run_script(_STATE.split(), folder, folder)
    if answer.code:
        return f"exit code {answer.code}: {answer.err.strip().splitlines()[-1:]}"
    first, _, third = (image["probabilities"] for image in json.loads(answer.out)["images"])
    return "" if first == third else f"one image gets {first}, and after another one {third}"

"""Ways in which a benchmark was once fooled about time: slow launches, stopped processes, load."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.results.read import read_report
from tools.faults.bases import environment
from tools.faults.holes.models import slow
from tools.faults.pool import HANG_SECONDS, Answer, run_script

_PLAN = "--launches 5 --min-runs 100 --min-seconds 0"
_ALLOWED_RATE, _CERTAIN = 0.05, 0.01
_PLANTED_TRIES = 4


def measure(folder: Path, command: str, disturb: Callable[[int], None] | None = None) -> Answer:
    """Run a benchmark, and call `disturb` with its process id again and again while it runs."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "edgecnn", *command.split()],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + HANG_SECONDS
    while disturb and process.poll() is None and time.monotonic() < until:
        disturb(process.pid)
    try:
        out, err = process.communicate(timeout=max(1.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        return Answer(None, hung=True)
    return Answer(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _pause(pids: list[int], stopped: float, running: float) -> None:
    """Stop processes for a time, and let them run for a time."""
    for number, seconds in ((signal.SIGSTOP, stopped), (signal.SIGCONT, running)):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(seconds)


class SlowLaunch:
    """Makes one child of a benchmark three times slower: the `chosen`th that appears.

    It is stopped twice in the time of a run: in longer turns, most runs of a fast machine would fall between two stops.
    """

    def __init__(self, chosen: int, run_seconds: float) -> None:
        """Start with no child seen."""
        self._chosen, self._seen, self._turn = chosen, list[int](), run_seconds / 2

    def __call__(self, parent: int) -> None:
        """Look at the children, and slow the chosen one for a moment."""
        now = _children(parent)
        self._seen += [pid for pid in now if pid not in self._seen]
        hit = [pid for place, pid in enumerate(self._seen) if place == self._chosen and pid in now]
        _pause(hit, 2 * self._turn if hit else 0, self._turn)


def slow_launch(folder: Path) -> str:
    """One launch in five is three times slower, and the limit is 1.5 times the others' time: there must be no PASS."""
    (folder / "slow.onnx").write_bytes(slow())
    for chosen in range(2, 2 + _PLANTED_TRIES):
        answer = measure(folder, f"bench slow.onnx --allow noise {_PLAN} --json quiet.json")
        if answer.code:
            return f"the undisturbed benchmark ended with {answer.code}: {answer.err.strip().splitlines()[-1:]}"
        quiet = _medians(folder / "quiet.json")
        limit = 1.5e-6 * max(quiet)
        command = f"bench slow.onnx --allow noise {_PLAN} --max-p90-ms {limit} --json slow.json"
        answer = measure(folder, command, SlowLaunch(chosen, 1e-9 * min(quiet)))
        medians = sorted(_medians(folder / "slow.json"))
        if medians[-1] < 2 * medians[0]:
            continue  # Another child was slowed: the first ones only open the file.
        verdict = json.loads((folder / "slow.json").read_text(encoding="utf-8"))["verdict"]["status"]
        return (
            f"PASS within {limit:.3g} ms, where launches took {[round(1e-6 * m, 2) for m in medians]} ms"
            if verdict == "PASS"
            else ""
        )
    return "no launch could be slowed: the hole was not tried"


def _medians(result: Path) -> list[float]:
    (file,) = read_report(result).files
    return [float(np.median(np.concatenate([part.measured.unpack() for part in launch.rounds]))) for launch in file.launches]


def stops(folder: Path) -> str:
    """Every measuring process is stopped for 50 of every 200 ms: the result must say that its times are unstable."""
    answer = measure(
        folder, "bench bare/float32.tflite --launches 3 --min-runs 200 --min-seconds 2 --json stops.json",
        lambda pid: _pause(_children(pid), 0.05, 0.15),
    )  # fmt: skip
    if answer.code not in (0, 7):
        return f"exit code {answer.code}: {answer.err.strip().splitlines()[-1:]}"
    return (
        ""
        if json.loads((folder / "stops.json").read_text(encoding="utf-8"))["noise"]
        else "nothing says that the times are unstable"
    )


def compared(pairs: int) -> Callable[[Path], str]:
    """Return a check that, under load, identical files are called worse or improved at most 1 time in 20."""

    def wrong(folder: Path) -> str:
        said = list[str]()
        with _load():
            for _ in range(pairs):
                for name in ("old.json", "new.json"):
                    measure(folder, f"bench bare/float32.tflite --launches 5 --min-runs 500 --min-seconds 0.3 --json {name}")
                answer = run_script(["compare", "old.json", "new.json", "--json", "-"], folder, folder)
                if answer.code not in (0, 7):
                    return f"exit code {answer.code}: {answer.err.strip().splitlines()[-1:]}"
                said += [change["evidence"] for change in json.loads(answer.out)["changes"]]
        mistaken = sum(word in ("worse", "improved") for word in said)
        return (
            f"{mistaken} of {len(said)} pairs of identical files are called worse or improved"
            if mistaken > _bearable(len(said))
            else ""
        )

    return wrong


def _bearable(tries: int) -> int:
    """Return how many of these tries may go wrong before a rate of 1 in 20 is refuted at 1 %."""
    tail, mistaken = 1.0, -1
    while tail >= _CERTAIN:
        mistaken += 1
        tail -= math.comb(tries, mistaken) * _ALLOWED_RATE**mistaken * (1 - _ALLOWED_RATE) ** (tries - mistaken)
    return mistaken


@contextmanager
def _load() -> Iterator[None]:
    """Keep every CPU busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()

"""Kills commands at random moments, and checks what they leave."""

import os
import re
import select
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.model_file import read_model
from tools.faults.bases import QUICK
from tools.faults.forks import Forks, Order, Scripts
from tools.faults.judge import Column
from tools.faults.lay import copied
from tools.faults.pool import HANG_SECONDS, ROOMS, Lane
from tools.faults.table import Log, Outcome, attempt

_RUN_TO_THE_END = 8
"""One command in this many is not killed; after it nothing of the killed ones may be left."""
# A function of ours, not a module or the body of a class: until the first imports are over, for some milliseconds, Python
# itself handles Ctrl-C.
IN_RUN = re.compile(rf'File "{re.escape(str(Path(__file__).parents[2]))}/.*, in (?!<module>|_?[A-Z])')
_ORPHAN_SECONDS = 2.0
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Exit codes of the signals that Python can handle: 128 + n, as in shells.
_CODES = {signal.SIGTERM: (143,), signal.SIGINT: (130,)}
_ENDS = {".html": b"</html>"}
_TRAIN = "--epochs 2 --recipe notebook --batch-size 64 --augment none --filters 2,4,4"


@dataclass(frozen=True)
class Scene:
    """A command to kill, and what must hold afterwards.

    Attributes:
        name: Row of the table.
        share: Number of times among every 1,000 kills.
        command: Command to kill; {batch}, {seed} and {count} differ between runs, so that old and new files differ.
        bases: The files that it needs.
        checks: Commands that must succeed after every kill.
        room: `device`, whose commands start as new processes, or `keras`, whose commands are forked from one with TensorFlow.
        codes: Exit codes of a run that is not killed.
        models: Files that must match their manifest; checking them with TensorFlow would take longer than the command.
        fresh: Folders removed after a finished run: otherwise the next run would not do the work again.
    """

    name: str
    share: int
    command: str
    bases: tuple[str, ...]
    checks: tuple[str, ...]
    room: str = "device"
    codes: tuple[int, ...] = (0,)
    models: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    def arguments(self, number: int) -> list[str]:
        """Return the command of the `number`th run."""
        names = {"batch": ("1", "dynamic")[number % 2], "seed": number, "count": 100 + 100 * (number % 2)}
        return [word.format(**names) for word in self.command.split()]


SCENES = (
    Scene(
        "train", 150, f"train --data data --out m --seed {{seed}} {_TRAIN}", ("data", "m"), (), "keras",
        models=("m/model.keras",),
    ),
    Scene(
        "export", 250, "export m/model.keras --batch {batch}", ("data", "m"),
        ("verify m/int8.tflite", "verify m/float32.tflite", "verify m/int8.onnx"), "keras", models=("m/model.keras",),
    ),
    Scene(
        "sweep", 100, "sweep --data data --filters 2,2,2 --filters 2,2,4 --epochs 1 --out s", ("data",), (), "keras", (0, 3, 7),
        fresh=("s",),
    ),
    Scene(
        "bundle", 200, "bundle m --images {count} --out out/b.zip", ("data", "m"), ("verify out/b.zip", "verify m/int8.tflite"),
    ),
    Scene(
        "bench", 200, f"bench m --runtime tflite --json out/r.json --markdown out/r.md --csv out/r.csv {QUICK}", ("data", "m"),
        ("report out/r.json", "verify m/int8.tflite"), codes=(0, 3, 7),
    ),
    Scene(
        "report", 100, "report result.json --html out/r.html --csv out/r.csv", ("data", "m", "result.json"),
        ("report result.json",),
    ),
)  # fmt: skip


class Stage:
    """The folder of a scene, in which its command is run and killed again and again."""

    def __init__(self, scene: Scene, bases: Path, folder: Path, forks: Forks | Scripts, lane: Lane) -> None:
        """Lay out the folder and run the command once, undisturbed."""
        self.scene, self._forks, self._lane = scene, forks, lane
        self._home, self._temporary = folder / scene.name, folder / f"tmp-{scene.name}"
        for path in (self._home, self._temporary):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        copied(bases, self._home, *scene.bases)
        self._seconds = 0.0
        self.problem = self._finish(0)
        self._names = self._listing()

    def kill(self, number: int, rng: np.random.Generator) -> tuple[Column, str]:
        """Kill one run; return its column and the reason. A run that ended before its moment counts as finished."""
        sent = _SIGNALS[int(rng.integers(len(_SIGNALS)))]
        moment, whole_group = float(rng.uniform(0, 1.05 * self._seconds)), bool(rng.random() < 0.5)
        pid = self._forks.start(self._order(number))
        ended, _, _ = select.select([self._forks], [], [], moment)
        sent_it = not ended
        if sent_it:
            _send(pid, sent, whole_group and sent is not signal.SIGKILL)
            ended, _, _ = select.select([self._forks], [], [], HANG_SECONDS)
            if not ended:
                _send(pid, signal.SIGKILL, True)
        code = self._forks.wait()
        said = (self._home.parent / f"{self.scene.name}.err").read_text(errors="replace")
        how = f"{sent.name} after {moment:.2f} of {self._seconds:.2f} s"
        if not ended:
            return Column.HANG, f"{how}: it does not end"
        if alive := _alive(pid, self._temporary):
            return Column.ORPHAN, f"{how}: process {alive} outlives it"
        if "Traceback (most recent call last)" in said and IN_RUN.search(said):
            return Column.TRACEBACK, f"{how}: {said.strip().splitlines()[-1]}"
        before_run = sent is signal.SIGINT and code == 1 and said.endswith("KeyboardInterrupt\n")  # While site is imported.
        if code != -sent and not before_run and code not in (*_CODES.get(sent, ()), *self.scene.codes):
            return Column.CODE, f"{how}: exit code {code}"
        problem = self._check()
        if problem:
            return Column.TORN, f"{how}: {problem}"
        return (Column.ENDED if sent_it else Column.FINISHED), ""

    def finish(self, number: int) -> tuple[Column, str]:
        """Run the command to its end, and return whether the killed ones left anything."""
        if problem := self._finish(number) or self._check():
            return Column.TORN, problem
        temporary = [path for path in self._temporary.iterdir() if not _is_probe(path)]
        left = sorted(self._listing() - self._names) + sorted(path.name for path in temporary)
        for path in self._temporary.iterdir():  # So that each is counted once.
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._names |= self._listing()
        for name in self.scene.fresh:
            shutil.rmtree(self._home / name, ignore_errors=True)
        return (Column.LEFT, f"left behind: {', '.join(left[:3])}") if left else (Column.FINISHED, "")

    def _finish(self, number: int) -> str:
        started = time.monotonic()
        self._forks.start(self._order(number))
        code = self._forks.wait()
        self._seconds = time.monotonic() - started  # Measured each time, since the machine's load changes.
        err = (self._home.parent / f"{self.scene.name}.err").read_text(errors="replace").strip()
        return "" if code in self.scene.codes else f"exit code {code}: {err.splitlines()[-1] if err else ''}"

    def _order(self, number: int) -> Order:
        out, err = (str(self._home.parent / f"{self.scene.name}.{stream}") for stream in ("out", "err"))
        return Order(self.scene.arguments(number), str(self._home), str(self._temporary), out, err)

    def _check(self) -> str:
        for name in self.scene.models:
            try:
                if reason := read_model(self._home / name).unverified:
                    return f"{name}: {reason}"
            except EdgeCnnError as error:
                return str(error)
        for check in self.scene.checks:
            answer = self._lane.run(check.split(), self._home)
            if answer.code != 0 or answer.traceback:
                said = (answer.traceback or answer.err).strip().splitlines()
                return f"then edgecnn {check}: {said[-1] if said else answer.died}"
        return f"{torn} is torn" if (torn := torn_in(self._home)) else ""

    def _listing(self) -> set[str]:
        names = (str(path.relative_to(self._home)) for path in self._home.rglob("*"))
        return {name for name in names if "/logs" not in name}  # Each run has a folder named by its time.


def _is_probe(path: Path) -> bool:
    """Whether it is the file by which Python's own `tempfile` tries a folder, for some microseconds of each process."""
    return path.is_file() and path.read_bytes() in (b"", b"blat")


def torn_in(home: Path) -> str:
    """Return the name of a text in `out` that is cut off, or ""; a scene's checks read its bundle."""
    texts = [path for path in (home / "out").glob("*") if path.suffix in (".csv", ".html", ".json", ".md")]
    return next((path.name for path in texts if not path.read_bytes().endswith(_ENDS.get(path.suffix, b"\n"))), "")


def _send(pid: int, number: signal.Signals, whole_group: bool) -> None:
    with suppress(ProcessLookupError):  # It has ended.
        os.killpg(pid, number) if whole_group else os.kill(pid, number)


def _alive(session: int, temporary: Path) -> int | None:
    """Return a process left by a command that has ended, after some time to end too; None if there is no such process."""
    mark, until = f"TMPDIR={temporary}".encode(), time.monotonic() + _ORPHAN_SECONDS
    while True:
        pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
        found = next((pid for pid in pids if _is_of(pid, session, mark)), None)
        if found is None or time.monotonic() > until:
            return found
        time.sleep(0.02)


def _is_of(pid: int, session: int, mark: bytes) -> bool:
    try:
        state, *_rest = (fields := Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())
        return state != "Z" and (int(fields[3]) == session or mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except (OSError, ValueError):
        return False  # It has ended, or is another user's.


def kills_of(scene: Scene, kills: int) -> int:
    """Return how many of these kills a scene gets: one at least."""
    return max(1, kills * scene.share // sum(scene.share for scene in SCENES))


def torture_kills(bases: Path, out: Path, seed: int, kills: int, log: Log) -> None:
    """Kill commands.

    Args:
        bases: Result of `make_bases`.
        out: Working folder.
        seed: Seed of signals and moments. What a moment hits also depends on the machine.
        kills: Number of kills.
        log: Takes the outcomes.
    """

    def note(scene: Scene, number: int, column: Column, reason: str) -> None:
        log.add(Outcome(scene.name, column, str(number), " ".join(scene.arguments(number)), reason))

    def kill_all(room: str) -> None:
        forks, lane = Forks(room) if room == "keras" else Scripts(), Lane(out / "kills" / f"{room}-checks", "device")
        try:
            for place, scene in enumerate(SCENES):
                if scene.room == room:
                    kill_scene(place, scene, Stage(scene, bases, out / "kills", forks, lane))
        finally:
            forks.close()
            lane.close()

    def kill_scene(place: int, scene: Scene, stage: Stage) -> None:
        if stage.problem:
            note(scene, 0, Column.CODE, f"undisturbed: {stage.problem}")
        done, number = 0, 1
        while done < kills_of(scene, kills):
            if number % _RUN_TO_THE_END == 0:
                note(scene, number, *attempt(partial(stage.finish, number)))
            else:
                rng = np.random.default_rng([seed, place, number])
                column, reason = attempt(partial(stage.kill, number, rng))
                note(scene, number, column, reason)
                done += column is not Column.FINISHED
            number += 1
        note(scene, number, *attempt(partial(stage.finish, number)))
        log.say(f"{scene.name}: killed {done} times")

    with ThreadPoolExecutor(len(ROOMS)) as pool:
        list(pool.map(kill_all, ROOMS))  # So that an error in a room is raised here.

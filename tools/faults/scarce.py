"""Runs commands on a full disk and with little memory."""

import os
import re
import select
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tools.faults.forks import Forks, Order
from tools.faults.judge import Column, Expected, judge
from tools.faults.kills import SCENES, Scene, torn_in
from tools.faults.lay import copied
from tools.faults.pool import HANG_SECONDS, ROOMS, Answer, Lane
from tools.faults.table import Log, Outcome, attempt

_MOUNT, _UMOUNT = (shutil.which(name) or name for name in ("mount", "umount"))
_DISK_BYTES = 8 * 2**20
_MEMORY_BYTES = {"device": (2**18, 2**26), "keras": (2**22, 2**29)}
_FILE_BYTES = (0, 150_000)
_ROOM_BYTES = (0, 400_000)
_NOT_LINKED = 127  # Exit code of the dynamic linker if a process has no memory for a library.
_STUCK_SECONDS = 100.0
"""Time limit of TensorFlow without memory, which may wait for ever for a thread that it could not start."""
_WELL = (Column.REFUSED, Column.FINISHED, Column.ENDED)
SHORTAGES = ("full disk", "file size", "memory")
"""Rows of the table."""
_SCENES = [scene for scene in SCENES if scene.name != "sweep"]


def scene_of(place: int, number: int, tries: int) -> Scene:
    """Return the command of a try of the `place`th shortage: all of them in turn, however few the tries."""
    return _SCENES[(place * tries + number) % len(_SCENES)]


def torture_scarcity(bases: Path, out: Path, seed: int, tries: int, log: Log) -> None:
    """Run commands short of disk space and memory.

    The disk is a small one in memory, which needs the right to mount; a limit of file size needs no right. A test that can't
    run here is a finding.

    Args:
        bases: Result of `make_bases`.
        out: Working folder.
        seed: Seed of how much is left.
        tries: Number of each kind.
        log: Takes the outcomes.
    """
    limits = (_on_a_full_disk, _with_small_files, _with_little_memory)

    def starve(room: str) -> None:
        forks, lane, home = Forks(room), Lane(out / "scarce" / room, room), out / "scarce" / room / "try"
        try:
            for place, (name, limited) in enumerate(zip(SHORTAGES, limits, strict=True)):
                for number in range(tries):
                    if (scene := scene_of(place, number, tries)).room == room:
                        shutil.rmtree(home, ignore_errors=True)
                        home.mkdir(parents=True)
                        rng = np.random.default_rng([seed, 100 + place, number])
                        column, reason = attempt(partial(limited, _Attempt(bases, home, scene, number, forks, lane, rng)))
                        log.add(Outcome(name, column, str(number), " ".join(scene.arguments(number)), reason))
        finally:
            forks.close()
            lane.close()

    with ThreadPoolExecutor(len(ROOMS)) as pool:
        list(pool.map(starve, ROOMS))  # So that an error in a room is raised here.


@dataclass(frozen=True)
class _Attempt:
    bases: Path
    home: Path
    scene: Scene
    number: int
    forks: Forks
    lane: Lane
    rng: np.random.Generator

    def lay(self) -> None:
        copied(self.bases, self.home, *self.scene.bases)


def _on_a_full_disk(attempt: _Attempt) -> tuple[Column, str]:
    home = attempt.home
    mounted = subprocess.run(
        [_MOUNT, "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(home)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        return Column.CODE, f"no disk could be mounted: {mounted.stderr.strip()}"
    try:
        attempt.lay()
        filler, left = home / "filler", int(attempt.rng.integers(*_ROOM_BYTES))
        usage = os.statvfs(home)
        filler.write_bytes(bytes(max(0, usage.f_bavail * usage.f_frsize - left)))
        answer = _run(attempt)
        filler.unlink()
        return _judged(attempt, answer, f"{left:,} bytes left")
    finally:
        subprocess.run([_UMOUNT, "--lazy", str(home)], check=True)  # A worker may still be using it.


def _with_small_files(attempt: _Attempt) -> tuple[Column, str]:
    attempt.lay()
    most = int(attempt.rng.integers(*_FILE_BYTES))
    return _judged(attempt, _run(attempt, most_file_bytes=most), f"files of {most:,} bytes at most")


def _with_little_memory(attempt: _Attempt) -> tuple[Column, str]:
    attempt.lay()
    low, high = _MEMORY_BYTES[attempt.scene.room]
    more = int(np.exp(attempt.rng.uniform(np.log(low), np.log(high))))
    seconds = _STUCK_SECONDS if attempt.scene.room == "keras" else HANG_SECONDS
    return _judged(
        attempt, _run(attempt, seconds, more_memory_bytes=more), f"{more / 2**20:.1f} MiB more memory", limited_memory=True
    )


def _run(attempt: _Attempt, seconds: float = HANG_SECONDS, **limits: int) -> Answer:
    said, forks = attempt.home.parent / "said", attempt.forks
    shutil.rmtree(said, ignore_errors=True)
    (said / "tmp").mkdir(parents=True)
    out, err = said / "out", said / "err"
    # Not on the full disk: messages must not be lost, and TMPDIR is usually on another one.
    home, temporary, said_out, said_err = (str(path) for path in (attempt.home, said / "tmp", out, err))
    pid = forks.start(Order(attempt.scene.arguments(attempt.number), home, temporary, said_out, said_err, **limits))
    ended, _, _ = select.select([forks], [], [], seconds)
    if not ended:
        os.killpg(pid, 9)
    code = forks.wait()
    died = code if code < 0 else None
    printed, complained = (path.read_text(errors="replace") for path in (out, err))
    return Answer(None if died else code, printed, complained, died=died, hung=not ended)


def _judged(attempt: _Attempt, answer: Answer, how: str, limited_memory: bool = False) -> tuple[Column, str]:
    home, scene, lane = attempt.home, attempt.scene, attempt.lane
    column, reason = judge(answer, Expected(frozenset({*scene.codes, 2, 4, 5})))
    if column is Column.ACCEPTED:
        column = Column.FINISHED
    if (answer.died or answer.code == _NOT_LINKED) and limited_memory and scene.room == "keras":
        column = Column.ENDED  # TensorFlow aborts if an allocation fails, or waits for ever; its files must be whole anyway.
    if column not in _WELL:
        return column, f"{how}: {reason}"
    for check in scene.checks:
        written = re.search(r"out/\S+", check)
        if column is not Column.FINISHED and written and not (home / written[0]).exists():
            continue  # There was nothing before, and nothing was written.
        if (found := lane.run(check.split(), home)).code != 0:
            return Column.TORN, f"{how}, then edgecnn {check}: {(found.traceback or found.err).strip().splitlines()[-1:]}"
    if torn := torn_in(home):
        return Column.TORN, f"{how}: {torn} is torn"
    left = [str(path.relative_to(home)) for path in home.rglob(".*")]
    if column is Column.REFUSED:
        left += [str(path.relative_to(home)) for path in home.rglob("*") if _is_unwanted(attempt, path)]
    left += [f"{path.name} in TMPDIR" for path in (home.parent / "said" / "tmp").iterdir()]
    return (Column.LEFT, f"{how}: {min(left)}") if left and column is not Column.ENDED else (column, "")


def _is_unwanted(attempt: _Attempt, path: Path) -> bool:
    """Return whether a refused command should not have left this file: outputs in `out` and finished epochs may stay."""
    place = path.relative_to(attempt.home)
    old = (attempt.bases / place).exists() or place.parts[0] in ("out", "filler")
    return path.is_file() and not old and not (attempt.home / "m/checkpoint/checkpoint.json").exists()

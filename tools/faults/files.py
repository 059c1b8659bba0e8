"""Tries altered files: lays each out, runs one command on it, and counts the outcome."""

import json
import shlex
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.faults.bases import BrokenBase
from tools.faults.judge import RIGHT, Column, judge
from tools.faults.kinds import KINDS, Kind
from tools.faults.lay import Laid
from tools.faults.pool import HANG_SECONDS, ROOMS, Answer, Lane, run_script
from tools.faults.table import Log, Outcome, attempt
from tools.faults.truth import wrong_bundle, wrong_verdict

_SCRIPT_EVERY = 20
"""One file in this many runs in its own process, as a user's does."""
_MOST_KEPT = 10  # Most folders kept for one kind's findings in one column: a thousand similar ones help nobody.


@dataclass(frozen=True)
class Try:
    """One altered file: its kind, and its number, which together with the seed determines the alteration."""

    kind: Kind
    number: int


def planned(files: int) -> list[Try]:
    """Return this many tries, in proportion to each kind's share and evenly mixed, so that the first thousand represent all."""
    whole = sum(kind.share for kind in KINDS)
    tries = list[tuple[float, Try]]()
    for kind in KINDS:
        count = round(files * kind.share / whole)
        tries += [((number + 0.5) / count, Try(kind, number)) for number in range(count)]
    return [item for _, item in sorted(tries, key=lambda pair: pair[0])]


def lay(item: Try, bases: Path, folder: Path, seed: int) -> Laid:
    """Fill a folder for one try."""
    folder.mkdir(parents=True)
    return item.kind.lay(bases, folder, np.random.default_rng([seed, KINDS.index(item.kind), item.number]), item.number)


class Desk:
    """The place of one thread: a worker for each room, and a folder for the file being tried."""

    def __init__(self, bases: Path, folder: Path, seed: int, hang_seconds: float = HANG_SECONDS) -> None:
        """Create the desk; start nothing yet."""
        self._bases, self._scratch, self._seed, self._hang_seconds = bases, folder, seed, hang_seconds
        self.folder = folder / "try"
        self._lanes = {room: Lane(folder / room, room, hang_seconds) for room in ROOMS}

    def try_file(self, item: Try) -> Outcome:
        """Try one file in `folder`, which the next one reuses."""
        what, command = str(item.number), ""

        def tried() -> tuple[Column, str]:
            nonlocal what, command
            shutil.rmtree(self.folder, ignore_errors=True)
            laid = lay(item, self._bases, self.folder, self._seed)
            arguments = item.kind.arguments(laid, item.number)
            what, command = f"{item.number}: {laid.how}", shlex.join(arguments)
            return self._judged(item, laid, arguments)

        column, reason = attempt(tried)
        if column is Column.UNTRIED:
            self.close()  # A worker may still be at this file.
        return Outcome(item.kind.name, column, what, command, reason)

    def _judged(self, item: Try, laid: Laid, arguments: list[str]) -> tuple[Column, str]:
        kind, folder = item.kind, self.folder
        lane = self._lanes[kind.room]
        if item.number % _SCRIPT_EVERY == _SCRIPT_EVERY - 1:
            answer = run_script(arguments, folder, lane.temporary, self._hang_seconds)
        else:
            answer = lane.run(arguments, folder)
        column, reason = judge(answer, kind.expected(arguments[0]))
        if column is Column.ACCEPTED:
            column, reason = self._second_look(kind, laid, arguments, answer, folder)
        if column in (Column.ACCEPTED, Column.REFUSED) and (left := sorted(path.name for path in lane.temporary.iterdir())):
            column, reason = Column.CODE, f"left behind in TMPDIR: {left[0]}"
        lane.clear()
        return column, reason

    def _second_look(self, kind: Kind, laid: Laid, arguments: list[str], answer: Answer, folder: Path) -> tuple[Column, str]:
        reason = ""
        if kind.mended:
            reason = wrong_verdict(folder / "m", laid.model, arguments[0], answer.out, self._scratch)
        elif laid.file == "m.zip":
            reason = wrong_bundle(self._bases / "m.zip", folder / "m.zip", arguments, answer.out)
        return (Column.VERDICT, reason) if reason else (Column.ACCEPTED, "")

    def close(self) -> None:
        """End the workers."""
        for lane in self._lanes.values():
            lane.close()


def require_valid(bases: Path, folder: Path) -> None:
    """Check that every command accepts its unaltered file: a kind that is always refused proves nothing.

    Raises:
        BrokenBase: If a file is refused.
    """

    def require(room: str) -> None:
        lane, home, done = Lane(folder / room, room), folder / "valid" / room, set[str]()
        try:
            for kind, turn in [(one, turn) for one in KINDS if one.room == room for turn in range(1, len(one.commands) + 1)]:
                shutil.rmtree(home, ignore_errors=True)
                laid = kind.lay(bases, home, np.random.default_rng(0), 0)
                shutil.copytree(bases, home, dirs_exist_ok=True)
                suffix = Path(laid.file).suffix
                if laid.file.startswith("altered"):
                    shutil.copy(bases / "bare" / ("model.keras" if suffix == ".keras" else f"int8{suffix}"), home / laid.file)
                arguments = kind.arguments(laid, turn)
                if (command := shlex.join(arguments)) not in done:
                    done.add(command)
                    answer = lane.run(arguments, home)
                    if answer.code not in (0, 3):
                        said = answer.err or answer.traceback
                        raise BrokenBase(f"edgecnn {command} ended with {answer.code} on valid files: {said}")
        finally:
            lane.close()

    with ThreadPoolExecutor(len(ROOMS)) as pool:
        list(pool.map(require, ROOMS))  # So that an error in a room is raised here.


def torture_files(bases: Path, out: Path, seed: int, tries: Iterable[Try], desks: int, log: Log) -> None:
    """Try files.

    Args:
        bases: Result of `make_bases`.
        out: Output folder, which keeps the folder of each finding.
        seed: Seed of the alterations.
        tries: Files to try.
        desks: Number of files tried at a time.
        log: Takes the outcomes.
    """
    waiting = deque(tries)

    def work(number: int) -> None:
        desk = Desk(bases, out / f"desk{number}", seed)
        try:
            for item in _shared(waiting):
                outcome = desk.try_file(item)
                log.add(outcome)
                if log.tried % 250 == 0:
                    log.say(f"{log.tried:,} files, {len(log.findings):,} findings")
                if outcome.column not in RIGHT and log.of(outcome.kind, outcome.column) <= _MOST_KEPT:
                    _keep(desk.folder, out / "findings" / f"{KINDS.index(item.kind)}-{item.number}", outcome, seed)
        finally:
            desk.close()

    with ThreadPoolExecutor(desks) as threads:
        try:
            for future in [threads.submit(work, number) for number in range(desks)]:
                future.result()
        finally:
            waiting.clear()  # After Ctrl-C the others end too.


def _shared(items: deque[Try]) -> Iterator[Try]:
    with suppress(IndexError):
        while True:
            yield items.popleft()


def _keep(folder: Path, kept: Path, finding: Outcome, seed: int) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    said = {"kind": finding.kind, "column": finding.column, "reason": finding.reason, "file": finding.what}
    said |= {"command": f"cd {kept} && edgecnn {finding.command}", "seed": str(seed)}
    (kept / "finding.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

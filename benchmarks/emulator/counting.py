"""Counts the instructions of a program on an emulated board, with an older qemu and our plugin.

Debian 13's qemu-user takes no plugins; Debian 12's does. It shows programs this machine's own /proc/cpuinfo, for which
the runtimes choose other kernels or crash, so it is replaced by the newer qemu's.
"""

import re
import signal
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.benchmarks.emulator.debian import CannotEmulate, fetch, host_architecture, unpack
from edgecnn.benchmarks.emulator.userland import CPUS, QEMU, Board, cache_folder, key_of, made_whole

_MARK = re.compile(r"^instructions (\d+) (\d+)\n", re.MULTILINE)
_SOURCE = Path(__file__).with_name("icount.c")


@dataclass(frozen=True)
class Stretch:
    """The count between two marks.

    Attributes:
        instructions: Median of the repetitions, without the marks' own instructions.
        spread: Largest count minus the smallest.
    """

    instructions: int
    spread: int


class ProgramFailed(CannotEmulate):
    """A counted program failed on the board.

    Attributes:
        reason: The signal that ended it, or the last line that it printed.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def count(board: Board, program: str, *arguments: str) -> tuple[str, list[Stretch]]:
    """Run a Python program in the board's home folder; return its output and each labelled stretch, from label 1.

    Raises:
        ProgramFailed: If the program fails.
        CannotEmulate: If the emulator can't be made.
    """
    folder = counter()
    library = next((folder / "usr/lib").glob("*-linux-gnu")).name
    loader = next((folder / "usr/lib" / library).glob("ld-linux*.so.*")).name
    with tempfile.TemporaryDirectory() as scratch:
        cpuinfo, printed = Path(scratch) / "cpuinfo", Path(scratch) / "printed"
        board.run(["cat", "/proc/cpuinfo"], cpuinfo)
        plain = replace(board, folders={**board.folders, QEMU: folder, "/proc/cpuinfo": cpuinfo})
        command = [f"{QEMU}/usr/lib/{library}/{loader}", "--library-path", f"{QEMU}/usr/lib/{library}"]
        command += [f"{QEMU}/usr/bin/qemu-aarch64", "-cpu", CPUS[board.cpu], "-plugin", f"{QEMU}/icount.so"]
        command += ["/usr/bin/python3", program, *arguments]
        code = plain.run(command, printed)
        text = printed.read_text(encoding="utf-8")
    if code:
        raise ProgramFailed(f"{program} failed on {board.cpu} (exit code {code}):\n{text[-2000:]}", why_ended(code, text))
    return _MARK.sub("", text), stretches_of(text)


def why_ended(code: int, text: str) -> str:
    """Return in a few words why a program failed: the signal that ended it, or the last line that it printed."""
    if code < 0:
        return signal.Signals(-code).name
    lines = [line for line in _MARK.sub("", text).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {code}"


def stretches_of(text: str) -> list[Stretch]:
    """Return the labelled stretches in a program's output, from label 1. Label 0 holds only the marks.

    Raises:
        ValueError: If a stretch has no end.
    """
    counts: dict[int, list[int]] = {}
    for label, total in _MARK.findall(text):
        counts.setdefault(int(label), []).append(int(total))
    lengths = {label: [end - start for start, end in zip(c[::2], c[1::2], strict=True)] for label, c in counts.items()}
    marks = min(lengths.pop(0))
    return [Stretch(int(statistics.median(c)) - marks, max(c) - min(c)) for _, c in sorted(lengths.items())]


def counter() -> Path:
    """Return the folder with the counting emulator and everything it needs.

    Raises:
        CannotEmulate: If it can't be made.
    """
    target = cache_folder() / f"qemu-counting-{key_of(_SOURCE.read_bytes())}"
    with made_whole(target) as made, tempfile.TemporaryDirectory() as downloads:
        if made:
            unpack(fetch(Path(downloads), host_architecture(), "bookworm", ["qemu-user"], dependencies=True), made)
            compiler = ["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden"]
            try:
                subprocess.run([*compiler, "-o", str(made / "icount.so"), str(_SOURCE)], check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise CannotEmulate(f"{_SOURCE.name} can't be compiled ({error}): apt-get install gcc libc6-dev") from error
    return target

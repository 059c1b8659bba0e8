"""The process that trains: the cores and memory that a container leaves it, the memory that it keeps, and held signals."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from edgecnn.convert.training.fit.process import HeldInterrupt, free_bytes, usable_cores

GIB = 2**30


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def machine(root: Path, group: str, **limits: str) -> Path:
    """Write a machine of 16 GiB available, whose process is in a group; `limits` are by file and place of the group."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: {32 * 2**20} kB\nMemAvailable:   {16 * 2**20} kB\n")
    (root / "proc/self/cgroup").write_text(f"1:cpu:/other\n0::{group}\n")
    for place, text in limits.items():
        folder = root / "sys/fs/cgroup" / place.rpartition("__")[0].replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / place.rpartition("__")[2].replace("_", ".")).write_text(text + "\n")
    return root


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({}, 8),
        ({"app__cpu_max": "max 100000"}, 8),
        ({"app__cpu_max": "250000 100000"}, 2),
        ({"app__cpu_max": "50000 100000"}, 1),
        ({"app__cpu_max": "1600000 100000"}, 8),
        ({"app__cpu_max": "max 100000", "cpu_max": "300000 100000"}, 3),
        ({"app__cpu_max": "nonsense"}, 8),
    ],
)
def test_a_quota_of_the_group_or_one_above_it_takes_cores_away(limits: dict[str, str], cores: int, tmp_path: Path) -> None:
    assert usable_cores(machine(tmp_path, "/app", **limits)) == cores


@pytest.mark.parametrize(
    ("limits", "gib"),
    [({}, 16), ({"app__memory_max": "max"}, 16), ({"app__memory_max": str(2 * GIB)}, 2), ({"memory_max": str(GIB)}, 1)],
)
def test_a_limit_of_memory_counts_too(limits: dict[str, str], gib: int, tmp_path: Path) -> None:
    assert free_bytes(machine(tmp_path, "/app", **limits)) == gib * GIB


@pytest.mark.usefixtures("eight_cores")
def test_a_container_sees_its_group_at_the_root_and_a_strange_machine_says_nothing(tmp_path: Path) -> None:
    inside = machine(tmp_path / "inside", "/../..", cpu_max="200000 100000")
    assert usable_cores(inside) == 2
    assert (usable_cores(tmp_path / "nowhere"), free_bytes(tmp_path / "nowhere")) == (8, 0)


# In a process of its own: what a process freed before decides where glibc takes blocks from.
CODE = """
import resource
from contextlib import suppress
import numpy as np
from edgecnn.convert.training.fit.process import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.full(2**20, number, np.uint8) for number in range(64)]
    blocks.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = 0
with suppress(KeyboardInterrupt), freed_memory_kept():
    faults()
    kept = faults()
    END
faults()
print(kept, faults(), 64 * 2**20 // resource.getpagesize())
"""


@pytest.mark.parametrize("end", ["pass", "raise KeyboardInterrupt"])
def test_the_same_pages_are_used_again_until_the_block_ends(end: str) -> None:
    """Counted as page faults: pages of 64 blocks that the kernel had to give."""
    done = subprocess.run([sys.executable, "-c", CODE.replace("END", end)], capture_output=True, text=True, check=True)
    kept, later, pages = map(int, done.stdout.split())
    assert kept < pages / 10
    assert later > pages / 2


def exits(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@pytest.mark.parametrize(
    ("number", "handler", "ends"),
    [(signal.SIGINT, signal.default_int_handler, KeyboardInterrupt), (signal.SIGTERM, exits, SystemExit)],
)
def test_a_signal_is_held_back_until_the_check(number: int, handler: Any, ends: type[BaseException]) -> None:
    reached, before = [], signal.signal(number, handler)
    try:
        with pytest.raises(ends), HeldInterrupt() as held:  # noqa: PT012  # What runs before the check is the point.
            held.check()
            signal.raise_signal(number)
            reached.append("after the signal")
            held.check()
            reached.append("after the check")
    finally:
        signal.signal(number, before)
    assert reached == ["after the signal"]


def test_ctrl_c_comes_when_the_block_ends_and_a_second_one_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), HeldInterrupt():
        signal.raise_signal(signal.SIGINT)
    reached = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupt():  # noqa: PT012  # What runs between the two is the point.
        signal.raise_signal(signal.SIGINT)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")
    assert reached == ["first"]


def test_an_error_in_the_block_is_not_replaced_and_the_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="loss"), HeldInterrupt():  # noqa: PT012  # The signal comes before the error.
        signal.raise_signal(signal.SIGINT)
        raise ValueError("loss")
    assert signal.getsignal(signal.SIGINT) is before


def test_who_waits_for_signals_that_nobody_handles_hears_of_none_that_is_held() -> None:
    # edgecnn.__main__ ends the process some seconds later; a step of training may take longer.
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        with pytest.raises(KeyboardInterrupt), HeldInterrupt() as held:  # noqa: PT012  # The signal comes before the check.
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(BlockingIOError):
                os.read(reader, 1)
            held.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert os.read(reader, 9) == bytes([signal.SIGINT])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with HeldInterrupt() as held:
            seen.append(signal.getsignal(signal.SIGINT))
            held.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_that_is_not_handled_in_python_stays_as_it_is() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with HeldInterrupt() as held:
            signal.raise_signal(signal.SIGHUP)
            held.check()
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)

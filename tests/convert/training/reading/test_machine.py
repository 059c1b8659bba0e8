"""Cores and memory: what the kernel says, and what a container's limits leave of it."""

import os
from pathlib import Path

import pytest

from edgecnn.convert.training.reading.decoder_processes import free_bytes, usable_cores

GIB = 2**30


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_container_sees_its_group_at_the_root_and_a_strange_machine_says_nothing(tmp_path: Path) -> None:
    inside = machine(tmp_path / "inside", "/../..", cpu_max="200000 100000")
    assert usable_cores(inside) == 2
    assert (usable_cores(tmp_path / "nowhere"), free_bytes(tmp_path / "nowhere")) == (8, 0)

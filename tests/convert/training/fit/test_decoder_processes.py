"""Processes that decode images: the same pixels and errors as without them, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

from edgecnn.convert.training.fit.readers import DecoderProcesses
from edgecnn.edge.data.splits import FileSplit
from edgecnn.edge.errors import ArtifactError, EdgeCnnError
from tests.convert.training.fit.photos import SHAPE, split_of

ROOT = Path(__file__).parents[4]


@pytest.fixture
def splits(tmp_path: Path) -> list[FileSplit]:
    """30 and 5 images."""
    return [split_of(tmp_path / "train", 30), split_of(tmp_path / "val", 5, seed=1)]


@pytest.fixture
def processes() -> Iterator[DecoderProcesses]:
    """Two processes."""
    found = DecoderProcesses(2)
    yield found
    found.close()


def pids(processes: DecoderProcesses) -> list[int]:
    return [child.pid for child in processes._children]


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_the_pixels_are_those_of_the_splits_in_any_order(processes: DecoderProcesses, splits: list[FileSplit]) -> None:
    order = np.random.default_rng(0).permutation(30)
    both = processes.start(splits[0], order), processes.start(splits[1], [4, 0])
    assert np.array_equal(both[0](), splits[0].images(order))
    assert np.array_equal(both[1](), splits[1].images([4, 0]))
    assert processes.start(splits[0], [])().shape == (0, *SHAPE)


def test_an_image_that_can_not_be_read_is_the_error_it_is_without_them_and_the_others_are_read(
    processes: DecoderProcesses, splits: list[FileSplit]
) -> None:
    (splits[0].folder / "17.jpg").write_text("no picture")
    with pytest.raises(ArtifactError) as alone:
        splits[0].images([17])
    with pytest.raises(ArtifactError) as there:
        processes.start(splits[0], np.arange(30))()
    assert str(there.value) == str(alone.value)
    assert "17.jpg is not an image" in str(there.value)
    assert np.array_equal(processes.start(splits[0], np.arange(16))(), splits[0].images(np.arange(16)))


def test_a_process_that_was_killed_is_one_line(processes: DecoderProcesses, splits: list[FileSplit]) -> None:
    processes.start(splits[0], [0])()
    for pid in pids(processes):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(EdgeCnnError, match=r"SIGKILL.*: free .* resume$"):
        processes.start(splits[0], np.arange(30))()


def test_they_need_no_tensorflow_and_are_out_of_reach_of_the_terminal_s_ctrl_c(
    processes: DecoderProcesses, splits: list[FileSplit]
) -> None:
    processes.start(splits[0], np.arange(30))()
    for pid in pids(processes):
        assert os.getsid(pid) != os.getsid(0)
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "PIL" in loaded
        assert "tensorflow" not in loaded


def test_they_end_at_once_when_they_are_closed_even_with_work_left(
    processes: DecoderProcesses, splits: list[FileSplit]
) -> None:
    waiting = processes.start(splits[0], list(range(30)) * 20)
    processes.close()
    assert not any(map(is_running, pids(processes)))
    with pytest.raises((EdgeCnnError, CancelledError)):
        waiting()


def test_they_end_with_a_parent_that_was_killed(splits: list[FileSplit]) -> None:
    code = (
        "import numpy, sys\nfrom pathlib import Path\n"
        "from edgecnn.convert.training.fit.readers import DecoderProcesses\n"
        "from edgecnn.edge.data.splits import FileSplit\n"
        f"folder = Path({str(splits[0].folder)!r})\n"
        "split = FileSplit(folder, ('0.jpg',), numpy.array([0]), (20, 24, 3), 'letterbox')\n"
        "found = DecoderProcesses(2)\nfound.start(split, [0] * 20)()\n"
        "print(*(child.pid for child in found._children), flush=True)\nsys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert [is_running(pid) for pid in children] == [True, True]
        parent.kill()
    ended = time.monotonic() + 30
    while any(map(is_running, children)) and time.monotonic() < ended:
        time.sleep(0.05)
    assert not any(map(is_running, children))

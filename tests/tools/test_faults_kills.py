"""Kills and shortages, on a planted command line that tears files, leaves files and outlives kills on demand."""

import os
import select
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tools.faults import kills, scarce
from tools.faults.forks import Forks, Order, Scripts
from tools.faults.judge import Column
from tools.faults.kills import IN_RUN, Scene, Stage
from tools.faults.pool import Lane

# Writes two files that belong together. "torn" writes them one after the other; "whole" both at once.
PLANTED = """
import os, signal, subprocess, sys, time
from pathlib import Path

def run():
    sys.exit(main(sys.argv[1:]))

def main(arguments):
    what = arguments[0]
    if what == "check":
        first, last = Path("pair").read_text().split(" ")
        return 0 if first == last else 4
    number = arguments[1]
    if what in ("refuse", "half", "stay", "forget"):
        Path("out").mkdir()
        Path("out/whole.csv").write_text("a,b\\n")
        if what == "half":
            Path("out/half.csv").write_text("a,")
        if what == "stay":
            Path("events").write_text("a")
        if what == "forget":
            Path(os.environ["TMPDIR"], "left").write_text("a")
        print("edgecnn: out can't be written: free some space", file=sys.stderr)
        return 2
    if what == "leave":
        Path(os.environ["TMPDIR"], f"edgecnn-{os.getpid()}").mkdir()
    if what == "outlive":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    if what == "torn":
        Path("pair").write_text(f"{number} ")
        time.sleep(1)
        with Path("pair").open("a") as file:
            file.write(number)
    else:
        Path("pair.new").write_text(f"{number} {number}")
        time.sleep(0.4)
        Path("pair.new").replace("pair")
    if what == "raise" and number != "0":
        raise IndexError("planted")
    return 0

if __name__ == "__main__":
    run()
"""


def stage(what: str, lane: Lane, folder: Path) -> Stage:
    scene = Scene(what, 1, f"{what} {{seed}}", (), ("check",))
    (folder / "bases").mkdir()
    return Stage(scene, folder / "bases", folder / "kills", Scripts(), lane)


def columns(tried: Stage, kills: int) -> Iterator[Column]:
    return (tried.kill(number, np.random.default_rng(number))[0] for number in range(1, kills + 1))


@pytest.mark.parametrize(
    ("name", "function", "counts"),
    [("__main__.py", "run", True), ("__main__.py", "_say", True), ("__main__.py", "_Stop", False), ("x.py", "<module>", False)],
)
def test_ctrl_c_during_the_first_imports_is_no_finding(name: str, function: str, counts: bool) -> None:
    path = Path(kills.__file__).parents[2] / "edgecnn" / name
    assert bool(IN_RUN.search(f'  File "{path}", line 75, in {function}\n    x = 1\nKeyboardInterrupt\n')) is counts


def test_a_command_that_writes_whole_files_is_never_torn(lane: Lane, tmp_path: Path) -> None:
    tried = stage("whole", lane, tmp_path)
    assert not tried.problem
    # A run that ended before its moment is finished.
    assert Column.ENDED in (seen := {*columns(tried, 6)})
    assert seen <= {Column.ENDED, Column.FINISHED}


def test_a_torn_pair_is_found(lane: Lane, tmp_path: Path) -> None:
    assert Column.TORN in columns(stage("torn", lane, tmp_path), 12)


def test_a_process_that_outlives_its_parent_is_found(lane: Lane, tmp_path: Path) -> None:
    tried = stage("outlive", lane, tmp_path)
    assert Column.ORPHAN in columns(tried, 4)
    _end_orphans(tmp_path)


def test_what_stays_in_the_temporary_folder_after_the_next_run_is_found_and_counted_once(lane: Lane, tmp_path: Path) -> None:
    tried = stage("leave", lane, tmp_path)
    assert tried.finish(1)[0] is Column.LEFT
    tried.scene = replace(tried.scene, command="whole {seed}")
    assert tried.finish(2) == (Column.FINISHED, "")


def test_a_command_that_fails_undisturbed_is_found(lane: Lane, tmp_path: Path) -> None:
    tried = stage("raise", lane, tmp_path)
    column, reason = tried.finish(1)
    assert column is Column.TORN
    assert "planted" in reason


def test_a_forked_command_has_its_own_limits_and_temporary_folder_though_an_import_has_read_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgecnn").mkdir()
    (tmp_path / "edgecnn" / "__init__.py").touch()
    (tmp_path / "edgecnn" / "__main__.py").write_text(
        "import sys, tempfile\nfrom pathlib import Path\n\ntempfile.gettempdir()\n\n\ndef run():\n    tempfile.mkdtemp()\n"
        "    Path(sys.argv[1]).write_bytes(bytes(int(sys.argv[2])))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "tmp").mkdir()
    forks = Forks("device")
    out, err = (str(tmp_path / name) for name in ("out", "err"))
    try:
        order = Order(["small", "10"], str(tmp_path), str(tmp_path / "tmp"), out, err, most_file_bytes=1000)
        forks.start(order)
        assert forks.wait() == 0
        forks.start(replace(order, arguments=["large", "2000"]))
        assert forks.wait() == 1
        assert "File too large" in Path(err).read_text()
        forks.start(replace(order, arguments=["large", str(2**28)], most_file_bytes=None, more_memory_bytes=2**20))
        assert forks.wait() == 1
        assert "MemoryError" in Path(err).read_text()
    finally:
        forks.close()
    assert len(list((tmp_path / "tmp").iterdir())) == 3


def test_the_end_of_a_command_that_is_over_at_once_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\nprintf 'ready\\n7\\n0\\n'; cat > /dev/null\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr("tools.faults.forks.sys.executable", str(stand_in))
    forks = Forks("device")
    try:
        assert forks.start(Order(["small"], "", "", "", "")) == 7
        assert select.select([forks], [], [], 10)[0] == [forks]
        assert forks.wait() == 0
    finally:
        forks.close()


@pytest.mark.parametrize(
    ("what", "counted"),
    [("refuse", Column.REFUSED), ("half", Column.TORN), ("stay", Column.LEFT), ("forget", Column.LEFT)],
)
def test_what_a_refused_command_leaves_is_found(what: str, counted: Column, lane: Lane, tmp_path: Path) -> None:
    for name in ("bases", "short/try"):
        (tmp_path / name).mkdir(parents=True)
    forks, scene = Forks("device"), Scene(what, 1, f"{what} {{seed}}", (), ("check out/never",))
    try:
        tried = scarce._Attempt(tmp_path / "bases", tmp_path / "short/try", scene, 0, forks, lane, np.random.default_rng(0))
        assert scarce._with_small_files(tried)[0] is counted
    finally:
        forks.close()


def _end_orphans(folder: Path) -> None:
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                if f"TMPDIR={folder}".encode() in (path / "environ").read_bytes():
                    os.kill(int(path.name), signal.SIGKILL)
            except OSError:
                continue

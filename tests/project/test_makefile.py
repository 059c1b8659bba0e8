"""What `make` prints, ends with and makes, with a stand-in for edgecnn."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_demo_ends_with_how_to_activate_the_environment_whatever_bench_decides(tmp_path: Path) -> None:
    program = tmp_path / "bin/edgecnn"
    program.parent.mkdir()
    (tmp_path / ".installed").touch()
    for code in (0, 3):
        program.write_text(f'#!/bin/sh\n[ "$1" = bench ] && exit {code}\nexit 0\n')
        program.chmod(0o755)
        done = subprocess.run(
            [str(shutil.which("make")), "--directory", ROOT, "--no-print-directory", "demo", f"VENV={tmp_path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == (code == 0), done.stderr
        assert done.stdout.splitlines()[-1].endswith(f": source {tmp_path}/bin/activate")


def test_links_that_a_checkout_lost_are_made_again(tmp_path: Path) -> None:
    rooms = ("edge", "convert", "benchmarks")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "edgecnn").mkdir()
    for room in rooms:
        (tmp_path / room).mkdir()
        (tmp_path / "edgecnn" / room).write_text(f"../{room}")
    for _ in range(2):
        subprocess.run(
            [str(shutil.which("make")), "--directory", tmp_path, "--dry-run", "clean"], capture_output=True, check=True
        )
        assert [(tmp_path / "edgecnn" / room).readlink() for room in rooms] == [Path("..", room) for room in rooms]

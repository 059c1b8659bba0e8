"""Output and exit code of `make`, with a stand-in for edgecnn."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


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

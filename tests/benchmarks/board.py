"""A stand-in for a board: a home of its own on this machine, reached by a script in the place of ssh."""

import os
import shlex
import sys
from pathlib import Path

import pytest

RESULT = Path(__file__).parent / "kept_results/schema-3.json"


def make_board(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of a board whose edgecnn is 1.0 and prints a stored result, whatever the host is called."""
    home = folder / "home"
    (home / "bin").mkdir(parents=True)
    ssh = folder / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nfor last; do :; done\nHOME="{home}" PATH="{home}/bin:/usr/bin:/bin" exec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    # The interpreter that made this environment: Debian's may lack venv.
    python = Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}"
    (home / "bin/python3").write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
    (home / "bin/python3").chmod(0o755)
    (home / "result.json").write_bytes(RESULT.read_bytes())
    edgecnn(home, "cat ~/result.json")
    return home


def edgecnn(home: Path, script: str) -> None:
    """Let a board's edgecnn do something else."""
    program = home / "bin/edgecnn"
    program.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo edgecnn 1.0 && exit\n{script}\n")
    program.chmod(0o755)

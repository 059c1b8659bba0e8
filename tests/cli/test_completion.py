"""Completion with the Tab key, as a shell requests it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecnn.shell.main import commands

EDGECNN = f"{sys.executable} -m edgecnn"


def completed(line: str) -> list[str]:
    """Return the completions that bash gets for a line with the cursor at its end."""
    words = line.split(" ")
    asked = {"_EDGECNN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(EDGECNN.split(), capture_output=True, text=True, check=True, env={**os.environ, **asked})
    return done.stdout.split()


def in_bash(text: str, home: Path) -> str:
    # Two commands, so that bash does not replace itself by the first.
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", f"{text} && true"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(home)},
    )
    return done.stdout


def test_commands_and_their_options_are_completed() -> None:
    assert completed("edgecnn ") == list(commands())
    assert completed("edgecnn e") == ["export", "evaluate"]
    assert completed("edgecnn fly") == []
    assert completed("edgecnn bench --max-s") == ["--max-size-kib"]
    assert "--preprocess" in completed("edgecnn evaluate x.tflite --")
    assert completed("edgecnn --show") == ["--show-completion"]


def test_bash_takes_the_script(tmp_path: Path) -> None:
    script = in_bash(f"{EDGECNN} --show-completion", tmp_path)
    assert "_EDGECNN_COMPLETE=complete_bash" in script
    assert in_bash(f"source /dev/stdin <<'END'\n{script}\nEND\ncomplete -p edgecnn", tmp_path).endswith("edgecnn\n")


def test_completion_is_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    in_bash(f"{EDGECNN} --install-completion", tmp_path)
    assert ".bash_completions/edgecnn.sh" in (tmp_path / ".bashrc").read_text()
    assert "_EDGECNN_COMPLETE=complete_bash" in (tmp_path / ".bash_completions/edgecnn.sh").read_text()


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_a_shell_that_has_no_completion_exits_with_2(option: str, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("tcsh", "/bin/tcsh"))
    assert "bash, zsh, fish or PowerShell" in terminal.fails(2, option)

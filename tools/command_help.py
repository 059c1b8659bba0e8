"""The `--help` of each command as a file, for docs/reference/commands.md: python -m tools.command_help build/help."""

import os
import subprocess
import sys
from pathlib import Path

from edgecnn.shell.main import commands


def write_help(folder: Path) -> list[Path]:
    """Write what each command prints for `--help`, on a terminal of 80 columns, to `folder`/NAME.txt; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    written = []
    for name in ("edgecnn", *commands()):
        words = [sys.executable, "-m", "edgecnn", *([] if name == "edgecnn" else [name]), "--help"]
        text = subprocess.run(words, env=environment, text=True, capture_output=True, check=True).stdout
        path = folder / f"{name}.txt"
        path.write_text(text.strip("\n") + "\n")
        written.append(path)
    return written


if __name__ == "__main__":
    write_help(Path(sys.argv[1]))

"""`make docs-outputs`: run the commands that README.md and docs/ show, and write what they print below them.

In a ```console block a line that begins with `$ ` is a command, and the lines after it are what it printed. A ```python block
whose first line is a comment with a file's name is written to that file first. The commands of a page run in order, in a folder
that has artifacts/mnist from README.md's commands. Progress, on stderr, is not shown; the line of an error is.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from edgecnn.benchmarks.machine.host import read_machine

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests" / "kept" / "docs_outputs"
WORK = ROOT / "artifacts" / "docs_outputs"
BLOCK = re.compile(r"^```(?P<kind>console|python)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^The outputs on this page were printed by `make docs-outputs`: .*$", re.MULTILINE)


def pages() -> list[Path]:
    """README.md first, since it makes the model that the others use."""
    return [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if commands(page.read_text())]


def name_of(page: Path) -> str:
    """What the records of a page are called: `docs-how-to-python` for docs/how-to/python.md."""
    return page.relative_to(ROOT).with_suffix("").as_posix().replace("/", "-")


def commands(page: str) -> list[str]:
    """The commands of a page, each with its continued lines."""
    blocks = "".join(found["text"] for found in BLOCK.finditer(page) if found["kind"] == "console")
    return re.findall(r"^\$ ((?:.*\\\n)*.*)$", blocks, re.MULTILINE)


def digest(page: str) -> str:
    """SHA-256 of the commands and outputs of a page: an output that was changed by hand is found by it."""
    blocks = [found["text"] for found in BLOCK.finditer(page) if found["kind"] == "console"]
    return hashlib.sha256("\0".join(blocks).encode()).hexdigest()


def fill(page: Path, machine: str) -> None:
    """Run a page's commands, replace its outputs, and record them with the results of its benchmarks."""
    name = name_of(page)
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if page.name != "README.md":
        shutil.copytree(WORK / "README" / "artifacts" / "mnist", folder / "artifacts" / "mnist")
    for old in RECORD.glob(f"{name}.*"):
        old.unlink()
    results: list[str] = []

    def block(found: re.Match[str]) -> str:
        text = found["text"]
        if found["kind"] == "python":
            if script := re.match(r"# (\w+\.py)\n", text):
                (folder / script[1]).write_text(text)
            return found[0]
        printed = [f"$ {command}\n{run(command, folder, name, results)}" for command in commands(found[0])]
        return f"```console\n{''.join(printed)}```"

    text = BLOCK.sub(block, page.read_text())
    line = f"The outputs on this page were printed by `make docs-outputs`: {machine}."
    page.write_text(PRINTED.sub(line, text) if PRINTED.search(text) else f"{text.rstrip()}\n\n{line}\n")
    record = {"sha256": digest(page.read_text()), "results": results}
    (RECORD / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def run(command: str, folder: Path, page: str, results: list[str]) -> str:
    """What a command prints; the result of a benchmark is kept, for the test that prints it again."""
    print(f"{page}: $ {command}", file=sys.stderr, flush=True)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    kept = command
    if command.startswith("edgecnn bench ") and "--json" not in command:
        results.append(f"{page}.bench-{len(results) + 1}.json")
        # In the page's folder first: the result records the command, which must not name a path of this machine.
        kept = command.replace("edgecnn bench", f"edgecnn bench --json {results[-1]}", 1)
    done = subprocess.run(["bash", "-c", kept], cwd=folder, env=environment, text=True, capture_output=True)  # noqa: S607
    if kept != command:
        (folder / results[-1]).replace(RECORD / results[-1])
    error = f"{done.stderr.strip().splitlines()[-1]}\n" if done.returncode else ""
    return "".join(f"{line.rstrip()}\n" for line in (done.stdout + error).strip("\n").splitlines())


def main() -> None:
    """Fill the pages that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs_outputs", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="Pages to fill; all of them by default.")
    chosen = [page.resolve() for page in parser.parse_args().pages] or pages()
    RECORD.mkdir(parents=True, exist_ok=True)
    host = read_machine()
    today = datetime.datetime.now(datetime.UTC).date()
    for page in chosen:
        fill(page, f"{host.cpu or host.machine}, {host.cores} cores, Python {sys.version.split()[0]}, {today}")


if __name__ == "__main__":
    main()

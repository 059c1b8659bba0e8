"""`make test-pi`: compares the project's wheel on emulated Raspberry Pis with this machine.

On each board: doctor, verify, evaluate and predict with a bundle of every kind of file, and the example program; the class
probabilities are compared with this machine's. A model is deployed there, replaced and brought back, with a service that
answers. One of them also runs the tests of edge and benchmarks; with --quick it runs few, and this machine runs the others with
only what a board has. Times are not compared: emulated ones say nothing about a board.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.emulator.debian import CannotEmulate
from edgecnn.benchmarks.emulator.packages import CannotInstall
from edgecnn.benchmarks.emulator.userland import HOME, PROJECT, SITE, SYSTEMS, TOOLS, Board, System, emulator, root_of
from edgecnn.edge.formats import Runtime
from tests.slow import SIMULATES
from tools.pi.comparison import DRIFT, HALF, TOLERANCE, TOLERANCE_16, TOLERANCE_32, Probabilities, compare, complaint, to_text
from tools.pi.deploying import deploy_there
from tools.pi.wheels import (
    PROJECT_ROOT,
    build_wheel,
    extras_of,
    files_of,
    runtimes_on,
    site_of,
    size_bytes,
    tools_of,
    unpack_wheel,
)
from tools.pi.workstation import FILES, Failed, kept_bundles, make_bundles

BOARDS = {f"{system.name}-{cpu}": (system, cpu) for system in SYSTEMS.values() for cpu in system.cpus}
# The tests take minutes under emulation: one board runs them.
TESTED = "trixie-arm64-pi5"
SHARDS = (("tests/benchmarks",), ("tests/edge",))
_PYTEST = ("-m", "pytest", "--quiet", "-p", "tools.pi.plugin", "-p", "no:cacheprovider")
# Boards that have the instructions of `Runtime.cpu`: the Cortex-A53 and A72 are ARMv8.0.
_HAVE = {HALF: ("pi5",)}
# Tests of what differs on ARM: numbers and the machine. `make test-pi` runs all.
QUICK = (
    ("tests/edge/inference/test_int8_fast_path.py", "tests/edge/model/test_preprocess.py"),
    (
        *(f"tests/benchmarks/machine/test_{name}.py" for name in ("host", "host_state")),
        "tests/benchmarks/bundle/test_golden.py",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make test-pi", description=__doc__)
    parser.add_argument("boards", nargs="*", metavar="BOARD", help=f"of {', '.join(BOARDS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small files, few tests, and default runtimes")
    arguments = parser.parse_args()
    names = arguments.boards or list(BOARDS)
    if unknown := [name for name in names if name not in BOARDS]:
        sys.exit(f"test-pi: there is no board {unknown[0]}: name one of {', '.join(BOARDS)}")
    try:
        problems = prove(names, arguments.quick)
    except (CannotEmulate, CannotInstall, Failed) as error:
        sys.exit(f"test-pi: {error}")
    if problems:
        sys.exit("\n".join(f"test-pi: {problem}" for problem in problems))
    print("test-pi: every board computes what this machine computes")


def prove(names: Sequence[str], quick: bool) -> list[str]:
    """Run everything on each board, print a table, and return what went wrong.

    Args:
        names: Names of boards.
        quick: Only small files, the tests in `QUICK`, and no runtimes that run files only if they are named.
    """
    named, shards = not quick, QUICK if quick else SHARDS
    with tempfile.TemporaryDirectory(prefix="edgecnn-pi-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        scratch, say = Path(folder), _stopwatch()
        bundles = pool.submit(
            kept_bundles if quick else make_bundles
        )  # Mostly TensorFlow's work; the boards are made meanwhile.
        boards = _make_boards(names, scratch, named)
        say("boards are made")
        rows = {board.name: runtimes_on(board.system, named) for board in boards}
        asked = {row.name: row for there in rows.values() for row in there if row.by_name}
        reference, runs = _on_workstation(scratch / "workstation", bundles.result() / "aarch64.zip", list(asked.values()))
        say("files are made")
        jobs: list[tuple[Board, Future[list[str]]]] = []
        for board in boards:
            if board.name == TESTED:
                jobs += [(board, pool.submit(_tests, board, shard)) for shard in shards]
        for board in boards:
            bundle = bundles.result() / f"{board.system.machine}.zip"
            default = [row for row in rows[board.name] if not row.by_name]
            jobs.append((board, pool.submit(_device, board, bundle, reference, default)))
            jobs += [
                (board, pool.submit(_named, board, bundle, reference, row, runs[row.name]))
                for row in rows[board.name]
                if row.by_name and has_instructions(board.cpu, row)
            ]
        jobs += [(board, pool.submit(deploy_there, board, bundles.result() / "models")) for board in boards]
        here = [pool.submit(_tests_here, scratch, shard) for shard in SHARDS] if quick else []
        problems = [f"{board.name}: {problem}" for board, job in jobs for problem in job.result()]
        problems += [f"on this machine: {problem}" for job in here for problem in job.result()]
        say("done")
    return problems


def has_instructions(cpu: str, row: Runtime) -> bool:
    """Return whether a board has the instructions that a runtime needs.

    Args:
        cpu: A name of `CPUS`.
        row: The runtime.
    """
    return row.cpu is None or cpu in _HAVE[row.cpu]


def allowed_of(row: Runtime) -> dict[str, float]:
    """Return the largest accepted difference of each file's probabilities in a runtime that must be named."""
    return TOLERANCE_16 if row.cpu == HALF else DRIFT


def _stopwatch() -> Callable[[str], None]:
    start = time.monotonic()
    return lambda text: print(f"test-pi: {text}, {time.monotonic() - start:.0f} s after the start, on this machine", flush=True)


def _make_boards(names: Sequence[str], scratch: Path, named: bool) -> list[Board]:
    wheel = build_wheel(scratch)
    project = unpack_wheel(wheel, scratch / "project")
    emulator()
    sites: dict[str, Path] = {}
    for system in {BOARDS[name][0].name: BOARDS[name][0] for name in names}.values():
        root_of(system)
        rows = runtimes_on(system, named)
        sites[system.name] = site_of(system, wheel, rows)
        megabytes = size_bytes(sites[system.name]) / 1e6
        print(f"test-pi: {system.name}: edgecnn[{','.join(extras_of(system, rows))}] takes {megabytes:.0f} MB")
    return [_board(*BOARDS[name], sites[BOARDS[name][0].name], project, scratch / name) for name in names]


def _board(system: System, cpu: str, site: Path, project: Path, home: Path) -> Board:
    home.mkdir()
    return Board(system, cpu, {SITE: site, TOOLS: tools_of(system), PROJECT: project, HOME: home})


def _on_workstation(home: Path, bundle: Path, named: Sequence[Runtime]) -> tuple[dict[str, Probabilities], dict[str, set[str]]]:
    """Return each file's class probabilities on this machine, and the files that each named runtime runs here.

    One that needs another CPU than this machine's must run what its format's default runtime runs here.
    """
    _fill(home, bundle)
    found = _run_here(home)
    runs = {row.name: set(files_of(row, found) if row.cpu else _run_here(home, row.name)) for row in named}
    return found, runs


def _run_here(home: Path, *runtime: str) -> dict[str, Probabilities]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    command = [sys.executable, "device.py", "here.npz", *runtime]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"device.py failed on the workstation:\n{done.stdout}{done.stderr}")
    with np.load(home / "here.npz") as results:
        return dict(results)


def _fill(home: Path, bundle: Path) -> None:
    home.mkdir(exist_ok=True)
    shutil.copy(bundle, home / "mnist.zip")
    shutil.copy(Path(__file__).with_name("device.py"), home)
    shutil.copytree(PROJECT_ROOT / "examples", home / "examples")


def _device(board: Board, bundle: Path, reference: Mapping[str, Probabilities], rows: Sequence[Runtime]) -> list[str]:
    """Run device.py with the default runtimes, print the comparison, and return what is wrong."""
    allowed = TOLERANCE if board.system.machine == "aarch64" else TOLERANCE_32
    found, printed = _run_there(board, bundle)
    if found is None:
        return [printed]
    print(printed, flush=True)
    # The kept files of --quick are not all.
    expected = {row.name: [file for name in row.formats for file in FILES[name] if file in reference] for row in rows}
    return [problem for name, files in expected.items() for problem in _judged(board, name, files, found, reference, allowed)]


def _named(
    board: Board, bundle: Path, reference: Mapping[str, Probabilities], row: Runtime, expected: Collection[str]
) -> list[str]:
    """Run files in a named runtime, in a process of its own; print the comparison, and return what is wrong."""
    home = board.folders[HOME].with_name(f"{board.name}-{row.name}")
    found, printed = _run_there(replace(board, folders={**board.folders, HOME: home}), bundle, row.name)
    if found is None:
        return [f"{row.name}: {printed}"]
    print(printed, end="", flush=True)
    compared = [file for file in DRIFT if file in expected]
    if not compared:
        return [f"{row.name}: no file runs in it on this machine, so nothing was compared"]
    return _judged(board, row.name, compared, found, reference, allowed_of(row))


def _run_there(board: Board, bundle: Path, *runtime: str) -> tuple[dict[str, Probabilities] | None, str]:
    """Return the class probabilities that device.py writes on a board, None if it failed, and what it printed."""
    home = board.folders[HOME]
    _fill(home, bundle)
    code = board.run(["python3", "device.py", "board.npz", *runtime], home / "device.txt")
    printed = (home / "device.txt").read_text()
    if code:
        return None, f"device.py failed (exit code {code}):\n{printed[-4000:]}"
    with np.load(home / "board.npz") as results:
        return dict(results), printed


def _judged(
    board: Board,
    runtime: str,
    files: Sequence[str],
    found: Mapping[str, Probabilities],
    reference: Mapping[str, Probabilities],
    allowed: Mapping[str, float],
) -> list[str]:
    """Print how a runtime's probabilities on a board compare with this machine's, and return what is wrong."""
    compared = [compare(file, runtime, found[file], reference[file], allowed) for file in files if file in found]
    print(to_text(board.name, compared), flush=True)
    missing = [f"{file} did not run in {runtime}" for file in files if file not in found]
    return missing + [problem for file in compared if (problem := complaint(file))]


def _tests(board: Board, tests: Sequence[str]) -> list[str]:
    """Run the device's tests on a board, print how many passed and why others were skipped, and return what failed."""
    home = board.folders[HOME].with_name(f"{board.name}-{Path(tests[0]).stem}")
    board = replace(board, folders={**board.folders, HOME: home})
    return _tested(board.name, home, tests, lambda output: board.run(["python3", *_PYTEST, *tests], output))


def _tests_here(scratch: Path, tests: Sequence[str]) -> list[str]:
    """Run tests on this machine where no more is found than a board has: neither a checkout nor a program in PATH.

    This takes far less time than on an emulated board, so it takes all tests that the board did not run, each with one case,
    except those that only compute on numbers of their own.
    """
    home = scratch / f"here-{Path(tests[0]).stem}"
    environment = {"PATH": "", "HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(scratch / "project")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # A board has no plugin but this one.

    def run(output: Path) -> int:
        with output.open("w") as file:
            ran = [f"--ignore={path}" for shard in QUICK for path in shard]
            command = [
                sys.executable,
                *_PYTEST,
                "-p",
                "timeout",
                "--one-case",
                "-m",
                f"not slow(why={SIMULATES!r})",
                *ran,
                *tests,
            ]
            return subprocess.run(command, cwd=home, env=environment, stdout=file, stderr=file, check=False).returncode

    return _tested("this machine, with what a board has", home, tests, run)


def _tested(where: str, home: Path, tests: Sequence[str], run: Callable[[Path], int]) -> list[str]:
    for part in ("tests/edge", "tests/benchmarks", "tests/kept", "tests/digit_photos", "tools/pi", "tools/faults/mutators"):
        shutil.copytree(PROJECT_ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for shared in (PROJECT_ROOT / "tests").glob("*.py"):
        if not shared.name.startswith("test_"):
            shutil.copy(shared, home / "tests")
    shutil.copy(PROJECT_ROOT / "pyproject.toml", home)
    output = home / "tests.txt"
    code = run(output)
    lines = output.read_text().splitlines()
    # Said at once: the problems come when all boards are done.
    said = [line for line in lines if line.startswith(("SKIPPED", "FAILED", "ERROR"))]
    print("\n".join([f"{where}, {' '.join(tests)}: {lines[-1] if lines else 'no output'}", *said]), flush=True)
    return [f"{' '.join(tests)} failed (exit code {code}):\n" + "\n".join(lines[-80:])] if code else []


if __name__ == "__main__":
    main()

"""`make test-pi`: compares the project's wheel on emulated Raspberry Pis with this machine.

On each board: doctor, verify, evaluate and predict with a bundle of every kind of file, and the example program; the class
probabilities are compared with this machine's. One of them also runs the tests of edge and benchmarks. Times are not
compared: emulated ones say nothing about a board.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.emulator.debian import CannotEmulate
from edgecnn.benchmarks.emulator.packages import CannotInstall
from edgecnn.benchmarks.emulator.userland import HOME, PROJECT, SITE, SYSTEMS, TOOLS, Board, System, emulator, root_of
from edgecnn.edge.rendering.table import table_text
from tools.pi.wheels import EXTRAS, PROJECT_ROOT, build_wheel, site_of, size_bytes, tools_of, unpack_wheel
from tools.pi.workstation import FILES, Failed, make_bundles

# Largest accepted difference of a probability from this machine's, measured in docs/explanation/arm.md. Floats are summed in
# another order.
# Integer kernels sometimes round halves differently, which changes an output by one step: 1/256 in int8, 1/32768 in int16.
# `dynamic` and ONNX Runtime's int8 have such steps inside, before a float softmax.
TOLERANCE = {
    "float32.tflite": 1e-5,
    "float16.tflite": 1e-5,
    "dynamic.tflite": 0.02,
    "int8.tflite": 1 / 256,
    "int16x8.tflite": 1 / 32768,
    "float32.onnx": 1e-5,
    "int8.onnx": 0.02,
}
# tflite-runtime 2.14, nine releases older, has other integer kernels than ai-edge-litert.
TOLERANCE_32 = {**TOLERANCE, "int8.tflite": 0.05, "int16x8.tflite": 0.001}
BOARDS = {f"{system.name}-{cpu}": (system, cpu) for system in SYSTEMS.values() for cpu in system.cpus}
# The tests take minutes under emulation: one board runs them.
TESTED = "trixie-arm64-pi5"
SHARDS = (("tests/benchmarks",), ("tests/edge",))
# Tests that run files, and tests that read the machine: two shards that take equally long.
QUICK = (
    ("tests/edge/inference", "tests/edge/model"),
    (
        *("tests/edge/folder", "tests/edge/isolation", "tests/edge/runtimes"),
        *(f"tests/benchmarks/machine/test_{name}.py" for name in ("host", "host_state")),
        *(f"tests/benchmarks/proof/test_{name}.py" for name in ("golden", "verify")),
    ),
)
# Tests for the workstation (reports, ssh), simulations of statistics, and whole benchmarks, a process for each launch: these
# take minutes each under emulation.
_ELSEWHERE = (
    "benchmarks/compare/test_selftest.py",
    *(f"benchmarks/judge/test_{name}.py" for name in ("brier", "gate", "groups", "worthless")),
    *(f"benchmarks/measure/test_{name}.py" for name in ("launch_claims", "launch_intervals", "lineup", "run", "until_width")),
    "benchmarks/remote",
    *(f"benchmarks/report/test_{name}.py" for name in ("html", "html_accuracy", "html_machine")),
    "benchmarks/results/test_between.py",
    "benchmarks/statistics/test_sample_size.py",
    "edge/inference/test_reference_probabilities.py",
)
# QEMU's user mode does not pass a memory limit on to the kernel (RLIMIT_DATA, in its linux-user/syscall.c).
_NOT_EMULATED = (
    "isolation/test_child.py::test_what_a_child_does_not_survive_is_one_error_with_the_files_name[memory]",
    "runtimes/test_trial.py::test_a_file_whose_memory_grows_with_the_cube_of_the_batch_is_refused",
)


@dataclass(frozen=True)
class Compared:
    """A file on a board compared with the same file on this machine.

    Attributes:
        file: Name of the file.
        images: Number of images.
        same_class: Number of them with the same most probable class.
        largest_difference: Largest difference between two probabilities, 0 to 1.
        tolerance: Largest accepted difference.
    """

    file: str
    images: int
    same_class: int
    largest_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance; NaN is not."""
        return self.largest_difference <= self.tolerance


def main() -> None:
    parser = argparse.ArgumentParser(prog="make test-pi", description=__doc__)
    parser.add_argument("boards", nargs="*", metavar="BOARD", help=f"of {', '.join(BOARDS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="only the tests that run files or read the machine")
    arguments = parser.parse_args()
    names = arguments.boards or list(BOARDS)
    if unknown := [name for name in names if name not in BOARDS]:
        sys.exit(f"test-pi: there is no board {unknown[0]}: name one of {', '.join(BOARDS)}")
    try:
        problems = prove(names, QUICK if arguments.quick else SHARDS)
    except (CannotEmulate, CannotInstall, Failed) as error:
        sys.exit(f"test-pi: {error}")
    if problems:
        sys.exit("\n".join(f"test-pi: {problem}" for problem in problems))
    print("test-pi: every board computes what this machine computes")


def prove(names: Sequence[str], shards: Sequence[Sequence[str]]) -> list[str]:
    """Run everything on each board, print a table, and return what went wrong; `shards` are tests that run side by side."""
    with tempfile.TemporaryDirectory(prefix="edgecnn-pi-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        scratch, say = Path(folder), _stopwatch()
        bundles = pool.submit(make_bundles)  # Mostly TensorFlow's work; the boards are made meanwhile.
        boards = _make_boards(names, scratch)
        say("boards are made")
        reference = _on_workstation(scratch / "workstation", bundles.result() / "aarch64.zip")
        say("files are made")
        jobs: list[tuple[Board, Future[list[str]]]] = []
        for board in boards:
            if board.name == TESTED:
                jobs += [(board, pool.submit(_tests, board, shard)) for shard in shards]
        jobs += [
            (board, pool.submit(_device, board, bundles.result() / f"{board.system.machine}.zip", reference))
            for board in boards
        ]
        problems = [f"{board.name}: {problem}" for board, job in jobs for problem in job.result()]
        say("done")
    return problems


def _stopwatch() -> Callable[[str], None]:
    start = time.monotonic()
    return lambda text: print(f"test-pi: {text}, {time.monotonic() - start:.0f} s after the start, on this machine", flush=True)


def _make_boards(names: Sequence[str], scratch: Path) -> list[Board]:
    wheel = build_wheel(scratch)
    project = unpack_wheel(wheel, scratch / "project")
    emulator()
    sites: dict[str, Path] = {}
    for system in {BOARDS[name][0].name: BOARDS[name][0] for name in names}.values():
        root_of(system)
        sites[system.name] = site_of(system, wheel)
        megabytes = size_bytes(sites[system.name]) / 1e6
        print(f"test-pi: {system.name}: edgecnn[{','.join(EXTRAS[system.machine])}] takes {megabytes:.0f} MB")
    return [_board(*BOARDS[name], sites[BOARDS[name][0].name], project, scratch / name) for name in names]


def _board(system: System, cpu: str, site: Path, project: Path, home: Path) -> Board:
    home.mkdir()
    return Board(system, cpu, {SITE: site, TOOLS: tools_of(system), PROJECT: project, HOME: home})


def _on_workstation(home: Path, bundle: Path) -> dict[str, NDArray[np.float32]]:
    """Return each file's class probabilities on this machine."""
    _fill(home, bundle)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run(
        [sys.executable, "device.py", "here.npz"], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"device.py failed on the workstation:\n{done.stdout}{done.stderr}")
    with np.load(home / "here.npz") as results:
        return dict(results)


def _fill(home: Path, bundle: Path) -> None:
    home.mkdir(exist_ok=True)
    shutil.copy(bundle, home / "mnist.zip")
    shutil.copy(Path(__file__).with_name("device.py"), home)
    shutil.copytree(PROJECT_ROOT / "examples", home / "examples")


def _device(board: Board, bundle: Path, reference: dict[str, NDArray[np.float32]]) -> list[str]:
    """Run device.py and print the comparison; return what is wrong."""
    home = board.folders[HOME]
    _fill(home, bundle)
    output = home / "device.txt"
    code = board.run(["python3", "device.py", "board.npz"], output)
    if code:
        return [f"device.py failed (exit code {code}):\n{output.read_text()[-4000:]}"]
    with np.load(home / "board.npz") as results:
        probabilities = dict(results)
    expected = [file for extra in EXTRAS[board.system.machine] for file in FILES.get(extra.removesuffix("-runtime"), ())]
    allowed = TOLERANCE if board.system.machine == "aarch64" else TOLERANCE_32
    compared = [compare(file, probabilities[file], reference[file], allowed) for file in expected if file in probabilities]
    print(f"{output.read_text()}\n{to_text(board.name, compared)}", flush=True)
    missing = [f"{file} did not run" for file in expected if file not in probabilities]
    return missing + [problem for file in compared if (problem := complaint(file))]


def compare(
    file: str, board: NDArray[np.float32], here: NDArray[np.float32], allowed: Mapping[str, float] = TOLERANCE
) -> Compared:
    """Compare class probabilities (n, classes) of the same images.

    Raises:
        ValueError: If their numbers of images or classes differ.
    """
    if board.shape != here.shape:
        raise ValueError(f"probabilities must have one shape, got {board.shape} and {here.shape}")
    same = int((board.argmax(axis=1) == here.argmax(axis=1)).sum())
    return Compared(file, len(here), same, float(np.abs(board - here).max()), allowed[file])


def complaint(compared: Compared) -> str | None:
    """Return what is wrong with a file on a board, if anything."""
    if compared.passed:
        return None
    return (
        f"{compared.file}: a probability differs from this machine's by {compared.largest_difference:.3g}, the limit is "
        f"{compared.tolerance:.3g}; same class for {compared.same_class} of {compared.images}"
    )


def to_text(board: str, compared: Sequence[Compared]) -> str:
    """Return a table with a row for each file."""
    rows = [
        (row.file, f"{row.same_class} of {row.images}", f"{row.largest_difference:.2g}", f"{row.tolerance:.2g}")
        for row in compared
    ]
    return table_text((board, "same class", "differs by", "allowed"), rows) + "\n"


def _tests(board: Board, tests: Sequence[str]) -> list[str]:
    """Run the device's tests; print how many passed, and return what failed."""
    home = board.folders[HOME].with_name(f"{board.name}-{Path(tests[0]).stem}")
    board = Board(board.system, board.cpu, {**board.folders, HOME: home})
    for part in ("tests/edge", "tests/benchmarks", "tests/kept", "tools/pi"):
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(PROJECT_ROOT / part, home / part, ignore=ignored)
    for shared in (PROJECT_ROOT / "tests").glob("*.py"):
        if not shared.name.startswith("test_"):
            shutil.copy(shared, home / "tests")
    shutil.copy(PROJECT_ROOT / "pyproject.toml", home)
    output = home / "tests.txt"
    command = ["python3", "-m", "pytest", "--quiet", "-p", "tools.pi.plugin"]
    command += [
        "-p",
        "no:cacheprovider",
        *(f"--deselect=tests/edge/{name}" for name in _NOT_EMULATED),
        *(f"--ignore=tests/{name}" for name in _ELSEWHERE),
        *tests,
    ]
    code = board.run(command, output)
    lines = output.read_text().splitlines()
    skipped = [line for line in lines if line.startswith("SKIPPED")]
    print("\n".join([f"{board.name}, {' '.join(tests)}: {lines[-1] if lines else 'no output'}", *skipped]), flush=True)
    return [f"{' '.join(tests)} failed (exit code {code}):\n" + "\n".join(lines[-80:])] if code else []


if __name__ == "__main__":
    main()

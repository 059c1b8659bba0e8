"""`make arm-cost`: ARM instructions of one inference of every exported file in every runtime
that runs it, on the cores of the Pi 3, 4 and 5.

Writes artifacts/arm-cost.json and artifacts/arm-cost.md, and fails if a count is more than 1 % above
tools/pi/baseline.json, or if int8.tflite takes more than the file of TensorFlow's converter alone. `--update` writes the
baseline instead.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgecnn.benchmarks.emulator.counting import ProgramFailed, count, counter
from edgecnn.benchmarks.emulator.debian import CannotEmulate
from edgecnn.benchmarks.emulator.packages import CannotInstall
from edgecnn.benchmarks.emulator.userland import CPUS, HOME, PROJECT, SITE, SYSTEMS, Board, root_of
from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.show.table import table_row
from tools.pi.wheels import PROJECT_ROOT, build_wheel, device_runtimes, files_of, lacking, runtimes_on, site_of, unpack_wheel
from tools.pi.workstation import FILES, PLAIN, Failed, make_bundles

BASELINE = Path(__file__).with_name("baseline.json")
OUTPUT = PROJECT_ROOT / "artifacts"
OURS = "int8.tflite"
TOLERANCE = 0.01
# A count that varies more than this between calls is not the cost of one inference.
STEADY = 0.01
_SYSTEM = SYSTEMS["trixie-arm64"]
FILES_AND_PLAIN = (*(file for files in FILES.values() for file in files), PLAIN)


@dataclass(frozen=True)
class Cost:
    """The cost of one image for a file in a runtime on a core, with one thread.

    Attributes:
        file: Name of the file.
        runtime: Name of the runtime.
        cpu: A name of `CPUS`.
        run: Instructions of `LoadedModel.run` with a prepared input.
        predict: Instructions of `Classifier.predict` with a uint8 image, which includes `run`.
        run_spread: Largest of five counts minus the smallest.
        predict_spread: The same for `predict`.
    """

    file: str
    runtime: str
    cpu: str
    run: int
    predict: int
    run_spread: int
    predict_spread: int


@dataclass(frozen=True)
class Uncounted:
    """Files that a runtime does not run on some cores.

    Attributes:
        files: Names of the files.
        runtime: Name of the runtime.
        cpus: Names of `CPUS`.
        reason: Why, in a line.
    """

    files: tuple[str, ...]
    runtime: str
    cpus: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Costs:
    """All counts, and the versions that ran.

    Attributes:
        system: System of the board.
        versions: Version of each package that ran.
        costs: Costs by file, then runtime, then CPU.
        uncounted: What could not be counted.
    """

    system: str
    versions: dict[str, str]
    costs: tuple[Cost, ...]
    uncounted: tuple[Uncounted, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make arm-cost", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the baseline instead of comparing with it")
    arguments = parser.parse_args()
    try:
        counted = count_all()
    except (CannotEmulate, CannotInstall, Failed) as error:
        sys.exit(f"arm-cost: {error}")
    OUTPUT.mkdir(exist_ok=True)
    written = json.dumps(asdict(counted), indent=2) + "\n"
    (OUTPUT / "arm-cost.json").write_text(written, encoding="utf-8")
    (OUTPUT / "arm-cost.md").write_text(to_markdown(counted), encoding="utf-8")
    print(to_markdown(counted))
    if arguments.update:
        BASELINE.write_text(written, encoding="utf-8")
        print(f"arm-cost: wrote {BASELINE}")
        return
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    costs = tuple(Cost(**cost) for cost in baseline["costs"])
    problems = judge(counted, Costs(baseline["system"], baseline["versions"], costs))
    if problems:
        sys.exit("\n".join(f"arm-cost: {problem}" for problem in problems))
    print(f"arm-cost: no count is more than {TOLERANCE:.0%} above the baseline, {OURS} takes no more than {PLAIN}")


def count_all() -> Costs:
    """Count every file in every runtime that runs it on every CPU, two at a time."""
    with tempfile.TemporaryDirectory(prefix="edgecnn-cost-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        scratch, bundles = Path(folder), pool.submit(make_bundles)
        rows, wheel, home = runtimes_on(_SYSTEM), build_wheel(scratch), scratch / "home"
        site, project = site_of(_SYSTEM, wheel, rows), unpack_wheel(wheel, scratch / "project")
        root_of(_SYSTEM), counter()
        home.mkdir()
        shutil.copy(bundles.result() / f"{_SYSTEM.machine}.zip", home / "mnist.zip")
        shutil.copy(bundles.result() / PLAIN, home)
        shutil.copy(Path(__file__).with_name("counted.py"), home)
        boards = [Board(_SYSTEM, cpu, {SITE: site, PROJECT: project, HOME: home}) for cpu in _SYSTEM.cpus]
        jobs = [pool.submit(count_in, board, row.name, files_of(row, FILES_AND_PLAIN)) for row in rows for board in boards]
        counted = [job.result() for job in jobs]
    absent = tuple(
        Uncounted(files_of(row, FILES_AND_PLAIN), row.name, _SYSTEM.cpus, reason)
        for row in device_runtimes()
        if (reason := lacking(row, _SYSTEM))
    )
    whole = _joined([*counted, Costs(_SYSTEM.name, {}, (), absent)])
    return replace(whole, costs=tuple(sorted(whole.costs, key=_place)), uncounted=together(whole.uncounted))


def _place(cost: Cost) -> tuple[int, int, str]:
    return FILES_AND_PLAIN.index(cost.file), list(RUNTIMES).index(cost.runtime), cost.cpu


def count_in(board: Board, runtime: str, files: Sequence[str]) -> Costs:
    """Count each file in a runtime, all in one process, or if one of them fails, in a process each."""
    try:
        printed, stretches = count(board, "counted.py", runtime, *files)
    except ProgramFailed as failure:
        if len(files) > 1:
            return _joined([count_in(board, runtime, [file]) for file in files])
        return Costs(board.system.name, {}, (), (Uncounted(tuple(files), runtime, (board.cpu,), failure.reason),))
    costs = (
        Cost(file, runtime, board.cpu, run.instructions, predict.instructions, run.spread, predict.spread)
        for file, run, predict in zip(files, stretches[::2], stretches[1::2], strict=True)
    )
    return Costs(board.system.name, json.loads(printed.splitlines()[-1]), tuple(costs))


def _joined(parts: Sequence[Costs]) -> Costs:
    versions = {name: version for part in parts for name, version in part.versions.items()}
    costs, uncounted = (row for part in parts for row in part.costs), (row for part in parts for row in part.uncounted)
    return Costs(_SYSTEM.name, versions, tuple(costs), tuple(uncounted))


def together(uncounted: Sequence[Uncounted]) -> tuple[Uncounted, ...]:
    """Return one entry for all files of a runtime that lack a count on the same cores for the same reason."""
    files: dict[tuple[str, str, str], list[str]] = {}
    for row in uncounted:
        for cpu in row.cpus:
            files.setdefault((row.runtime, row.reason, cpu), []).extend(row.files)
    cpus: dict[tuple[tuple[str, ...], str, str], list[str]] = {}
    for (runtime, reason, cpu), names in files.items():
        cpus.setdefault((tuple(names), runtime, reason), []).append(cpu)
    return tuple(Uncounted(names, runtime, tuple(found), reason) for (names, runtime, reason), found in cpus.items())


def judge(counted: Costs, baseline: Costs) -> list[str]:
    """Return the counts that are more than 1 % above the baseline, not in it, missing, unsteady, or above `PLAIN`."""
    problems = []
    now, before = ({(cost.file, cost.runtime, cost.cpu): cost for cost in costs.costs} for costs in (counted, baseline))
    for key, cost in now.items():
        where = _where(*key)
        if max(cost.run_spread / cost.run, cost.predict_spread / cost.predict) > STEADY:
            problems.append(f"{where}: counts of one call differ by more than {STEADY:.0%}: something else is running")
        old = before.get(key)
        if old is None:
            problems.append(f"{where} has no baseline: run make arm-cost-baseline")
            continue
        for part, new_count, old_count in (("run", cost.run, old.run), ("predict", cost.predict, old.predict)):
            if new_count > old_count * (1 + TOLERANCE):
                problems.append(f"{where}: {part} takes {new_count:,} instructions, {new_count / old_count - 1:+.1%}")
    for (file, runtime, cpu), cost in now.items():
        plain = now.get((PLAIN, runtime, cpu))
        if file == OURS and plain and cost.run > plain.run:
            problems.append(f"{_where(file, runtime, cpu)}: run takes {cost.run:,} instructions, {PLAIN} {plain.run:,}")
    reasons = {
        (file, row.runtime, cpu): f": {row.reason}" for row in counted.uncounted for file in row.files for cpu in row.cpus
    }
    problems += [
        f"{_where(*key)} is in the baseline but was not counted{reasons.get(key, '')}" for key in before if key not in now
    ]
    if problems and counted.versions != baseline.versions:
        problems.append(f"versions now {_text(counted.versions)}, in the baseline {_text(baseline.versions)}")
    return problems


def _where(file: str, runtime: str, cpu: str) -> str:
    return f"{file} in {runtime} on {CPUS[cpu]}"


def to_markdown(counted: Costs) -> str:
    """Return a table of thousands of instructions, a row per file and runtime, and a table of what was not counted.

    The smallest count of `run` on each core is bold.
    """
    cpus = list(dict.fromkeys(cost.cpu for cost in counted.costs))
    by_place = {(cost.file, cost.runtime, cost.cpu): cost for cost in counted.costs}
    least = {cpu: min(cost.run for cost in counted.costs if cost.cpu == cpu) for cpu in cpus}
    names = [f"{CPUS[cpu].removeprefix('cortex-').upper()} ({cpu[:-1].title()} {cpu[-1]})" for cpu in cpus]
    lines = [
        f"Thousands of ARM instructions for one image, one thread, {_text(counted.versions)}, {counted.system}.",
        "The fewest of each core are bold.",
        "",
        "| file | runtime | " + " | ".join(f"{name}: run | predict" for name in names) + " |",
        "|---|---|" + "--:|" * (2 * len(cpus)),
    ]
    for file, runtime in dict.fromkeys((cost.file, cost.runtime) for cost in counted.costs):
        cells = [_cells(by_place.get((file, runtime, cpu)), least[cpu]) for cpu in cpus]
        lines.append(f"| {file} | {runtime} | " + " | ".join(cells) + " |")
    if counted.uncounted:
        lines += ["", "| not counted | runtime | core | reason |", "|---|---|---|---|"]
    for row in counted.uncounted:
        cores = ", ".join(CPUS[cpu] for cpu in row.cpus)
        lines.append(table_row((", ".join(row.files), row.runtime, cores, row.reason)))
    return "\n".join(lines) + "\n"


def _cells(cost: Cost | None, least: int) -> str:
    if cost is None:
        return " | "
    run = f"{cost.run / 1000:,.0f}"
    return f"{f'**{run}**' if cost.run == least else run} | {cost.predict / 1000:,.0f}"


def _text(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


if __name__ == "__main__":
    main()

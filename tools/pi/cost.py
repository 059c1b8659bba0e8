"""`make arm-cost`: ARM instructions of one inference of every exported file, on the cores of the Pi 3, 4 and 5.

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from edgecnn.benchmarks.emulator.counting import count, counter
from edgecnn.benchmarks.emulator.debian import CannotEmulate
from edgecnn.benchmarks.emulator.packages import CannotInstall
from edgecnn.benchmarks.emulator.userland import CPUS, HOME, PROJECT, SITE, SYSTEMS, Board, root_of
from tools.pi.wheels import PROJECT_ROOT, build_wheel, site_of, unpack_wheel
from tools.pi.workstation import PLAIN, Failed, make_bundles

BASELINE = Path(__file__).with_name("baseline.json")
OUTPUT = PROJECT_ROOT / "artifacts"
OURS = "int8.tflite"
TOLERANCE = 0.01
# A count that varies more than this between calls is not the cost of one inference.
STEADY = 0.01
_SYSTEM = SYSTEMS["trixie-arm64"]


@dataclass(frozen=True)
class Cost:
    """The cost of one image for a file on a core, with one thread.

    Attributes:
        file: Name of the file.
        cpu: A name of `CPUS`.
        run: Instructions of `Runtime.run` with a prepared input.
        predict: Instructions of `Classifier.predict` with a uint8 image, which includes `run`.
        run_spread: Largest of five counts minus the smallest.
        predict_spread: The same for `predict`.
    """

    file: str
    cpu: str
    run: int
    predict: int
    run_spread: int
    predict_spread: int


@dataclass(frozen=True)
class Costs:
    """All counts, and the versions that ran.

    Attributes:
        system: System of the board.
        versions: Version of each package that ran.
        costs: Costs by file, then CPU.
    """

    system: str
    versions: dict[str, str]
    costs: tuple[Cost, ...]


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
    problems = judge(counted, Costs(baseline["system"], baseline["versions"], tuple(Cost(**c) for c in baseline["costs"])))
    if problems:
        sys.exit("\n".join(f"arm-cost: {problem}" for problem in problems))
    print(f"arm-cost: no count is more than {TOLERANCE:.0%} above the baseline, {OURS} takes no more than {PLAIN}")


def count_all() -> Costs:
    """Count every file on every CPU, two CPUs at a time."""
    with tempfile.TemporaryDirectory(prefix="edgecnn-cost-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        scratch, bundles = Path(folder), pool.submit(make_bundles)
        wheel = build_wheel(scratch)
        site, project = site_of(_SYSTEM, wheel), unpack_wheel(wheel, scratch / "project")
        root_of(_SYSTEM), counter()
        jobs = []
        for cpu in _SYSTEM.cpus:
            home = scratch / cpu
            home.mkdir()
            shutil.copy(bundles.result() / f"{_SYSTEM.machine}.zip", home / "mnist.zip")
            shutil.copy(bundles.result() / PLAIN, home)
            shutil.copy(Path(__file__).with_name("counted.py"), home)
            board = Board(_SYSTEM, cpu, {SITE: site, PROJECT: project, HOME: home})
            jobs.append((cpu, pool.submit(count, board, "counted.py")))
        costs, versions = [], {}
        for cpu, job in jobs:
            printed, stretches = job.result()
            told = json.loads(printed.splitlines()[-1])
            versions = told["versions"]
            for file, run, predict in zip(told["files"], stretches[::2], stretches[1::2], strict=True):
                costs.append(Cost(file, cpu, run.instructions, predict.instructions, run.spread, predict.spread))
        order = {file: place for place, file in enumerate(told["files"])}
        return Costs(_SYSTEM.name, versions, tuple(sorted(costs, key=lambda cost: (order[cost.file], cost.cpu))))


def judge(counted: Costs, baseline: Costs) -> list[str]:
    """Return the counts that are more than 1 % above the baseline, not in it, missing, unsteady, or above `PLAIN`."""
    problems = []
    now, before = ({(cost.file, cost.cpu): cost for cost in costs.costs} for costs in (counted, baseline))
    for (file, cpu), cost in now.items():
        where = f"{file} on {CPUS[cpu]}"
        if max(cost.run_spread / cost.run, cost.predict_spread / cost.predict) > STEADY:
            problems.append(f"{where}: counts of one call differ by more than {STEADY:.0%}: something else is running")
        old = before.get((file, cpu))
        if old is None:
            problems.append(f"{where} has no baseline: run make arm-cost-baseline")
            continue
        for part, new_count, old_count in (("run", cost.run, old.run), ("predict", cost.predict, old.predict)):
            if new_count > old_count * (1 + TOLERANCE):
                problems.append(f"{where}: {part} takes {new_count:,} instructions, {new_count / old_count - 1:+.1%}")
    for (file, cpu), cost in now.items():
        plain = now.get((PLAIN, cpu))
        if file == OURS and plain and cost.run > plain.run:
            problems.append(f"{OURS} on {CPUS[cpu]}: run takes {cost.run:,} instructions, {PLAIN} {plain.run:,}")
    problems += [
        f"{file} on {CPUS[cpu]} is in the baseline but was not counted" for file, cpu in before if (file, cpu) not in now
    ]
    if problems and counted.versions != baseline.versions:
        problems.append(f"versions now {_text(counted.versions)}, in the baseline {_text(baseline.versions)}")
    return problems


def to_markdown(counted: Costs) -> str:
    """Return a table of thousands of instructions, one row per file."""
    cpus = list(dict.fromkeys(cost.cpu for cost in counted.costs))
    by_place = {(cost.file, cost.cpu): cost for cost in counted.costs}
    names = [f"{CPUS[cpu].removeprefix('cortex-').upper()} ({cpu[:-1].title()} {cpu[-1]})" for cpu in cpus]
    lines = [
        f"Thousands of ARM instructions for one image, one thread, {_text(counted.versions)}, {counted.system}.",
        "",
        "| file | " + " | ".join(f"{name}: run | predict" for name in names) + " |",
        "|---|" + "--:|" * (2 * len(cpus)),
    ]
    for file in dict.fromkeys(cost.file for cost in counted.costs):
        cells = [f"{by_place[file, cpu].run / 1000:,.0f} | {by_place[file, cpu].predict / 1000:,.0f}" for cpu in cpus]
        lines.append(f"| {file} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _text(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


if __name__ == "__main__":
    main()

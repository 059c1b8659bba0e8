"""`make torture`: tries whether altered files break or fool edgecnn.

    python -m tools.faults --seed 1 --files 10000

The exit code is 1 if anything was found. If these tools fail, what was found until then is printed.
docs/explanation/torture.md explains the table.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgecnn.benchmarks.machine.host import read_machine
from tools.faults.bases import make_bases
from tools.faults.deploys import torture_deploys
from tools.faults.files import planned, require_valid, torture_files
from tools.faults.holes.inject import torture_verdicts
from tools.faults.judge import OF_FILES, OF_HOLES, OF_KILLS, OF_SCARCITY, Column
from tools.faults.kills import SCENES, torture_kills
from tools.faults.kinds import KINDS
from tools.faults.scarce import SHORTAGES, torture_scarcity
from tools.faults.table import Log


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; None for this process's own."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="Seed of every alteration.")
    parser.add_argument("--files", type=int, default=10_000, help="Number of altered files.")
    parser.add_argument("--kills", type=int, default=1000, help="Number of killed commands.")
    parser.add_argument("--deploys", type=int, default=1000, help="Number of killed deployments.")
    parser.add_argument("--scarce", type=int, default=100, help="Number of commands short of disk, file size or memory.")
    parser.add_argument("--pairs", type=int, default=20, help="Pairs of benchmarks of identical files; 0 injects no hole.")
    parser.add_argument("--kind", help="Kind of file to try, as named in the table.")
    parser.add_argument("--number", type=int, help="With --kind: number of the single file to try, from a finding's line.")
    parser.add_argument("--desks", type=int, default=2, help="Number of files tried at the same time.")
    parser.add_argument("--out", type=Path, default=Path("artifacts/torture"), help="Folder for bases and findings.")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that the arguments ask for, and print the tables."""
    chosen = parsed(arguments)
    out = chosen.out.resolve()
    os.environ["XDG_CACHE_HOME"] = str(out / "cache")
    started = time.monotonic()
    say("making the valid files")
    make_bases(out / "bases")
    say("trying every command on them")
    require_valid(out / "bases", out)
    logs = list[Log]()

    def log(heading: str, columns: Sequence[Column], order: Iterable[str] = ()) -> Log:
        logs.append(Log(heading, columns, say, order))
        return logs[-1]

    tries = [item for item in planned(chosen.files) if chosen.kind in (None, item.kind.name)]
    tries = [item for item in tries if chosen.number in (None, item.number)]
    try:
        if tries:
            files = log("altered files", OF_FILES, [kind.name for kind in KINDS])
            torture_files(out / "bases", out, chosen.seed, tries, chosen.desks, files)
        side_by_side = (
            (torture_kills, chosen.kills, "kills", OF_KILLS, [scene.name for scene in SCENES]),
            (torture_deploys, chosen.deploys, "deployments", OF_KILLS, ()),
            (torture_scarcity, chosen.scarce, "scarce", OF_SCARCITY, SHORTAGES),
        )
        with ThreadPoolExecutor(len(side_by_side)) as pool:  # Each waits half the time: for a moment, or a command's end.
            parts = [
                pool.submit(torture, out / "bases", out, chosen.seed, number, log(heading, columns, order))
                for torture, number, heading, columns, order in side_by_side
                if number and not chosen.kind
            ]
            for part in parts:
                part.result()
        if chosen.pairs and not chosen.kind:
            torture_verdicts(out / "bases", out, chosen.pairs, log("false verdicts", OF_HOLES))
    finally:
        print("\n\n".join(part.markdown() for part in logs))
        for finding in (finding for part in logs for finding in part.findings):
            print(finding.line())
    machine = read_machine()
    print(f"\nseed {chosen.seed}, {time.monotonic() - started:.0f} s, {machine.cpu}, {machine.cores} cores")
    return 1 if any(part.findings for part in logs) else 0


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"torture: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

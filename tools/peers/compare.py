"""`make peers`: compares our files with the same weights in other runtimes. docs/explanation/peers.md defines the figures.

It takes a folder that `edgecnn train` and `edgecnn export --quantize int8` wrote. Progress goes to stderr.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.machine.host import read_cpu_times, read_machine
from edgecnn.convert.export.calibration import draw_calibration
from edgecnn.edge.data.dataset import load_dataset, recorded_model, recorded_source
from edgecnn.edge.data.splits import chunks
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats
from tools.peers.checks import agreement, disagreement
from tools.peers.install import NOT_INSTALLED
from tools.peers.launches import Built, Child, Failed, Launch, death, environment, measure
from tools.peers.lineup import ENTRIES, PACKAGES, PROJECT_ROOT, Comparison, Entry, Figures, Row
from tools.peers.table import to_text

ROUNDS = 6
SECONDS = 0.25


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print. The exit code is 1 if one of our files did not pass; other runtimes' failures are only reported."""
    parser = argparse.ArgumentParser(prog="make peers", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("artifacts/mnist"), help="folder of exported files")
    parser.add_argument("--json", type=Path, help="file for all figures")
    chosen = parser.parse_args(arguments)
    missing = [entry.file for entry in ENTRIES if entry.file and not (chosen.folder / entry.file).is_file()]
    if missing or not (chosen.folder / "reference.npy").is_file():
        sys.exit(f"peers: {chosen.folder} has no {(missing or ['reference.npy'])[0]}: run make demo")
    try:
        with tempfile.TemporaryDirectory(prefix="edgecnn-peers-") as scratch:
            compared = compare(chosen.folder, Path(scratch))
    except EdgeCnnError as error:
        sys.exit(f"peers: {error}")
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(compared), indent=2) + "\n", encoding="utf-8")
    print(to_text(compared), end="")
    if any(row.problem for row in compared.rows if row.entry.file):
        sys.exit("peers: one of our files did not pass")


def compare(folder: Path, scratch: Path) -> Comparison:
    """Build every peer's file, check all predictions, and measure all files in turns.

    Raises:
        EdgeCnnError: If our own files are damaged, or their images are missing.
    """
    data = _Data(folder, scratch)
    rows = {entry: Row(entry, None, None, (), None) for entry in ENTRIES}
    files = []
    for entry in ENTRIES:
        say(f"{entry.name}: building and checking" if entry.file is None else f"{entry.name}: checking")
        try:
            built = _build(entry, folder, data, scratch)
            rows[entry] = Row(entry, built.size_bytes, None, (), None)
            found = agreement(_classify(built, scratch), data.reference, data.labels)
            rows[entry] = Row(entry, built.size_bytes, found, (), disagreement(found, entry.precision))
            files.append(built)
        except Failed as error:
            rows[entry] = Row(entry, rows[entry].size_bytes, None, (), str(error))
    began, clock, busy = datetime.now(UTC), time.monotonic(), _others_seconds()
    launches, failed = measure(files, ROUNDS, SECONDS, say)
    others = max(0.0, _others_seconds() - busy) / (time.monotonic() - clock)
    figures = summarise(launches)
    finished = []
    for entry, row in rows.items():
        problem = failed.get(entry, row.problem)
        finished.append(Row(entry, row.size_bytes, row.agreement, figures.get(entry, ()), problem))
    return Comparison(f"{began:%Y-%m-%dT%H:%M:%SZ}", _machine(others), _versions(), ROUNDS, tuple(finished))


def summarise(launches: dict[tuple[Entry, int], list[Launch]]) -> dict[Entry, tuple[Figures, ...]]:
    """Return the figures of each file for each number of threads."""
    ours = ENTRIES[0]
    found: dict[Entry, tuple[Figures, ...]] = {}
    for (entry, threads), taken in launches.items():
        times = np.concatenate([launch.times_ns for launch in taken])
        medians = [float(np.median(launch.times_ns)) for launch in taken]
        base = [float(np.median(launch.times_ns)) for launch in launches.get((ours, threads), [])]
        middle = {
            name: float(np.median([getattr(launch, name) for launch in taken]))
            for name in ("start_ns", "import_ns", "load_ns", "peak_memory_bytes")
        }
        figures = Figures(
            threads=threads,
            launches=len(taken),
            runs=len(times),
            p50_ns=float(np.percentile(times, 50)),
            p90_ns=float(np.percentile(times, 90)),
            ratio=float(np.median(np.divide(medians, base))) if base else None,
            **middle,
        )
        found[entry] = (*found.get(entry, ()), figures)
    return found


def say(text: str) -> None:
    print(f"peers: {text}", file=sys.stderr, flush=True)


class _Data:
    """The model's images as files for the child processes, and the expected answers."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        manifest = Manifest.load(folder)
        record = manifest.dataset
        dataset = load_dataset(*recorded_source(record), recorded_model(record, manifest.class_names))
        images = np.concatenate(list(chunks(dataset.test)))
        drawn = draw_calibration(dataset).images
        self.labels = dataset.test.labels
        self.reference: Floats = np.load(folder / "reference.npy")
        # Both check the file's hash, so that all rows belong to the same model.
        floats, integers = (Classifier.load(folder / name) for name in ("float32.onnx", "int8.tflite"))
        self.inputs = {"float32": scratch / "float32.npy", "int8.tflite": scratch / "int8.npy"}
        np.save(self.inputs["float32"], floats.inputs(images))
        np.save(self.inputs["int8.tflite"], integers.inputs(images))
        self.calibration = scratch / "calibration.npz"
        scaling = manifest.preprocessing
        channels = np.ones(images.shape[3])
        np.savez(
            self.calibration,
            images=drawn,
            inputs=floats.inputs(drawn),
            mean=channels * np.divide(scaling.mean, scaling.scale),
            normal=channels * np.divide(scaling.scale, scaling.std),
        )


def _build(entry: Entry, folder: Path, data: _Data, scratch: Path) -> Built:
    if entry.file:
        path = folder / entry.file
        return Built(entry, path.resolve(), path.stat().st_size, data.inputs.get(entry.file, data.inputs["float32"]))
    left_out = _not_installed(PACKAGES[entry.runtime])
    if left_out:
        raise Failed(left_out)
    work = scratch / f"{entry.runtime}-{entry.precision}"
    work.mkdir()
    (work / "float32.onnx").write_bytes((folder / "float32.onnx").read_bytes())
    command = [sys.executable, "-m", "tools.peers.build", entry.runtime, entry.precision, str(data.calibration), str(work)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"its file could not be built: the process {death(done.returncode, done.stderr)}")
    path = Path(json.loads(done.stdout.splitlines()[-1]))
    weights = path.with_suffix(".bin")
    size = path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
    return Built(entry, path, size, data.inputs["float32"])


def _not_installed(packages: Sequence[str]) -> str | None:
    reasons = json.loads(NOT_INSTALLED.read_text()) if NOT_INSTALLED.exists() else {}
    for package in packages:
        try:
            version(package)
        except PackageNotFoundError:
            return f"{package} is not installed: {reasons.get(package, 'make peers installs it')}"
    return None


def _classify(built: Built, scratch: Path) -> Floats:
    target = scratch / "outputs.npy"
    with Child(built, 1) as child:
        child.ask("classify", str(target))
    outputs: Floats = np.load(target)
    return outputs


def _machine(others: float) -> str:
    machine = read_machine()
    name = machine.cpu or machine.board or "CPU without a name"
    return f"{name}, {machine.machine}, {machine.cores} cores; others used {others:.2f} cores while timing"


def _others_seconds() -> float:
    """Return the CPU time of all processes except this one and its ended children; 0 if not reported."""
    times, ended = read_cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.busy_seconds - time.process_time() - ended.ru_utime - ended.ru_stime if times else 0.0


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in ("numpy", *(name for names in PACKAGES.values() for name in names)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


if __name__ == "__main__":
    main()

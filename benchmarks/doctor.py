"""What this machine is, and whether an exported file will work on it.

Runtimes are imported, and a file is run, in child processes: an illegal instruction ends the process that meets it.
"""

import os
import re
import sys
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.doctor_child import import_module, run_file, too_old
from benchmarks.host import Machine, State, read_machine, read_state, throttle_reasons
from benchmarks.host_text import Run, cpuinfo, run_tool, text
from benchmarks.known_problems import OK, PROBLEM, WARNING, Facts, KnownProblem, matching, version_key
from edge.errors import ArtifactError, EdgeCnnError
from edge.manifest import Manifest
from edge.model_file import ModelFile, read_model
from edge.needs import Needs, needs_text, read_needs
from edge.releases import oldest_runtime
from edge.runtimes import is_installed

# Packages, their modules and what they run. The first installed one of a format is used, as `edge.runtimes` does.
_RUNTIMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter", "tflite"),
    ("tflite-runtime", "tflite_runtime.interpreter", "tflite"),
    ("onnxruntime", "onnxruntime", "onnx"),
    ("tensorflow", "tensorflow", "keras"),
)
_DEVICE_FORMATS = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}

# Names of the instructions in /proc/cpuinfo of ARM and x86.
_INSTRUCTIONS = {"dot product": ("asimddp", "avx512_vnni", "avx_vnni"), "fp16": ("asimdhp", "avx512_fp16")}

# A process with a runtime and a small model takes 50 to 70 MB.
_LEAST_MEMORY_BYTES = 100 * 2**20


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: `ok`, `warning` (it works, with a reservation) or `problem` (it does not).
        text: What was found.
        fix: What to type, or what to do where no command helps; None where all is well.
        source: Where a known problem is described.
    """

    name: str
    status: str
    text: str
    fix: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at, in order."""

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that keep something from working."""
        return tuple(finding for finding in self.findings if finding.status == PROBLEM)


def examine(path: Path | None = None, signature: str | None = None, root: Path = Path("/"), run: Run = run_tool) -> Diagnosis:
    """Examine this machine and, if named, a model file or all .tflite and .onnx files of a folder with a manifest.

    Nothing is installed or changed. It takes some seconds: each runtime is imported, and each file is run once on random
    input, in a process of its own.

    Args:
        path: A .tflite, .onnx or .keras file, or a folder.
        signature: Which one to run of a TFLite file with several.
        root: Where /proc and /sys are. Tests give a captured board's.
        run: Runs a board's own program. Tests pass a fake one.

    Raises:
        ArtifactError: If `path` is not there, or a folder without a good manifest.
    """
    files = _files(path)
    machine, state = read_machine(root), read_state(root, run)
    installed = _installed()
    facts = _facts(machine, state, installed, root)
    findings = [
        *_machine_findings(machine, state, facts, root),
        Finding("numpy", OK, _version("numpy")),
        *_runtime_findings(installed, {file.suffix.lstrip(".").lower() for file in files}, facts),
    ]
    rows = matching(facts)
    findings = _with_known(findings, rows)
    bad = {finding.name for finding in findings if finding.status == PROBLEM}
    runnable = {model_format for package, _, model_format in _RUNTIMES if package in installed and package not in bad}
    for file in files:
        findings += _file_findings(file, signature, facts, rows, runnable)
    return Diagnosis(tuple(findings))


def _files(path: Path | None) -> list[Path]:
    if path is None:
        return []
    if path.is_dir():
        return [path / artifact.path for artifact in Manifest.load(path).artifacts if artifact.format in _DEVICE_FORMATS]
    if not path.exists():
        raise ArtifactError(f"{path} is not there: name a .tflite or .onnx file, or the folder of a manifest")
    return [path]


def _installed() -> dict[str, str]:
    """The installed packages that run files here, with their versions."""
    found: dict[str, str] = {}
    formats = set()
    for package, module, model_format in _RUNTIMES:
        if model_format not in formats and find_spec(module.partition(".")[0]):
            formats.add(model_format)
            found[package] = _version(package)
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # A module that no package manager put there.
        return "unknown"


def _facts(machine: Machine, state: State, installed: dict[str, str], root: Path) -> dict[str, str | frozenset[str]]:
    """What the conditions of `benchmarks.known_problems` may ask for, where this machine tells it."""
    arm = {"arm"} if machine.machine.startswith(("arm", "aarch64")) else set()
    now = state.throttled or 0
    told: dict[str, str | frozenset[str] | None] = {
        "python": machine.python,
        "glibc": machine.glibc,
        "numpy": _version("numpy"),
        "bits": str(python_bits()),
        "machine": frozenset({machine.machine} | arm),
        "cpu": _cpu_features(root) or None,
        "installed": frozenset(installed),
        "environment": frozenset(os.environ),
        "governors": frozenset(state.governors) or None,
        "throttled": frozenset(throttle_reasons(None, now)),
        "since-boot": frozenset(throttle_reasons(None, now >> 16)) - frozenset(throttle_reasons(None, now)),
        **{package: found for package, found in installed.items() if found != "unknown"},
    }
    return {name: fact for name, fact in told.items() if fact is not None}


def python_bits() -> int:
    """Return the word size of this Python, which may be 32 under a 64-bit kernel."""
    return 64 if sys.maxsize > 2**32 else 32


def _cpu_features(root: Path) -> frozenset[str]:
    """The instructions that every core has."""
    told = cpuinfo(text(root / "proc/cpuinfo") or "")
    cores = [frozenset(value.split()) for key, value in told if key in ("Features", "flags")]
    return frozenset.intersection(*cores) if cores else frozenset()


def _machine_findings(machine: Machine, state: State, facts: Facts, root: Path) -> list[Finding]:
    throttled = [*facts["throttled"], *(f"{word} since boot" for word in facts["since-boot"])]
    told = "nothing now or since boot" if state.throttled is not None else "this machine does not tell"
    return [
        Finding("board", OK, machine.board or "no device tree names one"),
        Finding("system", OK, f"{machine.system}, {machine.machine}, {facts['bits']}-bit Python"),
        Finding("cpu", OK, _cpu_text(machine, facts)),
        _memory_finding(machine, root),
        Finding("governor", OK, ", ".join(state.governors) or "this machine does not tell"),
        _temperature_finding(state),
        Finding("throttling", OK, ", ".join(sorted(throttled)) or told),
        Finding("python", OK, machine.python),
        Finding("glibc", OK, machine.glibc)
        if machine.glibc
        else Finding("glibc", WARNING, "another C library, for which runtimes have no packages", "use a system with glibc"),
    ]


def _cpu_text(machine: Machine, facts: Facts) -> str:
    features = facts.get("cpu")
    parts = [f"{machine.cpu or 'it tells no name'}, {machine.cores} core{'s' if machine.cores > 1 else ''}"]
    for title, names in _INSTRUCTIONS.items():
        has = next((name for name in names if features and name in features), None)
        parts.append(f"{title} {f'yes ({has})' if has else 'not told' if features is None else 'no'}")
    return "; ".join(parts)


def _memory_finding(machine: Machine, root: Path) -> Finding:
    lines = dict(cpuinfo(text(root / "proc/meminfo") or ""))
    free = re.match(r"(\d+) kB", lines.get("MemAvailable", ""))
    free_bytes = int(free[1]) * 1024 if free else None
    parts = [
        f"{size / 2**20:,.0f} MiB{word}"
        for size, word in ((machine.memory_bytes, ""), (free_bytes, " available"))
        if size is not None
    ]
    told = ", ".join(parts) or "this machine does not tell"
    if free_bytes is not None and free_bytes < _LEAST_MEMORY_BYTES:
        return Finding("memory", WARNING, f"{told}: a runtime and a small model take up to 70", "ps aux --sort=-rss | head")
    return Finding("memory", OK, told)


def _temperature_finding(state: State) -> Finding:
    now, limit = state.temperature_celsius, state.temperature_limit_celsius
    if now is None:
        return Finding("temperature", OK, "this machine does not tell")
    told = f"{now:.0f} °C" + (f", slows down at {limit:.0f}" if limit is not None else "")
    if limit is not None and now >= limit:
        return Finding("temperature", WARNING, told, "fit a heat sink or a fan, and let it cool before measuring")
    return Finding("temperature", OK, told)


def _runtime_findings(installed: dict[str, str], needed: set[str], facts: Facts) -> list[Finding]:
    found = [_import_finding(package, installed[package], module) for package, module, _ in _RUNTIMES if package in installed]
    some = any(is_installed(model_format) for model_format in _DEVICE_FORMATS)
    for model_format, package in _DEVICE_FORMATS.items():
        if is_installed(model_format):
            continue
        if model_format in needed or (not needed and not some):
            told = f"not installed, and .{model_format} files need it"
            found.append(Finding(package, PROBLEM, told, _install(model_format, facts)))
        else:
            found.append(Finding(package, OK, f"not installed; only .{model_format} files need it"))
    return found


def _import_finding(package: str, release: str, module: str) -> Finding:
    failure = import_module(module).failure
    if failure is not None:
        return Finding(package, PROBLEM, f"{release} can't be imported: {failure}", f"pip install --upgrade {package}")
    return Finding(package, OK, f"{release} can be imported")


def _install(model_format: str, facts: Facts) -> str | None:
    """The command that installs what runs a format here; None where nothing does."""
    if facts["bits"] == "64" or "arm" not in facts["machine"]:
        return f"pip install 'edgecnn[{model_format}]'"
    if model_format == "tflite" and version_key(str(facts["python"])) < (3, 12):
        return "pip install 'edgecnn[tflite-runtime]'"
    return None


def _with_known(findings: list[Finding], rows: tuple[KnownProblem, ...]) -> list[Finding]:
    """Put the known problems of this machine to the findings that they belong to."""
    told = []
    for finding in findings:
        known = [Finding(finding.name, row.status, row.text, row.fix, row.source) for row in rows if row.topic == finding.name]
        if known and finding.status == OK:
            first = known.pop(0)
            told.append(replace(first, text=f"{finding.text}; {first.text}"))
        else:
            told.append(finding)
        told += known
    return told


def _file_findings(
    path: Path, signature: str | None, facts: Facts, seen: tuple[KnownProblem, ...], runnable: set[str]
) -> list[Finding]:
    """What is to be said of one file; it is run only where its runtime has no problem of its own."""
    try:
        model = read_model(path)
    except EdgeCnnError as error:
        return [_failed(path.name, str(error))]
    if model.format == "keras":
        told = "a Keras model runs on the workstation only"
        return [Finding(path.name, WARNING, told, f"edgecnn export {path} --format tflite --quantize int8")]
    try:
        needs = read_needs(model.data, model.format)
    except EdgeCnnError as error:
        return [_failed(path.name, str(error))]
    known: Facts = {
        **facts,
        **{name: str(number) for name, number in needs.operators.items()},
        "file": frozenset({"int8"} if needs.int8 else ()),
    }
    findings = [_needs_finding(model, needs, facts)]
    findings += [Finding(path.name, row.status, row.text, row.fix, row.source) for row in matching(known) if row not in seen]
    if model.format in runnable:
        findings.append(_run_finding(model, signature, facts))
    return findings


def _needs_finding(model: ModelFile, needs: Needs, facts: Facts) -> Finding:
    """Compare what a file needs with what is installed, as far as version numbers tell."""
    told = needs_text(needs)
    # ai-edge-litert has numbers of its own; only running a file tells whether it is new enough.
    package = "tflite-runtime" if model.format == "tflite" else "onnxruntime"
    # A manifest of an earlier edgecnn took the converter's word, and the converter does not know of the quantiser.
    said = (oldest_runtime(needs), model.artifact.oldest_runtime if model.artifact else None)
    wanted = [oldest.partition(">=")[2] for oldest in said if oldest] + ([needs.release] if needs.release else [])
    oldest = max(wanted, key=version_key, default=None)
    title = "TensorFlow Lite" if model.format == "tflite" else "onnxruntime"
    told = f"needs {told}" + (f"; {title} {oldest} or later" if oldest else "")
    here = facts.get(package)
    if oldest and isinstance(here, str) and version_key(here) < version_key(oldest):
        return Finding(model.path.name, PROBLEM, f"{told}, and {package} {here} is installed", _newer(model.format, facts))
    return Finding(model.path.name, OK, told)


def _newer(model_format: str, facts: Facts) -> str:
    """What to do about a runtime that is too old for a file."""
    if model_format == "onnx":
        return "pip install --upgrade onnxruntime"
    if facts["bits"] == "64" or "arm" not in facts["machine"]:
        return "pip install --upgrade ai-edge-litert"
    return "edgecnn export MODEL.keras --format tflite, on the workstation: it writes what tflite-runtime 2.14 runs"


def _run_finding(model: ModelFile, signature: str | None, facts: Facts) -> Finding:
    name, ended = model.path.name, run_file(model.path, signature)
    if ended.failure is not None:
        mend = "export the file again or install another version of its runtime"
        return Finding(name, PROBLEM, f"its runtime does not run it: {ended.failure}", mend)
    if ended.error is None:
        return Finding(name, OK, ended.answer)
    reason = too_old(ended.error)
    if reason:
        return Finding(name, PROBLEM, f"the installed runtime is too old for it: {reason}", _newer(model.format, facts))
    return _failed(name, ended.error)


def _failed(name: str, message: str) -> Finding:
    """A finding from an error's message, which ends with the fix (`edge.errors`)."""
    told, _, fix = message.rpartition(": ")
    return Finding(name, PROBLEM, told or message, fix if told else None)

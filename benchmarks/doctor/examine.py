"""Describes this machine, and tells whether an exported file will work on it.

Runtimes are imported, and a file is run, in child processes: an illegal instruction ends the process that meets it.
"""

import os
import sys
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.doctor.findings import (
    Finding,
    bench_findings,
    file_findings,
    has_package,
    import_module,
    machine_findings,
    program_findings,
)
from edgecnn.benchmarks.doctor.known_problems import (
    OK,
    PROBLEM,
    Facts,
    KnownProblem,
    matching,
)
from edgecnn.benchmarks.machine.host import Machine, State, read_machine, read_state, throttle_reasons
from edgecnn.benchmarks.machine.host_text import Run, cpu_features, run_tool, text
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.formats import FORMATS, RUNTIMES, device_formats, format_of
from edgecnn.edge.model_folder import ModelFolder, opened
from edgecnn.edge.records import to_value
from edgecnn.edge.result import Result
from edgecnn.edge.runtimes.installed import is_installed, runtimes_of


@dataclass(frozen=True, repr=False)
class Examination(Result):
    """What was found.

    Attributes:
        findings: All findings in order.
        runtimes: Names of the runtimes that are installed and suit the CPU, as `bench` takes them; not those of which an import
            was tried and failed.
        machine: What no run changes of the machine; None if that is not known.
    """

    findings: tuple[Finding, ...]
    runtimes: tuple[str, ...] = ()
    machine: Machine | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per finding."""
        findings: list[dict[str, Any]] = to_value(self.findings)
        return findings

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that keep something from working."""
        return tuple(finding for finding in self.findings if finding.status == PROBLEM)


def examine(
    target: Path | ModelFolder | None = None, signature: str | None = None, root: Path = Path("/"), run: Run = run_tool
) -> Examination:
    """Examine this machine and, if named, a model file or all .tflite and .onnx files of a folder with a manifest.

    Nothing is installed or changed. It takes some seconds: each runtime is imported, and each file is run once on random
    input, in its own process.

    Args:
        target: A .tflite, .onnx or .keras file, a folder with a manifest, or a bundle.
        signature: Name of the signature to run, if a TFLite file has several.
        root: Where /proc and /sys are. Tests pass a captured board's.
        run: Function that runs a board's own program. Tests pass a fake one.

    Raises:
        ArtifactError: If `target` does not exist, is a folder without a valid manifest, or a damaged bundle.
    """
    if target is None:
        return _examined(None, signature, root, run)
    with opened(target) as models:
        return _examined(models, signature, root, run)


def _examined(models: ModelFolder | None, signature: str | None, root: Path, run: Run) -> Examination:
    files = _files(models) if models else []
    machine, state = read_machine(root), read_state(root, run)
    installed = _installed()
    facts = _facts(machine, state, installed, root)
    findings = [
        *machine_findings(machine, state, facts, root),
        Finding("numpy", OK, _version("numpy")),
        *_runtime_findings(installed, {format_of(Path(name)) for name in files}, facts),
    ]
    rows = matching(facts)
    findings = _with_known(findings, rows)
    bad = {finding.name for finding in findings if finding.status == PROBLEM}
    good = [row for row in RUNTIMES.values() if row.package.is_installed and row.package.name not in bad]
    runnable = {model_format for row in good if not row.by_name for model_format in row.formats}
    if models:
        for name in files:
            findings += file_findings(models, name, signature, facts, seen=rows, runnable=runnable)
        findings += [*program_findings(models), *bench_findings(models, machine)]
    runtimes = tuple(row.name for row in good if not row.cpu or row.cpu in facts.get("cpu", ()))
    return Examination(tuple(findings), runtimes, machine)


def _files(models: ModelFolder) -> list[str]:
    if models.is_folder and models.manifest:
        return [artifact.path for artifact in models.manifest.exported]
    if not models.path.exists():
        raise ArtifactError(f"{models.named} does not exist: name a .tflite or .onnx file, or a folder with a manifest")
    return list(models.names)


def _installed() -> dict[str, str]:
    """Return the installed packages that run files here by default, with their versions."""
    found: dict[str, str] = {}
    for model_format in FORMATS:
        package = next((row.package.name for row in runtimes_of(model_format) if row.package.is_installed), None)
        if package is not None:
            found[package] = _version(package)
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # A module that no package manager installed.
        return "unknown"


def _facts(machine: Machine, state: State, installed: dict[str, str], root: Path) -> dict[str, str | frozenset[str]]:
    """Return the facts for the conditions in `edgecnn.benchmarks.doctor.known_problems`, as far as they are reported."""
    arm = {"arm"} if machine.machine.startswith(("arm", "aarch64")) else set()
    now = state.throttled or 0
    told: dict[str, str | frozenset[str] | None] = {
        "python": machine.python,
        "glibc": machine.glibc,
        "numpy": _version("numpy"),
        "bits": str(python_bits()),
        "machine": frozenset({machine.machine} | arm),
        "cpu": cpu_features(text(root / "proc/cpuinfo") or "") or None,
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


def _runtime_findings(installed: dict[str, str], needed: set[str | None], facts: Facts) -> list[Finding]:
    packages = {row.package.name: row.package.module for row in RUNTIMES.values()}
    found = [_import_finding(package, release, packages[package]) for package, release in installed.items()]
    some = any(map(is_installed, device_formats()))
    for model_format in device_formats():
        if is_installed(model_format) or (FORMATS[model_format].by_name and model_format not in needed):
            continue
        package = runtimes_of(model_format)[0].package.name
        if model_format in needed or (not needed and not some):
            told = f"not installed, and .{model_format} files need it"
            found.append(Finding(package, PROBLEM, told, _install(model_format, facts)))
        else:
            found.append(Finding(package, OK, f"not installed; only .{model_format} files need it"))
    return found


def _import_finding(package: str, release: str, module: str) -> Finding:
    failure = import_module(module).failure
    if failure is not None:
        return Finding(package, PROBLEM, f"{release} can't be imported: {failure}", f"pip install -U {package}")
    return Finding(package, OK, f"{release} can be imported")


def _install(model_format: str, facts: Facts) -> str | None:
    """Return the command that installs a runtime of a format here; None if there is no such runtime."""
    return next((row.package.command for row in runtimes_of(model_format) if has_package(row, facts)), None)


def _with_known(findings: list[Finding], rows: tuple[KnownProblem, ...]) -> list[Finding]:
    """Add the known problems of this machine to their findings."""
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

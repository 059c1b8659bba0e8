"""What doctor finds: about the machine, about a file, and what a benchmark here would suffer from."""

import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.doctor.known_problems import (
    OK,
    PROBLEM,
    WARNING,
    Facts,
    KnownProblem,
    Status,
    matching,
    version_key,
)
from edgecnn.benchmarks.machine.host import Machine, State
from edgecnn.benchmarks.machine.host_text import memory_bytes, text
from edgecnn.benchmarks.results.read import kept_report
from edgecnn.benchmarks.show.remarks import no_faster_remarks
from edgecnn.benchmarks.timing.latency import random_inputs
from edgecnn.edge.compatibility.requirements import Needs, read_needs
from edgecnn.edge.errors import ArtifactError, EdgeCnnError, setting, why
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import FORMATS, Runtime, is_exported
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.installed import runtimes_of
from edgecnn.edge.runtimes.onnxruntime import NO_TELEMETRY
from edgecnn.edge.sandbox.child import Child, Lost
from edgecnn.edge.sandbox.unverified import lacks_memory, limit_memory
from edgecnn.edge.text import counted, last_line


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes:
        name: What was examined.
        status: `ok`, `warning` (it works, with a reservation) or `problem` (it does not).
        text: The finding.
        fix: Command to type, or what to do if no command helps; None if all is well.
        source: Where a known problem is described.
    """

    name: str
    status: Status
    text: str
    fix: str | None = None
    source: str | None = None


# Names of the instructions in /proc/cpuinfo of ARM and x86.
_INSTRUCTIONS = {"dot product": ("asimddp", "avx512_vnni", "avx_vnni"), "fp16": ("asimdhp", "avx512_fp16")}

# A process with a runtime and a small model needs 50 to 70 MB.
_LEAST_MEMORY_BYTES = 100 * 2**20


def machine_findings(machine: Machine, state: State, facts: Facts, root: Path) -> list[Finding]:
    """Return the findings about board, memory, clock, temperature and system."""
    throttled = [*facts["throttled"], *(f"{word} since boot" for word in facts["since-boot"])]
    observed = "nothing now or since boot" if state.throttled is not None else "not reported"
    return [
        Finding("board", OK, machine.board or "not named by a device tree"),
        Finding("system", OK, f"{machine.system}, {machine.machine}, {facts['bits']}-bit Python"),
        Finding("cpu", OK, _cpu_text(machine, facts)),
        _memory_finding(machine, root),
        Finding("governor", OK, ", ".join(state.governors) or "not reported"),
        _temperature_finding(state),
        Finding("throttling", OK, ", ".join(sorted(throttled)) or observed),
        Finding("python", OK, machine.python),
        Finding("glibc", OK, machine.glibc)
        if machine.glibc
        else Finding("glibc", WARNING, "another C library, for which runtimes have no packages", "use a system with glibc"),
    ]


def _cpu_text(machine: Machine, facts: Facts) -> str:
    features = facts.get("cpu")
    parts = [f"{machine.cpu or 'name not reported'}, {counted(machine.cores, 'core')}"]
    for title, names in _INSTRUCTIONS.items():
        has = next((name for name in names if features and name in features), None)
        parts.append(f"{title} {f'yes ({has})' if has else 'not reported' if features is None else 'no'}")
    return "; ".join(parts)


def _memory_finding(machine: Machine, root: Path) -> Finding:
    free_bytes = memory_bytes(text(root / "proc/meminfo") or "", "MemAvailable")
    parts = [
        f"{size / 2**20:,.0f} MiB{word}"
        for size, word in ((machine.memory_bytes, ""), (free_bytes, " available"))
        if size is not None
    ]
    observed = ", ".join(parts) or "not reported"
    if free_bytes is not None and free_bytes < _LEAST_MEMORY_BYTES:
        return Finding("memory", WARNING, f"{observed}: a runtime and a small model take up to 70", "top -o %MEM")
    return Finding("memory", OK, observed)


def _temperature_finding(state: State) -> Finding:
    now, limit = state.temperature_celsius, state.temperature_limit_celsius
    if now is None:
        return Finding("temperature", OK, "not reported")
    observed = f"{now:.0f} °C" + (f", slows down at {limit:.0f}" if limit is not None else "")
    if limit is not None and now >= limit:
        return Finding("temperature", WARNING, observed, "fit a heat sink or a fan, and let it cool before measuring")
    return Finding("temperature", OK, observed)


def file_findings(
    models: ModelFolder,
    name: str,
    signature: str | None,
    facts: Facts,
    *,
    seen: tuple[KnownProblem, ...],
    runnable: set[str],
) -> list[Finding]:
    """Return the findings about one file; it is run only if its runtime has no problem."""
    try:
        model = models.model(name)
    except EdgeCnnError as error:
        return [_failed(name, error)]
    if not is_exported(model.format):
        observed = "a Keras model runs on the workstation only"
        return [Finding(name, WARNING, observed, f"edgecnn export {model.path}")]
    findings, known = [], facts
    if FORMATS[model.format].requirements:
        try:
            needs = read_needs(model.data, model.format)
        except EdgeCnnError as error:
            return [_failed(name, error)]
        known = {**facts, "file": frozenset({"int8"} if needs.int8 else ())}
        findings = [_needs_finding(model, needs, facts)]
    findings += [Finding(name, row.status, row.text, row.fix, row.source) for row in matching(known) if row not in seen]
    if model.format in runnable:
        findings.append(_run_finding(model, signature, facts))
    return findings


def _needs_finding(model: ModelFile, needs: Needs, facts: Facts) -> Finding:
    """Compare a file's requirements with what is installed, as far as version numbers show it."""
    # A manifest of an earlier edgecnn trusted the converter, which does not know about the quantizer.
    recorded = (model.artifact and model.artifact.oldest_runtime) or ""
    wanted = [release for release in (needs.at_least(), needs.written, recorded.partition(">=")[2]) if release]
    oldest = max(wanted, key=version_key, default=None)
    observed = f"needs {needs.text()}" + (f"; {needs.title} {oldest} or later" if oldest else "")
    # If a package has its own numbers, only running the file shows whether it is new enough.
    package = needs.numbered
    here = facts.get(package)
    if oldest and isinstance(here, str) and version_key(here) < version_key(oldest):
        return Finding(model.path.name, PROBLEM, f"{observed}, and {package} {here} is installed", _newer(model.format, facts))
    return Finding(model.path.name, OK, observed)


def has_package(row: Runtime, facts: Facts) -> bool:
    """Return whether a runtime has a package for this machine."""
    if facts["bits"] == "64" or "arm" not in facts["machine"]:
        return True
    return 32 in row.bits and (row.python_below is None or version_key(str(facts["python"])) < row.python_below)


def _newer(model_format: str, facts: Facts) -> str:
    """Return what to do about a runtime that is too old for a file."""
    rows = [row for row in runtimes_of(model_format) if has_package(row, facts)]
    for row in rows:
        if not row.ended:
            return f"pip install -U {row.package.name}"
    there = rows[0].package.name if rows else "an older runtime"
    return f"edgecnn export MODEL.keras, on the workstation: it writes what {there} runs"


def _run_finding(model: ModelFile, signature: str | None, facts: Facts) -> Finding:
    name, ended = model.path.name, _run(partial(run_here, model.path, signature))
    if ended.failure is not None:
        mend = "export the file again or install another version of its runtime"
        return Finding(name, PROBLEM, f"its runtime does not run it: {ended.failure}", mend)
    if ended.too_old:
        return Finding(name, PROBLEM, f"the installed runtime is too old for it: {ended.too_old}", _newer(model.format, facts))
    return _failed(name, ended.error) if ended.error else Finding(name, OK, ended.answer)


def program_findings(models: ModelFolder) -> list[Finding]:
    """Return the findings about the files for other programs: whether they are still what was exported."""
    findings = []
    for file in models.manifest.for_programs if models.is_folder and models.manifest else ():
        path = models.path / file.path
        try:
            problem = None if sha256(path.read_bytes()) == file.sha256 else "it is not what was exported"
        except OSError as error:
            problem = f"it can't be read ({error.strerror})"
        if problem:
            findings.append(Finding(file.path, PROBLEM, problem, "run edgecnn export again"))
        else:
            findings.append(Finding(file.path, OK, "as it was exported"))
    return findings


def _failed(name: str, error: EdgeCnnError) -> Finding:
    return Finding(name, PROBLEM, *error.parts)


def bench_findings(models: ModelFolder, machine: Machine) -> list[Finding]:
    """Return a warning for each quantized file that gained no speed here, in times of the files as they are now.

    A file is left out if its format has one that was tuned, which is what the warning advises.
    """
    report = kept_report(models)
    if report is None or models.manifest is None or _name(report.machine) != _name(machine):
        return []
    now = {artifact.path: artifact.sha256 for artifact in models.manifest.artifacts}
    if any(now.get(file.artifact.path) != file.artifact.sha256 for file in report.files):
        return []
    tuned = {artifact.format for artifact in models.manifest.artifacts if artifact.tuned}
    fix = f"edgecnn export MODEL.keras {setting('tune', 'HOST')}, on the workstation: HOST is this machine, as ssh takes it"
    return [
        Finding(file.artifact.path, WARNING, f"by the last bench it {text}", fix)
        for file, text in no_faster_remarks(report)
        if file.artifact.format not in tuned
    ]


def _name(machine: Machine) -> tuple[str | None, ...]:
    return machine.machine, machine.board, machine.cpu


CHILD_SECONDS = 60.0
"""Time limit in seconds: a board imports a runtime from a slow card in a few; beyond the limit, it hangs."""

# How the runtimes report that a file needs a later release.
_TOO_OLD = (
    r"Didn't find op for builtin opcode '\w+' version '\d+'",
    r"Unsupported model IR version: \d+, max supported IR version: \d+",
    r"Opset \d+ is under development",
    r"official support for domain \S+ is till opset \d+",
)


@dataclass(frozen=True)
class Ended:
    """How a child process ended.

    Attributes:
        answer: Its answer, if all went well.
        error: Its error, if the user can fix that.
        too_old: What its runtime says if a file needs a later release.
        failure: Another end: a signal, the time limit or an exception.
    """

    answer: str = ""
    error: EdgeCnnError | None = None
    too_old: str | None = None
    failure: str | None = None


def import_module(module: str) -> Ended:
    """Import a module in a child process."""
    return _run(partial(import_here, module))


def _run(task: Callable[[], str]) -> Ended:
    """Do a task in a child process."""
    try:
        with Child() as child:
            return child.call(partial(_ended, task), CHILD_SECONDS)
    except TimeoutError:
        return Ended(failure=f"it did not end within {CHILD_SECONDS:.0f} s")
    except Lost as lost:
        raised = lost.code is not None and lost.code > 0
        return Ended(failure=(last_line(lost.output) if raised else "") or f"it {lost.how}")


def _ended(task: Callable[[], str]) -> Ended:
    """Run in the child: do the task."""
    os.environ.update(**NO_TELEMETRY, TF_CPP_MIN_LOG_LEVEL="2")
    try:
        return Ended(task())
    except EdgeCnnError as error:
        return Ended(error=error, too_old=_too_old(error))
    except Exception as error:  # A runtime may raise anything, and that is the finding.
        return Ended(failure="memory ran out" if lacks_memory(error) else why(error, 200, named=True))


def import_here(module: str) -> str:
    """Import a module; the answer is its name."""
    return importlib.import_module(module).__name__


def run_here(path: Path, signature: str | None) -> str:
    """Open a .tflite or .onnx file and run it once on random input; the answer names the runtime."""
    model = read_model(path)
    if model.unverified is not None:
        limit_memory(len(model.data))
    runtime = opener_for(model.format).open_file(model, 1, signature, trusted=True)  # This is already the child.
    try:
        singles = random_inputs(runtime.input_spec, str(path))
    except ArtifactError as error:
        return f"{runtime.name} {runtime.version} opens it; it was not run: {error}"
    runtime.run(singles[0])
    return f"{runtime.name} {runtime.version} opens it and ran it once on random input"


def _too_old(error: BaseException) -> str | None:
    """Return a runtime's own words about a file that is too new for it: messages that quote it are cut before that."""
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    found = [[match[0] for pattern in _TOO_OLD if (match := re.search(pattern, str(item)))] for item in (inner, error)]
    return ", ".join(found[0] or found[1]) or None

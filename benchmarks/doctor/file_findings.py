"""The doctor's findings about a model file, which is run in a child process."""

from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import (
    OK,
    PROBLEM,
    WARNING,
    Facts,
    KnownProblem,
    matching,
    version_key,
)
from edgecnn.benchmarks.doctor.trials import run_file, too_old
from edgecnn.edge.compatibility.requirements import Needs, read_needs
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.files import sha256
from edgecnn.edge.folder.model_file import ModelFile
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.formats import FORMATS, Runtime, is_exported
from edgecnn.edge.runtimes.installed import runtimes_of


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
        return [_failed(name, str(error))]
    if not is_exported(model.format):
        told = "a Keras model runs on the workstation only"
        return [Finding(name, WARNING, told, f"edgecnn export {model.path}")]
    findings, known = [], facts
    if FORMATS[model.format].requirements:
        try:
            needs = read_needs(model.data, model.format)
        except EdgeCnnError as error:
            return [_failed(name, str(error))]
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
    told = f"needs {needs.text()}" + (f"; {needs.title} {oldest} or later" if oldest else "")
    # If a package has its own numbers, only running the file shows whether it is new enough.
    package = needs.numbered
    here = facts.get(package)
    if oldest and isinstance(here, str) and version_key(here) < version_key(oldest):
        return Finding(model.path.name, PROBLEM, f"{told}, and {package} {here} is installed", _newer(model.format, facts))
    return Finding(model.path.name, OK, told)


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


def program_findings(models: ModelFolder) -> list[Finding]:
    """Return the findings about the files for other programs: whether they are still what was exported."""
    findings = []
    for file in models.manifest.for_programs if models.is_folder and models.manifest else ():
        path = models.path / file.path
        try:
            said = None if sha256(path.read_bytes()) == file.sha256 else "it is not what was exported: run edgecnn export again"
        except OSError as error:
            said = f"it can't be read ({error.strerror}): run edgecnn export again"
        findings.append(_failed(file.path, said) if said else Finding(file.path, OK, "as it was exported"))
    return findings


def _failed(name: str, message: str) -> Finding:
    """Return a finding from an error's message, which ends with the fix (`edgecnn.edge.errors`)."""
    told, _, fix = message.rpartition(": ")
    return Finding(name, PROBLEM, told or message, fix if told else None)

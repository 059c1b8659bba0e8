"""The doctor's findings from the last benchmark of a folder on this machine."""

from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import WARNING
from edgecnn.benchmarks.machine.host import Machine
from edgecnn.benchmarks.report.remarks import no_faster_remarks
from edgecnn.benchmarks.results.read import kept_report
from edgecnn.edge.folder.model_folder import ModelFolder


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
    fix = "edgecnn export again on the workstation, tuned for this machine"
    return [
        Finding(file.artifact.path, WARNING, f"by the last bench it {text}", fix)
        for file, text in no_faster_remarks(report)
        if file.artifact.format not in tuned
    ]


def _name(machine: Machine) -> tuple[str | None, ...]:
    return machine.machine, machine.board, machine.cpu

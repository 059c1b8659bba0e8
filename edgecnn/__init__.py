"""Deploy a Keras image classifier to a small device, and prove that it still works there.

Every command of `edgecnn` is one call here: docs/how-to/python.md. Nothing is imported before it is used.
"""

from collections import namedtuple
from importlib import import_module
from pathlib import Path
from typing import Any

from edgecnn.edge.show import attach

# `task` is the heading of a command in the list of commands, or empty.
_Name = namedtuple("_Name", ("public", "module", "task"))


def _names() -> "list[_Name]":
    """Return the public names from the stub, which type checkers read too."""
    found, task = [], ""
    for line in Path(__file__).with_suffix(".pyi").read_text().splitlines():
        words = line.split()
        if line.startswith("# ") and line.endswith(":"):
            task = line[2:-1] if line.startswith("# Commands") else ""
        elif line.startswith("from edgecnn."):
            found.append(_Name(words[-1], words[1], task))
    return found


# Who shows each record, or derives from it: records don't know, so that none imports what imports it.
attach(
    {
        "BoardChecks.to_text": "edgecnn.benchmarks.show.deploy:checks_text",
        "Bundled.to_text": "edgecnn.benchmarks.show.checks:bundled_text",
        "Comparison.to_text": "edgecnn.benchmarks.show.checks:comparison_text",
        "DeployStatus.to_text": "edgecnn.benchmarks.show.deploy:status_text",
        "Deployment.to_text": "edgecnn.benchmarks.show.deploy:deployment_text",
        "DeviceResults.choice": "edgecnn.benchmarks.results.choice:for_devices",
        "DeviceResults.to_text": "edgecnn.benchmarks.show.report:devices_text",
        "Diagnosis.to_text": "edgecnn.convert.show:diagnosis_text",
        "Evaluation.to_text": "edgecnn.benchmarks.show.checks:evaluation_text",
        "Evaluations.to_text": "edgecnn.benchmarks.show.checks:evaluations_text",
        "Examination.to_text": "edgecnn.benchmarks.show.checks:doctor_text",
        "Fit.to_text": "edgecnn.benchmarks.show.fit:fit_text",
        "GoldenCheck.to_text": "edgecnn.benchmarks.show.checks:golden_text",
        "Inspection.to_text": "edgecnn.edge.show.inspection:inspection_text",
        "ModelFolder.to_text": "edgecnn.edge.show.export:folder_text",
        "Predicted.save": "edgecnn.edge.show.pictures:save_predicted",
        "Predicted.to_text": "edgecnn.edge.show.predictions:predicted_text",
        "Report.choice": "edgecnn.benchmarks.results.choice:for_report",
        "Report.rows": "edgecnn.benchmarks.show.report:file_rows",
        "Report.to_csv": "edgecnn.benchmarks.show.report:to_csv",
        "Report.to_html": "edgecnn.benchmarks.show.html:page",
        "Report.to_markdown": "edgecnn.benchmarks.show.report:to_markdown",
        "Report.to_text": "edgecnn.benchmarks.show.report:to_text",
        "SelfTest.to_text": "edgecnn.benchmarks.show.checks:selftest_text",
        "Summaries.to_text": "edgecnn.edge.show.summary:summaries_text",
        "Summary.to_text": "edgecnn.edge.show.summary:summary_text",
        "Sweep.to_text": "edgecnn.benchmarks.show.sweep:sweep_text",
        "TrainResult.to_text": "edgecnn.convert.show:trained_text",
        "Verification.to_text": "edgecnn.benchmarks.show.checks:verification_text",
    }
)

NAMES = _names()
_HOMES = {item.public: item.module for item in NAMES}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = import_module("importlib.metadata").version("edgecnn")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # Without this module's own imports.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})

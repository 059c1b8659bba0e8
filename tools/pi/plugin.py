"""A pytest plugin for the board: a test that needs a workstation package is skipped there, with that reason."""

from collections.abc import Generator
from typing import Any

import pytest

from edgecnn.edge.formats import RUNTIMES

_WORKSTATION = {"tensorflow", "keras", "tf2onnx", "onnxslim", "litert_quantizer", "matplotlib", "jinja2"}
# make test-pi-ci installs no runtime that must be named.
_NAMED = {row.package.module.partition(".")[0] for row in RUNTIMES.values() if row.by_name}


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    _excuse(report, report.call.excinfo, collector)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    _excuse(report, call.excinfo, item)
    return report


def _excuse(report: Any, raised: pytest.ExceptionInfo[BaseException] | None, node: pytest.Item | pytest.Collector) -> None:
    package = _missing(raised.value) if raised else None
    if package:
        report.outcome = "skipped"
        report.longrepr = (str(node.path), 0, f"Skipped: needs {package}, which the board does not have")


def _missing(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _WORKSTATION | _NAMED:
            return (error.name or "").partition(".")[0]
        error = error.__cause__
    return None

"""A pytest plugin for the board: a test for the workstation is skipped there, with the reason.

That is one with the mark `workstation`, and one that imports a package that the board does not have.
"""

import sys
from collections.abc import Generator
from typing import Any

import pytest

from edgecnn.edge.formats import RUNTIMES

_WORKSTATION = {"tensorflow", "keras", "tf2onnx", "onnxslim", "litert_quantizer", "matplotlib", "jinja2"}
_TESTING = {"jsonschema", "schemathesis", "selenium"}
# make test-pi-ci installs no runtime that must be named.
_NAMED = {row.package.module.partition(".")[0] for row in RUNTIMES.values() if row.by_name}


def pytest_configure() -> None:
    """Hide those packages where they are installed."""
    sys.modules.update(dict.fromkeys(_WORKSTATION | _TESTING))  # type: ignore[arg-type] # None: can't be imported.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked."""
    for item in items:
        if mark := item.get_closest_marker("workstation"):
            item.add_marker(pytest.mark.skip(reason=f"for the workstation: {mark.args[0]}"))


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
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _WORKSTATION | _TESTING | _NAMED:
            return (error.name or "").partition(".")[0]
        error = error.__cause__
    return None

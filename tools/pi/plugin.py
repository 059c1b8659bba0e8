"""A pytest plugin for the board: a test for the workstation is skipped there, with the reason.

That is one with the mark `workstation`, and one that itself imports a package that the board does not have. If a module of
edgecnn's imports one, the test fails, except where `MissingDependency` says what to install, and it is not TensorFlow.
"""

import sys
from collections.abc import Generator
from types import TracebackType
from typing import Any

import pytest

from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.formats import RUNTIMES

_TENSORFLOW = {"tensorflow", "keras", "tf2onnx", "onnxslim", "litert_quantizer"}
_WORKSTATION = {*_TENSORFLOW, "matplotlib", "jinja2"}
_TESTING = {"jsonschema", "schemathesis", "selenium"}
# make test-pi-ci installs no runtime that must be named.
_NAMED = {row.package.module.partition(".")[0] for row in RUNTIMES.values() if row.by_name}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-pi-ci`: the cases of a test need the same programs, packages and files."""
    parser.addoption("--one-case", action="store_true", help="Of a test with parameters, run the first case alone.")


def pytest_configure() -> None:
    """Hide those packages where they are installed."""
    sys.modules.update(dict.fromkeys(_WORKSTATION | _TESTING))  # type: ignore[arg-type] # None: can't be imported.


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked, and leave out further cases if the command says so."""
    if config.option.one_case:
        first = {*{item.nodeid.partition("[")[0]: item for item in reversed(items)}.values()}
        config.hook.pytest_deselected(items=[item for item in items if item not in first])
        items[:] = [item for item in items if item in first]
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
    """Return the package that the test needs and the board has not; None if the error is another, or edgecnn's own mistake."""
    said = False
    while error is not None:
        package = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and package in _WORKSTATION | _TESTING | _NAMED:
            excused = (said and package not in _TENSORFLOW) or not _from_edgecnn(error.__traceback__)
            return package if excused else None
        said = said or isinstance(error, MissingDependency)
        error = error.__cause__
    return None


def _from_edgecnn(raised: TracebackType | None) -> bool:
    while raised is not None:
        if raised.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "edgecnn":
            return True
        raised = raised.tb_next
    return False

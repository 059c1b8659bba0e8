"""A pytest plugin for the board, which has no TensorFlow: fixtures that need it are made on the workstation and taken along.

--keep-fixtures DIR copies them there, on the workstation; --kept-fixtures DIR gives them to the tests, on the board.
A test that needs a package of the workstation all the same is skipped on the board, with that reason.
"""

import shutil
import sys
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Folders of model files, made by Keras and its converters.
KEPT = ("exported", "any_batch", "foreign")
_WORKSTATION = {"tensorflow", "keras", "tf2onnx", "onnxslim", "litert_quantizer", "matplotlib", "jinja2"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-fixtures", type=Path)
    parser.addoption("--kept-fixtures", type=Path)


class Absent(ModuleType):
    """Stands for a package that the board has not while conftest files, which import it at their top, are loaded."""

    def __getattr__(self, name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {self.__name__!r}", name=self.__name__)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, Any]:
    absent = early_config.known_args_namespace.kept_fixtures and not find_spec("keras")
    if absent:
        sys.modules["keras"] = Absent("keras")
    result = yield
    if absent:
        del sys.modules["keras"]  # A test must see that it can't be imported.
    return result


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--keep-fixtures"):  # One test for each: nothing but the fixture is wanted.
        items[:] = [next(item for item in items if name in getattr(item, "fixturenames", ())) for name in KEPT]


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
    value = yield
    folder = request.config.getoption("--keep-fixtures")
    if folder and fixturedef.argname in KEPT:
        shutil.copytree(value, folder / fixturedef.argname, ignore=shutil.ignore_patterns("logs", "checkpoint", "saved"))
    return value


@pytest.hookimpl(tryfirst=True, specname="pytest_fixture_setup")
def pytest_give_kept_fixture(fixturedef: Any, request: pytest.FixtureRequest) -> Path | None:
    folder: Path | None = request.config.getoption("--kept-fixtures")
    if folder is None or fixturedef.argname not in KEPT:
        return None
    value: Path = folder.resolve() / fixturedef.argname  # Some tests go into a folder of their own.
    fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
    return value


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
    if package and node.config.getoption("--kept-fixtures"):
        report.outcome = "skipped"
        report.longrepr = (str(node.path), 0, f"Skipped: needs {package}, which the board has not")


def _missing(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _WORKSTATION:
            return (error.name or "").partition(".")[0]
        error = error.__cause__
    return None

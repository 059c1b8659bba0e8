"""Machines with the runtimes that a test names, real or invented."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.benchmarks.doctor.examined import Fake


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hide all runtimes except these modules, as if not installed; importing TensorFlow also takes long."""

    def hide_others(*modules: str) -> None:
        monkeypatch.setattr("edgecnn.edge.formats.find_spec", lambda name: find_spec(name) if name in modules else None)

    return hide_others


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]) -> Fake:
    """Put a package of this name, version and content before the installed ones; it is the only runtime."""

    def install(package: str, version: str, code: str) -> None:
        module, site = package.replace("-", "_"), tmp_path / "site"
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").write_text(code if module == "onnxruntime" else "")
        (site / module / "interpreter.py").write_text(code)
        (site / f"{module}-{version}.dist-info").mkdir()
        (site / f"{module}-{version}.dist-info/METADATA").write_text(f"Name: {package}\nVersion: {version}\n")
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site))
        only(module)

    return install

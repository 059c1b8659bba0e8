"""Packages that are missing, broken or too old, their versions, and the one that takes another's place."""

import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecnn.edge.errors import ConfigError, MissingDependency
from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.runtimes import base, opener_for

Hide = Callable[..., None]


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Make packages as if they were not installed."""

    class Absent:
        def __init__(self, packages: tuple[str, ...]) -> None:
            self.packages = packages

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            if name.partition(".")[0] in self.packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return None

    def hide_packages(*packages: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Absent(packages), *sys.meta_path])

    return hide_packages


def test_a_runtime_that_is_not_known_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(
        ConfigError,
        match=r"coral is unknown: use litert, litert-fp16, .*onnxruntime, openvino, ncnn, mnn, executorch, keras, tflite, onnx",
    ):
        opener_for("coral")


@pytest.mark.parametrize(
    ("kind", "packages", "message"),
    [
        ("onnx", ["onnxruntime"], r"^onnxruntime is not installed: pip install 'onnxruntime>=[0-9.]+'$"),
        (
            "tflite",
            ["ai_edge_litert", "tflite_runtime"],
            r"^no TFLite runtime is installed: pip install 'ai-edge-litert>=\S+ \(32-bit: 'tflite-runtime>=\S+ 'numpy<2'\)$",
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command(kind: str, packages: list[str], message: str, hide: Hide) -> None:
    hide(*packages)
    with pytest.raises(MissingDependency, match=message):
        opener_for(kind)


@pytest.mark.parametrize(
    ("kind", "package", "module"), [("tflite", "ai_edge_litert", "interpreter.py"), ("onnx", "onnxruntime", "__init__.py")]
)
def test_a_broken_install_is_not_called_missing(
    kind: str, package: str, module: str, hide: Hide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(package)
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / module).write_text("import edgecnn_needs_this\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[1:])
    with pytest.raises(MissingDependency, match=r"is installed, but .*edgecnn_needs_this"):
        opener_for(kind).import_library()
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


@pytest.fixture
def tflite_runtime(hide: Hide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return a function that puts tflite-runtime 2.14.0 with such an `Interpreter` in ai-edge-litert's place."""

    def install(interpreter: Any) -> None:
        hide("ai_edge_litert")
        (tmp_path / "tflite_runtime-2.14.0.dist-info").mkdir()
        metadata = "Metadata-Version: 2.1\nName: tflite-runtime\nVersion: 2.14.0\n"
        (tmp_path / "tflite_runtime-2.14.0.dist-info" / "METADATA").write_text(metadata)
        monkeypatch.syspath_prepend(tmp_path)
        package, module = ModuleType("tflite_runtime"), ModuleType("tflite_runtime.interpreter")
        vars(package)["__path__"] = []
        vars(module)["Interpreter"] = interpreter
        monkeypatch.setitem(sys.modules, "tflite_runtime", package)
        monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", module)

    return install


def fails(error: BaseException) -> Callable[..., None]:
    def interpreter(**_: Any) -> None:
        raise error

    return interpreter


@pytest.mark.parametrize("error", [AttributeError("flush"), SystemError("bad internal call")])
def test_an_error_that_has_nothing_to_do_with_numpy_is_not_blamed_on_it(
    error: Exception, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", fails(error))
    with pytest.raises(type(error), match=str(error)):
        opener_for("tflite").open_model((exported / "int8.tflite").read_bytes(), 1)


@pytest.mark.parametrize("installed", ["2.4.6", "1.26.4"])
def test_only_tflite_runtime_beside_numpy_2_is_told_to_need_an_older_one(
    installed: str, tflite_runtime: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tflite_runtime(fails(SystemError("CreateWrapperFromBuffer returned a result with an exception set")))
    monkeypatch.setattr(np, "__version__", installed)
    expected = MissingDependency if installed >= "2" else SystemError
    with pytest.raises(expected, match=r"numpy<2|CreateWrapperFromBuffer"):
        opener_for("tflite").open_model(b"", 1)


def test_tflite_runtime_runs_the_file_where_ai_edge_litert_is_absent(
    exported: Path, tflite_runtime: Callable[[Any], None]
) -> None:
    tflite_runtime(Interpreter)
    runtime = opener_for("tflite").open_model((exported / "int8.tflite").read_bytes(), 1)
    assert (runtime.name, runtime.version) == ("tflite-runtime", "2.14.0")
    assert runtime.run(np.zeros((1, 12, 12, 1), np.int8)).shape == (1, 3)


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_telemetry_is_off_unless_the_user_decided(before: str | None, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", before or "")
    if before is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    opener_for("onnx").import_library()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == after


def test_a_version_is_what_importlib_metadata_says_and_not_known_without_the_package() -> None:
    base._version.cache_clear()
    assert base.installed_version("no-such-runtime") == ""
    known = 0
    for package in {row.package.name for row in RUNTIMES.values()} | {"numpy", "typer"}:
        try:
            expected = version(package)
        except PackageNotFoundError:
            continue
        assert base.installed_version(package) == expected, package
        known += 1
    assert known > 2


def test_what_an_upgrade_left_behind_does_not_give_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "none"), str(tmp_path)])
    for left, release in (("some_runtime-1.0.dist-info", None), ("some_runtime-2.0.dist-info", "2.0")):
        (tmp_path / left).mkdir()
        if release:
            (tmp_path / left / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-runtime\nVersion: {release}\n")
    (tmp_path / "some_runtime_gpu-3.0.dist-info").mkdir()
    assert base.installed_version("some-runtime") == version("some-runtime")

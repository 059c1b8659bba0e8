"""The rows fit together, and one more row is all that a new runtime needs."""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.errors import ConfigError, MissingDependency
from edgecnn.edge.formats import (
    FORMATS,
    PRECISIONS,
    RUNTIMES,
    Format,
    Package,
    Runtime,
    default_formats,
    device_formats,
    format_of,
    is_exported,
    suffixes,
)
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.installed import extras, installed_runtime, is_installed, runtime_formats, runtimes_of

TOY = '''
"""A runtime that finds the same class in every image."""

import numpy as np

from edgecnn.edge.manifest import TensorSpec


def import_library():
    pass


class Toy:
    name, version = "toy", "1.0"
    input_spec = TensorSpec("image", (1, 12, 12, 1), "float32")
    output_spec = TensorSpec("probabilities", (1, 3), "float32")

    def run(self, batch):
        return np.array([[0.25, 0.5, 0.25]], np.float32)


def open_model(data, threads, signature=None, streaming=False):
    return Toy()
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One module and one row, before TFLite's others, so that it is the default."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/toy_runtime.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path / "toy")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "toy"))
    others = dict(RUNTIMES)
    RUNTIMES.clear()
    RUNTIMES["toy"] = Runtime("toy", ("tflite",), Package("toy-runtime", "toy_runtime", "tflite"), "toy_runtime")
    RUNTIMES.update(others)
    yield
    del RUNTIMES["toy"]
    sys.modules.pop("toy_runtime", None)


@pytest.mark.parametrize("row", FORMATS.values(), ids=lambda row: row.name)
def test_a_format_has_runtimes_precisions_and_modules(row: Format) -> None:
    assert [PRECISIONS[name].name for name in row.precisions] == [name for name in PRECISIONS if name in row.precisions]
    assert "float32" in row.precisions  # It shows that the conversion itself is correct.
    assert runtimes_of(row.name)
    assert (row.converter is not None) == row.on_device
    named = {
        row.anatomy: {"read_network"}, row.requirements: {"read_needs", "RELEASES"}, row.converter: {"converter"},
        row.pair: {"open_pair"},
    }  # fmt: skip
    assert all(contract <= {*dir(import_module(module))} for module, contract in named.items() if module)
    assert bool(row.calibrations) == any(PRECISIONS[name].calibrated for name in row.precisions)
    # What is exported by default has everything.
    assert row.by_name or not row.on_device or None not in named


@pytest.mark.parametrize("row", RUNTIMES.values(), ids=lambda row: row.name)
def test_a_runtime_has_a_format_and_modules(row: Runtime) -> None:
    assert row.formats
    assert {*row.formats} <= {*FORMATS}
    assert {"import_library", "open_model"} <= {*dir(import_module(row.module))}
    if row.profiler:
        assert {"profile_ops", "CAVEAT"} <= {*dir(import_module(row.profiler))}


def test_each_runtime_has_its_own_name_in_results_and_its_extra_brings_it() -> None:
    assert len({row.name_in_results for row in RUNTIMES.values()}) == len(RUNTIMES)
    extras_of = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    readers = filter(None, (row.reader for row in FORMATS.values()))
    for package in (*(row.package for row in RUNTIMES.values()), *readers):
        assert any(re.match(rf"{package.name}\b(?!-)", wanted) for wanted in extras_of[package.extra]), package


def test_a_suffix_stands_for_a_format() -> None:
    assert suffixes() == ".keras, .tflite, .onnx, .ncnn, .mnn or .pte"
    assert device_formats() == ("tflite", "onnx", "ncnn", "mnn", "executorch")
    assert default_formats() == ("tflite", "onnx")
    assert [format_of(Path(name)) for name in ("a/b.TFLITE", "c.onnx", "d.keras", "e.pte", "f.h5", "tflite")] == [
        "tflite", "onnx", "keras", "executorch", "keras", None,
    ]  # fmt: skip
    assert [is_exported(name) for name in ("tflite", "onnx", "keras", "of a later release")] == [True, True, False, True]
    assert FORMATS["onnx"].file_name("int8") == "int8.onnx"


def test_a_format_s_default_is_the_first_runtime_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"tflite_runtime", "ai_edge_litert"}
    monkeypatch.setattr("edgecnn.edge.formats.find_spec", lambda name: name if name in here else None)
    assert installed_runtime("tflite").name == "litert"
    assert installed_runtime("tflite-runtime").name == "tflite-runtime"
    assert not is_installed("onnx")
    here.remove("ai_edge_litert")
    assert installed_runtime("tflite").name == "tflite-runtime"
    with pytest.raises(MissingDependency, match=r"^ai-edge-litert .*pip install 'ai-edge-litert>=[0-9.]+'$"):
        installed_runtime("litert")
    here.clear()
    with pytest.raises(MissingDependency, match=r"^no TFLite .+\(32-bit: 'tflite-runtime>=\S+ 'numpy<2'\)$"):
        installed_runtime("tflite")


def test_each_format_has_the_named_runtimes_and_a_board_their_extras_by_its_word_size() -> None:
    assert runtime_formats([]) == {}
    assert runtime_formats(["onnx", "tflite-runtime"]) == {"tflite": ("tflite-runtime",), "onnx": ("onnx",)}
    assert runtime_formats(["keras", "litert", "litert"]) == {"tflite": ("litert",), "keras": ("keras",)}
    assert runtime_formats(["openvino", "onnxruntime"]) == {"tflite": ("openvino",), "onnx": ("openvino", "onnxruntime")}
    with pytest.raises(ConfigError, match=r"litert and tflite .*same runtime"):
        runtime_formats(["litert", "tflite"])
    with pytest.raises(ConfigError, match="coral is unknown"):
        runtime_formats(["coral"])
    assert extras(["tflite", "onnxruntime"], 64) == ["onnx", "tflite"]
    assert extras(["tflite", "onnxruntime"], 32) == ["tflite-runtime"]
    assert extras(["onnx"], 32) == []


@pytest.mark.usefixtures("toy")
def test_a_runtime_of_one_module_and_one_row_evaluates_predicts_and_is_measured(exported: Path, terminal: Any) -> None:
    file = exported / "float32.tflite"
    assert "accuracy 0.3333 (20 of 60 test images)" in " ".join(terminal.passes("evaluate", file).split())
    assert "toy 1.0" in terminal.out
    assert "50.0%" in terminal.passes("predict", file, "--index", "0")
    short = ("--min-seconds", "0.02", "--min-runs", "50", "--launches", "2")
    assert "toy 1.0" in terminal.passes("bench", file, *short, "--runtime", "toy", "--verbose")
    assert "ai-edge-litert" in terminal.passes("bench", file, *short, "--runtime", "litert", "--verbose")


@pytest.mark.usefixtures("toy")
def test_a_new_runtime_is_the_default_where_its_row_is_the_first() -> None:
    assert installed_runtime("tflite").name == "toy"
    assert opener_for("tflite").runtime == RUNTIMES["toy"]

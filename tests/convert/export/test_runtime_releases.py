"""Files for a named runtime: what it supports, what a file needs, and real files that it would not run."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.convert.export import runtime_releases as targets
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.export.runtime_releases import RuntimeRelease, parse_target, parse_targets, require_runs
from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.convert.tflite import converter as to_tflite
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.quantize import quantize_tflite
from edgecnn.edge.compatibility.onnx import limits
from edgecnn.edge.compatibility.requirements import read_needs
from edgecnn.edge.compatibility.tflite import TfliteNeeds
from edgecnn.edge.compatibility.tflite import highest as highest_version
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.errors import ConfigError, ConversionError
from edgecnn.edge.manifest import Manifest
from tests.convert.conftest import converter_of, unchanged
from tests.convert.export.conftest import entry

BOTH = ("tflite", "onnx")
PI_32 = RuntimeRelease("tflite-runtime", "2.14")


@pytest.fixture(scope="module")
def dense() -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(16), layers.Dense(3)])


@pytest.fixture
def by_channel(dense: Any, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A `dynamic` file as TensorFlow's converter writes it by itself."""
    chosen = to_tflite._set_precision

    def set_precision(converter: Any, precision: str) -> None:
        chosen(converter, precision)
        converter._experimental_disable_per_channel_quantization_for_dense_layers = False

    monkeypatch.setattr(to_tflite, "_set_precision", set_precision)
    return to_tflite.to_tflite(dense, "dynamic", (16, 16, 1), "float32")


def gelu_of_16_bits() -> bytes:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Activation("gelu")])
    float32 = to_tflite.to_tflite(model, "float32", (4, 4, 1), "float32")
    images = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    return quantize_tflite(float32, "int16x8", calibrate_tflite(float32, images))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "tflite",
            r"targets=tflite is unknown: use one of ai-edge-litert==1\.0\.1 to 2\.3\.0, tflite-runtime==2\.7\.0 to 2\.14\.0",
        ),
        ("", "targets= is unknown: use one of"),
        ("onnxruntime=1.16", "targets=onnxruntime=1.16 is unknown: use one of"),
        ("onnxruntime>=1.16", "is unknown: use one of"),
        ("onnxruntime==", "targets=onnxruntime== needs a version such as 2.14 .*: use one of"),
        ("onnxruntime==new", "needs a version"),
        ("onnxruntime==1.16rc1", "needs a version"),
        ("onnxruntime==-1", "needs a version"),
        ("onnxruntime==1..2", "needs a version"),
        ("onnxruntime==" + "9" * 5000, "needs a version"),
        ("onnxruntime==1.5.2", "no table covers that release: use onnxruntime==1.6 to 1.32"),
        ("ai-edge-litert==1", "no table covers that release: use ai-edge-litert==1.0.1 to 2.3.0"),
        ("tflite-runtime==2.6", "no table covers that release: use tflite-runtime==2.7.0 to 2.14.0"),
        ("tflite-runtime==2.15", "no table covers that release: use tflite-runtime==2.7.0 to 2.14.0"),
    ],
)
def test_a_runtime_that_is_not_known_is_an_error_that_lists_those_that_are(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_target(text)


def test_a_target_is_a_release_and_without_a_version_the_newest_known() -> None:
    assert parse_target("tflite-runtime==2.14") == PI_32
    assert parse_target("tflite-runtime") == RuntimeRelease("tflite-runtime", "2.14.0")
    assert parse_target("ai-edge-litert") == RuntimeRelease("ai-edge-litert", "2.3.0")
    assert parse_target("onnxruntime") == RuntimeRelease("onnxruntime", "1.32")
    assert limits(parse_target("onnxruntime==1.99").release) == limits(parse_target("onnxruntime").release)


@pytest.mark.parametrize(
    ("texts", "formats", "said"),
    [
        (("onnxruntime",), ("tflite",), "targets=onnxruntime is for onnx files, which are not exported: add formats=onnx"),
        (("tflite-runtime",), ("onnx",), "targets=tflite-runtime is for tflite files, which are not exported"),
        (("tflite-runtime", "ai-edge-litert==2.0.2"), BOTH, "tflite-runtime 2.14.0 and ai-edge-litert 2.0.2, both for tflite"),
        (("onnxruntime==1.16", "onnxruntime==1.16"), BOTH, "both for onnx files: name the older one"),
    ],
)
def test_each_exported_format_has_one_target_at_most(texts: tuple[str, ...], formats: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_targets(texts, formats)
    with pytest.raises(ConfigError, match=said):
        ExportConfig(formats, targets=texts)


def test_each_format_has_its_own() -> None:
    config = ExportConfig(BOTH, targets=("onnxruntime==1.16", "tflite-runtime==2.14"))
    assert config.releases() == {"onnx": RuntimeRelease("onnxruntime", "1.16"), "tflite": PI_32}
    assert ExportConfig(BOTH).releases() == {}


@pytest.mark.parametrize(
    ("target", "operator", "highest"),
    [
        (PI_32, "FULLY_CONNECTED", 10),
        (RuntimeRelease("tflite-runtime", "2.12.0"), "FULLY_CONNECTED", 9),
        (RuntimeRelease("tflite-runtime", "2.9"), "FULLY_CONNECTED per channel", 0),
        (RuntimeRelease("tflite-runtime", "2.10"), "FULLY_CONNECTED per channel", 1),
        (RuntimeRelease("tflite-runtime", "2.8"), "GELU", 0),
        (RuntimeRelease("ai-edge-litert", "1.0.1"), "CAST", 6),
        (RuntimeRelease("ai-edge-litert", "1.4"), "CAST", 7),
        (RuntimeRelease("ai-edge-litert", "2.2"), "FULLY_CONNECTED", 14),
        (RuntimeRelease("ai-edge-litert", "9"), "CAST", 9),
        (RuntimeRelease("ai-edge-litert", "2.3"), "MEAN", 3),
        (RuntimeRelease("ai-edge-litert", "2.3"), "custom Mine", 0),
    ],
)
def test_what_a_release_has_is_read_from_the_tables(target: RuntimeRelease, operator: str, highest: int) -> None:
    assert highest_version(target.package, target.release, operator) == highest


@pytest.mark.parametrize(
    ("release", "opset", "ir_version"), [("1.6", 13, 7), ("1.8.1", 14, 7), ("1.16.3", 19, 9), ("1.20", 21, 10)]
)
def test_an_onnx_runtime_between_two_of_the_table_has_what_the_earlier_has(release: str, opset: int, ir_version: int) -> None:
    assert limits(release) == (opset, ir_version)


def test_a_dynamic_file_of_newer_operators_is_refused_with_operator_version_and_fix(by_channel: bytes) -> None:
    with pytest.raises(ConversionError) as caught:
        require_runs("dynamic.tflite", by_channel, PI_32)
    assert str(caught.value) == (
        "dynamic.tflite: FULLY_CONNECTED has version 12 (TensorFlow Lite 2.17.0 and later), and tflite-runtime 2.14 has up "
        "to 10: omit precisions=dynamic, or name a newer runtime with targets"
    )
    require_runs("dynamic.tflite", by_channel, RuntimeRelease("ai-edge-litert", "1.0.1"))


def test_a_dynamic_file_as_edgecnn_writes_it_runs_there(dense: Any) -> None:
    data = to_tflite.to_tflite(dense, "dynamic", (16, 16, 1), "float32")
    needs = read_needs(data, "tflite")
    assert isinstance(needs, TfliteNeeds)
    assert needs.operators["FULLY_CONNECTED"] in (3, 9)
    require_runs("dynamic.tflite", data, PI_32)


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_a_quantized_dense_layer_is_refused_where_it_would_load_and_compute_something_else(dense: Any, precision: str) -> None:
    float32 = to_tflite.to_tflite(dense, "float32", (16, 16, 1), "float32")
    images = np.random.default_rng(0).random((8, 16, 16, 1), np.float32)
    data = quantize_tflite(float32, precision, calibrate_tflite(float32, images))
    # The quantizer kept the float operator's version, so no runtime refuses it.
    codes = schema.ModelT.InitFromPackedBuf(data, 0).operatorCodes
    assert {code.version for code in codes if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED} == {1}
    with pytest.raises(ConversionError, match=r"FULLY_CONNECTED per channel.*version 1 \(.*2\.10\.0"):
        require_runs(f"{precision}.tflite", data, RuntimeRelease("tflite-runtime", "2.9.1"))
    require_runs(f"{precision}.tflite", data, RuntimeRelease("tflite-runtime", "2.10.0"))


def test_an_integer_operator_that_no_table_has_is_refused_except_by_what_ran_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gelu_of_16_bits()
    with pytest.raises(ConversionError, match=r"no table.* tflite-runtime computes GELU.*integers"):
        require_runs("int16x8.tflite", data, PI_32)
    here = RuntimeRelease("ai-edge-litert", version("ai-edge-litert"))
    require_runs("int16x8.tflite", data, here)
    monkeypatch.setattr(targets, "version", lambda package: "99.0.dev1")
    with pytest.raises(ConversionError, match="no table"):
        require_runs("int16x8.tflite", data, here)


def test_a_float32_file_is_mended_by_its_layers_alone() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Activation("gelu")])
    data = to_tflite.to_tflite(model, "float32", (4, 4, 1), "float32")
    with pytest.raises(ConversionError, match=r"tflite-runtime 2\.8 has none: replace.*layer.*newer"):
        require_runs("float32.tflite", data, RuntimeRelease("tflite-runtime", "2.8"))


def test_an_onnx_file_is_refused_by_its_opset_its_ir_version_and_its_domains(dense: Any) -> None:
    data = to_onnx(dense, (16, 16, 1), "float32", "logits")
    with pytest.raises(ConversionError, match=r"opset.*ai\.onnx is 17.*onnxruntime 1\.11 .*\b16:.*layer"):
        require_runs("float32.onnx", data, RuntimeRelease("onnxruntime", "1.11"))
    with pytest.raises(ConversionError, match=r"int8\.onnx: IR.*\b8,.*onnxruntime 1\.8.*\b7: omit precisions=int8"):
        require_runs("int8.onnx", data, RuntimeRelease("onnxruntime", "1.8"))
    require_runs("float32.onnx", data, RuntimeRelease("onnxruntime", "1.12"))
    model = onnx.load_from_string(data)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ConversionError, match=r"opset.*com\.microsoft is 1,.*onnxruntime 1\.16.*none"):
        require_runs("float32.onnx", model.SerializeToString(), RuntimeRelease("onnxruntime", "1.16"))


@pytest.mark.parametrize(
    ("runtime", "opset", "ir_version"), [("1.6", 13, 7), ("1.10", 15, 8), ("1.16", 17, 8), ("1.32", 17, 8)]
)
def test_onnx_files_take_the_opset_of_their_target(runtime: str, opset: int, ir_version: int, dense: Any) -> None:
    converter = converter_of("onnx", dense, target=RuntimeRelease("onnxruntime", runtime))
    ranges = converter.calibrate(np.random.default_rng(0).random((8, 16, 16, 1), np.float32))
    for data in (converter.convert("float32"), converter.quantize("int8", ranges)):
        model = onnx.load_from_string(data)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
        assert model.ir_version == ir_version
        oldest = {13: "1.6", 15: "1.9", 17: "1.12"}[opset]
        assert read_needs(data, "onnx").oldest_runtime() == f"onnxruntime>={oldest}"


def test_the_target_of_an_export_reaches_its_converter(artifacts: Path, idx_folder: Path) -> None:
    config = ExportConfig(("onnx",), ("float32",), targets=("onnxruntime==1.6",))
    artifact = entry(export(artifacts / "model.keras", load_dataset(idx_folder), config), "float32.onnx")
    assert artifact.oldest_runtime == "onnxruntime>=1.6"


def test_an_export_that_its_target_would_not_run_writes_nothing(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    command = ("export", artifacts / "model.keras", "--data", idx_folder, "--format", "tflite", "--quantize", "int8")
    with unchanged(artifacts):
        line = terminal.fails(5, *command, "--for", "tflite-runtime==2.9.1")
    assert re.search(r"int8\.tflite: FULLY_CONNECTED per channel.*version 1\b.*Lite.2\.10\.0", line)


def test_every_precision_can_be_exported_for_the_last_32_bit_runtime(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    precisions = [part for name in ("float16", "dynamic", "int8", "int16x8") for part in ("--quantize", name)]
    command = ("export", artifacts / "model.keras", "--data", idx_folder, "--format", "tflite", *precisions)
    text = terminal.passes(*command, "--for", "tflite-runtime==2.14")
    oldest = {artifact.path: artifact.oldest_runtime for artifact in Manifest.load(artifacts).artifacts}
    for name in ("float32", "float16", "dynamic", "int8", "int16x8"):
        written = oldest[f"{name}.tflite"]
        assert written is not None
        assert written in text
        assert tuple(map(int, written.partition(">=")[2].split("."))) <= (2, 14, 0)


def test_the_command_line_tells_of_a_target_that_can_not_be(exported: Path, terminal: Any) -> None:
    command = ("export", exported / "model.keras", "--format", "tflite")
    assert "not exported: add --format onnx" in terminal.fails(2, *command, "--for", "onnxruntime")
    assert re.search(r"--for coral is unknown:.* ai-edge-litert==", terminal.fails(2, *command, "--for", "coral"))

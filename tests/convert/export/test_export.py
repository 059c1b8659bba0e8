"""Every exported file matches its name, and nothing else counts as exported."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tf2onnx

import edgecnn as ec
from edgecnn.convert.export.calibration import DEFAULT_METHOD
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.onnx.convert import converted
from edgecnn.convert.onnx.keras_graph import emit
from edgecnn.convert.onnx.source import OnnxMade
from edgecnn.edge import model_file
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ConfigError, ConversionError
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import Manifest, OnnxConversion, OnnxConverterName
from edgecnn.edge.model_file import read_model
from edgecnn.workflows import export as workflow
from tests.conftest import Lines
from tests.convert.conftest import unchanged
from tests.convert.export.conftest import FILES, entry, operators


@pytest.mark.parametrize(
    ("formats", "precisions", "message"),
    [
        (("onnx",), ("float16",), "onnx has no float16 .it has float32, dynamic, int8.: choose another"),
        (("tflite", "onnx"), ("int16x8",), "onnx has no int16x8 .*: use formats=tflite alone"),
        (("coreml",), ("int8",), "formats=coreml is unknown: use tflite or onnx"),
        (("tflite",), ("int2",), "precisions=int2 is unknown"),
    ],
)
def test_what_a_format_does_not_have_is_refused(formats: tuple[str, ...], precisions: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExportConfig(formats, precisions)


def test_float32_comes_with_whatever_is_asked_for() -> None:
    assert ExportConfig(precisions=("int8",)).files() == ExportConfig().files()
    assert ExportConfig(("tflite",), ("dynamic",)).files() == [("tflite", "float32"), ("tflite", "dynamic")]


def test_a_format_or_precision_that_is_named_twice_is_exported_once() -> None:
    assert ExportConfig(("tflite", "onnx", "tflite"), ("int8", "int8")).files() == ExportConfig(("tflite", "onnx")).files()


def test_a_model_without_a_manifest_is_refused(exported: Path, idx_folder: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "model.keras", tmp_path)
    with pytest.raises(ConfigError, match=r"model\.keras: no manifest\.json beside.*pixels"):
        export(tmp_path / "model.keras", load_dataset(idx_folder), ExportConfig())


def test_the_wait_for_the_models_runtime_has_a_line(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def waits(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "export_model", waits)
    with pytest.raises(KeyboardInterrupt):
        ec.export(artifacts / "model.keras", progress=Lines(said))
    assert said == [f"{artifacts / 'model.keras'}: loading"]


def brighter(split: Any) -> ArraySplit:
    return ArraySplit(split.images(range(len(split.labels))) | 1, split.labels)


def test_other_images_and_exported_files_are_refused(exported: Path, idx_folder: Path) -> None:
    own = load_dataset(idx_folder)
    with pytest.raises(ConfigError, match="not the model's test images"):
        export(exported / "model.keras", replace(own, test=brighter(own.test)), ExportConfig())
    with pytest.raises(ConfigError, match=r"not have.*training images.*model\.keras:.* data"):
        export(exported / "model.keras", replace(own, train=brighter(own.train)), ExportConfig())
    with pytest.raises(ConfigError, match=r"\(12, 12, 1\),.*mnist.*\(28, 28, 1\):.*data"):
        export(exported / "model.keras", load_dataset(None), ExportConfig())
    with pytest.raises(ConfigError, match=r"int8\.tflite is already exported:.*\.keras"):
        export(exported / "int8.tflite", load_dataset(idx_folder), ExportConfig())


def test_a_wrong_conversion_leaves_the_earlier_export_whole(
    artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = converted

    def wrong(*args: Any) -> OnnxMade:
        made = right(*args)
        graph = onnx.load_from_string(made.data)
        bias = next(weight for weight in graph.graph.initializer if list(weight.dims) == [3])
        bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + np.eye(3)[0]).astype(np.float32).tobytes()
        return made._replace(data=graph.SerializeToString())

    monkeypatch.setattr("edgecnn.convert.onnx.converter.converted", wrong)
    with unchanged(artifacts), pytest.raises(ConversionError, match=r"float32\.onnx differs from Keras"):
        export(artifacts / "model.keras", load_dataset(idx_folder), ExportConfig())


def test_a_converter_that_fails_is_named(exported: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **named: Any) -> None:
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(tf2onnx.convert, "from_function", fail)
    with pytest.raises(ConversionError, match=r"ONNX float32:.*can't convert.*no such operator"):
        export(
            exported / "model.keras", load_dataset(idx_folder), ExportConfig(("onnx",), ("float32",), onnx_converter="tf2onnx")
        )


@pytest.mark.parametrize("model_format", [row.name for row in FORMATS.values() if row.through_onnx and not row.apart])
def test_the_manifest_says_what_made_the_onnx_graph_and_why(artifacts: Path, idx_folder: Path, model_format: str) -> None:
    def exports(converter: OnnxConverterName | None) -> tuple[list[OnnxConversion | None], list[str], dict[str, str]]:
        steps: list[str] = []
        config = ExportConfig((model_format,), ("float32", "int8"), onnx_converter=converter)
        manifest = export(artifacts / "model.keras", load_dataset(idx_folder), config, on_step=steps.append)
        own = [entry(manifest, FORMATS[model_format].file_name(precision)) for precision in ("float32", "int8")]
        said = [step for step in steps if "tf2onnx" in step]
        return [file.onnx_conversion for file in own], said, manifest.provenance.export_versions

    plain = Manifest.load(artifacts)
    plain = replace(plain, provenance=replace(plain.provenance, export_versions={}))
    plain.save(artifacts)
    made, said, used = exports(None)
    assert (made, said) == ([OnnxConversion("edgecnn")] * 2, [])
    assert not {"tf2onnx", "onnxslim"} & set(used)
    made, said, used = exports("tf2onnx")
    assert made == [OnnxConversion("tf2onnx")] * 2
    assert len(said) == 2
    assert {"tf2onnx", "onnxslim"} <= set(used)
    assert entry(Manifest.load(artifacts), FORMATS[model_format].file_name("int8")).onnx_conversion == OnnxConversion("tf2onnx")


def test_a_layer_that_edgecnn_s_converter_does_not_know_is_named_in_the_manifest(
    artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emit, "_LAYERS", {**emit._LAYERS, "MaxPooling2D": None})
    steps: list[str] = []
    config = ExportConfig(("onnx",), ("float32",))
    manifest = export(artifacts / "model.keras", load_dataset(idx_folder), config, on_step=steps.append)
    conversion = entry(manifest, "float32.onnx").onnx_conversion
    assert conversion.converter == "tf2onnx"
    assert "of the kind MaxPooling2D" in conversion.reason
    assert [step for step in steps if conversion.reason in step]


def test_a_converter_to_onnx_for_files_that_are_not_made_of_it_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no file is made of ONNX: omit onnx_converter, or add formats=onnx or ncnn"):
        ExportConfig(("tflite",), ("int8",), onnx_converter="edgecnn")


def test_the_manifest_lists_every_file_with_its_hash_and_parity(exported: Path) -> None:
    manifest = Manifest.load(exported)
    assert [artifact.path for artifact in manifest.artifacts] == ["model.keras", *FILES]
    for artifact in manifest.artifacts[1:]:
        assert sha256((exported / artifact.path).read_bytes()) == artifact.sha256
        assert artifact.source_sha256 == manifest.source().sha256
        assert artifact.parity is not None
        assert artifact.parity.images == 60
        if artifact.precision == "float32":
            assert artifact.parity.same_class == 60
            assert artifact.parity.max_difference < 1e-4


def test_calibration_is_recorded_once_for_two_exports_and_holds_no_test_image(exported: Path, idx_folder: Path) -> None:
    calibration = Manifest.load(exported).provenance.calibration
    dataset = load_dataset(idx_folder)
    assert calibration is not None
    images = dataset.train.images(calibration.indices)
    assert sha256(images.tobytes()) == calibration.images_sha256
    test = dataset.test.images(range(len(dataset.test.labels)))
    assert not {image.tobytes() for image in images} & {image.tobytes() for image in test}
    assert calibration.method == {"tflite": DEFAULT_METHOD, "onnx": DEFAULT_METHOD}
    assert set(calibration.halves) == {"int8.tflite", "int16x8.tflite", "int8.onnx"}
    assert all(change.ratio >= 1 for change in calibration.halves.values())


@pytest.mark.parametrize(("name", "dtype"), [("int8.tflite", "int8"), ("int16x8.tflite", "int16")])
def test_a_full_integer_file_has_no_float_at_either_end(exported: Path, name: str, dtype: str) -> None:
    artifact = entry(Manifest.load(exported), name)
    for spec in (artifact.input, artifact.output):
        assert spec.dtype == dtype
        assert spec.quantization is not None
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(operators(exported / name))


def test_the_tflite_graph_is_the_network_alone_and_in_onnx_batch_norm_is_folded(exported: Path) -> None:
    network = ["CONV_2D", "MAX_POOL_2D", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    for name in ("float32.tflite", "int8.tflite"):
        assert operators(exported / name) == network
    graph = onnx.load(exported / "float32.onnx").graph
    kinds = {node.op_type for node in graph.node}
    assert kinds <= {"Reshape", "Conv", "Relu", "MaxPool", "Transpose", "MatMul", "Gemm", "Add", "Softmax"}
    constants = {weight.name for weight in graph.initializer}
    assert all(node.input[1] in constants for node in graph.node if node.op_type == "Reshape")


def test_onnx_int8_is_qdq_with_a_scale_for_each_channel(exported: Path) -> None:
    graph = onnx.load(exported / "int8.onnx").graph
    weights = {weight.name: onnx.numpy_helper.to_array(weight) for weight in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type == "Conv":
            dequantize = producers[node.input[1]]
            assert dequantize.op_type == "DequantizeLinear"
            assert weights[dequantize.input[0]].dtype == np.int8
            assert weights[dequantize.input[1]].shape == (32,)


def test_the_oldest_runtime_of_every_file_is_known(exported: Path) -> None:
    oldest = {artifact.path: artifact.oldest_runtime for artifact in Manifest.load(exported).artifacts}
    assert oldest["float32.onnx"] == oldest["int8.onnx"] == "onnxruntime>=1.12"
    # Earlier releases compute a dense layer with a scale per output wrongly.
    assert oldest["int8.tflite"] == oldest["int16x8.tflite"] == "tensorflow-lite>=2.10.0"
    assert oldest["float32.tflite"] == "tensorflow-lite>=1.5.0"
    assert oldest["float16.tflite"] == "tensorflow-lite>=1.15.0"
    assert oldest["dynamic.tflite"] == "tensorflow-lite>=2.4.0"


def test_the_reference_is_what_keras_says(exported: Path, idx_folder: Path) -> None:
    reference = np.load(exported / "reference.npy", allow_pickle=False)
    inputs = load_dataset(idx_folder).test.images(range(60)).astype(np.float32) / 255
    model = keras.models.load_model(exported / "model.keras")
    assert np.allclose(reference, np.asarray(model(inputs, training=False)), atol=1e-6)
    assert read_model(exported / "model.keras").unverified is None


def test_an_export_reads_the_model_once_and_the_manifest_once_more_when_nobody_else_can_write(
    artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, parsed, load = [], [], Manifest.load

    def reading(path: Path, *limits: Any, **fix: Any) -> bytes:
        read.append(path.name)
        return read_bytes(path, *limits, **fix)

    def loading(folder: Path) -> Manifest:
        parsed.append(folder.name)
        return load(folder)

    monkeypatch.setattr(model_file, "read_bytes", reading)
    monkeypatch.setattr(Manifest, "load", loading)
    folder = ec.export(artifacts / "model.keras", idx_folder, formats=["tflite"], precisions=["float32"])
    assert (read, parsed) == (["model.keras"], [artifacts.name] * 2)
    monkeypatch.undo()
    assert folder.manifest == Manifest.load(artifacts)

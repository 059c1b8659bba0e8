"""Float .tflite and .onnx files from elsewhere as sources of an export."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import helper, numpy_helper

import edgecnn as ec
from edgecnn.edge.errors import ArtifactError, ConfigError, ConversionError
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.sandbox.unverified import remember_made
from tests.conftest import Lines
from tests.convert.export.conftest import entry
from tests.convert.export.test_export_from_elsewhere import cnn, foreign
from tests.drawings import bar_weights
from tests.onnx_text import onnx_model

LOGITS = Interface(SCHEMES["unit"], "logits")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of `tflite`."""
    model = keras.models.load_model(foreign(tmp_path_factory.mktemp("theirs"), *cnn()))
    data: bytes = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return data


@pytest.fixture
def tflite(converted: bytes, tmp_path: Path) -> Path:
    """A float file as TensorFlow's own converter writes it, with no word on its pixels."""
    path = tmp_path / "theirs.tflite"
    path.write_bytes(converted)
    return path


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    """A float file with channels first and logits, like PyTorch's, of opset 11, with constants listed as inputs."""
    rng = np.random.default_rng(0)
    values = {
        "kernel": rng.normal(0, 0.5, (4, 1, 3, 3)),
        "bias": rng.normal(0, 0.1, 4),
        "dense": rng.normal(0, 0.3, (3, 4 * 10 * 10)),
    }
    constants: Any = {name: value.astype(np.float32) for name, value in values.items()}
    text = """(float[n, 1, 12, 12] pixels) => (float[n, 3] scores) {
        conv = Conv (pixels, kernel, bias) relu = Relu (conv) flat = Flatten (relu)
        scores = Gemm <transB = 1> (flat, dense)
    }"""
    model = onnx_model(text, opset=11, ir_version=3, **constants)
    listed = (helper.make_tensor_value_info(value.name, value.data_type, value.dims) for value in model.graph.initializer)
    model.graph.input.extend(listed)
    path = tmp_path / "theirs.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_float_tflite_file_is_the_reference_of_its_exports(tflite: Path, idx_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = ec.export(tflite, idx_folder, precisions=["float16", "dynamic", "int8", "int16x8"], interface="unit", out=out)
    manifest = folder.manifest
    assert manifest is not None
    names = [artifact.path for artifact in manifest.exported]
    assert names == ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite"]
    assert {artifact.input.shape[0] for artifact in manifest.exported} == {1}  # Theirs takes any number.
    source = manifest.source()
    assert source.input.shape[0] is None
    assert (source.path, (out / source.path).read_bytes()) == ("model.tflite", tflite.read_bytes())
    assert (manifest.source_name, manifest.provenance.source) == ("theirs.tflite", "theirs.tflite")
    assert json.loads((out / "manifest.json").read_text())["provenance"]["source"] == "theirs.tflite"
    assert "tensorflow" not in manifest.provenance.export_versions
    parity = {artifact.path: artifact.parity for artifact in manifest.exported}
    assert parity["float32.tflite"] is not None
    assert parity["float32.tflite"].max_difference == 0
    assert "theirs.tflite" in folder.to_text()
    assert "Keras" not in folder.to_text() + (out / "MODEL_CARD.md").read_text()
    report = ec.bench(out, options=ec.BenchOptions(plan=ec.Plan(0, 4, 1)))
    assert report.reference == "theirs.tflite"
    assert [file.name for file in report.files] == names
    with pytest.raises(ConfigError, match=r"int8\.tflite is already exported: .*model\.tflite"):
        ec.export(out / "int8.tflite", idx_folder)


def test_an_export_is_added_to_the_folder_of_a_source(tflite: Path, idx_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ec.export(tflite, idx_folder, precisions=["int8"], interface="unit", out=out)
    folder = ec.export(out / "model.tflite", idx_folder, precisions=["dynamic"])
    assert [artifact.path for artifact in Manifest.load(out).exported] == ["float32.tflite", "dynamic.tflite", "int8.tflite"]
    assert folder.written[:2] == ("float32.tflite", "dynamic.tflite")
    for name in ("int8.tflite", "dynamic.tflite", "model.tflite"):
        assert read_model(out / name).unverified is None


def test_an_onnx_file_of_channels_first_and_an_old_opset_is_exported(onnx_file: Path, idx_folder: Path, tmp_path: Path) -> None:
    formats = ["onnx", "ncnn", "mnn"]
    manifest: Any = ec.export(onnx_file, idx_folder, formats=formats, interface=LOGITS, out=tmp_path / "out").manifest
    for artifact in manifest.exported:
        assert artifact.parity.max_difference <= {"float32": 1e-4, "int8": 0.2}[artifact.precision], artifact.path
    model = onnx.load(tmp_path / "out" / "float32.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert [value.name for value in model.graph.input] == ["pixels"]


@pytest.fixture(scope="module")
def in_a_row(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The export of a network that takes an image's pixels in a row."""
    model = keras.Sequential([keras.Input((144,)), keras.layers.Dense(3, "softmax", use_bias=False)])
    model.set_weights([bar_weights()])
    path = tmp_path_factory.mktemp("row") / "theirs.keras"
    model.save(path)
    remember_made(path.read_bytes())  # The fixture `made_here` is not yet there.
    return ec.export(path, idx_folder, interface="unit", out=path.parent / "out")


@pytest.mark.parametrize("source", ["model.keras", "float32.tflite", "float32.onnx"])
def test_a_network_that_takes_an_image_s_pixels_in_a_row_is_exported(
    source: str, in_a_row: ModelFolder, idx_folder: Path, tmp_path: Path
) -> None:
    folder = in_a_row
    if source != "model.keras":
        shutil.copyfile(in_a_row.folder / source, tmp_path / source)
        folder = ec.export(tmp_path / source, idx_folder, interface="unit", out=tmp_path / "again")
    manifest = folder.manifest
    assert manifest is not None
    assert {"float32", "int8"} <= {artifact.precision for artifact in manifest.exported}
    for artifact in manifest.exported:
        assert artifact.input.shape[1:] == (144,)
    assert {file.correct for file in ec.evaluate(folder.folder).files} == {60}


def test_a_dynamic_file_of_an_onnx_file_takes_one_image_at_a_time(onnx_file: Path, idx_folder: Path, tmp_path: Path) -> None:
    kinds = ["float32", "dynamic"]
    ec.export(onnx_file, idx_folder, precisions=kinds, interface=LOGITS, out=tmp_path / "out")
    made = entry(Manifest.load(tmp_path / "out"), "dynamic.onnx")
    assert made.input.shape[0] == 1
    assert 0 < made.parity.max_difference < 0.1
    assert "ConvInteger" in {node.op_type for node in onnx.load(tmp_path / "out" / "dynamic.onnx").graph.node}
    with pytest.raises(ConversionError, match=r"ONNX dynamic: .* omit dynamic, or batch=dynamic"):
        ec.export(onnx_file, idx_folder, precisions=kinds, batch="dynamic", interface=LOGITS, out=tmp_path / "free")
    assert not (tmp_path / "free").exists()


@pytest.mark.parametrize("divided", [False, True])
def test_a_fixed_batch_becomes_any_if_the_answers_stay_the_same(
    divided: bool, onnx_file: Path, idx_folder: Path, tmp_path: Path
) -> None:
    model = onnx.load(onnx_file)
    graph = model.graph
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 5
    if divided:  # Each answer depends on the other images.
        graph.node.append(helper.make_node("ReduceSum", ["scores"], ["sum"], axes=[0]))
        graph.node.append(helper.make_node("Sub", ["scores", "sum"], ["answers"]))
        graph.output[0].name = "answers"
    else:
        flat = next(node for node in graph.node if node.op_type == "Flatten")
        flat.CopyFrom(helper.make_node("Reshape", ["relu", "to"], ["flat"], name="flat"))
        graph.initializer.append(numpy_helper.from_array(np.array([5, -1]), "to"))
    onnx_file.write_bytes(model.SerializeToString())
    if divided:
        with pytest.raises(ArtifactError, match="takes 5 images at a time, no more and no less"):
            ec.export(onnx_file, idx_folder, precisions=["float32"], interface=LOGITS, out=tmp_path / "out")
        return
    lines = Lines()
    ec.export(onnx_file, idx_folder, precisions=["float32"], interface=LOGITS, out=tmp_path / "out", progress=lines)
    assert [line for line in lines.lines if line.startswith(f"{onnx_file}: it takes several images")]
    manifest = Manifest.load(tmp_path / "out")
    assert [one.input.shape[0] for one in (manifest.source(), *manifest.exported)] == [None, 1]
    images = np.random.default_rng(1).uniform(0, 1, (5, 1, 12, 12)).astype(np.float32)
    theirs, ours = (
        opener_for("onnx").open_model(path.read_bytes(), 1) for path in (onnx_file, tmp_path / "out" / "model.onnx")
    )
    np.testing.assert_allclose(ours.run(images[:2]), theirs.run(images)[:2], rtol=1e-4, atol=1e-5)


def test_an_opset_of_which_onnx_runtime_lacks_operators_is_raised_first(
    onnx_file: Path, idx_folder: Path, tmp_path: Path
) -> None:
    lines = Lines()

    def export(path: Path) -> onnx.ModelProto:
        ec.export(path, idx_folder, precisions=["float32"], interface=LOGITS, out=tmp_path / path.stem, progress=lines)
        return onnx.load(tmp_path / path.stem / "model.onnx")

    export(onnx_file)
    assert not [line for line in lines.lines if "raised to" in line]
    model = onnx.load(onnx_file)
    graph = model.graph
    model.opset_import[0].version = 6
    for value in (graph.input[0], graph.output[0]):  # As PyTorch wrote it then.
        value.type.tensor_type.shape.dim[0].dim_value = 5
    graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "shift"))
    graph.input.append(helper.make_tensor_value_info("shift", onnx.TensorProto.FLOAT, [3]))
    gemm = next(node for node in graph.node if node.op_type == "Gemm")
    gemm.input.append("shift")
    gemm.attribute.append(helper.make_attribute("broadcast", 1))
    old = tmp_path / "old.onnx"
    old.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=r"Gemm\(6\)"):
        opener_for("onnx").open_model(old.read_bytes(), 1)
    assert export(old).opset_import[0].version == 13
    assert [line for line in lines.lines if line.startswith(f"{old}: ") and "raised to 13" in line]
    images = np.random.default_rng(1).uniform(0, 1, (5, 1, 12, 12)).astype(np.float32)
    theirs, ours = (
        opener_for("onnx").open_model((tmp_path / name / "model.onnx").read_bytes(), 1) for name in ("theirs", "old")
    )
    np.testing.assert_allclose(ours.run(images), theirs.run(images), rtol=1e-5, atol=1e-6)


def test_weights_in_a_file_beside_are_put_inside(onnx_file: Path, idx_folder: Path, tmp_path: Path) -> None:
    whole = onnx.load(onnx_file)
    onnx.save(onnx.load(onnx_file), onnx_file, save_as_external_data=True, location="theirs.onnx.data", size_threshold=0)
    ec.export(onnx_file, idx_folder, precisions=["float32"], interface=LOGITS, out=tmp_path / "out")
    packed = onnx.load_from_string((tmp_path / "out" / "model.onnx").read_bytes())
    for found, expected in zip(packed.graph.initializer, whole.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(found), numpy_helper.to_array(expected))


@pytest.mark.parametrize("place", ["elsewhere", "link", "missing"])
def test_weights_outside_of_the_folder_are_never_read(place: str, onnx_file: Path, idx_folder: Path, tmp_path: Path) -> None:
    onnx.save(onnx.load(onnx_file), onnx_file, save_as_external_data=True, location="weights", size_threshold=0)
    secret = shutil.move(tmp_path / "weights", tmp_path.parent / f"{tmp_path.name}-secret")
    if place == "link":
        (tmp_path / "weights").symlink_to(secret)
    elif place == "elsewhere":
        data = onnx_file.read_bytes().replace(b"weights", b"../secr")
        onnx_file.write_bytes(data)
        shutil.copy(secret, tmp_path.parent / "secr")
    with pytest.raises(ArtifactError, match=r"theirs\.onnx keeps its weights in .*no file beside it"):
        ec.export(onnx_file, idx_folder, interface=LOGITS, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["float16.tflite", "dynamic.tflite", "int8.tflite", "int8.onnx"])
def test_what_is_already_quantized_is_no_source(name: str, idx_folder: Path, exported: Path, tmp_path: Path) -> None:
    path = tmp_path / f"theirs{Path(name).suffix}"
    shutil.copy(exported / name, path)
    with pytest.raises(ConfigError, match=r"theirs\..* is already quantized .*float32 file"):
        ec.export(path, idx_folder, interface="unit")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"formats": ["tflite"]}, r"TFLite files are made of Keras or TFLite models.*theirs\.onnx is ONNX"),
        ({"precisions": ["int16x8"]}, r"onnx has no int16x8"),
        ({"trust": ["json"]}, r"no layers of its own: omit trust"),
    ],
)
def test_what_can_not_be_made_of_a_source_is_one_line(
    settings: dict[str, Any], message: str, onnx_file: Path, idx_folder: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        ec.export(onnx_file, idx_folder, interface=LOGITS, **settings)


def test_a_file_for_a_program_that_needs_keras_is_refused(tflite: Path, idx_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"targets=rpicam-apps needs a Keras model"):
        ec.export(tflite, idx_folder, targets=["rpicam-apps"], interface="unit")


def test_a_detector_is_no_source(tmp_path: Path, idx_folder: Path) -> None:
    start = keras.Input((12, 12, 1))
    model = keras.Model(start, [keras.layers.Flatten()(start), keras.layers.GlobalAveragePooling2D()(start)])
    (tmp_path / "two.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(ArtifactError, match=r"two\.tflite.*2 outputs"):
        ec.export(tmp_path / "two.tflite", idx_folder, interface="unit")


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")  # As most scripts on the web have it.
def test_bench_says_how_to_repair_a_quantized_file_of_others(exported: Path, idx_folder: Path, tmp_path: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(exported / "model.keras"))
    (tmp_path / "theirs.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # The usual fault: images of 0 to 1 were divided by 255 once more to calibrate.
    converter.representative_dataset = lambda: ([np.full((1, 12, 12, 1), step / 2550, np.float32)] for step in range(9))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (tmp_path / "theirs_q.tflite").write_bytes(converter.convert())
    files = [tmp_path / "theirs.tflite", tmp_path / "theirs_q.tflite"]
    report = ec.bench(files, data=idx_folder, interface="unit", options=ec.BenchOptions(plan=ec.Plan(0, 4, 1)))
    repair, where = (note for note in report.notes if note.startswith("theirs_q.tflite"))
    assert f"edgecnn export {files[0]} data={idx_folder} preprocess=unit precisions=int8" in repair
    assert "beyond its integers" in where
    ec.export(files[0], idx_folder, precisions=["int8"], interface="unit", out=tmp_path / "out")
    parity = entry(Manifest.load(tmp_path / "out"), "int8.tflite").parity
    assert parity.same_class == parity.images
    # Whose float file is edgecnn's own was made by edgecnn, and its export says what to do.
    own = [exported / "float32.tflite", files[1]]
    report = ec.bench(own, data=idx_folder, interface="unit", options=ec.BenchOptions(plan=ec.Plan(0, 4, 1)))
    assert not [note for note in report.notes if "edgecnn export" in note]


def test_bench_finds_the_preprocessing_that_is_inside_a_file(idx_folder: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    first = [keras.layers.Rescaling(1 / 127.5, offset=-1), keras.layers.Conv2D(4, 3, padding="same")]
    model = keras.Sequential([keras.Input((12, 12, 1)), *first, keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    path = tmp_path / "theirs.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    options = ec.BenchOptions(plan=ec.Plan(0, 4, 1))
    report = ec.bench(path, data=idx_folder, options=options)
    assert any("inputs are pixel," in note for note in report.notes)
    with pytest.raises(ConfigError, match=r"theirs\.tflite turns 0 to 255 into -1 to 1 by itself.*preprocess=raw"):
        ec.bench(path, data=idx_folder, interface="unit", options=options)

"""Every exported file is what its name says, and nothing is called exported that is not."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tf2onnx
from ai_edge_litert.interpreter import Interpreter

import convert.converters
from convert.calibrate import DEFAULT_METHOD
from convert.candidates import Judge
from convert.dataset import Dataset, load_dataset
from convert.export import ExportConfig, export
from convert.to_onnx import to_onnx
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError, ConversionError, GateFailed
from edge.files import sha256
from edge.interface import SCHEMES, Interface
from edge.manifest import Manifest
from edge.model_file import read_model
from edge.preprocess import Floats
from edge.splits import ArraySplit, Labels

FILES = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite", "float32.onnx", "int8.onnx"]


def operators(path: Path) -> list[str]:
    interpreter = Interpreter(model_content=path.read_bytes())
    return [operator["op_name"] for operator in interpreter._get_ops_details()]


@pytest.mark.parametrize(
    ("formats", "precisions", "message"),
    [
        (("onnx",), ("float16",), "onnx has no float16 .it has float32, int8.: choose another"),
        (("tflite", "onnx"), ("int16x8",), "onnx has no int16x8 .*: use --format tflite alone"),
        (("coreml",), ("int8",), "--format coreml is unknown: use tflite or onnx"),
        (("tflite",), ("int4",), "--quantize int4 is unknown"),
    ],
)
def test_what_a_format_does_not_have_is_refused(formats: tuple[str, ...], precisions: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExportConfig(formats, precisions)


def test_float32_comes_with_whatever_is_asked_for() -> None:
    assert ExportConfig(precisions=("int8",)).files() == ExportConfig().files()
    assert ExportConfig(("tflite",), ("dynamic",)).files() == [("tflite", "float32"), ("tflite", "dynamic")]


def test_a_model_without_a_manifest_is_refused(exported: Path, idx_folder: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "model.keras", tmp_path)
    with pytest.raises(ConfigError, match=r"model\.keras: no manifest.json beside it, so how it takes pixels is not known"):
        export(tmp_path / "model.keras", load_dataset(idx_folder), ExportConfig())


def brighter(split: Any) -> ArraySplit:
    return ArraySplit(split.images(range(len(split.labels))) | 1, split.labels)


def test_other_images_are_refused(exported: Path, idx_folder: Path) -> None:
    own = load_dataset(idx_folder)
    with pytest.raises(ConfigError, match="not the model's test images"):
        export(exported / "model.keras", replace(own, test=brighter(own.test)), ExportConfig())
    with pytest.raises(ConfigError, match=r"has not the training images of .*model\.keras: name theirs with --data"):
        export(exported / "model.keras", replace(own, train=brighter(own.train)), ExportConfig())
    with pytest.raises(ConfigError, match=r"takes images of \(12, 12, 1\), mnist has \(28, 28, 1\): name others with --data"):
        export(exported / "model.keras", load_dataset(None), ExportConfig())


def test_an_exported_file_is_not_exported_again(exported: Path, idx_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"int8\.tflite is already exported: name a \.keras file"):
        export(exported / "int8.tflite", load_dataset(idx_folder), ExportConfig())


def test_a_wrong_conversion_leaves_the_earlier_export_whole(
    artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: sha256(path.read_bytes()) for path in artifacts.iterdir()}
    right = to_onnx

    def wrong(*args: Any) -> bytes:
        graph = onnx.load_from_string(right(*args))
        bias = next(weight for weight in graph.graph.initializer if list(weight.dims) == [3])
        bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + np.eye(3)[0]).astype(np.float32).tobytes()
        data: bytes = graph.SerializeToString()
        return data

    monkeypatch.setattr(convert.converters, "to_onnx", wrong)
    with pytest.raises(ConversionError, match=r"float32\.onnx differs from Keras by up to"):
        export(artifacts / "model.keras", load_dataset(idx_folder), ExportConfig())
    assert {path.name: sha256(path.read_bytes()) for path in artifacts.iterdir()} == before


def test_a_converter_that_fails_is_named(exported: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **named: Any) -> None:
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(tf2onnx.convert, "from_function", fail)
    with pytest.raises(ConversionError, match=r"ONNX float32: .* can't convert the model .no such operator."):
        export(exported / "model.keras", load_dataset(idx_folder), ExportConfig(("onnx",), ("float32",)))


def test_the_manifest_lists_every_file_with_its_hash_and_parity(exported: Path) -> None:
    manifest = Manifest.load(exported)
    assert [artifact.path for artifact in manifest.artifacts] == ["model.keras", *FILES]
    for artifact in manifest.artifacts[1:]:
        assert sha256((exported / artifact.path).read_bytes()) == artifact.sha256
        assert artifact.source_sha256 == manifest.keras_model().sha256
        assert artifact.parity is not None
        assert artifact.parity.images == 60
        if artifact.precision == "float32":
            assert artifact.parity.same_class == 60
            assert artifact.parity.max_difference < 1e-4


def test_calibration_is_recorded_and_holds_no_test_image(exported: Path, idx_folder: Path) -> None:
    calibration = Manifest.load(exported).provenance.calibration
    dataset = load_dataset(idx_folder)
    assert calibration is not None
    images = dataset.train.images(calibration.indices)
    assert sha256(images.tobytes()) == calibration.images_sha256
    test = dataset.test.images(range(len(dataset.test.labels)))
    assert not {image.tobytes() for image in images} & {image.tobytes() for image in test}


def test_two_exports_with_the_same_images_are_one_calibration(exported: Path) -> None:
    calibration = Manifest.load(exported).provenance.calibration
    assert calibration is not None
    assert calibration.method == {"tflite": DEFAULT_METHOD, "onnx": DEFAULT_METHOD}
    assert set(calibration.halves) == {"int8.tflite", "int16x8.tflite", "int8.onnx"}
    assert all(change.ratio >= 1 for change in calibration.halves.values())


@pytest.mark.parametrize(("name", "dtype"), [("int8.tflite", "int8"), ("int16x8.tflite", "int16")])
def test_a_full_integer_file_has_no_float_at_either_end(exported: Path, name: str, dtype: str) -> None:
    artifact = Manifest.load(exported).artifact(name)
    assert artifact is not None
    for spec in (artifact.input, artifact.output):
        assert spec.dtype == dtype
        assert spec.quantization is not None
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(operators(exported / name))


def test_the_tflite_graph_is_the_network_alone(exported: Path) -> None:
    network = ["CONV_2D", "MAX_POOL_2D", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    for name in ("float32.tflite", "int8.tflite"):
        assert [operator for operator in operators(exported / name) if operator != "DELEGATE"] == network


def test_batch_norm_is_folded_and_the_reshape_constant_in_onnx(exported: Path) -> None:
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
    # Releases before compute a dense layer wrong that has a scale for each output.
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


UNIT = Interface(SCHEMES["unit"])
SHAPE = (12, 12, 1)
BOTH = ExportConfig(precisions=("float32", "int8"))


def foreign(folder: Path, *layers: Any, entry: Any = None) -> Path:
    """Save a model that was trained elsewhere: a few random filters, so that no two images give the same."""
    keras.utils.set_random_seed(0)
    path = folder / "base.keras"
    start = keras.Input(SHAPE) if entry is None else entry
    keras.Sequential([start, *layers]).save(path)
    return path


def cnn(outputs: int = 3, activation: str | None = "softmax") -> list[Any]:
    return [
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(outputs, activation=activation),
    ]


def test_a_model_from_elsewhere_gets_a_folder_and_a_manifest_of_its_own(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = replace(load_dataset(idx_folder), class_names=("low", "middle", "high"))
    path = foreign(tmp_path, *cnn())
    export(path, dataset, ExportConfig(("tflite",), ("int8",)), UNIT)
    folder = Path("artifacts/base")
    manifest = Manifest.load(folder)
    assert (folder / "model.keras").read_bytes() == path.read_bytes()
    assert [artifact.path for artifact in manifest.artifacts] == ["model.keras", "float32.tflite", "int8.tflite"]
    assert manifest.class_names == dataset.class_names
    assert (manifest.preprocessing, manifest.output, manifest.trusted) == (UNIT.preprocessing, "probabilities", ())
    assert (manifest.provenance.train_config, manifest.provenance.versions) == ({}, {"keras": keras.__version__})
    assert manifest.dataset == dataset.record()
    for artifact in manifest.artifacts:
        assert read_model(folder / artifact.path).unverified is None
    # Again, from where it was: the earlier files stay.
    again = export(path, dataset, ExportConfig(("onnx",), ("float32",)), UNIT)
    assert [artifact.path for artifact in again.artifacts][1:] == ["float32.tflite", "int8.tflite", "float32.onnx"]
    assert again.provenance.created == manifest.provenance.created
    # With other pixels: what was calibrated with the former ones is vouched for no more.
    other = export(path, dataset, ExportConfig(("onnx",), ("float32",)), Interface(SCHEMES["tf"]))
    assert [artifact.path for artifact in other.artifacts][1:] == ["float32.onnx"]


def test_what_a_manifest_says_is_not_said_again(exported: Path, idx_folder: Path) -> None:
    dataset = load_dataset(idx_folder)
    with pytest.raises(
        ConfigError, match=r"the manifest beside .*model\.keras says how it takes pixels .*: leave --preprocess"
    ):
        export(exported / "model.keras", dataset, BOTH, UNIT)
    with pytest.raises(ConfigError, match=r"model\.keras has a manifest, and its exports go beside it: leave --out away"):
        export(exported / "model.keras", dataset, BOTH, out=exported / "other")


def test_a_trained_model_is_not_replaced_by_one_from_elsewhere(artifacts: Path, idx_folder: Path, tmp_path: Path) -> None:
    before = (artifacts / "model.keras").read_bytes()
    with pytest.raises(ConfigError, match="has a model that edgecnn trained: name another folder with --out"):
        export(foreign(tmp_path, *cnn()), load_dataset(idx_folder), BOTH, UNIT, artifacts)
    assert (artifacts / "model.keras").read_bytes() == before


@pytest.mark.parametrize(
    ("layers", "interface", "error", "message"),
    [
        (cnn(4), UNIT, ConfigError, r"base\.keras has 4 classes, 3 are named: give one name a class in --labels"),
        (cnn(3, None), UNIT, ArtifactError, "is not class probabilities, .* say --logits if it ends before that"),
        (cnn(), Interface(SCHEMES["unit"], "logits"), ArtifactError, "is probabilities already, .*: leave --logits away"),
        (cnn(), Interface(SCHEMES["torch"]), ConfigError, "--mean has 3 values, the images 1 channel"),
    ],
)
def test_a_model_that_does_not_fit_what_is_said_of_it_is_refused(
    layers: list[Any], interface: Interface, error: type[Exception], message: str, idx_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export(foreign(tmp_path, *layers), load_dataset(idx_folder), BOTH, interface, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_images_that_were_fitted_in_another_way_are_refused(idx_folder: Path, tmp_path: Path) -> None:
    dataset = replace(load_dataset(idx_folder), fit="crop")
    with pytest.raises(
        ConfigError, match=r"bars was fitted by crop, and .*base\.keras is said to take letterbox: say the same"
    ):
        export(foreign(tmp_path, *cnn()), dataset, BOTH, UNIT, tmp_path / "out")


def test_a_model_that_takes_four_images_at_a_time_is_refused(idx_folder: Path, tmp_path: Path) -> None:
    image = keras.Input(SHAPE, batch_size=4)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.ops.reshape(image, (4, 144))))
    model.save(tmp_path / "base.keras")
    with pytest.raises(ArtifactError, match=r"base\.keras takes 4 images at a time, no more and no less: build it without"):
        export(tmp_path / "base.keras", load_dataset(idx_folder), BOTH, UNIT, tmp_path / "out")


def two_classes(dataset: Dataset) -> Dataset:
    parts = [
        ArraySplit(part.images(range(len(part.labels))), part.labels.clip(max=1)) for part in (dataset.train, dataset.test)
    ]
    return replace(dataset, class_names=("no", "yes"), train=parts[0], test=parts[1])


@pytest.mark.parametrize(
    ("layers", "entry", "interface"),
    [
        (cnn(3, None), None, Interface(SCHEMES["unit"], "logits")),
        (cnn(1, "sigmoid"), None, UNIT),
        (cnn(1, None), None, Interface(SCHEMES["unit"], "logits")),
        ([keras.layers.Rescaling(1 / 255), *cnn()], lambda: keras.Input(SHAPE, dtype="uint8"), Interface(SCHEMES["raw"])),
        ([keras.layers.Reshape(SHAPE), *cnn()], lambda: keras.Input(SHAPE[:2]), UNIT),
        (cnn(), lambda: keras.Input(SHAPE, batch_size=2), UNIT),
    ],
)
def test_what_a_model_takes_and_gives_is_kept_in_every_file(
    layers: list[Any], entry: Any, interface: Interface, idx_folder: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(idx_folder)
    if layers[-1].units == 1:
        dataset = two_classes(dataset)
    path = foreign(tmp_path, *layers, entry=entry and entry())
    manifest = export(path, dataset, BOTH, interface, tmp_path / "out")
    assert manifest.output == interface.output
    model = manifest.keras_model()
    for artifact in manifest.artifacts[1:]:
        assert artifact.parity is not None
        assert artifact.parity.same_class >= (60 if artifact.precision == "float32" else 55)
        assert artifact.input.shape[1:] == model.input.shape[1:]
        if model.input.dtype == "uint8" or artifact.precision == "float32":
            assert artifact.input.dtype == model.input.dtype
        found = Classifier.load(tmp_path / "out" / artifact.path).split_probabilities(dataset.test)
        assert found.shape == (60, len(dataset.class_names))


def test_a_model_without_a_batch_is_exported_for_one_image_at_a_time(idx_folder: Path, tmp_path: Path) -> None:
    image = keras.Input(batch_shape=SHAPE)
    scores = keras.layers.Dense(3, activation="softmax")(keras.ops.reshape(image, (1, 144)))
    keras.Model(image, keras.ops.reshape(scores, (3,))).save(tmp_path / "base.keras")
    manifest = export(tmp_path / "base.keras", load_dataset(idx_folder), BOTH, UNIT, tmp_path / "out")
    assert manifest.keras_model().input.shape == SHAPE
    assert [artifact.input.shape for artifact in manifest.artifacts[1:]] == [(1, *SHAPE)] * 4


def test_own_code_is_exported_with_trust_and_the_manifest_says_so(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_export.py").write_text(
        "import keras\nclass Tripled(keras.layers.Layer):\n    def call(self, x):\n        return x * 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module: Any = __import__("own_export")
    path = foreign(tmp_path, module.Tripled(), *cnn())
    dataset, config = load_dataset(idx_folder), ExportConfig(precisions=("float32",))
    with pytest.raises(
        ArtifactError, match=r"base\.keras: .* class Tripled of module own_export: name the module .* --trust MODULE"
    ):
        export(path, dataset, config, UNIT, tmp_path / "out")
    manifest = export(path, dataset, config, UNIT, tmp_path / "out", ("own_export",))
    assert manifest.trusted == ("own_export",)
    plain = foreign(tmp_path, *cnn())
    assert export(plain, dataset, config, UNIT, tmp_path / "plain", ("own_export",)).trusted == ()


def judge(passes: Any) -> Judge:
    return Judge(passes, 0.5, lambda model_format, plain, mended: len(mended) / len(plain))


def test_layers_go_back_to_float_until_the_judge_is_content(artifacts: Path, idx_folder: Path) -> None:
    judged: list[Floats] = []

    def passes(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        assert candidate.shape == reference.shape == (60, 3)
        assert np.array_equal(labels, load_dataset(idx_folder).test.labels)
        if candidate is reference:
            return True
        judged.append(candidate)
        return len(judged) == 3

    plain = (artifacts / "int8.tflite").read_bytes()
    manifest = export(
        artifacts / "model.keras", load_dataset(idx_folder), ExportConfig(("tflite",), ("int8",)), judge=judge(passes)
    )
    artifact = manifest.artifact("int8.tflite")
    assert artifact is not None
    assert artifact.mended is not None
    assert (artifact.mended.tries, artifact.mended.max_drop_points) == (3, 0.5)
    assert len(artifact.mended.layers) >= 2
    assert artifact.mended.plain_size_bytes == len(plain)
    assert artifact.mended.slowdown == artifact.size_bytes / len(plain)
    assert artifact.size_bytes > len(plain)
    assert np.array_equal(
        Classifier.load(artifacts / "int8.tflite").split_probabilities(load_dataset(idx_folder).test), judged[-1]
    )


def test_a_file_that_is_good_as_it_comes_is_not_mended(artifacts: Path, idx_folder: Path) -> None:
    before = (artifacts / "int8.onnx").stat().st_size
    config = ExportConfig(("onnx",), ("int8",))
    manifest = export(artifacts / "model.keras", load_dataset(idx_folder), config, judge=judge(lambda *_: True))
    artifact = manifest.artifact("int8.onnx")
    assert artifact is not None
    assert artifact.mended is None
    assert artifact.size_bytes == pytest.approx(before, rel=0.01)  # Names in the graph count Keras's models so far.


def only_itself(candidate: Floats, reference: Floats, labels: Labels) -> bool:
    return candidate is reference


def test_an_export_that_can_not_be_mended_leaves_the_earlier_one_whole(artifacts: Path, idx_folder: Path) -> None:
    before = {path.name: sha256(path.read_bytes()) for path in artifacts.iterdir()}
    config = ExportConfig(("tflite",), ("int8",))
    with pytest.raises(
        GateFailed,
        match=r"int8\.tflite loses -?\d\.\d\d points as it comes and -?\d\.\d\d at best, 0\.5 are allowed for sure: .*float32",
    ):
        export(
            artifacts / "model.keras",
            load_dataset(idx_folder),
            config,
            judge=judge(lambda candidate, reference, _: candidate is reference),
        )
    assert {path.name: sha256(path.read_bytes()) for path in artifacts.iterdir()} == before


def test_images_that_could_not_show_so_small_a_loss_are_told_before_anything_is_converted(
    artifacts: Path, idx_folder: Path
) -> None:
    steps: list[str] = []
    with pytest.raises(ConfigError, match=r"60 test images can't show a loss of at most 0\.5 points, even of a file"):
        export(artifacts / "model.keras", load_dataset(idx_folder), BOTH, judge=judge(lambda *_: False), on_step=steps.append)
    assert steps == ["Keras on 60 test images"]


def test_a_file_with_nothing_quantised_is_no_int8(artifacts: Path, idx_folder: Path) -> None:
    def exact(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        return bool(np.abs(candidate - reference).max() < 1e-5)

    for model_format in ("tflite", "onnx"):
        config = ExportConfig((model_format,), ("int8",))
        with pytest.raises(GateFailed, match=r"int8\.(tflite|onnx) loses .*: ship float32, use --quantize"):
            export(artifacts / "model.keras", load_dataset(idx_folder), config, judge=judge(exact))


def test_files_of_another_model_in_the_folder_become_stale(idx_folder: Path, tmp_path: Path) -> None:
    dataset, config = load_dataset(idx_folder), ExportConfig(("tflite",), ("float32",))
    export(foreign(tmp_path, *cnn()), dataset, ExportConfig(precisions=("float32",)), UNIT, tmp_path / "out")
    export(foreign(tmp_path, *cnn()), dataset, config, UNIT, tmp_path / "out")
    assert read_model(tmp_path / "out" / "float32.tflite").unverified is None
    with pytest.raises(ArtifactError, match=r"float32\.onnx is stale, it was exported from an earlier model"):
        read_model(tmp_path / "out" / "float32.onnx")

"""int8.tflite may take and give int8, uint8 or float32: all that edgecnn does with a file is right with each."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.convert.export.config import ExportConfig
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.formats import IoName
from edgecnn.edge.manifest import Manifest
from tests.conftest import Terminal
from tests.convert.export.conftest import entry

Folders = dict[IoName, Path]
TYPES: tuple[IoName, ...] = ("int8", "uint8", "float32")


@pytest.fixture(scope="module")
def folders(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Exports of int8.tflite by the type of its input and output, of which int8 is the default."""
    folders: Folders = {}
    for io in TYPES:
        folders[io] = tmp_path_factory.mktemp(io) / "bars"
        shutil.copytree(exported, folders[io])
        given = None if io == "int8" else io
        ec.export(folders[io] / "model.keras", idx_folder, formats=["tflite"], precisions=["int8"], io=given)
    return folders


def int8_of(folder: Path) -> Any:
    return entry(Manifest.load(folder), "int8.tflite")


def every_image(split: Split) -> Any:
    return split.images(range(len(split.labels)))


@pytest.mark.parametrize(
    ("formats", "precisions", "io", "said"),
    [
        (("tflite",), ("int8",), "int32", "io=int32 is unknown: use float32, int8, uint8"),
        (
            ("onnx", "ncnn"),
            ("int8",),
            "uint8",
            "int8 files of onnx and ncnn take float32, not uint8: omit io, or add formats=tflite",
        ),
        (("onnx",), ("int8",), "int8", "int8 files of onnx take float32, not int8"),
        (("tflite",), ("int16x8",), "uint8", "io=uint8 is for int8 files: add precisions=int8, or omit it"),
    ],
)
def test_what_makes_no_sense_is_refused(formats: tuple[str, ...], precisions: tuple[str, ...], io: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ExportConfig(formats, precisions, io=io)


@pytest.mark.parametrize(("io", "tflite"), [(None, "int8"), ("int8", "int8"), ("uint8", "uint8"), ("float32", "float32")])
def test_onnx_takes_float32_whatever_tflite_takes(io: IoName | None, tflite: str) -> None:
    config = ExportConfig(("tflite", "onnx"), io=io)
    assert (config.io_of("tflite"), config.io_of("onnx")) == (tflite, "float32")


@pytest.mark.parametrize("io", TYPES)
def test_the_manifest_says_which_it_is(io: IoName, folders: Folders) -> None:
    artifact = int8_of(folders[io])
    assert artifact.input.dtype == artifact.output.dtype == io
    zero_points = {"int8": -128, "uint8": 0}
    for spec in (artifact.input, artifact.output):
        assert (spec.quantization and spec.quantization.zero_points[0]) == zero_points.get(io)


def test_uint8_is_int8_plus_128_on_every_test_image(folders: Folders, test_split: Split) -> None:
    models = {io: ec.Classifier.load(folders[io] / "int8.tflite") for io in TYPES}
    images = every_image(test_split)
    inputs = {io: model.inputs(images) for io, model in models.items()}
    assert np.array_equal(inputs["uint8"], inputs["int8"].astype(np.int16) + 128)
    assert np.array_equal(inputs["uint8"], images)  # Pixel / 255 has a scale of 1 / 255: a camera's bytes go in as they are.
    raw = {io: np.stack([models[io].runtime.run(one) for one in models[io].singles(images)]) for io in ("int8", "uint8")}
    assert np.array_equal(raw["uint8"], raw["int8"].astype(np.int16) + 128)


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_probabilities_and_parity_are_those_of_int8(io: IoName, folders: Folders, test_split: Split) -> None:
    images = every_image(test_split)
    ours, int8 = (ec.Classifier.load(folders[one] / "int8.tflite").predict(images) for one in (io, "int8"))
    assert ours.labels == int8.labels
    if io == "float32":  # Its softmax is float: its probabilities lie between the steps of 8 bits.
        assert 0 < np.abs(ours.probabilities - int8.probabilities).max() <= 1 / 256
    else:
        assert np.array_equal(ours.probabilities, int8.probabilities)
        assert int8_of(folders[io]).parity == int8_of(folders["int8"]).parity


@pytest.mark.parametrize("io", TYPES)
def test_one_image_in_a_loop_gives_the_answer_of_a_batch(io: IoName, folders: Folders, test_split: Split) -> None:
    model, images = ec.Classifier.load(folders[io] / "int8.tflite"), every_image(test_split)
    assert (model._single is not None) == (io != "float32")
    batch = model.predict(images)
    for index, image in enumerate(images):
        alone = model.predict(image)
        assert alone.labels[0] == batch.labels[index]
        assert np.array_equal(alone.probabilities[0], batch.probabilities[index])


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_a_bundle_with_it_proves_itself_and_is_measured(
    io: IoName, folders: Folders, tmp_path: Path, terminal: Terminal
) -> None:
    bundle = tmp_path / "bars.zip"
    terminal.passes("bundle", folders[io], "--file", "int8.tflite", "--out", bundle)
    assert "PASS" in terminal.passes("verify", bundle)
    report = ec.bench(bundle, budget=ec.Budget(max_drop_points=100), options=quick())
    (file,) = report.files
    assert file.name.endswith("int8.tflite")
    assert io in terminal.passes("summary", bundle / "int8.tflite")


def quick() -> ec.BenchOptions:
    return ec.BenchOptions(plan=ec.Plan(0.02, 20, 2), percents=(50.0,))


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_diagnose_finds_every_layer_again(io: IoName, folders: Folders) -> None:
    ours, int8 = (ec.diagnose(folders[one] / "int8.tflite").layers for one in (io, "int8"))
    found = [(layer.label, layer.operator) for layer in int8]
    in_float = io == "float32" and found.pop()[1] == "SOFTMAX"
    assert in_float == (io == "float32")
    assert [(layer.label, layer.operator) for layer in ours] == found


def test_the_command_line_has_it(artifacts: Path, idx_folder: Path, terminal: Terminal) -> None:
    of_model = ("export", artifacts / "model.keras", "--data", idx_folder, "--io", "uint8")
    said = terminal.fails(2, *of_model, "--format", "onnx")
    assert all(part in said for part in ("onnx take float32, not uint8", "omit --io", "add --format tflite"))
    out = terminal.passes(*of_model, "--quantize", "int8")
    assert any("int8.tflite" in line and "uint8" in line for line in out.splitlines())
    assert any("int8.onnx" in line and "uint8" not in line for line in out.splitlines())

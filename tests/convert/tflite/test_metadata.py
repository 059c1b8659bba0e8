"""TFLite metadata says what the file is, and changes nothing that a runtime computes. make mediapipe reads it."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import edgecnn as ec
from edgecnn.convert.export.program_files import Description
from edgecnn.convert.tflite.metadata import NAME, _colours, _oldest_release, described
from edgecnn.edge.compatibility.tflite import FOUR_BITS, TFLITE_SINCE, TfliteNeeds, read_needs
from edgecnn.edge.compatibility.tflite_graph import Table, from_object, root, to_object
from edgecnn.edge.data.splits import Split
from edgecnn.edge.manifest import Manifest, Preprocessing, Quantization, TensorSpec
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.runtimes import opener_for

FILES = ("float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite")


@pytest.fixture
def description(exported: Path) -> Description:
    manifest = Manifest.load(exported)
    return Description(
        "bars", ("low", "middle, or so", "höch"), manifest.preprocessing, manifest.output, "ab" * 32, "0.1.0", 60, 57
    )


def metadata(data: bytes) -> Table:
    """Return the root of a file's metadata."""
    model = root(data)
    (entry,) = (item for item in model.tables(6) if item.data(0) == NAME.encode())
    own = model.tables(4)[entry.u32(1, 0)].data(0)
    assert own[4:8] == b"M001"
    return root(own)


@pytest.mark.parametrize("name", FILES)
def test_outputs_are_the_same_bit_for_bit(name: str, exported: Path, description: Description, test_split: Split) -> None:
    data = (exported / name).read_bytes()
    model = ec.Classifier.load(exported / name)
    before, after = (opener_for("tflite").open_model(one, 1) for one in (data, described(data, description)))
    assert (before.input_spec, before.output_spec) == (after.input_spec, after.output_spec)
    for call in model.singles(test_split.images(range(60))):
        assert np.array_equal(before.run(call), after.run(call))
    needs, again = (read_needs(one) for one in (data, described(data, description)))
    assert replace(again, written=needs.written) == needs


def stated_release(data: bytes) -> str | None:
    """Return the oldest TensorFlow Lite release that a file itself states, as LiteRT's schema reads it; None if none."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    stated = [model.buffers[entry.buffer].data for entry in model.metadata or () if entry.name == b"min_runtime_version"]
    assert len(stated) <= 1
    return bytes(stated[0]).rstrip(b"\0").decode() if stated else None


@pytest.mark.parametrize("folder", ["exported", "any_batch"])
@pytest.mark.parametrize("name", FILES)
def test_the_oldest_release_that_it_states_is_that_of_the_manifest(
    name: str, folder: str, description: Description, request: pytest.FixtureRequest
) -> None:
    models: Path = request.getfixturevalue(folder)
    artifact = Manifest.load(models).artifact(name)
    assert artifact
    data = (models / name).read_bytes()
    for one in (data, described(data, description)):  # A second time, it has the entry already.
        assert artifact.oldest_runtime == f"tensorflow-lite>={stated_release(described(one, description))}"


@pytest.mark.parametrize(("name", "stated"), [("float32.tflite", "1.5.0"), ("int8.tflite", None)])
def test_without_a_known_release_the_converter_is_believed_of_floats_alone(
    name: str, stated: str | None, exported: Path, description: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(TFLITE_SINCE, "SOFTMAX")
    assert stated_release(described((exported / name).read_bytes(), description)) == stated


def test_a_file_of_4_bit_weights_that_no_tensorflow_lite_runs_states_no_release_of_another_package() -> None:
    needs = TfliteNeeds({"CONV_2D": 3, FOUR_BITS: 1}, "1.5.0", int8=True)
    assert str(needs.oldest_runtime()).startswith("ai-edge-litert>=")
    assert _oldest_release(needs) is None


def test_a_file_that_states_none_gets_it_once_with_the_same_bytes(exported: Path, description: Description) -> None:
    model = to_object((exported / "int8.tflite").read_bytes())
    model.metadata = None
    assert stated_release(described(from_object(model), description)) == "2.10.0"
    data = (exported / "int8.tflite").read_bytes()
    assert described(data, description) == described(data, description)
    again = described(described(data, description), description)
    assert len([item for item in root(again).tables(6) if item.data(0) == NAME.encode()]) == 1


def test_labels_normalization_author_licence_and_accuracy_are_in_it(exported: Path, description: Description) -> None:
    taken = Preprocessing(1 / 127.5, "letterbox", "any", mean=(1.0,))
    said = replace(description, preprocessing=taken, author="Jane Doe", license="MIT")
    data = described((exported / "float32.tflite").read_bytes(), said)
    whole = metadata(data)
    assert whole.data(0) == b"bars"
    assert (whole.data(4), whole.data(5), whole.data(7)) == (b"Jane Doe", b"MIT", b"1.0.0")
    assert b"edgecnn 0.1.0" in whole.data(1)
    assert b"right on 57 of 60 test images (95.00%)" in whole.data(1)
    (graph,) = whole.tables(3)
    (entry,), (output,) = graph.tables(2), graph.tables(3)
    (unit,) = entry.tables(4)
    options = unit.table(1)
    assert options
    means, deviations = (np.array(options.u32s(place), np.uint32).view(np.float32) for place in (0, 1))
    assert means == pytest.approx([127.5])
    assert deviations == pytest.approx([127.5])
    (labels,) = output.tables(6)
    assert (labels.data(0), labels.i8(2)) == (b"labels.txt", 2)
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.read("labels.txt").decode() == "low\nmiddle, or so\nhöch\n"
    record = json.loads(archive.read("edgecnn.json"))
    assert record["labels"] == ["low", "middle, or so", "höch"]
    assert (record["correct"], record["test_images"], record["source_sha256"]) == (57, 60, "ab" * 32)
    assert record["preprocessing"]["mean"] == [1.0]


def test_an_author_that_nobody_named_is_not_in_it(exported: Path, description: Description) -> None:
    whole = metadata(described((exported / "float32.tflite").read_bytes(), description))
    assert whole.field(4) is whole.field(5) is None


@pytest.mark.parametrize(
    ("scheme", "dtype", "scale", "colours"),
    [
        ("unit", "float32", None, 1),
        ("caffe", "float32", None, 0),  # Blue first.
        ("unit", "uint8", 1 / 255, 1),
        ("unit", "uint8", 1 / 200, 0),  # A byte is not its own number.
        ("torch", "uint8", 1 / 55, 0),
        ("torch", "int8", 1 / 55, 1),  # A reader quantizes by the scale.
    ],
)
def test_a_file_to_which_mediapipe_would_pass_wrong_numbers_names_no_colours(
    scheme: str, dtype: str, scale: float | None, colours: int
) -> None:
    spec = TensorSpec("image", (1, 8, 8, 3), dtype, Quantization((scale,), (0,)) if scale else None)
    assert _colours(SCHEMES[scheme], spec) == colours
    if scheme == "unit":
        assert _colours(SCHEMES[scheme], replace(spec, shape=(1, 8, 8, 1))) == 2

"""Files that Keras 2 wrote compute in Keras 3 what they computed in Keras 2; hostile ones read and run nothing."""

import io
import json
import marshal
import zipfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from edgecnn.convert.keras.keras2 import in_words_of_keras_3, read_written
from edgecnn.convert.keras.load import saved_with
from edgecnn.convert.keras.runtime import load_file, load_from_bytes
from edgecnn.convert.keras.source import imported
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import sha256
from edgecnn.edge.model_file import read_model
from tests.kept.keras2.make import MODELS, OLD, images

KEPT = Path(__file__).parents[2] / "kept" / "keras2"
FILES = [f"{name}{suffix}" for name, (_, suffixes) in MODELS.items() if name != "lambda" for suffix in suffixes]


def computes(model: Any, name: str) -> None:
    """Check that a model computes what a file of that name did in Keras 2."""
    expected = np.load((KEPT / name).with_suffix(".npy"))
    assert np.ptp(expected, axis=0).min() > 1e-3  # Else any model would do.
    found = np.asarray(model(images(model.input_shape[1]), training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_keras_2_computes_what_it_did_there(name: str) -> None:
    computes(load_from_bytes(read_model(KEPT / name).data, name), name)


@pytest.mark.parametrize("divided_by", ["/", "\\"])
def test_keras_2_13_had_other_places_for_weights_and_windows_other_paths(divided_by: str) -> None:
    weights, buffer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(KEPT / OLD) as archive, zipfile.ZipFile(buffer, "w") as new:
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as old, h5py.File(weights, "w") as file:
            paths: list[str] = []
            old.visit(paths.append)
            for path in paths:
                if isinstance(old[path], h5py.Dataset):
                    group, _, name = path.rpartition("/vars/")
                    file[f"{group.replace('/', divided_by)}/vars/{name}"] = old[path][()]
        for member in archive.namelist():
            new.writestr(member, weights.getvalue() if member == "model.weights.h5" else archive.read(member))
    computes(load_from_bytes(buffer.getvalue(), OLD), "torch")


@pytest.mark.parametrize("name", ["differences.h5", "torch.keras"])
def test_it_becomes_the_same_file_of_keras_3_each_time_with_a_record_of_its_origin(name: str) -> None:
    data = (KEPT / name).read_bytes()
    made, changes = imported(data, Path(name))
    assert len(changes) == 1
    assert (made, changes) == imported(data, Path(name))
    assert imported(made, Path("model.keras")) == (made, ())  # It needs nothing more.
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert json.loads(archive.read("metadata.json"))["converted_from"] == {
            "keras_version": "2.21.0",
            "sha256": sha256(data),
        }
        assert not {"TFOpLambda", "Lambda"} & set(json.loads(archive.read("config.json")))
    assert saved_with(made) == {"keras": "2.21.0"}
    computes(load_from_bytes(made, name), name)


@pytest.mark.parametrize("name", ["lambda.h5", "lambda.keras"])
def test_a_lambda_layer_never_runs(name: str) -> None:
    with pytest.raises(ArtifactError, match="has a Lambda layer, whose code inside the file is never run"):
        load_file(read_model(KEPT / name))


def test_weights_alone_are_refused() -> None:
    with pytest.raises(ArtifactError, match=r"weights\.h5 has only weights, not the layers.*load_weights"):
        load_file(read_model(KEPT / "weights.h5"))


Edit = Callable[[Any, dict[str, Any]], None]


def altered(name: str, edit: Edit) -> bytes:
    """Return a kept .h5 file, of which `edit` gets the open file and its layers' configuration."""
    buffer = io.BytesIO((KEPT / name).read_bytes())
    with h5py.File(buffer, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit(file, config["config"])
        file.attrs["model_config"] = json.dumps(config)
    return buffer.getvalue()


def _elsewhere(file: Any, config: dict[str, Any]) -> None:
    file["model_weights/theirs"] = h5py.ExternalLink("/etc/passwd", "/")


def _outside(file: Any, config: dict[str, Any]) -> None:
    file.create_dataset("model_weights/theirs", (100,), "f4", external=[("/etc/passwd", 0, 400)])


def _virtual(file: Any, config: dict[str, Any]) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "numbers", (4,))  # noqa: S108 - A path that nobody opens.
    file.create_virtual_dataset("model_weights/theirs", layout)


def _circle(file: Any, config: dict[str, Any]) -> None:
    file["model_weights/again"] = file["model_weights"]


def _huge(file: Any, config: dict[str, Any]) -> None:
    file.create_dataset("model_weights/numbers", (10**7, 10**6), "f4", chunks=(1, 1))


def _code(file: Any, config: dict[str, Any]) -> None:
    code = b64encode(marshal.dumps((lambda x: open("ran", "w")).__code__)).decode()  # noqa: PTH123, SIM115
    function = {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
    config["layers"][1]["config"]["activation"] = function


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (_elsewhere, "is a link"),
        (_outside, "is in another file"),
        (_virtual, "is in another file"),
        (_circle, "is there twice"),
        (_huge, "its weights are 40,000,000"),
        (_code, "can't load it in safe mode"),
    ],
)
def test_a_hostile_file_reads_and_runs_nothing(edit: Edit, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.h5").write_bytes(altered("sequential.h5", edit))
    with pytest.raises(ArtifactError, match=why) as caught:
        load_file(read_model(Path("bad.h5")))
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()


def test_a_truncated_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    for size in (8, 600, 10_000):
        (tmp_path / "cut.h5").write_bytes((KEPT / "sequential.h5").read_bytes()[:size])
        with pytest.raises(ArtifactError, match=r"cut\.h5 can't be read as a Keras model") as caught:
            load_file(read_model(tmp_path / "cut.h5"))
        assert "\n" not in str(caught.value)


def _old(file: Any, config: dict[str, Any]) -> None:
    """Arguments as TensorFlow 1.13 to 2.3 wrote them, and no InputLayer."""
    config["layers"].pop(0)
    convolution = config["layers"][0]["config"]
    convolution["kernel_initializer"] = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}
    convolution["dtype"] = {"class_name": "PolicyV1", "config": {"name": "float32", "loss_scale": None}}
    convolution["batch_input_shape"] = [None, 12, 12, 3]
    del file.attrs["keras_version"]


def test_older_words_mean_the_same() -> None:
    data = altered("sequential.h5", _old)
    assert read_written(data, "old.h5").keras == "2.21.0"  # Its weights say so too.
    computes(load_from_bytes(data, "old.h5"), "sequential")


def test_the_operators_of_tensorflow_2_0_to_2_3_are_layers() -> None:
    def older(file: Any, config: dict[str, Any]) -> None:
        for layer in config["layers"]:
            if layer["class_name"] == "TFOpLambda" and layer["config"]["function"] in ("math.truediv", "math.subtract"):
                ((reference, *rest),) = [layer["inbound_nodes"][0][:3]]
                constant = layer["inbound_nodes"][0][3].get("y")
                if not isinstance(constant, float) or reference == "_CONSTANT_VALUE":
                    continue
                operator = {"math.truediv": "RealDiv", "math.subtract": "Sub"}[layer["config"]["function"]]
                layer["class_name"] = "TensorFlowOpLayer"
                layer["config"] = {"name": layer["name"], "node_def": {"op": operator}, "constants": {"1": constant}}
                layer["inbound_nodes"] = [[[reference, *rest, {}]]]

    data = altered("differences.h5", older)
    assert data != (KEPT / "differences.h5").read_bytes()
    computes(load_from_bytes(data, "old.h5"), "differences")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"class_name": "Theirs"}, "does not know its layer Theirs: name the module .* trust=MODULE"),
        (
            {"class_name": "LSTM", "config": {"name": "l", "units": 1, "time_major": True}},
            "time_major=True, which Keras 3 lacks",
        ),
        (
            {"class_name": "LSTM", "config": {"name": "l", "units": 1, "recurrent_activation": "hard_sigmoid"}},
            "layer l has recurrent_activation hard_sigmoid",
        ),
    ],
)
def test_what_keras_3_would_compute_otherwise_is_refused(change: dict[str, Any], why: str) -> None:
    data = altered("sequential.h5", lambda file, config: config["layers"][1].update(change))
    with pytest.raises(ArtifactError, match=why):
        load_from_bytes(data, "theirs.h5")


@pytest.mark.parametrize(
    "call",
    [
        {"function": "math.floormod", "named": {"y": 2.0}},
        {"function": "math.truediv", "named": {"y": 2.0, "other": 1}},
        {"function": "image.resize", "named": {"size": [8, 8], "antialias": True}},
        {"function": "reshape", "named": {"shape": [6, -1]}},
        {"function": "math.reduce_mean", "named": {"axis": 0}},
        {"function": "__operators__.getitem", "named": {"slice_spec": [{"class_name": "__ellipsis__"}, 0]}},
        {"function": "io.read_file", "named": {}},
    ],
)
def test_a_call_of_tensorflow_without_a_layer_of_keras_is_named(call: dict[str, Any]) -> None:
    def edit(file: Any, config: dict[str, Any]) -> None:
        layer = next(layer for layer in config["layers"] if layer["class_name"] == "TFOpLambda")
        layer["config"]["function"] = call["function"]
        layer["inbound_nodes"] = [[*layer["inbound_nodes"][0][:3], call["named"]]]

    with pytest.raises(ArtifactError, match=rf"it calls TensorFlow's {call['function']} at tf\."):
        in_words_of_keras_3(altered("torch.h5", edit), "theirs.h5")


def test_a_trusted_module_defines_layers_of_a_keras_2_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("their_layers.py").write_text("import keras\n\nclass Theirs(keras.layers.Conv2D):\n    pass\n")
    Path("own.h5").write_bytes(altered("sequential.h5", lambda file, config: config["layers"][1].update(class_name="Theirs")))
    computes(load_file(read_model(Path("own.h5")), ("their_layers",)), "sequential")

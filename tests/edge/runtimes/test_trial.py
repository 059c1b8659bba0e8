"""The trial of a file in a child process covers the signature, the release, the batch and the pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import base, opener_for
from edgecnn.edge.runtimes.base import most_images
from edgecnn.edge.runtimes.openvino import import_library
from edgecnn.edge.sandbox import unverified as tried
from tests.onnx_text import ENDLESS, onnx_bytes

UNIT = Interface(SCHEMES["unit"])


@pytest.fixture(autouse=True)
def nothing_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "_here", set())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def crashing_in_second(two: Path, path: Path) -> Path:
    """Declare the output of one of two graphs as RESOURCE, 13: reading it is a segmentation fault."""
    model = to_object(two.read_bytes())
    (second,) = (entry.subgraphIndex for entry in model.signatureDefs if entry.signatureKey == b"second")
    graph = model.subgraphs[second]
    graph.tensors[graph.outputs[0]].type = schema.TensorType.RESOURCE
    path.write_bytes(from_object(model))
    return path


def saved(path: Path, nodes: str, batch: int | str, **constants: Any) -> Path:
    """Write an ONNX file of a classifier of 3 classes, which are the channels' means after some nodes."""
    means = "means = ReduceMean <axes = [1, 2], keepdims = 0> (x)"
    text = f"(float[{batch}, 8, 8, 3] x) => (float[{batch}, 3] y) {{{means} {nodes} y = Softmax (logits)}}"
    path.write_bytes(onnx_bytes(text, **constants))
    return path


def test_a_signature_is_tried_though_another_one_of_the_file_was(foreign: Path, tmp_path: Path) -> None:
    model = read_model(crashing_in_second(foreign / "two.tflite", tmp_path / "two.tflite"))
    opener = opener_for("tflite")
    opener.open_file(model, 1, "first")
    with pytest.raises(ArtifactError, match="SIGSEGV"):
        opener.open_file(model, 1, "second")


def test_another_release_of_the_runtime_tries_a_file_again(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(base, "run_in_child", lambda *given: started.append(given))
    for _ in range(2):
        Classifier.load(exported / "int8.tflite")
    assert len(started) == 1
    monkeypatch.setattr(base, "installed_version", lambda package: "99.1")
    Classifier.load(exported / "int8.tflite")
    assert len(started) == 2


@pytest.mark.workstation("QEMU passes no memory limit on")
def test_a_file_whose_memory_grows_with_the_cube_of_the_batch_is_refused(tmp_path: Path) -> None:
    nodes = """sizes = Shape <end = 1> (x) cube = Pow (sizes, three) size = Mul (cube, many)
        mean = ReduceMean <keepdims = 0> (x) large = Expand (mean, size) small = ReduceMean <keepdims = 0> (large)
        nothing = Mul (small, zero) logits = Add (means, nothing)"""
    path = saved(tmp_path / "cube.onnx", nodes, "n", three=[3], many=[2**16], zero=np.float32(0))
    assert Classifier.load(path, interface=UNIT, trusted=True).predict(np.zeros((8, 8, 3), np.uint8)).labels
    with pytest.raises(ArtifactError, match=r"cube\.onnx needs more memory"):
        Classifier.load(path, interface=UNIT)


def test_a_file_that_is_endless_for_some_images_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "SECONDS", 2.0)
    nodes = "brightest = ReduceMax <keepdims = 0> (x) bright = Greater (brightest, zero)"
    nodes += f' logits = {ENDLESS} ("", bright, means)'
    path = saved(tmp_path / "bright.onnx", nodes, 1, zero=np.float32(0))
    with pytest.raises(ArtifactError, match=r"bright\.onnx did not return"):
        Classifier.load(path, interface=UNIT)


def test_numbers_that_stand_for_words_are_not_asked_to_make_sense_of_noise(tmp_path: Path) -> None:
    text = "(int64[1, 4] x) => (float[1, 3] y) {rows = Gather (table, x) y = ReduceMean <axes = [1], keepdims = 0> (rows)}"
    path = tmp_path / "words.onnx"
    path.write_bytes(onnx_bytes(text, table=np.ones((10, 3), np.float32)))
    assert opener_for("onnx").open_file(read_model(path), 1).run(np.ones((1, 4), np.int64)).shape == (1, 3)


@pytest.mark.parametrize(("image_bytes", "images"), [(784, 32), (224 * 224 * 3 * 4, 6), (2**23, 1), (0, 32)])
def test_a_call_takes_few_images_so_that_trying_as_many_is_cheap(image_bytes: int, images: int) -> None:
    assert most_images(image_bytes) == images


def test_a_file_made_here_is_tried_by_a_runtime_that_did_not_run_it_then(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_library()  # Not installed, it is an error, and on an emulated board the reason to skip the test.
    tried_by: list[str] = []
    monkeypatch.setattr(base, "run_in_child", lambda call, origin, size_bytes: tried_by.append(origin))
    model = read_model(exported / "int8.tflite")
    tried.remember_made(model.data)
    opener_for("litert").try_first(model, 1)
    assert not tried_by
    opener_for("openvino").try_first(model, 1)
    assert tried_by == [str(model.path)]

"""The two real runtimes: what they refuse, and that batches equal single images."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for

TFLITE = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite"]
FILES = [*TFLITE, "float32.onnx", "int8.onnx"]
NOISE = np.random.default_rng(0).bytes(5000)
Dense = Callable[..., NDArray[np.float32]]


def two_headed_onnx() -> bytes:
    def tensor(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])

    nodes = [helper.make_node("Identity", ["x"], [name]) for name in ("y", "z")]
    graph = helper.make_graph(nodes, "two", [tensor("x")], [tensor("y"), tensor("z")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(onnx.ModelProto.SerializeToString(model))


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
@pytest.mark.parametrize(
    "damage",
    [lambda data: NOISE, lambda data: b"\x1c\0\0\0TFL3" + NOISE, lambda data: data[: len(data) // 2], lambda data: data[:8]],
    ids=["noise", "mark and noise", "half", "first bytes"],
)
def test_damaged_bytes_are_refused_with_a_reason(
    damage: Callable[[bytes], bytes], kind: str, exported: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = damage((exported / f"float32.{kind}").read_bytes())
    title = {"tflite": "TFLite", "onnx": "ONNX"}[kind]
    with pytest.raises(ArtifactError, match=rf"the {title} model .*\(.+\): copy") as caught:
        opener_for(kind).open_model(data, 1)
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_a_model_of_two_outputs_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"ONNX.*\b1 input.*\(x\).*\b2 outputs \(y, z\)"):
        opener_for("onnx").open_model(two_headed_onnx(), 1)


@pytest.mark.parametrize("name", ["int8.tflite", "float32.onnx"])
def test_a_process_without_a_standard_error_opens_files(name: str, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert opener_for(name.split(".")[1]).open_model((exported / name).read_bytes(), 1).output_spec.shape[1] == 3


@pytest.mark.parametrize("name", ["int8.tflite", "float32.tflite", "float32.onnx"])
def test_opening_and_running_a_good_file_writes_nothing_on_the_terminal(name: str, exported: Path) -> None:
    # In a new interpreter: LiteRT announces its delegate once per process.
    code = (
        "from edgecnn.edge.inference.classifier import Classifier\nimport numpy as np\n"
        f"model = Classifier.load({str(exported / name)!r})\n"
        "model.predict(np.zeros((3, 12, 12, 1), np.uint8))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["float32.onnx", "int8.onnx"])
def test_a_batch_gives_what_its_images_give_alone(name: str, threads: int, any_batch: Path) -> None:
    runtime = opener_for("onnx").open_model((any_batch / name).read_bytes(), threads)
    batch = np.random.default_rng(0).random((7, 12, 12, 1), np.float32)
    together = runtime.run(batch)
    alone = [runtime.run(batch[i : i + 1]) for i in range(7)]
    assert together.shape == (7, 3)
    assert together.dtype == runtime.output_spec.dtype
    assert len({row.tobytes() for row in together}) > 1
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_tflite_file_of_a_free_batch_takes_every_size_in_turn(threads: int, foreign: Path, dense: Dense) -> None:
    runtime = opener_for("tflite").open_model((foreign / "free.tflite").read_bytes(), threads)
    assert runtime.input_spec.shape == (None, 8, 6, 3)
    for size in (1, 7, 7, 2, 1):
        batch = np.random.default_rng(size).random((size, 8, 6, 3), np.float32)
        powers = np.exp(dense(batch))
        np.testing.assert_allclose(runtime.run(batch), powers / powers.sum(axis=1, keepdims=True), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TFLITE)
def test_a_file_of_a_fixed_batch_takes_no_other(name: str, exported: Path) -> None:
    runtime = opener_for("tflite").open_model((exported / name).read_bytes(), 1)
    assert runtime.input_spec.shape[0] == 1
    with pytest.raises(ValueError, match="Dimension mismatch"):
        runtime.run(np.zeros((2, 12, 12, 1), runtime.input_spec.dtype))


def test_every_result_is_an_array_of_its_own(foreign: Path) -> None:
    for name, signature in (("float32", None), ("two", "second")):
        runtime = opener_for("tflite").open_model((foreign / f"{name}.tflite").read_bytes(), 1, signature)
        rng = np.random.default_rng(0)
        first = runtime.run(rng.random((1, 8, 6, 3), np.float32))
        kept = first.copy()
        assert not np.array_equal(runtime.run(rng.random((1, 8, 6, 3), np.float32)), first)
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("name", "signature", "message"),
    [
        ("two", None, "^the TFLite model has the signatures first, second: name one with signature$"),
        ("two", "third", "^the TFLite model has the signatures first, second, not third: name one with signature$"),
        ("float32", "third", "^the TFLite model has (no signatures|the signatures serving_default), not third: "),
    ],
)
def test_a_signature_that_is_missing_or_unknown_is_refused_with_those_that_there_are(
    name: str, signature: str | None, message: str, foreign: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        opener_for("tflite").open_model((foreign / f"{name}.tflite").read_bytes(), 1, signature)


def test_an_onnx_file_has_no_signatures(exported: Path) -> None:
    with pytest.raises(ConfigError, match=r"float32\.onnx: .*no signatures: omit signature$"):
        opener_for("onnx").open_file(read_model(exported / "float32.onnx"), 1, "first")


def test_each_signature_has_its_own_specs_and_numbers(foreign: Path, dense: Dense) -> None:
    batch = np.random.default_rng(0).random((1, 8, 6, 3), np.float32)
    for signature, seed in (("first", 0), ("second", 1)):
        runtime = opener_for("tflite").open_model((foreign / "two.tflite").read_bytes(), 1, signature)
        assert runtime.input_spec.name.startswith(signature)
        assert (runtime.input_spec.shape, runtime.output_spec.shape) == ((1, 8, 6, 3), (1, 4))
        powers = np.exp(dense(batch, seed=seed))
        np.testing.assert_allclose(runtime.run(batch), powers / powers.sum(), rtol=0, atol=1e-5)


def test_a_text_or_a_sequence_is_no_tensor_of_numbers() -> None:
    def described(output: Any, node: Any) -> bytes:
        text = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
        graph = helper.make_graph([node], "other", [text], [output])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(onnx.ModelProto.SerializeToString(model))

    words = helper.make_tensor_value_info("y", TensorProto.STRING, ["n"])
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)
    gather = helper.make_node("SequenceConstruct", ["x"], ["y"])
    for data, kind in ((described(words, cast), r"tensor\(string\)"), (described(sequence, gather), r"seq\(tensor\(float\)\)")):
        with pytest.raises(ArtifactError, match=rf"^y of .*ONNX model.* {kind}:"):
            opener_for("onnx").open_model(data, 1)


@pytest.mark.parametrize("shape", [(), (16,), (1, 16), (1, 4, 2, 2, 1)])
def test_a_model_of_any_rank_runs(shape: tuple[int, ...], foreign: Path) -> None:
    tflite = (foreign / f"twice{len(shape)}.tflite").read_bytes()
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inputs = np.array(np.random.default_rng(0).random(shape), np.float32)
    for kind, data in (("tflite", tflite), ("onnx", model.SerializeToString())):
        runtime = opener_for(kind).open_model(data, 1)
        assert runtime.input_spec.shape == shape
        np.testing.assert_allclose(runtime.run(inputs), inputs * 2)


@pytest.mark.parametrize("name", FILES)
def test_what_a_runtime_says_of_the_model_is_what_the_manifest_says(name: str, exported: Path) -> None:
    runtime = opener_for(name.split(".")[1]).open_model((exported / name).read_bytes(), 1)
    artifact = Manifest.load(exported).artifact(name)
    assert artifact is not None
    assert (runtime.input_spec, runtime.output_spec) == (artifact.input, artifact.output)
    assert runtime.input_spec.shape[1:] == (12, 12, 1)


def test_weights_in_another_file_are_refused_wherever_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    # Not a file of the model, but a property with the same name.
    helper.set_model_props(model, {"location": "weights.bin"})
    assert opener_for("onnx").open_model(model.SerializeToString(), 1).run(np.ones((1, 3), np.float32)).tolist() == [[1, 1, 1]]
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)  # Where ONNX Runtime would find them.
    with pytest.raises(ArtifactError, match=r"^the ONNX model .*weights.*another file"):
        opener_for("onnx").open_model(Path("model.onnx").read_bytes(), 1)


def test_a_size_of_minus_one_in_onnx_is_free() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [-1, 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    runtime = opener_for("onnx").open_model(model.SerializeToString(), 1)
    assert (runtime.input_spec.shape, runtime.output_spec.shape) == ((None, 3), (None, 3))


def test_onnx_runtime_writes_nothing_of_a_file_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y\x1b[31m")]
    shape = onnx.numpy_helper.from_array(np.array([2, 2], np.int64), "shape")
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "shape"], ["y\x1b[31m"])], "g", ends[:1], ends[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(Exception, match="Reshape"):
        opener_for("onnx").open_model(model.SerializeToString(), 1).run(np.ones((1, 3), np.float32))
    assert capfd.readouterr() == ("", "")

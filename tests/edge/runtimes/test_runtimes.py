"""What every runtime does with its files: what it refuses, what it answers, and that it is silent."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.runtimes.openvino import import_library
from tests.dense import dense, softmax
from tests.onnx_text import onnx_bytes

TFLITE = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite"]
FILES = [*TFLITE, "float32.onnx", "int8.onnx"]


class Runs(NamedTuple):
    """A runtime, and a file that it runs, in the folder of one of the fixtures."""

    runtime: str
    name: str
    folder: str = "exported"
    signature: str | None = None

    def data(self, request: pytest.FixtureRequest) -> bytes:
        if self.runtime == "openvino":
            import_library()  # Not installed, it is an error, and on an emulated board the reason to skip the test.
        path: Path = request.getfixturevalue(self.folder) / self.name
        return path.read_bytes()

    def open(self, request: pytest.FixtureRequest) -> LoadedModel:
        data = self.data(request)
        return opener_for(self.runtime).open_model(data, 1, self.signature)


LITERT, ONNXRUNTIME = Runs("litert", "float32.tflite"), Runs("onnxruntime", "float32.onnx")
OPENVINO, OPENVINO_TFLITE = Runs("openvino", "float32.onnx"), Runs("openvino", "float32.tflite")
NCNN, MNN = Runs("ncnn", "float32.ncnn", "by_name"), Runs("mnn", "float32.mnn", "by_name")

# What a message calls their files.
NAMED = {
    "litert": "TFLite model",
    "onnxruntime": "ONNX model",
    "openvino": "((TFLite|ONNX) model|tflite file)",
    "ncnn": "ncnn file",
    "mnn": "MNN model",
}


NOISE = np.random.default_rng(0).bytes(5000)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "noise": lambda data: NOISE,
    "mark and noise": lambda data: b"\x1c\0\0\0TFL3" + NOISE,
    "half": lambda data: data[: len(data) // 2],
    "first bytes": lambda data: data[:8],
    "all but the last bytes": lambda data: data[:-40],
    "nothing": lambda data: b"",
    "ones": lambda data: b"\1" * 500,
}


@pytest.mark.parametrize(
    ("runs", "damage"),
    [
        *product((LITERT, ONNXRUNTIME), ("noise", "mark and noise", "half", "first bytes")),
        *product((OPENVINO, OPENVINO_TFLITE), ("ones", "half", "nothing")),
        *product((MNN, NCNN), ("ones", "half", "nothing", "all but the last bytes")),
    ],
)
def test_damaged_bytes_are_refused_with_a_reason_and_nothing_is_printed(
    runs: Runs, damage: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    data = DAMAGES[damage](runs.data(request))
    with pytest.raises(ArtifactError, match=rf"{NAMED[runs.runtime]}.*\(.+\): copy") as caught:
        opener_for(runs.runtime).open_model(data, 1)
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("runs", [ONNXRUNTIME, OPENVINO, OPENVINO_TFLITE, MNN, NCNN])
def test_a_signature_and_streaming_are_refused_where_no_file_has_them(runs: Runs, request: pytest.FixtureRequest) -> None:
    data = runs.data(request)
    with pytest.raises(ConfigError, match=r"(no signatures|of one graph).*: omit signature$"):
        opener_for(runs.runtime).open_model(data, 1, "serve")
    with pytest.raises(ConfigError, match=r"(no state|without state).*: omit streaming$"):
        opener_for(runs.runtime).open_model(data, 1, None, True)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_model_of_two_outputs_is_refused(runtime: str) -> None:
    data = onnx_bytes("(float[1, 3] x) => (float[1, 3] y, float[1, 3] z) {y = Relu (x) z = Relu (x)}")
    if runtime == "openvino":
        import_library()
    with pytest.raises(ArtifactError, match=r"\b1 input.*\(x\).*\b2 outputs \(y, z\)"):
        opener_for(runtime).open_model(data, 1)


@pytest.mark.parametrize("runs", [LITERT, Runs("litert", "two.tflite", "foreign", "second"), ONNXRUNTIME, OPENVINO, MNN, NCNN])
def test_a_result_is_an_array_of_its_own_whatever_the_order_of_the_numbers(runs: Runs, request: pytest.FixtureRequest) -> None:
    runtime = runs.open(request)
    assert None not in runtime.input_spec.shape
    shape = [size or 1 for size in runtime.input_spec.shape]
    one, other = np.random.default_rng(0).random((2, *shape), np.float32)
    runtime.run(one)  # ONNX Runtime binds its buffers then.
    first = runtime.run(one)
    kept = first.copy()
    assert not np.array_equal(runtime.run(other), kept)
    np.testing.assert_array_equal(first, kept)
    backwards = np.asfortranarray(one)
    assert not backwards.flags.c_contiguous
    for _ in range(2):
        np.testing.assert_array_equal(runtime.run(backwards), kept)


@pytest.mark.parametrize(
    ("runs", "shape"),
    [
        *((runs, (1, 12, 12, 1)) for runs in (LITERT, ONNXRUNTIME, OPENVINO, OPENVINO_TFLITE)),
        *((runs, (1, 1, 12, 12)) for runs in (MNN, NCNN)),
    ],
)
def test_channels_come_where_the_file_has_them(runs: Runs, shape: tuple[int, ...], request: pytest.FixtureRequest) -> None:
    runtime = runs.open(request)
    assert (runtime.input_spec.shape, runtime.input_spec.dtype) == (shape, "float32")
    assert (runtime.output_spec.shape, runtime.output_spec.dtype) == ((1, 3), "float32")


@pytest.mark.parametrize(
    ("name", "most"),
    [("float32.mnn", 1e-5), ("float16.mnn", 1e-2), ("int8.mnn", 0.1), ("float32.ncnn", 1e-5), ("int8.ncnn", 0.1)],
)
def test_ncnn_and_mnn_compute_what_onnx_runtime_computes(
    name: str, most: float, by_name: Path, exported: Path, test_split: Split
) -> None:
    images = test_split.images(range(60))
    ours, other = (Classifier.load(path).predict(images).probabilities for path in (by_name / name, exported / "float32.onnx"))
    assert np.ptp(other, axis=0).max() > 0.5
    assert 0 < np.abs(ours - other).max() < most


@pytest.mark.parametrize("name", ["int8.tflite", "float32.onnx"])
def test_a_process_without_a_standard_error_opens_files(name: str, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert opener_for(name.split(".")[1]).open_model((exported / name).read_bytes(), 1).output_spec.shape[1] == 3


def test_opening_and_running_good_files_writes_nothing_on_the_terminal(exported: Path, by_name: Path) -> None:
    # In a new interpreter: LiteRT announces its delegate once per process, and MNN the CPU's features.
    files = [*(exported / name for name in ("int8.tflite", "float32.tflite", "float32.onnx")), by_name / "int8.mnn"]
    code = (
        "from edgecnn.edge.inference.classifier import Classifier\nimport numpy as np\n"
        f"for path in {list(map(str, files))!r}:\n"
        "    print(len(Classifier.load(path).predict(np.zeros((3, 12, 12, 1), np.uint8)).probabilities))"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=buffered)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n" * 4, "")


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
def test_a_tflite_file_of_a_free_batch_takes_every_size_in_turn(threads: int, foreign: Path) -> None:
    runtime = opener_for("tflite").open_model((foreign / "free.tflite").read_bytes(), threads)
    assert runtime.input_spec.shape == (None, 8, 6, 3)
    for size in (1, 7, 7, 2, 1):
        batch = np.random.default_rng(size).random((size, 8, 6, 3), np.float32)
        np.testing.assert_allclose(runtime.run(batch), softmax(dense(batch)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TFLITE)
def test_a_file_of_a_fixed_batch_takes_no_other(name: str, exported: Path) -> None:
    runtime = opener_for("tflite").open_model((exported / name).read_bytes(), 1)
    assert runtime.input_spec.shape[0] == 1
    with pytest.raises(ValueError, match="Dimension mismatch"):
        runtime.run(np.zeros((2, 12, 12, 1), runtime.input_spec.dtype))


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


def test_an_error_about_a_signature_names_the_file_and_each_has_its_own_specs(exported: Path, foreign: Path) -> None:
    with pytest.raises(ConfigError, match=r"float32\.onnx: .*no signatures: omit signature$"):
        opener_for("onnx").open_file(read_model(exported / "float32.onnx"), 1, "first")
    batch = np.random.default_rng(0).random((1, 8, 6, 3), np.float32)
    for signature, seed in (("first", 0), ("second", 1)):
        runtime = opener_for("tflite").open_model((foreign / "two.tflite").read_bytes(), 1, signature)
        assert runtime.input_spec.name.startswith(signature)
        assert (runtime.input_spec.shape, runtime.output_spec.shape) == ((1, 8, 6, 3), (1, 4))
        np.testing.assert_allclose(runtime.run(batch), softmax(dense(batch, seed=seed)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (16,), (1, 16), (1, 4, 2, 2, 1)])
def test_a_model_of_any_rank_runs(shape: tuple[int, ...], foreign: Path) -> None:
    tflite = (foreign / f"twice{len(shape)}.tflite").read_bytes()
    kind = f"float{[*shape]}" if shape else "float"
    onnx = onnx_bytes(f"({kind} x) => ({kind} y) {{y = Add (x, x)}}")
    inputs = np.array(np.random.default_rng(0).random(shape), np.float32)
    for name, data in (("tflite", tflite), ("onnx", onnx)):
        runtime = opener_for(name).open_model(data, 1)
        assert runtime.input_spec.shape == shape
        np.testing.assert_allclose(runtime.run(inputs), inputs * 2)


@pytest.mark.parametrize("name", FILES)
def test_what_a_runtime_says_of_the_model_is_what_the_manifest_says(name: str, exported: Path) -> None:
    runtime = opener_for(name.split(".")[1]).open_model((exported / name).read_bytes(), 1)
    artifact = Manifest.load(exported).artifact(name)
    assert artifact is not None
    assert (runtime.input_spec, runtime.output_spec) == (artifact.input, artifact.output)
    assert runtime.input_spec.shape[1:] == (12, 12, 1)

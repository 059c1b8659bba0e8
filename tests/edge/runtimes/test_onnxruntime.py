"""ONNX Runtime: what its kept buffers must not change, exact sums on any CPU, and files that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.runtimes import installed, opener_for
from edgecnn.edge.runtimes.onnxruntime import session_options
from tests.onnx_text import onnx_bytes, onnx_model


@pytest.mark.parametrize(
    "batch",
    [
        np.full((1, 12, 12, 1), 200, np.uint8),
        np.zeros((1, 12, 12, 1), np.float64),
        np.zeros((12, 12, 1), np.float32),
        np.zeros((1, 1, 12, 1), np.float32),
        np.zeros((2, 12, 12, 1), np.float32),
    ],
    ids=["raw pixels", "float64", "no batch", "one row", "two images"],
)
def test_no_other_dtype_or_shape_is_converted_in_silence(exported: Path, batch: NDArray[Any]) -> None:
    session = opener_for("onnxruntime").open_model((exported / "float32.onnx").read_bytes(), 1)
    for good in np.random.default_rng(0).random((2, 1, 12, 12, 1), np.float32):
        session.run(good)
    with pytest.raises(Exception, match=r"(?i)unexpected input data|invalid dimensions|invalid rank"):
        session.run(batch)


def reshaping(declared: list[int]) -> bytes:
    """Return a file of which no tool can know the output's shape: (n,) for numbers whose sum is n."""
    nodes = f"sum = ReduceSum <keepdims = 0> (x) whole = Cast <to = {TensorProto.INT64}> (sum)"
    nodes += " shape = Unsqueeze (whole, first) y = Reshape (x, shape)"
    return onnx_bytes(f"(float[1, 2, 2, 1] x) => (float{declared} y) {{{nodes}}}", first=[0])


@pytest.mark.parametrize("declared", [[4], [5], [1, 4]])
def test_a_file_may_declare_another_output_than_it_gives(declared: list[int]) -> None:
    opened = opener_for("onnxruntime").open_model(reshaping(declared), 1)
    for value in ([1, 1, 1, 1], [0, 2, 1, 1], [4, 0, 0, 0]):
        np.testing.assert_array_equal(opened.run(np.reshape(np.array(value, np.float32), (1, 2, 2, 1))), value)


def convolutions(*dtypes: type[np.int8 | np.uint8]) -> bytes:
    """Return a file that rounds an image to integers of each dtype in turn, and sums 72 of its pixels times 127."""
    constants: dict[str, Any] = {"one": np.float32(1), "coarse": np.float32(2**15), "ones": np.ones(1, np.float32)}
    constants |= {"weights": np.full((1, 8, 3, 3), 127, np.int8), "zeros": np.zeros(1, np.int8)}
    nodes = ""
    for at, dtype in enumerate(dtypes):
        constants[f"zero{at}"] = dtype(0)
        nodes += f"pixels{at} = QuantizeLinear (image, one, zero{at})"
        nodes += f" sums{at} = QLinearConv (pixels{at}, one, zero{at}, weights, ones, zeros, coarse, zero{at})"
        nodes += f" scores{at} = DequantizeLinear (sums{at}, coarse, zero{at}) "
    nodes += f"scores = Concat <axis = 1> ({', '.join(f'scores{at}' for at in range(len(dtypes)))})"
    ends = f"(float[1, 8, 3, 3] image) => (float[1, {len(dtypes)}, 1, 1] scores)"
    return onnx_bytes(f"{ends} {{{nodes}}}", opset=13, **constants)


def scores(data: bytes, pixel: int) -> list[float]:
    opened = opener_for("onnxruntime").open_model(data, 1)
    found: list[float] = opened.run(np.full((1, 8, 3, 3), pixel, np.float32)).ravel().tolist()
    return found


@pytest.fixture(params=["this CPU", "without VNNI"])
def _cpus(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's CPU, and what is done for one whose sums would overflow."""
    if request.param == "without VNNI":
        monkeypatch.setattr(installed, "CPUINFO", tmp_path / "none")


@pytest.mark.usefixtures("_cpus")
@pytest.mark.parametrize(
    ("dtypes", "pixel"),
    [((np.uint8,), 255), ((np.int8,), 127), ((np.int8,), -128), ((np.int8, np.int8), 127)],
    ids=["uint8", "int8", "lowest int8", "two operators that share weights"],
)
def test_sums_of_int8_products_are_exact_on_any_cpu(dtypes: tuple[type[np.int8 | np.uint8], ...], pixel: int) -> None:
    """On x86-64 without VNNI they overflow 16 bits by default, and the option against it can't open each of these files."""
    assert scores(convolutions(*dtypes), pixel) == [np.rint(pixel * 127 * 72 / 2**15) * 2**15] * len(dtypes)


@pytest.mark.usefixtures("_cpus")
def test_signed_and_unsigned_images_in_one_file_are_computed_exactly_or_refused() -> None:
    found: list[float] | str
    try:
        found = scores(convolutions(np.uint8, np.int8), 255)  # As int8, it is 127.
    except ArtifactError as error:
        found = str(error)
    assert found == [np.rint(pixel * 127 * 72 / 2**15) * 2**15 for pixel in (255, 127)] or "overflow" in found


@pytest.mark.usefixtures("_cpus")
def test_two_convolutions_that_share_weights_in_a_qdq_file_are_exact() -> None:
    constants = {"one": np.float32(1), "zero": np.int8(0), "coarse": np.float32(2**15), "coarser": np.float32(2**27)}
    weights = {"weights": np.full((8, 8, 3, 3), 127, np.int8), "ones": np.ones(8, np.float32), "zeros": np.zeros(8, np.int8)}
    nodes = "pixels0 = QuantizeLinear (image, one, zero) floats0 = DequantizeLinear (pixels0, one, zero)"
    for after, scale in enumerate(("coarse", "coarser"), 1):
        nodes += f" kernel{after} = DequantizeLinear <axis = 0> (weights, ones, zeros)"
        nodes += f" sums{after} = Conv (floats{after - 1}, kernel{after})"
        nodes += f" pixels{after} = QuantizeLinear (sums{after}, {scale}, zero)"
        nodes += f" floats{after} = DequantizeLinear (pixels{after}, {scale}, zero)"
    ends = "(float[1, 8, 5, 5] image) => (float[1, 8, 1, 1] floats2)"
    data = onnx_bytes(f"{ends} {{{nodes}}}", opset=13, **constants, **weights)
    opened = opener_for("onnxruntime").open_model(data, 1)
    first = np.rint(127 * 127 * 72 / 2**15)
    second = np.rint(first * 127 * 72 * 2**15 / 2**27)
    assert opened.run(np.full((1, 8, 5, 5), 127, np.float32)).ravel().tolist() == [second * 2**27] * 8


@pytest.mark.parametrize(
    ("flags", "slower"),
    [
        ("avx2 avx_vnni", False),
        ("avx2 avx512f avx512dq avx512bw avx512vl avx512_vnni", False),
        ("avx2 avx512f avx512_vnni", True),  # ONNX Runtime needs the others too.
        ("avx2 fma", True),
    ],
)
def test_only_a_cpu_whose_sums_would_overflow_takes_the_slower_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, slower: bool
) -> None:
    monkeypatch.setattr(installed, "CPUINFO", tmp_path / "cpuinfo")
    installed.CPUINFO.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse4_1\n")
    options = session_options(1)
    if slower:
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError, match="x64quantprecision"):
            options.get_session_config_entry("session.x64quantprecision")


def test_a_text_or_a_sequence_is_no_tensor_of_numbers() -> None:
    brain = ("bfloat16[n]", f"Cast <to = {TensorProto.BFLOAT16}>")
    words, sequence = ("string[n]", f"Cast <to = {TensorProto.STRING}>"), ("seq(float[])", "SequenceConstruct")
    kinds = (words, r"tensor\(string\)"), (sequence, r"seq\(tensor\(float\)\)"), (brain, r"tensor\(bfloat16\)")
    for (output, node), kind in kinds:
        with pytest.raises(ArtifactError, match=rf"^y of .*ONNX model.* {kind}:"):
            opener_for("onnx").open_model(onnx_bytes(f"(float[n] x) => ({output} y) {{y = {node} (x)}}"), 1)


def test_weights_in_another_file_are_refused_wherever_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx_model("(float[N, 3] x) => (float[N, 3] y) {y = MatMul (x, w)}", w=np.eye(3, dtype=np.float32))
    # Not a file of the model, but a property with the same name.
    helper.set_model_props(model, {"location": "weights.bin"})
    assert opener_for("onnx").open_model(model.SerializeToString(), 1).run(np.ones((1, 3), np.float32)).tolist() == [[1, 1, 1]]
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)  # Where ONNX Runtime would find them.
    with pytest.raises(ArtifactError, match=r"^the ONNX model .*weights.*another file"):
        opener_for("onnx").open_model(Path("model.onnx").read_bytes(), 1)


def test_a_size_of_minus_one_is_free() -> None:
    runtime = opener_for("onnx").open_model(onnx_bytes("(float[-1, 3] x) => (float[-1, 3] y) {y = Relu (x)}"), 1)
    assert (runtime.input_spec.shape, runtime.output_spec.shape) == ((None, 3), (None, 3))


def test_nothing_of_a_file_is_written_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx_model("(float[1, 3] x) => (float[1, 3] y) {y = Reshape (x, shape)}", shape=[2, 2])
    model.graph.output[0].name = model.graph.node[0].output[0] = "y\x1b[31m"
    with pytest.raises(Exception, match="Reshape"):
        opener_for("onnx").open_model(model.SerializeToString(), 1).run(np.ones((1, 3), np.float32))
    assert capfd.readouterr() == ("", "")

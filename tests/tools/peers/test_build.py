"""Files written for other runtimes without their tools."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tools.peers.build_mnn import channels_first, pnm
from tools.peers.build_torch import ncnn_int8

TEXT = "7767517\n2 2\nInput in0 0 1 in0\nInnerProduct linear 1 1 in0 out0 0=2 1=1 2=6\n"
WEIGHTS = np.array([[1, -2, 0.5], [4, 0, 0]], np.float32)
BIAS = np.array([3, 4], np.float32)
DATA = bytes(4) + WEIGHTS.tobytes() + BIAS.tobytes()


def test_ncnn_gets_a_scale_for_each_output_and_one_for_the_input_after_the_bias() -> None:
    text, data = ncnn_int8(TEXT, DATA, {"linear": 12.7})
    assert text.splitlines()[3] == "InnerProduct linear 1 1 in0 out0 0=2 1=1 2=6 8=2"
    assert text.splitlines()[:3] == TEXT.splitlines()[:3]
    assert data[: len(DATA)] == DATA
    assert np.frombuffer(data, np.float32, 3, len(DATA)).tolist() == pytest.approx([127 / 2, 127 / 4, 12.7])


def test_ncnn_weights_that_are_not_what_the_text_says_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights must be 36 bytes, got 40"):
        ncnn_int8(TEXT, DATA + bytes(4), {"linear": 1})
    with pytest.raises(ValueError, match="weights of linear must be float32"):
        ncnn_int8(TEXT, b"\x01" + DATA[1:], {"linear": 1})


def model(first: str) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, 5, 3])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    options = {"perm": [0, 3, 1, 2]} if first == "Transpose" else {}
    nodes = [helper.make_node(first, ["image"], ["turned"], **options), helper.make_node("Relu", ["turned"], ["out"])]
    return helper.make_model(helper.make_graph(nodes, "graph", [image], [out]))


def test_a_model_that_turns_its_input_round_takes_it_channels_first_instead() -> None:
    graph = channels_first(model("Transpose")).graph
    assert [(node.op_type, list(node.input)) for node in graph.node] == [("Relu", ["image"])]
    assert [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim] == [1, 3, 4, 5]


def test_a_model_that_begins_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with a Reshape or Transpose of its input, got Neg"):
        channels_first(model("Neg"))


def test_calibration_images_are_written_as_grey_or_colour_pictures() -> None:
    assert pnm(np.array([[[1], [2]]], np.uint8)) == b"P5 2 1 255\n\x01\x02"
    assert pnm(np.array([[[1, 2, 3]]], np.uint8)) == b"P6 1 1 255\n\x01\x02\x03"

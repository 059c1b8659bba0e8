"""A summary as text is as wide as it is asked to be."""

import pytest

from edgecnn.edge.graph.summary import Layer, Summaries, Summary

NAME = "a-folder-of-somebody/with-another-one/and-a-third/int8.tflite"
LAYER = Layer("sequential_1/re_lu_1/Relu", "DEPTHWISE_CONV_2D", (1, 224, 224, 32), "float32", 12_345_678, 123_456_789, 9_408)
SUMMARY = Summary(
    NAME, "tflite", 123_456_789, 1, (LAYER,), 12_345_678, 123_456_789, 9_408, 1_254_400, LAYER.name, (), (), "not in a manifest"
)


@pytest.mark.parametrize("width", [80, 64])
def test_no_line_is_wider(width: int) -> None:
    for result in (SUMMARY, Summaries((SUMMARY,), {"int8.onnx": "it is damaged: copy it again " * 4})):
        assert max(map(len, result.to_text(width).splitlines())) <= width

"""Small ONNX files, written in the text that ONNX's own parser reads."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

ENDLESS = """Loop <body = body (int64 i, bool on, float[] value) => (bool still_on, float[] same)
    {still_on = Identity (on) same = Identity (value)}>"""
"""Never ends if its second input is true: `y = {ENDLESS} ("", always, x)`."""


def onnx_model(
    text: str, opset: int = 17, ir_version: int = 8, domains: tuple[str, ...] = (), **constants: Any
) -> onnx.ModelProto:
    """Return the model of a graph like `(float[N, 4] x) => (float[N, 4] y) {y = Relu (x)}`; `float[]` has any shape.

    Operators of other domains take version 1 of theirs. Arrays of `constants` have their names in the graph.
    """
    graph = parser.parse_graph(f"g {text}")
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def onnx_bytes(text: str, **options: Any) -> bytes:
    """Return the file of `onnx_model`."""
    return bytes(onnx_model(text, **options).SerializeToString())

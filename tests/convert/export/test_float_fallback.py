"""A badly quantized file passes with few layers in float, or the failure is reported."""

from collections.abc import Sequence
from typing import Any

import pytest

from edgecnn.convert.diagnosis.diagnose import LayerError, diagnose
from edgecnn.convert.export.float_fallback import mend
from edgecnn.convert.onnx.quantize import calibrate_onnx, prepare_onnx, quantize_onnx
from edgecnn.convert.tflite.quantize import calibrate_tflite, quantize_tflite
from edgecnn.edge.errors import GateFailed


def layer(*keep: str) -> LayerError:
    return LayerError(keep[0], "CONV_2D", 3.0, 40.0, 0.0, 0.5, 1.5, 0.0, keep)


def quantize(keep: Sequence[str]) -> bytes:
    return ",".join(keep).encode()


def test_nothing_that_passes_is_an_error() -> None:
    with pytest.raises(GateFailed, match=r"int8\.onnx.*not accurate.* 3 choices.*last.*\b2: ship"):
        mend("int8.onnx", quantize, lambda data: [layer("a"), layer("b")], lambda data: False)


def test_it_stops_after_so_many_files() -> None:
    judged: list[bytes] = []
    steps: list[str] = []

    def fail(data: bytes) -> bool:
        judged.append(data)
        return False

    with pytest.raises(GateFailed, match="any of 4 choices"):
        mend("f", quantize, lambda data: [layer(data.decode() + "x")], fail, on_step=steps.append, most=4)
    assert len(judged) == len(set(judged)) == 4
    assert len(steps) == 3


def test_a_file_that_passes_is_left_as_it_is() -> None:
    mended = mend("f", quantize, lambda data: [layer("a")], lambda data: True)
    assert (mended.data, mended.layers, mended.plain, mended.tries) == (b"", (), b"", 1)


def test_the_worst_layer_of_each_file_goes_back_with_what_reads_it() -> None:
    steps: list[str] = []
    ranked = {b"": [layer("a", "b"), layer("c")], b"a,b": [layer("b", "a"), layer("b", "d"), layer("c")]}
    mended = mend("f", quantize, lambda data: ranked[data], lambda data: b"d" in data, on_step=steps.append)
    assert (mended.data, mended.layers, mended.plain, mended.tries) == (b"a,b,d", ("a", "b", "d"), b"", 3)
    assert steps == ["f: CONV_2D a loses most: 2 operators in float", "f: CONV_2D b loses most: 3 operators in float"]


@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
def test_the_bad_network_is_mended_by_its_wild_layer(bad_network: Any, model_format: str) -> None:
    float32 = bad_network.float32[model_format]
    if model_format == "tflite":
        ranges = calibrate_tflite(float32, bad_network.inputs[:100])
    else:
        prepared = prepare_onnx(float32)
        ranges = calibrate_onnx(prepared, bad_network.inputs[:100], "minmax")

    def with_float(keep: Sequence[str]) -> bytes:
        if model_format == "tflite":
            return quantize_tflite(float32, "int8", ranges, keep)
        return quantize_onnx(prepared, ranges, keep)

    mended = mend(
        f"int8.{model_format}",
        with_float,
        lambda data: diagnose(float32, data, model_format, bad_network.inputs[:30]).layers,
        lambda data: bad_network.accuracy(data, model_format) > 0.99,
    )
    assert mended.tries == 2
    assert {name.split("/")[1].rsplit("_", 1)[0] for name in mended.layers} == {"wild", "pooled", "following"}
    assert bad_network.accuracy(mended.plain, model_format) < 0.7
    assert len(mended.plain) < len(mended.data)

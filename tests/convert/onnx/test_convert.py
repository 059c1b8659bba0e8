"""tf2onnx makes .onnx files of Keras networks that compute the same, where it is asked for or edgecnn knows no layer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from edgecnn.convert.onnx.convert import converted, to_onnx
from edgecnn.convert.onnx.source import KerasSource, ask_for_no_more
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.runtimes import opener_for

SHAPE = (8, 8, 4)


def compare(*layers: Any) -> onnx.GraphProto:
    """Check that the file computes what Keras computes, for three images at once; return its graph."""
    model = sequence(*layers)
    data = converted(KerasSource(model, SHAPE, "float32", "logits"), "tf2onnx").data
    inputs = np.random.default_rng(0).random((3, *SHAPE), np.float32)
    outputs = opener_for("onnx").open_model(data, 1).run(inputs)
    assert np.abs(outputs - np.asarray(model(inputs, training=False))).max() < 1e-5
    return onnx.load_from_string(data).graph


def sequence(*layers: Any) -> Any:
    return keras.Sequential([keras.Input(SHAPE), *layers, keras.layers.GlobalAveragePooling2D()])


def test_an_operator_that_onnx_does_not_have_is_an_error_that_names_it() -> None:
    model = sequence(keras.layers.Lambda(lambda image: keras.ops.erfinv(image / 2)))
    with pytest.raises(ConversionError, match=r"ONNX float32: .*can't convert.*Erfinv"):
        to_onnx(model, SHAPE, "float32", "logits")


def test_layers_of_keras_compute_the_same() -> None:
    graph = compare(keras.layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1, 2, 3, 4]))
    assert [value.name for value in (*graph.input, *graph.output)] == ["image", "logits"]
    graph = compare(keras.layers.Activation("gelu"), keras.layers.Conv2D(2, 1))
    assert "Erf" in {node.op_type for node in graph.node}
    graph = compare(keras.layers.Conv2D(4, 3, groups=2))
    assert [node.op_type for node in graph.node].count("Conv") == 1
    compare(keras.layers.RandomFlip(), keras.layers.RandomRotation(0.5), keras.layers.Dropout(0.5))


def test_pixels_may_be_the_input() -> None:
    entry = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Model(entry, keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(entry)))
    made = converted(KerasSource(model, (4, 4, 1), "uint8", "probabilities"), "tf2onnx")
    runtime = opener_for("onnx").open_model(made.data, 1)
    assert (runtime.input_spec.dtype, runtime.output_spec.name) == ("uint8", "probabilities")
    assert runtime.run(np.full((2, 4, 4, 1), 51, np.uint8)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "build",
    [
        lambda image: keras.layers.Rescaling(1 / 255)(keras.layers.Cropping2D(1)(image)),
        lambda image: keras.layers.Rescaling(1 / 255)(keras.layers.Concatenate()([image, image])),
        lambda image: keras.layers.Concatenate()([image, keras.layers.Rescaling(1 / 255)(image)]),
    ],
)
def test_pixels_that_are_cut_or_joined_before_they_are_scaled_stay_what_they_are(build: Callable[[Any], Any]) -> None:
    entry = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Model(entry, keras.layers.GlobalAveragePooling2D()(build(entry)))
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 1)).astype(np.uint8)
    found = opener_for("onnx").open_model(to_onnx(model, (4, 4, 1), "uint8", "logits"), 1).run(images)
    assert found == pytest.approx(np.asarray(model(images)), rel=1e-5)


def test_a_file_asks_for_no_domain_and_no_ir_version_that_it_does_not_use() -> None:
    data = to_onnx(sequence(keras.layers.Conv2D(2, 1)), SHAPE, "float32", "logits")
    model = onnx.load_from_string(data)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    model.ir_version = 11
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 2))
    ask_for_no_more(model)
    assert model.SerializeToString() == data
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    ask_for_no_more(model)
    assert [entry.domain for entry in model.opset_import] == ["", "com.microsoft"]

"""Converts a Keras model to ONNX by tf2onnx, from the graph that TensorFlow traces: it knows layers that edgecnn does not."""

from typing import Any

import numpy as np

from edgecnn.convert.keras.load import functions_inlined, load_tensorflow
from edgecnn.convert.onnx.source import KerasSource, named, onnx_tools
from edgecnn.edge.errors import field


def traced(source: KerasSource) -> Any:
    """Return an onnx.ModelProto of a model.

    tf2onnx leaves batch normalisation as Mul and Add after each Conv, and computes the shape of a reshape at run time;
    onnxslim folds the first into the weights and the second into a constant.

    Raises:
        ConversionError: If a step fails.
        MissingDependency: If a package of the train extra is missing.
    """
    tensorflow = load_tensorflow()
    first = ["image:0"] if source.channels_first else None
    signature = [tensorflow.TensorSpec((None, *source.shape), source.dtype, name="image")]
    failure = "ONNX float32: tf2onnx or onnxslim can't convert the model"
    with onnx_tools(failure, f"replace that layer, or use {field('formats')}=tflite"):
        import onnxslim
        import tf2onnx

        import onnx

        # from_keras fails on a Keras 3 Sequential.
        function = tensorflow.function(lambda image: source.model(image, training=False), input_signature=signature)
        with functions_inlined():  # tf2onnx can't convert them.
            concrete = function.get_concrete_function()
        handlers: dict[str, Any] = {"Erfc": (_erfc, [])}
        graph, _ = tf2onnx.convert.from_function(
            function, input_signature=signature, opset=source.opset, custom_op_handlers=handlers, inputs_as_nchw=first
        )
        _give_constants(graph.graph, concrete)
        # tf2onnx keeps an operator that it can't convert.
        onnx.checker.check_model(graph)
        return named(onnxslim.slim(graph), source.output)


def _give_constants(graph: Any, function: Any) -> None:
    """Put the plain tensors captured by the function into the graph; tf2onnx would turn them into inputs.

    A Normalization layer keeps its mean and variance as such tensors, not as variables.
    """
    import onnx

    for outer, inner in function.graph.captures:
        for value in [value for value in graph.input if value.name == inner.name]:
            graph.initializer.append(onnx.numpy_helper.from_array(outer.numpy(), inner.name))
            graph.input.remove(value)


def _erfc(graph: Any, node: Any, name: str, args: list[Any]) -> None:
    """Convert TensorFlow's Erfc, which Keras uses for the exact GELU, to 1 - Erf. tf2onnx lacks it."""
    node.type = "Erf"
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    left = graph.make_node("Sub", [one.output[0], node.output[0]], name=f"{name}_left", op_name_scope=name)
    graph.replace_all_inputs(node.output[0], left.output[0], ops=[other for other in graph.get_nodes() if other is not left])

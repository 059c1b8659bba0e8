"""Keras -> .onnx bytes."""

from typing import Any

import numpy as np

from convert.tensorflow import load_tensorflow
from edge.errors import ConversionError, MissingDependency
from edge.quiet import quiet

ONNX_PRECISIONS = ("float32", "int8")

OPSET = 17
"""Of files that are for no named target: ONNX Runtime 1.12 and later run it, and layer normalisation is one operator in it."""


def to_onnx(model: Any, shape: tuple[int, ...], dtype: str, output: str, opset: int = OPSET) -> bytes:
    """Convert a Keras image classifier to float32 ONNX with a free batch. Its input is `image`.

    tf2onnx leaves batch normalisation as Mul and Add beside each Conv, and computes the reshape's shape at run time;
    onnxslim folds the first into the weights and the second into a constant.

    Args:
        model: The Keras model.
        shape: Of one image, without the batch.
        dtype: The numpy name of the model's input type, as float32 or uint8.
        output: What to call the output: `probabilities` or `logits`.
        opset: Of ai.onnx, at least 13: QuantizeLinear has scales for each channel since.

    Raises:
        ConversionError: If a step fails.
        MissingDependency: If a package of the train extra is missing.
    """
    tensorflow = load_tensorflow()
    signature = [tensorflow.TensorSpec((None, *shape), dtype, name="image")]
    try:
        with quiet():
            import onnx
            import onnxslim
            import tf2onnx

            # from_keras fails on a Keras 3 Sequential.
            function = tensorflow.function(lambda image: model(image, training=False), input_signature=signature)
            concrete = _traced(function)
            graph, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=opset, custom_op_handlers={"Erfc": (_erfc, [])}
            )
            _give_constants(graph.graph, concrete)
            # tf2onnx leaves an operator that it can't convert as it is.
            onnx.checker.check_model(graph)
            graph = _named(onnxslim.slim(graph), output)
            ask_for_no_more(graph)
            data: bytes = graph.SerializeToString()
            return data
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: pip install 'edgecnn[train]'") from error
    except Exception as error:  # Three libraries, each with errors of its own.
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(
            f"ONNX float32: tf2onnx or onnxslim can't convert the model ({reason}): replace that layer, or use --format tflite"
        ) from error


def ask_for_no_more(model: Any) -> None:
    """Leave out the domains that no node uses, and take the lowest IR version that holds the rest.

    The tools list every domain that they know and write the newest IR version; each only asks for a newer runtime.
    """
    import onnx

    used = {node.domain for node in model.graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.ir_version = onnx.helper.find_min_ir_version_for(kept, ignore_unknown=True)


def _traced(function: Any) -> Any:
    """Trace with the functions that it calls inlined: Keras's grouped convolution is one, which tf2onnx can't convert."""
    config = load_tensorflow().config
    before = config.functions_run_eagerly()
    config.run_functions_eagerly(True)
    try:
        return function.get_concrete_function()
    finally:
        config.run_functions_eagerly(before)


def _give_constants(graph: Any, function: Any) -> None:
    """Put the plain tensors that the function captured into the graph; tf2onnx makes inputs of them.

    A Normalization layer keeps its mean and variance as such, not as variables.
    """
    import onnx

    for outer, inner in function.graph.captures:
        for value in [value for value in graph.input if value.name == inner.name]:
            graph.initializer.append(onnx.numpy_helper.from_array(outer.numpy(), inner.name))
            graph.input.remove(value)


def _erfc(graph: Any, node: Any, name: str, args: list[Any]) -> None:
    """Convert TensorFlow's Erfc, of which Keras makes the exact GELU: 1 - Erf. tf2onnx has none."""
    node.type = "Erf"
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    left = graph.make_node("Sub", [one.output[0], node.output[0]], name=f"{name}_left", op_name_scope=name)
    graph.replace_all_inputs(node.output[0], left.output[0], ops=[other for other in graph.get_nodes() if other is not left])


def _named(model: Any, output: str) -> Any:
    """Give the free batch and the output readable names instead of generated ones."""
    graph = model.graph
    old = graph.output[0].name
    for node in graph.node:
        node.output[:] = [output if name == old else name for name in node.output]
    graph.output[0].name = output
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model

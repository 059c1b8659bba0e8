"""Walks the graph of a Keras model, and writes an ONNX graph that computes the same in inference.

Keras says which layer reads what: no code of the model runs. Layers are known by their class, so that a layer of somebody's own
which derives from one of Keras's is not taken for that. Feature maps have their channels first, as ONNX's operators want them.
"""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.onnx.keras_graph import activations, arithmetic, convolutions, normalization, shapes
from edgecnn.convert.onnx.keras_graph.fold import fold
from edgecnn.convert.onnx.keras_graph.graph import Graph, Unsupported
from edgecnn.convert.onnx.keras_graph.values import Handler, LayerCall, Layout, Value
from edgecnn.convert.onnx.source import KerasSource
from edgecnn.edge.packages import versions

_LAYERS = activations.LAYERS | arithmetic.LAYERS | convolutions.LAYERS | normalization.LAYERS | shapes.LAYERS
_OPERATIONS = activations.OPERATIONS | arithmetic.OPERATIONS | shapes.OPERATIONS
# Layers that keras.applications defines for its own networks.
_OWN_LAYERS = ("keras.src.applications.convnext", "keras.src.applications.inception_resnet_v2")


def emitted(source: KerasSource) -> Any:
    """Return a model as an onnx.ModelProto.

    Raises:
        MissingDependency: If a package of the train extra is missing.
        Unsupported: If the model has something that this converter does not know.
    """
    graph = Graph(source.opset)
    layout: Layout = "first" if source.channels_first else "last"
    image = Value(graph, (None, *source.shape), source.dtype, {layout: "image"}, is_image=True)
    entries = getattr(source.model, "inputs", None) or []
    if [(tuple(entry.shape[1:]), entry.dtype) for entry in entries] != [(source.shape, source.dtype)]:
        raise Unsupported(f"the model does not take one image {source.shape} of {source.dtype}")
    results = _outputs(graph, source.model, [image], "")
    if len(results) != 1 or results[0].dtype != "float32":
        raise Unsupported("the model does not give one output of float32")
    last = results[0].last()
    return _model(graph, source, fold(graph, graph.add("Identity", [last], "same") if last == "image" else last), results[0])


def _model(graph: Graph, source: KerasSource, last: str, result: Value) -> Any:
    versions("onnx")  # Raises if it is missing.
    import onnx

    def named(name: str) -> str:
        # A layer may be named as the input or the output is.
        return source.output if name == last else f"{name}/layer" if name == source.output else name

    nodes = []
    for node in graph.nodes:
        result_name = named(node.output)
        nodes.append(
            onnx.helper.make_node(node.kind, [*map(named, node.inputs)], [result_name], result_name, **node.attributes)
        )
    constants = [onnx.numpy_helper.from_array(values, named(name)) for name, values in graph.constants.items()]
    entry = (source.shape[2], *source.shape[:2]) if source.channels_first else source.shape
    describe, number = onnx.helper.make_tensor_value_info, onnx.helper.np_dtype_to_tensor_dtype
    taken = describe("image", number(np.dtype(source.dtype)), ["batch", *entry])
    given = describe(source.output, number(np.dtype(result.dtype)), ["batch", *result.shape[1:]])
    made = onnx.helper.make_graph(nodes, "edgecnn", [taken], [given], constants)
    return onnx.helper.make_model(made, producer_name="edgecnn", opset_imports=[onnx.helper.make_opsetid("", graph.opset)])


def _outputs(graph: Graph, model: Any, values: list[Value], path: str) -> list[Value]:
    """Return the outputs of a model, whose layers' names follow `path`."""
    keras = load_keras()
    if type(model) is keras.Sequential and model.built:
        model = model._functional
    if model is None or type(model).__module__ != "keras.src.models.functional":
        raise Unsupported(f"{path or 'the model'} is a {type(model).__name__}, not made of a graph of layers")
    _require_floats(model, path or "the model")
    known = {id(entry): value for entry, value in zip(model.inputs, values, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                outputs = _called(graph, node, known, path)
                known |= {id(entry): value for entry, value in zip(node.outputs, outputs, strict=True)}
    return [known[id(entry)] for entry in model.outputs]


def _called(graph: Graph, node: Any, known: Mapping[int, Value], path: str) -> list[Value]:
    layer, name = node.operation, f"{path}{node.operation.name}"
    given, named = node.arguments.fill_in(known)
    # A model that is called for inference overrides what its layers were called with.
    named.pop("training", None)
    if named.pop("mask", None) is not None:
        raise Unsupported(f"{type(layer).__name__} {name} is called with a mask")
    if "inputs" in named:
        given = [named.pop("inputs"), *given]
    if isinstance(layer, load_keras().Model):
        if named or any(not isinstance(value, Value) for value in given):
            raise Unsupported(f"the model {name} is called with other arguments than images")
        return _outputs(graph, layer, list(given), f"{name}/")
    (entry,) = node.outputs if len(node.outputs) == 1 else (None,)
    convert = _handler(layer)
    if convert is None or entry is None:
        raise Unsupported(f"{name} is of the kind {type(layer).__name__}")
    _require_floats(layer, name)
    try:
        signature(convert).bind(None, *given, **named)
    except TypeError as error:
        raise Unsupported(f"{name} is called with other arguments ({error})") from error
    call = LayerCall(graph, name, layer, tuple(entry.shape), str(entry.dtype))
    return [convert(call, *given, **named)]


def _handler(layer: Any) -> Handler | None:
    kind, keras = type(layer), load_keras()
    if getattr(keras.layers, kind.__name__, None) is kind or kind.__module__ in _OWN_LAYERS:
        return shapes.nothing if kind.__name__ == "StochasticDepth" else _LAYERS.get(kind.__name__)
    return _OPERATIONS.get(kind.__name__) if kind.__module__.startswith(("keras.src.ops.", "keras.src.activations.")) else None


def _require_floats(layer: Any, name: str) -> None:
    """Refuse a layer that computes in other numbers than float32, or keeps its weights as integers."""
    policy = getattr(layer, "dtype_policy", None)
    if policy and (policy.compute_dtype != "float32" or getattr(policy, "quantization_mode", None)):
        raise Unsupported(f"{name} computes in {policy.name}")

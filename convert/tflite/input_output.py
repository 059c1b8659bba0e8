"""Changes the input and output of a quantized .tflite file from int8 to uint8, as cameras and other programs take them."""

import copy
from typing import Any

from edgecnn.edge.compatibility.tflite_object import add_operator_code, from_object, to_object
from edgecnn.edge.errors import ConversionError


def as_uint8(data: bytes) -> bytes:
    """Return the file with a uint8 input and output, whose numbers are those of int8 plus 128.

    An operator at each end converts: the rest of the file stays. An end that is float stays float. TensorFlow's
    modify-model-interface can't do it for files whose first or last layer is float.

    Raises:
        ConversionError: If the file has several graphs.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = to_object(data)
    if len(model.subgraphs) != 1:
        raise ConversionError("TFLite: a model with several graphs has no uint8 input: omit it")
    (graph,) = model.subgraphs
    ends = [(int(index), True) for index in graph.inputs] + [(int(index), False) for index in graph.outputs]
    for index, is_input in ends:
        if graph.tensors[index].type == schema.TensorType.INT8:
            _convert_end(model, graph, index, is_input)
    return from_object(model)


def _convert_end(model: Any, graph: Any, index: int, is_input: bool) -> None:
    """Make a tensor uint8, and give the operators an int8 one in its place.

    The tensor itself stays the end, so that signatures that name it hold.
    """
    from ai_edge_litert import schema_py_generated as schema

    end, inner = graph.tensors[index], copy.deepcopy(graph.tensors[index])
    end.type = schema.TensorType.UINT8
    end.quantization.zeroPoint = [int(zero) + 128 for zero in end.quantization.zeroPoint]
    inner.name = inner.name + b"_int8"
    new = len(graph.tensors)
    graph.tensors.append(inner)
    for operator in graph.operators:
        operator.inputs = [new if number == index else int(number) for number in operator.inputs]
        operator.outputs = [new if number == index else int(number) for number in operator.outputs]
    step = schema.OperatorT()
    step.opcodeIndex = add_operator_code(model, schema.BuiltinOperator.QUANTIZE)
    step.inputs, step.outputs = ([index], [new]) if is_input else ([new], [index])
    graph.operators.insert(0 if is_input else len(graph.operators), step)

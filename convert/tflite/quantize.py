"""Quantizes float32 .tflite bytes to int8 or int16x8 with litert-quantizer.

Plain files and files with float layers are made in the same way: they differ only in the operators that stay float.
"""

import copy
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from edgecnn.convert.export.converters import Ranges
from edgecnn.edge.compatibility.tflite_graph import add_operator_code, from_object, to_object
from edgecnn.edge.errors import ConversionError, MissingDependency, why
from edgecnn.edge.formats import IoName
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import install_command


def quantize_tflite(float32: bytes, precision: str, ranges: Ranges, keep: Sequence[str] = (), io: IoName = "int8") -> bytes:
    """Quantize to `int8` (8-bit weights and activations), `int4` (4-bit weights of convolutions and dense layers) or `int16x8`
    (16-bit activations), integers from input to output.

    Weights have one scale per output channel. An operator without an integer kernel stays float between a DEQUANTIZE
    and a QUANTIZE.

    Args:
        float32: The float32 model.
        precision: `int8`, `int4` or `int16x8`.
        ranges: Result of `edgecnn.convert.tflite.calibrate.calibrate_tflite`.
        keep: Operators that stay float, by the name of their output tensor. The input and output of the file stay the same.
        io: Type of the input and output of an int8 file. A softmax or sigmoid before a float32 output is float, too: it costs
            next to nothing, and 256 steps would make all sure answers equal.

    Raises:
        ConversionError: If the quantizer fails, or writes what the runtime can't load.
        MissingDependency: If litert-quantizer is not installed.
    """
    if precision not in _STEPS:
        raise ValueError(f"precision must be one of {tuple(_STEPS)}, got {precision!r}")
    return _quantized(float32, precision, ranges, dict.fromkeys(keep, "float32"), io)


def with_16_bits(float32: bytes, ranges: Ranges, wide: Sequence[str], io: IoName = "int8") -> bytes:
    """Quantize to `int8` with 16-bit activations in some operators, named by their output tensors.

    Errors and the other arguments are those of `quantize_tflite`.
    """
    return _quantized(float32, "int8", ranges, dict.fromkeys(wide, "int16"), io)


# Steps of an output from 0 to 1, by precision.
_STEPS = {"int8": 2**8, "int4": 2**8, "int16x8": 2**15}
FOUR_BITS = "CONV_2D", "FULLY_CONNECTED"
"""The operators whose weights litert-quantizer stores in 4 bits; those of others have 8."""


def _recipe(recipe: Any, precision: str) -> list[dict[str, Any]]:
    """Return litert-quantizer's rules for a precision."""
    every: list[dict[str, Any]] = recipe.static_wi8_ai16() if precision == "int16x8" else recipe.static_wi8_ai8()
    if precision != "int4":
        return every
    fewer = [{**copy.deepcopy(rule), "operation": operator} for operator in FOUR_BITS for rule in every]
    for rule in fewer:
        rule["op_config"]["weight_tensor_config"]["num_bits"] = 4
    return [*every, *fewer]


@contextmanager
def _quantizer(precision: str) -> Iterator[tuple[Any, Any]]:
    """Yield litert-quantizer's class and its recipes; its errors become one line. `precision` is for the message."""
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Its interpreter warns like ours.
            from litert_quantizer import Quantizer, recipe

            yield Quantizer, recipe
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: {install_command('train')}") from error
    except Exception as error:  # Its passes raise ValueError, RuntimeError, KeyError and others.
        raise ConversionError(f"TFLite: litert-quantizer can't quantize the model to {_reason(precision, error)}") from error


def _quantized(
    float32: bytes, precision: str, ranges: Ranges, others: Mapping[str, Literal["float32", "int16"]], io: IoName
) -> bytes:
    """Quantize. `others` has the operators with other activations than the precision's."""
    interpreter = open_tflite(float32)
    ranks = {tensor["name"]: len(tensor["shape"]) for tensor in interpreter.get_tensor_details()}
    ends, in_float = probabilities(interpreter), precision == "int8" and io == "float32"
    if in_float:
        others = {**others, **dict.fromkeys(ends, "float32")}
    with _quantizer(precision) as (quantizer, recipe):
        every = _recipe(recipe, precision)
        of = {"float32": [{"operation": "*", "algorithm_key": "no_quantize"}], "int16": recipe.static_wi8_ai16()}
        # A scope is the output names of an operator, each with a semicolon.
        rules = [{**rule, "regex": f"^{re.escape(name)};$"} for name, kind in others.items() for rule in of[kind]]
        rules = [*every, *rules, *_end_rules(every, in_float)]
        found = {}
        for name, (low, high) in {**ranges, **dict.fromkeys(ends[:1], (0.0, 1 - 1 / _STEPS[precision]))}.items():
            # A layer that is never on would get the smallest scale, which XNNPACK refuses. Any other holds zeros as well.
            limits = (low, high) if low or high else (0.0, 1.0)
            found[name] = {
                side: np.full((1,) * ranks[name], value, np.float32) for side, value in zip(("min", "max"), limits, strict=True)
            }
        made = quantizer(_any_int16_scale(float32), rules)
        data = bytes(made.quantize(found, enable_progress_bar=False, enable_progress_report=False).quantized_model)
    try:
        # Written again, it has the operators' codes that OpenVINO reads.
        data = as_uint8(data) if precision == "int8" and io == "uint8" else from_object(to_object(data))
        open_tflite(data)
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"TFLite: LiteRT can't load the model quantized to {_reason(precision, error)}") from error
    return data


def with_narrow_weights(float32: bytes, precision: str) -> bytes:
    """Return a float32 file with float16 weights (`float16`), or with 8-bit ones (`dynamic`), whose activations stay float32.

    Errors are those of `quantize_tflite`.
    """
    with _quantizer(precision) as (quantizer, recipe):
        # Scales per output make FULLY_CONNECTED wrong in tflite-runtime 2.14: see `edgecnn.convert.tflite.converter`.
        dense = recipe.dynamic_legacy_wi8_afp32()
        dense[0]["operation"] = "FULLY_CONNECTED"
        dense[0]["op_config"]["weight_tensor_config"]["granularity"] = "TENSORWISE"
        rules = _HALF if precision == "float16" else [*recipe.dynamic_legacy_wi8_afp32(), *dense]
        made = quantizer(float32, rules)
        data = bytes(made.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)
        data = from_object(to_object(data))
        open_tflite(data)
    return data


_HALF = [
    {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
        },
    }
]


def _end_rules(every: Sequence[Mapping[str, Any]], in_float: bool) -> list[dict[str, Any]]:
    """Return the rules for the input and output, given those of a file without float layers."""
    if in_float:
        return [{"regex": ".*", "operation": end, "algorithm_key": "no_quantize"} for end in ("INPUT", "OUTPUT")]
    # The output has the scope of the operator that computes it, and would stay float with it.
    return [{**rule, "regex": "", "operation": "OUTPUT"} for rule in every]


def probabilities(interpreter: Any) -> list[str]:
    """Return the output tensor of a softmax or sigmoid at the end, and what it was before it was reshaped; none of another end.

    Its range is what integer kernels give it: if that operator stays float, the calibration images' largest probability would
    otherwise be the most that the file gives.
    """
    by_output = {int(operator["outputs"][0]): operator for operator in operators_of(interpreter)}
    names = {tensor["index"]: str(tensor["name"]) for tensor in interpreter.get_tensor_details()}
    found = [int(interpreter.get_output_details()[0]["index"])]
    while (last := by_output.get(found[-1])) and last["op_name"] == "RESHAPE":
        found.append(int(last["inputs"][0]))
    return [names[index] for index in found] if last and last["op_name"] in ("SOFTMAX", "LOGISTIC") else []


def _reason(precision: str, error: Exception) -> str:
    return f"{precision} ({why(error, 200)}): omit {precision}"


def tflite_scales(data: bytes) -> dict[str, float]:
    """Return the scale of every integer activation of a quantized file, by tensor name."""
    interpreter = open_tflite(data)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    same = _converted_ends(interpreter)
    found = [tensors[index] for index, _ in _computed(interpreter) if index not in same]
    scales = {str(one["name"]): one["quantization_parameters"]["scales"] for one in found}
    return {name: float(some[0]) for name, some in scales.items() if len(some)}


def tflite_steps(data: bytes) -> dict[str, tuple[float, int]]:
    """Return the scale and the zero point of every integer activation of an int8 file with an int8 input and output.

    A float activation that is converted to integers for its readers counts, by its own name.
    """
    interpreter = open_tflite(data)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    found = [(str(tensors[source]["name"]), tensors[index]) for index, source in named_activations(interpreter)]
    steps = {name: one["quantization"] for name, one in found if len(one["quantization_parameters"]["scales"])}
    return {name: (float(scale), int(zero)) for name, (scale, zero) in steps.items()}


def open_tflite(data: bytes) -> Any:
    """Return an ai-edge-litert interpreter that keeps every activation.

    Raises:
        MissingDependency: If ai-edge-litert is not installed.
        ValueError, RuntimeError: If it can't load the model.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError as error:
        if error.name != "ai_edge_litert":
            raise
        raise MissingDependency(f"ai-edge-litert is not installed: {install_command('tflite')}") from error
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "intended for debugging purposes only".
        interpreter = Interpreter(model_content=data, num_threads=1, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    return interpreter


def operators_of(interpreter: Any) -> list[dict[str, Any]]:
    """Return the operators in the order in which they run, without delegates: these repeat what they replace."""
    return [operator for operator in interpreter._get_ops_details() if operator["op_name"] != "DELEGATE"]


def activations(interpreter: Any) -> list[tuple[int, str, str]]:
    """Return (index, name, operator) of the float tensors that an operator computes, and of the input (operator `INPUT`).

    Those that nothing reads have no values.
    """
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    return [
        (index, str(tensors[index]["name"]), kind)
        for index, kind in _computed(interpreter)
        if tensors[index]["dtype"] is np.float32 and tensors[index]["shape"].all()
    ]


def _computed(interpreter: Any) -> list[tuple[int, str]]:
    found = [(int(entry["index"]), "INPUT") for entry in interpreter.get_input_details()]
    operators = operators_of(interpreter)
    read = {int(index) for operator in operators for index in operator["inputs"]}
    read |= {int(entry["index"]) for entry in interpreter.get_output_details()}
    return found + [
        (int(index), operator["op_name"])
        for operator in operators
        for index in operator["outputs"]
        if index in read and index >= 0  # -1 stands for a missing tensor, which an LSTM may have.
    ]


def named_activations(interpreter: Any) -> Iterator[tuple[int, int]]:
    """Yield (tensor, the tensor that names it): after a QUANTIZE, the name is that of its float input.

    An operator in float at the end counts as float, though the file's output is converted.
    """
    ends = _converted_ends(interpreter)
    floats = {tensor["index"] for tensor in interpreter.get_tensor_details() if tensor["dtype"] is np.float32}
    for entry in interpreter.get_input_details():
        yield int(entry["index"]), int(entry["index"])
    for operator in operators_of(interpreter):
        if operator["op_name"] == "DEQUANTIZE":
            continue
        for index in operator["outputs"]:
            source = operator["inputs"][0] if operator["op_name"] == "QUANTIZE" and operator["inputs"][0] in floats else index
            if source == index or index not in ends:
                yield int(index), int(source)


def _converted_ends(interpreter: Any) -> set[int]:
    """Return the tensors that hold an integer input in another integer type, or only convert what becomes the output."""
    inputs, ends = ({int(one["index"]) for one in found if one["dtype"] is not np.float32}
                    for found in (interpreter.get_input_details(), interpreter.get_output_details()))  # fmt: skip
    steps = [operator for operator in operators_of(interpreter) if operator["op_name"] == "QUANTIZE"]
    same = {int(step["outputs"][0]) for step in steps if step["inputs"][0] in inputs}
    for step in reversed(steps):
        if step["outputs"][0] in ends:
            same.add(int(step["outputs"][0]))
            ends.add(int(step["inputs"][0]))
    return same


def _any_int16_scale(float32: bytes) -> bytes:
    """Let 16-bit ADD and SUB take any scales, as TensorFlow's converter does; otherwise they expect powers of two."""
    from ai_edge_litert import schema_py_generated as schema

    model = to_object(float32)
    for graph in model.subgraphs:
        for operator in graph.operators:
            if isinstance(operator.builtinOptions, schema.AddOptionsT | schema.SubOptionsT):
                operator.builtinOptions.potScaleInt16 = False
    return from_object(model)


def of_one_image(data: bytes) -> bytes:
    """Return a file with a free batch as one that takes one image at a time: the sizes of its tensors are those of one."""
    model = to_object(data)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.shapeSignature = None
    return from_object(model)


_JOINT = b";"


def with_short_names(data: bytes) -> bytes:
    """Return a file whose tensors have the first of their joined names; no two have the same.

    The tensor that an operator computes has that name as it is, since it names the operator. If a constant has it too, the
    constant gets a number.
    """
    model = to_object(data)
    for graph in model.subgraphs:
        computed = {index for operator in graph.operators or () for index in operator.outputs}
        taken: set[bytes] = set()
        for _, tensor in sorted(enumerate(graph.tensors), key=lambda item: item[0] not in computed):
            tensor.name = _unused(tensor, taken)
            taken.add(tensor.name)
    return from_object(model)


def _unused(tensor: Any, taken: set[bytes]) -> bytes:
    first: bytes = (tensor.name or b"").split(_JOINT)[0]
    name, number = first, 0
    while name in taken:
        number += 1
        name = b"%s_%d" % (first, number)
    return name


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

"""Alterations of models field by field: .tflite (FlatBuffers), .onnx (Protocol Buffers), .keras (a zip of JSON and HDF5)."""

import json
import struct
from typing import Any

from tools.faults.mutators.arrays import ZIP, inside_zip, members, zipped
from tools.faults.mutators.plain import BYTES, Mutator, Random
from tools.faults.mutators.text import ESCAPES, JSON

_NUMBERS = (-(2**31), -2, -1, 0, 1, 2, 3, 7, 13, 17, 99, 255, 20_000, 2**20, 2**31 - 1)
_ENDS = 0.25
_NAMES = (b"", ESCAPES.encode(), b"\xff\xfe not UTF-8", b"x" * 5000, "\u202egnp".encode(), b"a\nb\rc")


def tflite_field(data: bytes, rng: Random) -> bytes:
    """Set one field of one table of a .tflite file: an index, a type, a shape, a scale, a name, an operator."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    graph = model.subgraphs[0]
    tables = {
        "tensor": graph.tensors,
        "operator": graph.operators,
        "code": model.operatorCodes,
        "quantization": [tensor.quantization for tensor in graph.tensors if tensor.quantization],
        "options": [operator.builtinOptions for operator in graph.operators if operator.builtinOptions],
        "graph": model.subgraphs,
        "signature": model.signatureDefs or [graph],
        "buffer": model.buffers,
    }
    if rng.random() < _ENDS:
        ends = [*graph.inputs, *graph.outputs]
        _alter_end(graph.tensors[ends[int(rng.integers(len(ends)))]], rng)
    else:
        chosen = tables[str(rng.choice(sorted(tables)))]
        _set_field(chosen[int(rng.integers(len(chosen)))], rng)
    builder = flatbuffers.Builder(len(data))
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except (TypeError, AttributeError, ValueError, OverflowError, struct.error):
        return data  # A file can't hold this value.
    return bytes(builder.Output())


def _alter_end(tensor: Any, rng: Random) -> None:
    """Give an input or output another type or shape, which every reader trusts first."""
    if rng.random() < 0.6:
        tensor.type = int(rng.integers(20))
    else:
        shape = list(tensor.shape)
        shape[int(rng.integers(len(shape)))] = int(rng.choice(_NUMBERS))
        tensor.shape = shape[: int(rng.integers(len(shape) + 1))] if rng.random() < 0.2 else shape


def _set_field(table: Any, rng: Random) -> None:
    fields = {name: value for name, value in vars(table).items() if value is not None and not name.startswith("_")}
    if not fields:
        return
    name = str(rng.choice(sorted(fields)))
    value = fields[name]
    if isinstance(value, (bool, int)):
        setattr(table, name, int(rng.choice(_NUMBERS)))
    elif isinstance(value, float):
        setattr(table, name, float(rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e38])))
    elif isinstance(value, (bytes, str)):
        setattr(table, name, _NAMES[int(rng.integers(len(_NAMES)))])
    elif hasattr(value, "__len__") and len(value):
        changed = list(value)
        place, way = int(rng.integers(len(changed))), rng.random()
        if way < 0.2:
            del changed[place]
        elif way < 0.4:
            changed.insert(place, changed[place])
        elif hasattr(changed[place], "__dict__"):
            _set_field(changed[place], rng)
        elif "float" in type(changed[place]).__name__:
            changed[place] = float(rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e-38, 1e38]))
        else:
            changed[place] = int(rng.choice(_NUMBERS)) if type(changed[place]).__name__ != "uint8" else int(rng.integers(256))
        setattr(table, name, changed)
    elif hasattr(value, "__dict__"):
        _set_field(value, rng)


def onnx_field(data: bytes, rng: Random) -> bytes:
    """Set, repeat or clear one field of one message of an .onnx file, of one graph as deep as it goes."""
    import onnx
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - It comes with onnx.

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return data
    message = _descend(model, rng)
    fields = message.ListFields()
    if not fields:
        return data
    field, value = fields[int(rng.integers(len(fields)))]
    way = rng.random()
    if way < 0.2:
        message.ClearField(field.name)
    elif _is_repeated(value):
        _alter_repeated(value, rng)
    elif isinstance(value, (bool, int)):
        _assign(message, field.name, int(rng.choice(_NUMBERS)))
    elif isinstance(value, float):
        _assign(message, field.name, float(rng.choice([0.0, -1.0, float("nan"), float("inf")])))
    elif isinstance(value, bytes):
        _assign(
            message, field.name, value[: len(value) // 2] if way < 0.6 else bytes(rng.permutation(list(value)).astype("uint8"))
        )
    elif isinstance(value, str):
        text = _NAMES[int(rng.integers(len(_NAMES)))]
        if text.isascii() or way < 0.7:
            _assign(message, field.name, text.decode(errors="ignore"))
        else:  # Python's messages refuse text that is not UTF-8; a file does not.
            return data.replace(value.encode(), b"\xff" * len(value)) if value else data
    changed: bytes = model.SerializeToString()
    return changed


def _descend(message: Any, rng: Random) -> Any:
    """Return a message somewhere below this one."""
    while True:
        below = []
        for field, value in message.ListFields():
            if field.message_type:
                below += list(value) if _is_repeated(value) else [value]
        if not below or rng.random() < 0.15:
            return message
        message = below[int(rng.integers(len(below)))]


def _is_repeated(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes))


def _alter_repeated(value: Any, rng: Random) -> None:
    place = int(rng.integers(len(value)))
    if rng.random() < 0.4 or hasattr(value[place], "ListFields"):
        if rng.random() < 0.5:
            del value[place]
        elif hasattr(value[place], "ListFields"):
            value.add().CopyFrom(value[place])
        else:
            value.append(value[place])
    elif isinstance(value[place], (int, float)):
        value[place] = type(value[place])(int(rng.choice(_NUMBERS)))


def _assign(message: Any, name: str, value: Any) -> None:
    try:
        setattr(message, name, value)
    except (ValueError, TypeError):  # The value is out of the field's range.
        message.ClearField(name)


def onnx_external(data: bytes, rng: Random) -> bytes:
    """Declare that a weight is in another file, with key and value in either order, as Protocol Buffers allow."""
    import onnx

    model = onnx.ModelProto()
    model.ParseFromString(data)
    tensor = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    location = str(rng.choice(["weights.bin", "/etc/passwd", "../weights.bin"])).encode()
    parts = [b"\x0a\x08location", b"\x12" + bytes([len(location)]) + location]
    entry = b"".join(parts if rng.random() < 0.5 else parts[::-1])
    packed: bytes = model.SerializeToString()
    # TensorProto.external_data is field 13; a message may be given in parts, so that the rest of the tensor may follow.
    kept = tensor.SerializeToString()
    grown = kept + bytes([(13 << 3) | 2, len(entry)]) + entry
    return packed.replace(_field(5, kept), _field(5, grown), 1) if _field(5, kept) in packed else packed


def _field(number: int, content: bytes) -> bytes:
    length, size = b"", len(content)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([(number << 3) | 2]) + length + bytes([size]) + content


def keras_layer(data: bytes, rng: Random) -> bytes:
    """Give one layer of a .keras file a class, a module or code that must not be run."""
    files = members(data)
    config = json.loads(files["config.json"])
    layers = config["config"]["layers"]
    layer = layers[int(rng.integers(len(layers)))]
    hostile = (
        {
            "class_name": "Lambda",
            "config": {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}},
        },
        {"class_name": "system", "module": "os", "registered_name": None, "config": {"command": "touch owned"}},
        {"class_name": "Absent", "module": "nowhere", "registered_name": "nowhere>Absent", "config": {"name": ESCAPES}},
    )
    layer.update(hostile[int(rng.integers(len(hostile)))])
    files["config.json"] = json.dumps(config).encode()
    return zipped(files)


TFLITE: tuple[Mutator, ...] = (*[tflite_field] * 14, *BYTES)
ONNX: tuple[Mutator, ...] = (*[onnx_field] * 12, onnx_external, onnx_external, *BYTES)
KERAS: tuple[Mutator, ...] = (
    inside_zip(JSON, "metadata.json"), *[inside_zip(JSON, "config.json")] * 6, *[inside_zip(BYTES, ".h5")] * 5,
    keras_layer, keras_layer, *ZIP,
)  # fmt: skip

"""Weights outside an ONNX file are found wherever onnx's own parser finds them, and ONNX Runtime never reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgecnn.edge.compatibility.onnx import fields, has_external_data, has_unsigned_bytes
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.runtimes import opener_for
from tests.onnx_text import onnx_bytes, onnx_model

PLACES = ["initializer", "sparse values", "sparse indices", "attribute", "attributes", "sparse attribute", "branch",
          "branches", "function", "default of a function", "training", "twice in a branch"]  # fmt: skip


def outside(location: str = "weights.bin") -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def inside() -> TensorProto:
    return onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")


def model_with(tensor: TensorProto, place: str = "initializer") -> onnx.ModelProto:
    """A model that multiplies by `w`, with a tensor, perhaps `w`, at this place."""
    model = onnx_model("(float[1, 3] x) => (float[1, 3] y) {y = MatMul (x, w)}")
    part = model.graph
    if "branch" in place:
        part = onnx.GraphProto(name="inner")
    holder = part.node.add(op_type="Constant", output=["c"])
    match place:
        case "initializer" | "branch" | "branches" | "twice in a branch":
            part.initializer.append(tensor)
        case "sparse values":
            part.sparse_initializer.add().values.CopyFrom(tensor)
        case "sparse indices":
            part.sparse_initializer.add().indices.CopyFrom(tensor)
        case "attribute":
            holder.attribute.add(name="value").t.CopyFrom(tensor)
        case "attributes":
            holder.attribute.add(name="value").tensors.append(tensor)
        case "sparse attribute":
            holder.attribute.add(name="value").sparse_tensors.add().values.CopyFrom(tensor)
        case "function":
            model.functions.add(name="f").node.add(op_type="Constant").attribute.add(name="value").t.CopyFrom(tensor)
        case "default of a function":
            model.functions.add(name="f").attribute_proto.add(name="value").t.CopyFrom(tensor)
        case "training":
            model.training_info.add().algorithm.initializer.append(tensor)
    if place == "twice in a branch":
        outer = onnx.GraphProto(name="outer")
        outer.node.add(op_type="If").attribute.add(name="then_branch").g.CopyFrom(part)
        part = outer
    if place == "branches":
        model.graph.node.add(op_type="If").attribute.add(name="bodies").graphs.append(part)
    elif "branch" in place:
        model.graph.node.add(op_type="If").attribute.add(name="then_branch").g.CopyFrom(part)
    return model


def tensors_of(message: Any) -> Iterator[TensorProto]:
    """Every tensor in a message by onnx's own parser, wherever the schema allows one."""
    if isinstance(message, TensorProto):
        yield message
    for field, value in message.ListFields():
        if field.message_type:
            for inner in value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]:
                yield from tensors_of(inner)


def truth(data: bytes) -> bool:
    return any(
        tensor.external_data or tensor.data_location == TensorProto.EXTERNAL
        for tensor in tensors_of(onnx.ModelProto.FromString(data))
    )


def varint(value: int) -> bytes:
    low = bytes(value >> shift & 0x7F | 0x80 for shift in range(0, max(value.bit_length() - 1, 0) // 7 * 7 + 7, 7))
    return low[:-1] + bytes([low[-1] & 0x7F])


def shuffled(message: Any, rng: np.random.Generator) -> bytes:
    """Return the same message with its fields in another order at each level."""
    parts = []
    for field, value in message.ListFields():
        whole = type(message)()
        if field.message_type:
            values = value if hasattr(value, "append") else [value]
            for inner in values:
                body = shuffled(inner, rng)
                parts.append(varint(field.number << 3 | 2) + varint(len(body)) + body)
            continue
        copy = getattr(whole, field.name)
        if hasattr(copy, "extend"):
            copy.extend(value)
        else:
            setattr(whole, field.name, value)
        parts.append(whole.SerializeToString())
    rng.shuffle(parts)
    return b"".join(parts)


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_outside_is_found_at_every_place_and_in_every_order_of_fields(place: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = shuffled(model_with(outside(), place), rng)
        assert truth(data), "the test's own model"
        assert has_external_data(data)
        assert not has_external_data(shuffled(model_with(inside(), place), rng))


@pytest.mark.parametrize(
    "entry",
    [
        b"\x12\x0bweights.bin\x0a\x08location",
        b"\x0a\x08location\x12\x0bweights.bin",
        # A key and a length with more bytes than they need.
        b"\x8a\x80\x00\x88\x80\x00location\x12\x0bweights.bin",
    ],
    ids=["value first", "key first", "long numbers"],
)
def test_weights_of_the_current_folder_are_not_read(entry: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.bin").write_bytes(np.full((3, 3), 7, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3]).SerializeToString()
    tensor += b"\x6a" + varint(len(entry)) + entry + b"\x70\x01"
    data = model_with(inside(), "initializer")
    del data.graph.initializer[:], data.graph.node[1:]
    graph = b"\x2a" + varint(len(tensor)) + tensor
    # A second graph in the same message is merged into the first.
    whole = data.SerializeToString() + b"\x3a" + varint(len(graph)) + graph
    assert truth(whole)
    with pytest.raises(ArtifactError, match=r"weights in another file"):
        opener_for("onnx").open_model(whole, 1)


@pytest.mark.parametrize("place", ["initializer", "attribute", "branch"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_unsigned_bytes_are_found_wherever_a_tensor_is(dtype: type[np.int8 | np.uint8], place: str) -> None:
    tensor = onnx.numpy_helper.from_array(np.zeros(3, dtype), "w")
    assert has_unsigned_bytes(model_with(tensor, place).SerializeToString()) == (dtype is np.uint8)


def test_an_operator_that_makes_unsigned_bytes_is_found() -> None:
    assert has_unsigned_bytes(onnx_bytes("(float[1] x) => (uint8[1] y) {y, scale, zero = DynamicQuantizeLinear (x)}"))


def test_a_key_that_is_cut_to_32_bits_by_others_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="number"):
        list(fields(memoryview(varint(2**32 + (13 << 3 | 2)) + b"\x00")))


def test_a_file_in_onnx_runtimes_own_format_is_refused() -> None:
    with pytest.raises(ArtifactError, match="ORT format"):
        opener_for("onnx").open_model(b"\x1c\0\0\0ORTM" + bytes(64), 1)


def test_nothing_that_onnx_parses_is_missed_however_its_bytes_are_changed() -> None:
    rng = np.random.default_rng(1)
    parsed = found = 0
    for number in range(6000):
        data = bytearray(shuffled(model_with(outside() if number % 3 else inside(), str(rng.choice(PLACES))), rng))
        for _ in range(int(rng.integers(4))):
            data[rng.integers(len(data))] = int(rng.integers(256))
        if rng.random() < 0.2:
            del data[int(rng.integers(len(data))) :]
        try:
            expected = truth(bytes(data))
        except Exception as error:
            # protobuf, whose error this is, has no stubs.
            assert type(error).__name__ == "DecodeError"  # noqa: PT017  # Any number of files is refused.
            continue
        parsed += 1
        try:
            seen = has_external_data(bytes(data))
        except (ValueError, IndexError):
            seen = True  # Refused, too.
        assert seen or not expected, bytes(data).hex()
        found += expected
    assert parsed > 1000
    assert found > 500

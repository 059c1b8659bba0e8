"""Counting without a file, and a summary as text, as wide as it is asked to be."""

import dataclasses

import pytest

from edgecnn.edge.graph.summary import Layer, Network, Step, Summaries, Summary, bytes_of, einsum_macs, peak_activations

SIZES: dict[object, int | None] = {"image": 10, "a": 100, "b": 40, "c": 5, "d": 1}


def layer(name: str) -> Layer:
    return Layer(name, "ADD", (1,), "int8", 0, 0, 0)


def network(*steps: tuple[str, str, str]) -> Network:
    """Return a network of steps, each with its name, inputs and outputs."""
    made = tuple(Step(layer(name), tuple(reads.split()), tuple(writes.split())) for name, reads, writes in steps)
    used = {key for step in made for key in (*step.reads, *step.writes)}
    return Network(1, made, {key: size for key, size in SIZES.items() if key in used}, ("image",), ("d",))


def test_a_size_that_is_not_known_leaves_the_peak_unknown() -> None:
    chain = network(("first", "image", "a"), ("last", "a", "d"))
    assert peak_activations(dataclasses.replace(chain, sizes=dict(chain.sizes) | {"a": None})) == (None, None)


def test_a_tensor_lives_until_its_last_reader_and_an_end_of_the_network_all_the_time() -> None:
    chain = network(("first", "image", "a"), ("second", "a", "b"), ("third", "b", "c"), ("last", "c", "d"))
    assert peak_activations(chain) == (140, layer("second"))
    residual = network(("first", "image", "a"), ("second", "a", "b"), ("third", "b", "c"), ("last", "a c", "d"))
    assert peak_activations(residual) == (145, layer("third"))
    late = network(("first", "image", "a"), ("second", "a", "b"), ("last", "image b", "d"))
    assert peak_activations(late) == (150, layer("second"))
    early = network(("first", "image", "d"), ("second", "image", "a"), ("last", "a", "b"))
    assert peak_activations(early) == (141, layer("last"))
    assert peak_activations(network(("first", "image", "a b"), ("last", "b", "d"))) == (150, layer("first"))


@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [
        ((3, 3), "int4", 5), ((3,), "bool", 3), ((), "float32", 4), ((2,), "bfloat16", 4), ((2,), "float8_e4m3fn", 2),
        ((0, 7), "int8", 0), (None, "int8", None), ((2,), "string", None),
    ],
)  # fmt: skip
def test_bytes_follow_from_the_bits_of_the_type(shape: tuple[int, ...] | None, dtype: str, size: int | None) -> None:
    assert bytes_of(shape, dtype) == size


def test_an_einstein_sum_of_three_is_not_counted() -> None:
    assert einsum_macs("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]) is None


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("ab,bc->ac", [(2, 3), (3, 4)], 24),
        ("abc,cde->abde", [(2, 3, 5), (5, 7, 11)], 2 * 3 * 5 * 7 * 11),
        ("...ij, ...jk -> ...ik", [(6, 2, 3), (6, 3, 4)], 6 * 24),
        ("...ij,jk->...ik", [(5, 6, 2, 3), (3, 4)], 30 * 24),
        ("aj,bj->ab", [(1, 8), (3, 8)], 24),
        ("ij->ji", [(2, 3)], 0),
    ],
)
def test_an_einstein_sum_of_two_multiplies_once_for_each_of_all_its_indices(
    equation: str, shapes: list[tuple[int, ...]], macs: int
) -> None:
    assert einsum_macs(equation, shapes) == macs


NAME = "a-folder-of-somebody/with-another-one/and-a-third/int8.tflite"
LAYER = Layer("sequential_1/re_lu_1/Relu", "DEPTHWISE_CONV_2D", (1, 224, 224, 32), "float32", 12_345_678, 123_456_789, 9_408)
SUMMARY = Summary(
    NAME, "tflite", 123_456_789, 1, (LAYER,), 12_345_678, 123_456_789, 9_408, 1_254_400, LAYER.name, (), (), "not in a manifest"
)


@pytest.mark.parametrize("width", [80, 64])
def test_no_line_is_wider(width: int) -> None:
    for result in (SUMMARY, Summaries((SUMMARY,), {"int8.onnx": "it is damaged: copy it again " * 4})):
        assert max(map(len, result.to_text(width).splitlines())) <= width

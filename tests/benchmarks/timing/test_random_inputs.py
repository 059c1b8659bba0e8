"""Inputs for models that are timed but not judged."""

import numpy as np
import pytest

from edgecnn.benchmarks.timing.latency import random_inputs
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec


def spec(shape: tuple[int | None, ...], dtype: str = "float32") -> TensorSpec:
    return TensorSpec("x", shape, dtype)


@pytest.mark.parametrize("shape", [(1, None, 40), (None, None), (1, 3, None), (1, 0), (None,)])
def test_a_size_that_nobody_knows_is_refused_with_the_shape(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(ArtifactError, match=r"a\.onnx takes \(.*\):.*every size except"):
        random_inputs(spec(shape), "a.onnx")


@pytest.mark.parametrize("dtype", ["string", "complex64", "bfloat16"])
def test_what_is_no_number_is_refused(dtype: str) -> None:
    with pytest.raises(ArtifactError, match=rf"a\.onnx takes {dtype},.*no random inputs"):
        random_inputs(spec((1, 4), dtype), "a.onnx")


@pytest.mark.parametrize("shape", [(), (7,), (None, 7), (1, 2, 3, 4, 5), (2, 3)])
def test_inputs_have_the_models_own_shape_and_a_batch_of_one_where_it_is_free(
    shape: tuple[int | None, ...],
) -> None:
    inputs = random_inputs(spec(shape), "a.onnx")
    assert {single.shape for single in inputs} == {tuple(size or 1 for size in shape)}
    assert len(inputs) == 100


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_are_over_their_whole_range(dtype: str) -> None:
    values = np.concatenate(random_inputs(spec((4000,), dtype), "a.tflite"))
    span, size = np.iinfo(dtype), float(np.iinfo(dtype).max) - float(np.iinfo(dtype).min)
    assert values.dtype == dtype
    assert (float(values.min()) - span.min) / size < 0.001
    assert (span.max - float(values.max())) / size < 0.001
    assert abs((values.astype(float).mean() - span.min) / size - 0.5) < 0.01


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_standard_normal(dtype: str) -> None:
    values = np.concatenate(random_inputs(spec((1000,), dtype), "a.tflite"))
    assert values.dtype == dtype
    assert (values.mean(dtype=np.float64), values.std(dtype=np.float64)) == pytest.approx((0, 1), abs=0.02)


def test_bools_are_both_and_inputs_differ_from_each_other_and_not_from_one_process_to_the_next() -> None:
    values = np.concatenate(random_inputs(spec((1000,), "bool"), "a.onnx"))
    assert values.dtype == np.bool_
    assert 0.4 < values.mean() < 0.6
    first, again = random_inputs(spec((3, 4)), "a.onnx"), random_inputs(spec((3, 4)), "a.onnx")
    np.testing.assert_array_equal(first, again)
    assert len({single.tobytes() for single in first}) == 100


@pytest.mark.parametrize(("numbers", "count"), [(2**15, 100), (2**20, 4), (2**23, 1)])
def test_large_inputs_are_fewer_so_that_they_do_not_fill_the_memory(numbers: int, count: int) -> None:
    assert len(random_inputs(spec((numbers,), "int8"), "a.tflite")) == count

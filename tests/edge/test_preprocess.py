"""Pixels to model inputs and outputs to probabilities, for every dtype that a model has."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError
from edge.interface import SCHEMES
from edge.manifest import Preprocessing, Quantization, TensorSpec
from edge.preprocess import input_table, range_doubt, to_input, to_probabilities

PIXELS = np.arange(256)
MNIST = Preprocessing(scale=1 / 255, fit="digit", background="dark")
RAW, TF, TORCH, CAFFE = (SCHEMES[name] for name in ("raw", "tf", "torch", "caffe"))


def spec(dtype: str, scale: float | None = None, zero_point: int = 0) -> TensorSpec:
    quantization = None if scale is None else Quantization((scale,), (zero_point,))
    return TensorSpec("tensor", (1, 3), dtype, quantization)


PER_CHANNEL = TensorSpec("tensor", (1, 3), "int8", Quantization((0.1, 0.2, 0.3), (0, 0, 0), 1))


@pytest.mark.parametrize("wrong", [spec("int8"), spec("uint8"), spec("int16"), spec("int64"), PER_CHANNEL])
def test_an_integer_tensor_without_one_scale_is_refused_both_ways(wrong: TensorSpec) -> None:
    message = rf"{wrong.dtype} without one scale and zero point: export it with them"
    with pytest.raises(ArtifactError, match=rf"^input tensor is {message}, or, if it takes pixels as they are"):
        input_table(MNIST, wrong)
    for kind in ("probabilities", "logits"):
        with pytest.raises(ArtifactError, match=rf"^output tensor is {message}"):
            to_probabilities(np.zeros((1, 3), wrong.dtype), wrong, kind)


@pytest.mark.parametrize("wrong", [spec("int8"), PER_CHANNEL])
def test_pixels_as_they_are_do_not_fit_int8(wrong: TensorSpec) -> None:
    with pytest.raises(ArtifactError, match="is int8 without one scale and zero point"):
        input_table(RAW, wrong)


@pytest.mark.parametrize("dtype", ["bool", "string", "bfloat16", "complex64", "uint4"])
def test_an_input_of_no_numbers_that_stand_for_pixels_is_refused(dtype: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^input tensor is {dtype}: give a model of float, int8, uint8 or int16 images$"):
        input_table(RAW, spec(dtype))


@pytest.mark.parametrize(
    "wrong", [replace(MNIST, std=(0.0,)), replace(MNIST, scale=np.nan), replace(MNIST, mean=(1.0, np.inf, 0.0))]
)
def test_a_preprocessing_that_gives_no_numbers_is_refused(wrong: Preprocessing) -> None:
    with pytest.raises(ConfigError, match="the preprocessing gives infinite numbers: scale, mean and std must be finite"):
        input_table(wrong, spec("float32"))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64"])
def test_an_integer_without_a_scale_takes_the_pixels_as_they_are(dtype: str) -> None:
    table = input_table(RAW, spec(dtype)).values
    assert table.dtype == dtype
    np.testing.assert_array_equal(table, PIXELS)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (spec("float32"), PIXELS / 255),
        (spec("float64"), PIXELS / 255),
        (spec("int8", 1 / 255, -128), PIXELS - 128),
        (spec("int8", 0.003921568859368563, -128), PIXELS - 128),
        (spec("uint8", 1 / 255), PIXELS),
        (spec("int16", 1 / 32767), np.rint(PIXELS / 255 * 32767)),
        (spec("int8", 1 / 127), np.rint(PIXELS / 255 * 127)),
        # A scale too small for the range: what does not fit is clipped, and never wraps round.
        (spec("int8", 1 / 510, -128), np.minimum(2 * PIXELS - 128, 127)),
        (spec("uint8", 1 / 255, -100), np.maximum(PIXELS - 100, 0)),
    ],
)
def test_the_table_holds_every_pixel_value_as_the_model_stores_it(target: TensorSpec, expected: NDArray[np.float64]) -> None:
    table = input_table(MNIST, target).values
    assert table.shape == (256,)
    assert table.dtype == np.dtype(target.dtype)
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-7 if table.dtype.kind == "f" else 0)


def test_scale_comes_before_mean_and_mean_before_std() -> None:
    table = input_table(Preprocessing(1 / 128, "letterbox", "any", (0.5,), (0.25,)), spec("float32")).values
    np.testing.assert_array_equal(table, (PIXELS / 128 - 0.5) / 0.25)


@pytest.mark.parametrize("target", [spec("float32"), spec("uint8", 0.02, 110)])
def test_channels_that_differ_have_a_table_each(target: TensorSpec) -> None:
    table = input_table(TORCH, target)
    assert table.values.shape == (3, 256)
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    expected = (images / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    if target.quantization:
        expected = np.clip(np.rint(expected / 0.02) + 110, 0, 255)
    inputs = to_input(images, table)
    assert inputs.dtype == target.dtype
    np.testing.assert_allclose(inputs, expected, rtol=0, atol=1e-6)


def test_one_mean_serves_all_channels_of_three_stds() -> None:
    table = input_table(replace(RAW, mean=(10.0,), std=(1.0, 2.0, 4.0)), spec("float32"))
    np.testing.assert_array_equal(to_input(np.full((1, 4, 4, 3), 50, np.uint8), table)[0, 0, 0], [40, 20, 10])


def test_blue_comes_first_for_a_model_that_takes_it_so() -> None:
    images = np.array([[[[200, 30, 7]]]], np.uint8)
    plain = to_input(images, input_table(replace(RAW, channel_order="bgr"), spec("float32")))
    np.testing.assert_array_equal(plain, [[[[7, 30, 200]]]])
    # The means are in the model's order: the first is blue's.
    caffe = to_input(images, input_table(CAFFE, spec("float32")))
    np.testing.assert_allclose(caffe, [[[[7 - 103.939, 30 - 116.779, 200 - 123.68]]]], rtol=0, atol=1e-5)


def test_a_table_of_three_channels_refuses_grey_images() -> None:
    with pytest.raises(ValueError, match=r"^images must have 3 channels, got 1$"):
        to_input(np.zeros((1, 4, 4, 1), np.uint8), input_table(TORCH, spec("float32")))


def test_every_pixel_is_looked_up_and_the_shape_stays() -> None:
    images = np.arange(2 * 4 * 3 * 3, dtype=np.uint8).reshape(2, 4, 3, 3)
    inputs = to_input(images, input_table(MNIST, spec("int8", 1 / 255, -128)))
    assert inputs.dtype == np.int8
    np.testing.assert_array_equal(inputs, images.astype(int) - 128)


UNIT_INPUT, TF_INPUT = spec("uint8", 1 / 255), spec("uint8", 1 / 128, 128)
TORCH_INPUT = spec("int8", 4.758 / 255, -15)


@pytest.mark.parametrize(
    ("scheme", "target", "ranges"),
    [
        (RAW, UNIT_INPUT, "takes 0 to 1, the preprocessing gives 0 to 255"),
        (RAW, TF_INPUT, "takes -1 to 0.992, the preprocessing gives 0 to 255"),
        (TF, UNIT_INPUT, "takes 0 to 1, the preprocessing gives -1 to 1"),
        (TORCH, UNIT_INPUT, "takes 0 to 1, the preprocessing gives -2.12 to 2.64"),
        (TORCH, TF_INPUT, "takes -1 to 0.992, the preprocessing gives -2.12 to 2.64"),
        (RAW, spec("int8", 1.0), "takes -128 to 127, the preprocessing gives 0 to 255"),
        (CAFFE, spec("uint8", 1.0), "takes 0 to 255, the preprocessing gives -124 to 151"),
        (RAW, spec("int16", 1 / 32767), "takes -1 to 1, the preprocessing gives 0 to 255"),
    ],
)
def test_numbers_that_the_input_cannot_stand_for_are_refused_unless_they_are_known(
    scheme: Preprocessing, target: TensorSpec, ranges: str
) -> None:
    with pytest.raises(ArtifactError, match=rf"^input tensor {ranges}: say how the model was trained, with --preprocess"):
        range_doubt(scheme, target, vouched=False)
    assert str(range_doubt(scheme, target, vouched=True)).startswith(f"input tensor {ranges}: ")


@pytest.mark.parametrize(
    ("scheme", "target", "doubt"),
    [
        (MNIST, TF_INPUT, "takes -1 to 0.992, the preprocessing gives 0 to 1, only 50% of it: is that how"),
        (MNIST, TORCH_INPUT, "the preprocessing gives 0 to 1, only 21% of it: is that how"),
        (TF, TORCH_INPUT, "the preprocessing gives -1 to 1, only 42% of it: is that how"),
        (MNIST, spec("uint8", 1.0), "takes 0 to 255, the preprocessing gives 0 to 1, only 0% of it"),
        (MNIST, spec("int16", 1 / 16384), "takes -2 to 2, the preprocessing gives 0 to 1, only 50% of it"),
        (
            MNIST,
            spec("uint8", 0.95 / 255),
            "takes 0 to 0.95, the preprocessing gives 0 to 1: 4.7% of the pixel values are clipped",
        ),
    ],
)
def test_numbers_that_fit_badly_are_doubted(scheme: Preprocessing, target: TensorSpec, doubt: str) -> None:
    assert doubt in str(range_doubt(scheme, target, vouched=False))


@pytest.mark.parametrize(
    ("scheme", "target"),
    [
        (MNIST, UNIT_INPUT),
        (MNIST, spec("int8", 1 / 256, -128)),  # 1.0 lies one step beyond.
        (MNIST, spec("int16", 1 / 32767)),  # Symmetric, so that pixels from 0 on use the upper half.
        (TF, TF_INPUT),
        (TF, spec("int16", 1 / 32767)),
        (TORCH, TORCH_INPUT),
        (RAW, spec("uint8", 1.0)),
        (RAW, spec("uint8")),
        (RAW, spec("float32")),
        (MNIST, spec("float32", 1 / 10)),
    ],
)
def test_numbers_that_fit_are_not_doubted(scheme: Preprocessing, target: TensorSpec) -> None:
    assert range_doubt(scheme, target, vouched=False) is None


@pytest.mark.parametrize(
    "rows",
    [[[2.0, -1.0, 0.0]], [[0.2, 0.2, 0.2]], [[5.0, 3.0, 1.0]], [[np.nan, 0.5, 0.5]], [[np.inf, 0, 0]], [[0, 1, 0], [0, 0, 0]]],
)
def test_logits_and_nan_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(
        ArtifactError,
        match=r"^output tensor is not class probabilities, .* must end in softmax.*; say --logits if it",
    ):
        to_probabilities(np.array(rows, np.float32), spec("float32"))


@pytest.mark.parametrize("rows", [[[127, 127, 127]], [[-128, -128, -128]], [[-120, -100, -90]]])
def test_quantised_logits_are_refused(rows: list[list[int]]) -> None:
    with pytest.raises(ArtifactError, match="not class probabilities"):
        to_probabilities(np.array(rows, np.int8), spec("int8", 1 / 256, -128))


@pytest.mark.parametrize("rows", [[[1.1]], [[-0.1]], [[0.5], [np.nan]], [[3.0]]])
def test_a_probability_of_class_1_is_one(rows: list[list[float]]) -> None:
    with pytest.raises(ArtifactError, match=r"not class probabilities, .* must end in softmax, or in one sigmoid, without NaN"):
        to_probabilities(np.array(rows, np.float32), spec("float32"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_rows_come_back_as_float32(dtype: str) -> None:
    rows = to_probabilities(np.array([[0.25, 0.75, 0], [0, 0, 1]], dtype), spec(dtype))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[0.25, 0.75, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("stored", "target", "expected"),
    [
        # 1.0 itself lies one step beyond int8's largest value; the sum is allowed that.
        ([-128, 127, -128], spec("int8", 1 / 256, -128), [0, 255 / 256, 0]),
        # Three thirds, each rounded down.
        ([-43, -43, -43], spec("int8", 1 / 256, -128), [85 / 256] * 3),
        ([64, 64, 128], spec("uint8", 1 / 256), [0.25, 0.25, 0.5]),
        ([32767, 0, 0], spec("int16", 1 / 32768), [32767 / 32768, 0, 0]),
        ([-128 + 64], spec("int8", 1 / 256, -128), [0.75, 0.25]),
    ],
)
def test_integer_rows_are_read_by_their_scale_within_its_rounding(
    stored: list[int], target: TensorSpec, expected: list[float]
) -> None:
    rows = to_probabilities(np.array([stored], target.dtype), target)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [expected], rtol=0, atol=1e-7)


@pytest.mark.parametrize("rows", [[[np.nan, 1, 2]], [[0, 1, 2], [np.inf, 0, 0]], [[-np.inf, -np.inf, -np.inf]], [[np.nan]]])
def test_logits_that_are_no_numbers_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ArtifactError, match=r"^output tensor has NaN or infinite logits: train or export the model again$"):
        to_probabilities(np.array(rows, np.float32), spec("float32"), "logits")


@pytest.mark.parametrize(
    ("rows", "target"),
    [
        (np.random.default_rng(0).dirichlet([1, 1, 1, 1], 20).astype(np.float32), spec("float32")),
        (np.full((20, 4), -64, np.int8), spec("int8", 1 / 256, -128)),
    ],
)
def test_probabilities_are_not_taken_for_logits(rows: NDArray[np.float32], target: TensorSpec) -> None:
    with pytest.raises(
        ArtifactError, match=r"^output tensor is probabilities already, each row sums to 1: leave --logits away$"
    ):
        to_probabilities(rows, target, "logits")
    # Few rows may sum to 1 by chance; so may one number be 1.
    assert to_probabilities(rows[:19], target, "logits").shape == (19, 4)
    assert to_probabilities(np.ones((20, 1), np.float32), spec("float32"), "logits").shape == (20, 2)


@pytest.mark.parametrize("size", [1, 1000])
def test_logits_become_their_softmax_without_overflow(size: float) -> None:
    logits = np.array([[1, 2, 3, -1]], np.float32) * size
    powers = np.exp((logits - logits.max()).astype(np.float64))
    rows = to_probabilities(logits, spec("float32"), "logits")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, powers / powers.sum(), rtol=1e-6, atol=1e-12)


def test_float16_logits_do_not_overflow() -> None:
    rows = to_probabilities(np.array([[60000, -60000]], np.float16), spec("float16"), "logits")
    np.testing.assert_array_equal(rows, [[1, 0]])


def test_quantised_logits_are_read_by_their_scale_first() -> None:
    rows = to_probabilities(np.array([[10, 20, -5]], np.int8), spec("int8", 0.1, 3), "logits")
    powers = np.exp([0.7, 1.7, -0.8])
    np.testing.assert_allclose(rows, [powers / powers.sum()], rtol=1e-6)


@pytest.mark.parametrize(("logit", "probability"), [(0, 0.5), (2, 1 / (1 + np.exp(-2))), (-200, 0), (200, 1)])
def test_one_logit_becomes_two_classes_by_its_sigmoid(logit: float, probability: float) -> None:
    rows = to_probabilities(np.array([[logit]], np.float32), spec("float32"), "logits")
    np.testing.assert_allclose(rows, [[1 - probability, probability]], rtol=1e-6, atol=1e-12)


def test_one_probability_is_of_class_1() -> None:
    rows = to_probabilities(np.array([[0.25], [1]], np.float32), spec("float32"))
    np.testing.assert_array_equal(rows, [[0.75, 0.25], [0, 1]])


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
@pytest.mark.parametrize("columns", [1, 3])
def test_no_rows_are_no_error(columns: int, kind: str) -> None:
    rows = to_probabilities(np.empty((0, columns), np.float32), spec("float32"), kind)
    assert rows.shape == (0, max(2, columns))


def test_many_quantised_classes_are_told_from_logits_by_each_value() -> None:
    """300 steps of rounding allow a row any sum, and no value more than one step beyond 1."""
    logits = np.random.default_rng(0).normal(0, 5, (40, 300)).astype(np.float32)
    logits -= logits.mean(axis=1, keepdims=True)
    stored = np.rint(logits / 0.2).clip(-128, 127).astype(np.int8)
    with pytest.raises(ArtifactError, match="is not class probabilities"):
        to_probabilities(stored, spec("int8", 0.2))
    expected = np.exp(stored * 0.2) / np.exp(stored * 0.2).sum(axis=1, keepdims=True)
    assert to_probabilities(stored, spec("int8", 0.2), "logits") == pytest.approx(expected, abs=1e-5)
    softmax = np.rint(expected * 256 - 128).clip(-128, 127).astype(np.int8)
    assert to_probabilities(softmax, spec("int8", 1 / 256, -128)).shape == (40, 300)


@pytest.mark.parametrize("step", [1 / 256, 1 / 255])
def test_float_outputs_that_were_8_bit_inside_may_sum_to_1_as_roughly(step: float) -> None:
    probabilities = np.random.default_rng(0).dirichlet([0.3] * 10, 50)
    rows = (np.rint(probabilities / step) * step).astype(np.float32)
    assert np.abs(rows.sum(axis=1) - 1).max() > 2e-3
    np.testing.assert_array_equal(to_probabilities(rows, spec("float32")), rows)
    with pytest.raises(ArtifactError, match="is not class probabilities, of which each row sums to 1"):
        to_probabilities(rows + np.float32(step / 3), spec("float32"))
    with pytest.raises(ArtifactError, match="is not class probabilities"):
        to_probabilities(np.rint(rows), spec("float32"))  # Whole numbers are steps of 1/256 too: rows of 0 sum to 0.

"""Pixels to model inputs and outputs to probabilities, for every dtype that a model has."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ArtifactError
from edge.manifest import Preprocessing, Quantization, TensorSpec
from edge.preprocess import image_shape, input_table, to_input, to_probabilities

PIXELS = np.arange(256)
MNIST = Preprocessing(scale=1 / 255, fit="digit", background="dark")


def spec(dtype: str, scale: float | None = None, zero_point: int = 0) -> TensorSpec:
    quantization = None if scale is None else Quantization((scale,), (zero_point,))
    return TensorSpec("tensor", (1, 3), dtype, quantization)


PER_CHANNEL = TensorSpec("tensor", (1, 3), "int8", Quantization((0.1, 0.2, 0.3), (0, 0, 0), 1))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 16000), r"\(1, 16000\)"),
        ((None, 12, 12, 2), r"\(n, 12, 12, 2\)"),
        ((None, 3, 224, 224), r"\(n, 3, 224, 224\)"),
        ((None, None, None, 3), r"\(n, n, n, 3\)"),
        ((None, 12, 12, None), r"\(n, 12, 12, n\)"),
        ((12, 12, 1), r"\(12, 12, 1\)"),
        ((1, 2, 12, 12, 1), r"\(1, 2, 12, 12, 1\)"),
        ((), r"\(\)"),
    ],
)
def test_an_input_that_is_no_image_is_refused_and_its_shape_shown(shape: tuple[int | None, ...], text: str) -> None:
    message = rf"^speech\.tflite takes {text}, which is not an image .*: give an image classifier$"
    with pytest.raises(ArtifactError, match=message):
        image_shape(TensorSpec("input", shape, "float32"), "speech.tflite")


@pytest.mark.parametrize("batch", [1, 8, None])
@pytest.mark.parametrize("size", [(28, 28, 1), (96, 64, 3)])
def test_an_image_input_gives_height_width_and_channels(size: tuple[int, int, int], batch: int | None) -> None:
    assert image_shape(TensorSpec("input", (batch, *size), "float32"), "x.tflite") == size


@pytest.mark.parametrize("wrong", [spec("int8"), spec("uint8"), spec("int16"), PER_CHANNEL])
def test_an_integer_tensor_without_one_scale_is_refused_both_ways(wrong: TensorSpec) -> None:
    message = rf"{wrong.dtype} without one scale and zero point: export it with them"
    with pytest.raises(ArtifactError, match=rf"^input tensor is {message}"):
        input_table(MNIST, wrong)
    with pytest.raises(ArtifactError, match=rf"^output tensor is {message}"):
        to_probabilities(np.zeros((1, 3), wrong.dtype), wrong)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (spec("float32"), PIXELS / 255),
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
    table = input_table(MNIST, target)
    assert table.shape == (256,)
    assert table.dtype == np.dtype(target.dtype)
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-7 if target.dtype == "float32" else 0)


def test_the_scale_of_the_preprocessing_is_used() -> None:
    table = input_table(Preprocessing(scale=1 / 128, fit="letterbox", background="any"), spec("float32"))
    np.testing.assert_array_equal(table, PIXELS / 128)


def test_every_pixel_is_looked_up_and_the_shape_stays() -> None:
    images = np.arange(2 * 4 * 3 * 3, dtype=np.uint8).reshape(2, 4, 3, 3)
    inputs = to_input(images, input_table(MNIST, spec("int8", 1 / 255, -128)))
    assert inputs.dtype == np.int8
    np.testing.assert_array_equal(inputs, images.astype(int) - 128)


@pytest.mark.parametrize(
    "rows",
    [[[2.0, -1.0, 0.0]], [[0.2, 0.2, 0.2]], [[5.0, 3.0, 1.0]], [[np.nan, 0.5, 0.5]], [[np.inf, 0, 0]], [[0, 1, 0], [0, 0, 0]]],
)
def test_logits_and_nan_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ArtifactError, match=r"^output tensor is not class probabilities: the model must end in softmax"):
        to_probabilities(np.array(rows, np.float32), spec("float32"))


@pytest.mark.parametrize("rows", [[[127, 127, 127]], [[-128, -128, -128]], [[-120, -100, -90]]])
def test_quantised_logits_are_refused(rows: list[list[int]]) -> None:
    with pytest.raises(ArtifactError, match="not class probabilities"):
        to_probabilities(np.array(rows, np.int8), spec("int8", 1 / 256, -128))


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
    ],
)
def test_integer_rows_are_read_by_their_scale_within_its_rounding(
    stored: list[int], target: TensorSpec, expected: list[float]
) -> None:
    rows = to_probabilities(np.array([stored], target.dtype), target)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [expected], rtol=0, atol=1e-7)


def test_no_rows_are_no_error() -> None:
    assert to_probabilities(np.empty((0, 3), np.float32), spec("float32")).shape == (0, 3)

"""Pixels to model inputs, for every dtype that a model has."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Preprocessing, Quantization, TensorSpec
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.model.preprocess import input_table, range_doubt, to_input, to_probabilities
from tests.edge.model.tensors import spec

PIXELS = np.arange(256)
MNIST = Preprocessing(scale=1 / 255, fit="digit", background="dark")
RAW, TF, TORCH, CAFFE = (SCHEMES[name] for name in ("raw", "tf", "torch", "caffe"))
PER_CHANNEL = TensorSpec("tensor", (1, 3), "int8", Quantization((0.1, 0.2, 0.3), (0, 0, 0), 1))


@pytest.mark.parametrize("wrong", [spec("int8"), spec("uint8"), spec("int16"), spec("int64"), PER_CHANNEL])
def test_an_integer_tensor_without_one_scale_is_refused_both_ways(wrong: TensorSpec) -> None:
    message = rf"{wrong.dtype} without one scale and zero point"
    with pytest.raises(ArtifactError, match=rf"^input tensor is {message}.*preprocess=raw"):
        input_table(MNIST, wrong)
    for kind in ("probabilities", "logits"):
        with pytest.raises(ArtifactError, match=rf"^output tensor is {message}"):
            to_probabilities(np.zeros((1, 3), wrong.dtype), wrong, kind)


@pytest.mark.parametrize("wrong", [spec("int8"), PER_CHANNEL])
def test_pixels_as_they_are_do_not_fit_int8(wrong: TensorSpec) -> None:
    with pytest.raises(ArtifactError, match="is int8 without one scale"):
        input_table(RAW, wrong)


@pytest.mark.parametrize("dtype", ["bool", "string", "bfloat16", "complex64", "uint4"])
def test_an_input_of_no_numbers_that_stand_for_pixels_is_refused(dtype: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^input tensor is {dtype}: .*float.*int8.*uint8.*int16"):
        input_table(RAW, spec(dtype))


@pytest.mark.parametrize(
    "wrong", [replace(MNIST, std=(0.0,)), replace(MNIST, scale=np.nan), replace(MNIST, mean=(1.0, np.inf, 0.0))]
)
def test_a_preprocessing_that_gives_no_numbers_is_refused(wrong: Preprocessing) -> None:
    with pytest.raises(ConfigError, match=r"infinite numbers: scale, mean.*std"):
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
        # A scale too small for the range: values outside are clipped and never wrap around.
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


def test_one_mean_serves_three_stds_and_means_are_in_the_models_order_of_channels() -> None:
    table = input_table(replace(RAW, mean=(10.0,), std=(1.0, 2.0, 4.0)), spec("float32"))
    np.testing.assert_array_equal(to_input(np.full((1, 4, 4, 3), 50, np.uint8), table)[0, 0, 0], [40, 20, 10])
    images = np.array([[[[200, 30, 7]]]], np.uint8)
    plain = to_input(images, input_table(replace(RAW, channel_order="bgr"), spec("float32")))
    np.testing.assert_array_equal(plain, [[[[7, 30, 200]]]])
    # The means are in the model's order: the first is blue's.
    caffe = to_input(images, input_table(CAFFE, spec("float32")))
    np.testing.assert_allclose(caffe, [[[[7 - 103.939, 30 - 116.779, 200 - 123.68]]]], rtol=0, atol=1e-5)


def test_a_table_of_three_channels_refuses_grey_images() -> None:
    with pytest.raises(ValueError, match=r"^images .*3 channels, got 1$"):
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
    with pytest.raises(ArtifactError, match=rf"^input tensor {ranges}: .*interface=unit"):
        range_doubt(scheme, target, verified=False)
    assert str(range_doubt(scheme, target, verified=True)).startswith(f"input tensor {ranges}: ")


@pytest.mark.parametrize(
    ("scheme", "target", "doubt"),
    [
        (MNIST, TF_INPUT, "takes -1 to 0.992, the preprocessing gives 0 to 1, only 50% of it"),
        (MNIST, TORCH_INPUT, "the preprocessing gives 0 to 1, only 21% of it"),
        (TF, TORCH_INPUT, "the preprocessing gives -1 to 1, only 42% of it"),
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
    assert doubt in str(range_doubt(scheme, target, verified=False))


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
    assert range_doubt(scheme, target, verified=False) is None

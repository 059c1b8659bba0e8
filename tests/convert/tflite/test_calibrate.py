"""Ranges by four methods, and biases that make up for what 8 bits lose."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.tflite.biases import corrected_biases
from edgecnn.convert.tflite.calibrate import calibrate_tflite, shortened
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import activations, open_tflite, quantize_tflite
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.runtimes import opener_for
from tests.convert.tflite.conftest import real_outputs

METHODS: tuple[CalibrationName, ...] = ("percentile", "mse", "entropy")


@pytest.fixture(scope="module")
def float32() -> bytes:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(6, 3, activation="relu"), keras.layers.Conv2D(4, 3), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((10, 10, 1)), *layers, keras.layers.Dense(3)])
    return to_tflite(model, "float32", (10, 10, 1), "float32")


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 1, (64, 10, 10, 1)).astype(np.float32)


def counts(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    found, edges = np.histogram(values, 2048)
    return found.astype(np.float64), float(edges[0]), float(edges[-1])


@pytest.mark.parametrize("method", METHODS)
def test_a_value_far_outside_does_not_set_the_range(method: CalibrationName) -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 1_000_000), 20.0)
    low, high = shortened(*counts(values), method)
    assert 2.5 < high < 18
    assert -18 < low < -0.8


@pytest.mark.parametrize("method", ["mse", "entropy"])
def test_values_that_fill_their_range_keep_it(method: CalibrationName) -> None:
    low, high = shortened(*counts(np.random.default_rng(0).uniform(-1, 3, 1_000_000)), method)
    assert (low, high) == pytest.approx((-1, 3), abs=0.15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("least", "most"), [(0.4, 0.7), (-9, -8)])
def test_values_that_all_lie_far_from_0_are_in_their_range(method: CalibrationName, least: float, most: float) -> None:
    low, high = shortened(*counts(np.random.default_rng(0).uniform(least, most, 100_000)), method)
    assert low < (least + most) / 2 < high


def test_the_percentile_is_of_the_values() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 1_000_000)
    low, high = shortened(*counts(values), "percentile")
    assert (low, high) == pytest.approx(np.quantile(values, [0.00005, 0.99995]), abs=1 / 1024)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_activation_keeps_its_value(method: CalibrationName) -> None:
    assert shortened(np.zeros(2048), 0.0, 0.0, method) == (0.0, 0.0)


@pytest.mark.parametrize("method", METHODS)
def test_each_activation_has_a_range_within_its_values(method: CalibrationName, float32: bytes, images: Any) -> None:
    whole, found = calibrate_tflite(float32, images), calibrate_tflite(float32, images, method)
    assert set(found) == set(whole) == {name for _, name, _ in activations(open_tflite(float32))}
    for name, (low, high) in found.items():
        assert whole[name][0] <= low <= high <= whole[name][1]
    assert any(found[name] != whole[name] for name in whole)


def mean_error(float32: bytes, int8: bytes, images: NDArray[np.float32]) -> float:
    """Return the largest mean error of an output, in steps of the output."""
    quantization = opener_for("tflite").open_model(int8, 1).output_spec.quantization
    assert quantization
    errors = real_outputs(int8, images) - real_outputs(float32, images)
    return float(np.abs(errors.mean(axis=0)).max() / quantization.scales[0])


def test_corrected_biases_give_the_mean_outputs_of_the_float_file(float32: bytes, images: NDArray[np.float32]) -> None:
    # Ranges that are too short shift every mean; that of the output stays, since a bias can't reach beyond it.
    whole = calibrate_tflite(float32, images)
    last = list(whole)[-1]
    ranges = {name: (low, high) if name == last else (0.8 * low, 0.6 * high) for name, (low, high) in whole.items()}
    plain = quantize_tflite(float32, "int8", ranges)
    corrected = corrected_biases(float32, plain, images)
    assert corrected
    before, after = (mean_error(float32, data, images) for data in (plain, corrected))
    assert after < before / 2
    assert len(corrected) < len(plain) + 400


def test_where_no_bias_has_32_bits_none_is_said_to_be_corrected(float32: bytes, images: NDArray[np.float32]) -> None:
    int16x8 = quantize_tflite(float32, "int16x8", calibrate_tflite(float32, images))
    assert corrected_biases(float32, int16x8, images) is None

"""A Keras model as MNN files: the same numbers, integers where asked, and an error for what MNN can't take."""

from typing import Any

import keras
import MNN  # noqa: F401 - Not installed, these tests are an error.
import numpy as np
import pytest

from edgecnn.convert import mnn as module
from edgecnn.convert.export.converters import Converter
from edgecnn.convert.mnn import described, mnn_layers
from edgecnn.edge.errors import ConversionError, MissingDependency
from edgecnn.edge.formats import PRECISIONS, RUNTIMES, Package
from tests.convert.conftest import RandomInputs, converter_of, noise_ratio, outputs


@pytest.fixture(scope="module")
def converter(residual: Any) -> Converter:
    return converter_of("mnn", residual)


def test_each_precision_computes_what_keras_computes(converter: Converter, residual: Any, random_inputs: RandomInputs) -> None:
    """Its mean is taken of a sum, which no integer layer writes: given the mean's own scale, the sum would be clipped."""
    inputs = random_inputs(20)
    expected = np.asarray(residual(inputs))
    np.testing.assert_allclose(outputs("mnn", converter.convert("float32"), inputs), expected, atol=1e-5)
    half = outputs("mnn", converter.convert("float16"), inputs)
    assert 40 < noise_ratio(half, expected) < 90
    int8 = converter.quantize("int8", converter.calibrate(inputs))
    assert noise_ratio(outputs("mnn", int8, inputs), expected) > 20


def test_layers_are_integer_unless_kept(converter: Converter, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)
    ranges = converter.calibrate(inputs)
    names = converter.operators()
    layers = mnn_layers(described(converter.convert("float32")))
    assert [layer.given for layer in layers] == list(names)
    assert len(names) == 4
    assert ranges[layers[0].taken] == pytest.approx((inputs.min() / 127.5 - 1, inputs.max() / 127.5 - 1), abs=1e-5)
    assert converter.quantize("int8", ranges, names) == converter.convert("float32")
    plain = converter.quantize("int8", ranges)
    assert plain == converter.quantize("int8", ranges)  # A random name would make each file another one.
    first = converter.scales(converter.quantize("int8", ranges, names[1:]))
    assert first == {
        name: pytest.approx(max(map(abs, ranges[name])) / 127, rel=1e-3) for name in (layers[0].taken, layers[0].given)
    }
    scales = converter.scales(plain)
    assert set(scales) == {name for layer in layers for name in (layer.taken, layer.given)}
    # The mean's scale is that of the sum, unlike its own range.
    last = layers[-1]
    assert scales[last.taken] == pytest.approx(max(map(abs, ranges[last.source])) / 127, rel=1e-3)
    assert max(map(abs, ranges[last.source])) > 1.5 * max(map(abs, ranges[last.taken]))


def test_edgecnn_s_own_networks_keep_their_numbers(own_network: Any) -> None:
    model, inputs, expected = own_network
    converter = converter_of("mnn", model)
    np.testing.assert_allclose(
        outputs("mnn", converter.convert("float32"), inputs), expected, atol=PRECISIONS["float32"].tolerance
    )
    int8 = converter.quantize("int8", converter.calibrate(inputs))
    assert noise_ratio(outputs("mnn", int8, inputs), expected) > 10  # Its last layer enlarges differences, and rounding.


def test_a_mobile_network_keeps_its_numbers(mobile: Any) -> None:
    """Depthwise convolutions, padding at two sides alone, a mean of what an integer layer writes."""
    model, inputs, expected = mobile
    converter = converter_of("mnn", model)
    assert noise_ratio(outputs("mnn", converter.convert("float32"), inputs), expected) > 100
    int8 = converter.quantize("int8", converter.calibrate(inputs))
    assert len(converter.scales(int8)) > len(converter.operators()) > 50
    assert noise_ratio(outputs("mnn", int8, inputs), expected) > 15


def test_a_model_that_gives_nan_can_not_be_calibrated(converter: Converter, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(3)
    inputs[1, 4, 4, 1] = np.inf
    with pytest.raises(ConversionError, match=r"mnn: .* is not finite"):
        converter.calibrate(inputs)


def test_what_mnn_can_not_take_is_refused_with_its_name(residual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConversionError, match="MNN files take one image"):
        converter_of("mnn", residual, any_batch=True).convert("float32")
    entry = keras.Input((8, 8, 3))
    infinite = keras.Model(entry, keras.ops.cast(keras.layers.Flatten()(keras.ops.isinf(entry)), "float32"))
    with pytest.raises(ConversionError, match=r"MNN has no IsInf\b"):
        converter_of("mnn", infinite).convert("float32")
    with pytest.raises(ConversionError, match="wrote no file"):
        module.to_mnn(b"\1" * 100, half=False)
    monkeypatch.setitem(RUNTIMES, "mnn", RUNTIMES["mnn"]._replace(package=Package("mnn", "no_such_module", "mnn")))
    with pytest.raises(MissingDependency, match="mnn is not installed"):
        converter_of("mnn", residual).convert("float32")

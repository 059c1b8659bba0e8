"""A Keras model as ncnn files: the same numbers, integers where asked, and which layer of two files loses most."""

from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert import ncnn as module
from edgecnn.convert.diagnose import diagnose
from edgecnn.convert.export.converters import Converter
from edgecnn.edge.errors import ArtifactError, ConversionError, MissingDependency
from edgecnn.edge.runtimes.ncnn import NcnnFile, unpack
from tests.convert.conftest import RandomInputs, converter_of, noise_ratio, outputs


@pytest.fixture(scope="module")
def converter(residual: Any) -> Converter:
    return converter_of("ncnn", residual)


def test_each_precision_computes_what_keras_computes(converter: Converter, residual: Any, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)
    expected = np.asarray(residual(inputs))
    np.testing.assert_allclose(outputs("ncnn", converter.convert("float32"), inputs), expected, atol=1e-5)
    int8 = converter.quantize("int8", converter.calibrate(inputs))
    assert noise_ratio(outputs("ncnn", int8, inputs), expected) > 20


def test_layers_are_integer_unless_kept_and_hand_integers_on(converter: Converter, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)
    ranges = converter.calibrate(inputs)
    names = converter.operators()
    kinds = {layer.name: layer.kind for layer in unpack(converter.convert("float32")).layers}
    assert [kinds[name] for name in names] == ["Convolution", "ConvolutionDepthWise", "Convolution", "InnerProduct"]
    assert ranges[names[0]] == pytest.approx((inputs.min() / 127.5 - 1, inputs.max() / 127.5 - 1), abs=1e-5)

    def terms(keep: tuple[str, ...]) -> list[str | None]:
        layers = unpack(converter.quantize("int8", ranges, keep)).layers
        return [layer.options.get("8") for layer in layers if layer.name in names]

    assert terms(()) == ["2", "101", "2", "2"]  # The depthwise convolution alone is read by just one convolution.
    assert terms(names[2:3]) == ["2", "1", None, "2"]
    assert terms(names) == [None] * 4
    assert converter.quantize("int8", ranges, names) == converter.convert("float32")
    scales = converter.scales(converter.quantize("int8", ranges, names[1:]))
    assert scales == {names[0]: pytest.approx(max(map(abs, ranges[names[0]])) / 127)}
    assert set(converter.scales(converter.quantize("int8", ranges))) == set(names)


def test_edgecnn_s_own_networks_keep_their_numbers(own_network: Any) -> None:
    model, inputs, expected = own_network
    converter = converter_of("ncnn", model)
    np.testing.assert_allclose(outputs("ncnn", converter.convert("float32"), inputs), expected, atol=1e-5)
    int8 = converter.quantize("int8", converter.calibrate(inputs))
    assert noise_ratio(outputs("ncnn", int8, inputs), expected) > 10  # Its last layer enlarges differences, and rounding.


def test_a_mobile_network_keeps_its_numbers(mobile: Any) -> None:
    """Depthwise convolutions, padding at two sides alone, integers from layer to layer."""
    model, inputs, expected = mobile
    converter = converter_of("ncnn", model)
    np.testing.assert_allclose(outputs("ncnn", converter.convert("float32"), inputs), expected, rtol=1e-3, atol=1e-6)
    int8 = converter.quantize("int8", converter.calibrate(inputs))
    assert len(converter.scales(int8)) == len(converter.operators()) > 50
    assert noise_ratio(outputs("ncnn", int8, inputs), expected) > 15


def test_a_model_that_gives_nan_can_not_be_calibrated(converter: Converter, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(3)
    inputs[1, 4, 4, 1] = np.inf
    with pytest.raises(ConversionError, match=r"ncnn: .* is not finite"):
        converter.calibrate(inputs)


def without_pnnx(package: str, version: Any = metadata.version) -> Any:
    if package == "pnnx":
        raise metadata.PackageNotFoundError(package)
    return version(package)


def test_what_ncnn_can_not_take_is_refused_with_its_name(residual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConversionError, match="ncnn files take one image"):
        converter_of("ncnn", residual, any_batch=True).convert("float32")
    entry = keras.Input((8, 8, 3), dtype="uint8")
    pixels = keras.Model(entry, keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(entry)))
    with pytest.raises(ConversionError, match="this one takes uint8"):
        converter_of("ncnn", pixels).convert("float32")
    entry = keras.Input((8, 8, 3))
    tiled = keras.Model(entry, keras.layers.Flatten()(keras.ops.tile(entry, (1, 2, 1, 1))))
    with pytest.raises(ConversionError, match=r"ncnn has no torch\.tile"):
        converter_of("ncnn", tiled).convert("float32")
    monkeypatch.setattr(metadata, "version", without_pnnx)
    with pytest.raises(MissingDependency, match=r"pnnx is not installed.* --no-deps pnnx$"):
        converter_of("ncnn", residual).convert("float32")


def test_a_network_that_crashes_ncnn_is_an_error_of_the_export(
    idx_folder: Path, artifacts: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a converter writes is tried in another process before this one opens it."""

    def crashing(file: NcnnFile) -> bytes:
        last = file.layers[-1]._replace(kind="Reshape", options={"0": "0", "1": "-1", "6": '"//(9,0n)"'})
        return pack(file._replace(layers=(*file.layers[:-1], last)))

    pack = NcnnFile.pack
    monkeypatch.setattr(NcnnFile, "pack", crashing)
    message = terminal.fails(4, "export", artifacts / "model.keras", "--format", "ncnn", "--data", idx_folder)
    assert "float32.ncnn" in message
    assert not (artifacts / "float32.ncnn").exists()


def test_each_integer_tensor_is_compared_in_real_numbers(converter: Converter, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)
    files = converter.convert("float32"), converter.quantize("int8", converter.calibrate(inputs))
    found = diagnose(*files, "ncnn", inputs[:5])
    # What the four layers with weights read, of which the first reads the rescaled image.
    assert sorted(layer.operator for layer in found.layers) == ["BinaryOp", "Convolution", "ConvolutionDepthWise", "Pooling"]
    assert all(layer.snr_db > 20 for layer in found.layers)
    arranged = inputs[:5].transpose(0, 3, 1, 2)  # As the file takes them.
    assert diagnose(*files, "ncnn", arranged) == found
    assert {*converter.operators()} <= {name for layer in found.layers for name in layer.keep}


@pytest.mark.parametrize("which", [1, 2])
def test_the_tensor_of_a_wrong_scale_comes_first(which: int, converter: Converter, random_inputs: RandomInputs) -> None:
    """A range a hundred times too wide leaves a tensor two steps."""
    inputs, names = random_inputs(20), converter.operators()
    ranges = dict(converter.calibrate(inputs))
    low, high = ranges[names[which]]
    ranges[names[which]] = 100 * low, 100 * high
    float32 = converter.convert("float32")
    found = diagnose(float32, converter.quantize("int8", ranges), "ncnn", inputs[:5])
    assert names[which] in found.layers[0].keep
    assert found.layers[0].introduced > 0.1
    mended = converter.quantize("int8", ranges, found.layers[0].keep)
    assert all(layer.snr_db > 20 for layer in diagnose(float32, mended, "ncnn", inputs[:5]).layers)


def test_a_file_with_weights_of_unknown_size_is_neither_quantized_nor_compared(
    random_inputs: RandomInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All integers behind them would be taken for floats."""
    layers, entry = keras.layers, keras.Input((8, 8, 3))
    start = layers.Conv2D(4, 3, padding="same")(layers.Conv2D(4, 3, padding="same", activation="relu")(entry))
    end = layers.Conv2D(4, 3)(layers.Conv2DTranspose(4, 2, strides=2)(start))
    other = converter_of("ncnn", keras.Model(entry, layers.Dense(4)(layers.GlobalAveragePooling2D()(end))))
    inputs, float32 = random_inputs(5), other.convert("float32")
    ranges = other.calibrate(inputs)
    with pytest.raises(ConversionError, match=r"unknown size: omit precisions=int8"):
        other.quantize("int8", ranges)
    with monkeypatch.context() as patch:  # As ncnn's own tool quantizes it.
        patch.setitem(module._OTHERS, "Deconvolution", lambda layer: 4 + 4 * layer.option(6))
        int8 = other.quantize("int8", ranges)
        assert len(other.scales(int8)) == 4
    with pytest.raises(ConversionError, match=r"unknown size: compare files without"):
        diagnose(float32, int8, "ncnn", inputs)


def test_files_of_two_networks_are_refused(converter: Converter, by_name: Any, random_inputs: RandomInputs) -> None:
    with pytest.raises(ArtifactError, match="different networks"):
        diagnose(converter.convert("float32"), (by_name / "int8.ncnn").read_bytes(), "ncnn", random_inputs(1))

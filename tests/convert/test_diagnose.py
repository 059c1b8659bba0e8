"""The layer where a quantized file loses its signal comes first, and every figure is correct."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgecnn.convert.diagnose import Diagnosis, LayerError, Operator, _lost_before_and_after, diagnose
from edgecnn.convert.onnx import pair as onnx_pair
from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.convert.show import diagnosis_text, save_diagnosis
from edgecnn.convert.tflite import pair as tflite_pair
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import activations, open_tflite, tflite_scales
from edgecnn.edge.errors import ArtifactError
from tests.convert.conftest import RandomInputs, quantized

FORMATS = ("tflite", "onnx")


@pytest.fixture(scope="module", params=FORMATS)
def bad(request: pytest.FixtureRequest, bad_network: Any) -> tuple[str, bytes, bytes]:
    """A format, and the bad network's float and quantized file in it."""
    float32 = bad_network.float32[request.param]
    return request.param, float32, quantized(float32, request.param, bad_network.inputs[:100])


@pytest.fixture(scope="module")
def files(residual: Any) -> dict[str, bytes]:
    return {
        "tflite": to_tflite(residual, "float32", (8, 8, 3), "float32"),
        "onnx": to_onnx(residual, (8, 8, 3), "float32", "logits"),
    }


def test_the_wild_layer_comes_first_and_goes_back_through_the_pooling(bad_network: Any, bad: tuple[str, bytes, bytes]) -> None:
    model_format, float32, data = bad
    assert bad_network.accuracy(float32, model_format) == 1
    assert bad_network.accuracy(data, model_format) < 0.7
    layers = diagnose(float32, data, model_format, bad_network.test_inputs[:30]).layers
    assert "wild" in layers[0].name
    assert layers[0].introduced > 0.5
    assert layers[0].introduced > 2 * layers[1].introduced
    # By its largest value alone it would be one of the best.
    total = next(layer for layer in layers if "first" in layer.name)
    assert total.introduced < 0.01
    assert layers[0].input_snr_db == total.snr_db
    kept = [next(key for key in ("wild", "pool", "following") if key in name) for name in layers[0].keep]
    assert kept[-3:] == ["wild", "pool", "following"]


@pytest.mark.parametrize("model_format", FORMATS)
def test_two_float_files_have_nothing_to_diagnose(
    files: dict[str, bytes], random_inputs: RandomInputs, model_format: str
) -> None:
    with pytest.raises(ArtifactError, match="no integer activation"):
        diagnose(files[model_format], files[model_format], model_format, random_inputs(2))


def test_files_of_two_networks_are_refused(
    files: dict[str, bytes], bad: tuple[str, bytes, bytes], random_inputs: RandomInputs
) -> None:
    model_format, _, other = bad
    with pytest.raises(ArtifactError, match=r"no integer activation|can't be compared"):
        diagnose(files[model_format], other, model_format, random_inputs(2))


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_damaged_file_is_an_error(files: dict[str, bytes], random_inputs: RandomInputs, model_format: str) -> None:
    with pytest.raises(ArtifactError, match=r"can't be (compared|read) \("):
        diagnose(files[model_format], b"TFL3 and no more", model_format, random_inputs(2))


@pytest.mark.parametrize("place", ["float", "quantized"])
def test_weights_of_the_current_folder_are_not_read(
    place: str, files: dict[str, bytes], random_inputs: RandomInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [files["onnx"], quantized(files["onnx"], "onnx", random_inputs(2))]
    number = ["float", "quantized"].index(place)
    onnx.save(
        onnx.load_from_string(pair[number]), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    monkeypatch.chdir(tmp_path)
    pair[number] = Path("m.onnx").read_bytes()
    with pytest.raises(ArtifactError, match="weights in another file"):
        diagnose(pair[0], pair[1], "onnx", random_inputs(2))


@pytest.mark.parametrize("model_format", FORMATS)
def test_each_layer_is_compared_once(files: dict[str, bytes], random_inputs: RandomInputs, model_format: str) -> None:
    data = quantized(files[model_format], model_format, random_inputs(20))
    diagnosis = diagnose(files[model_format], data, model_format, random_inputs(5))
    names = [layer.name for layer in diagnosis.layers]
    assert len(set(names)) == len(names)
    kinds = {layer.operator for layer in diagnosis.layers}
    assert {"tflite": {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN"}, "onnx": {"Conv", "Add", "Gemm"}}[model_format] <= kinds
    assert {"tflite": "StatefulPartitionedCall:0", "onnx": "logits"}[model_format] in names
    assert diagnosis.images == 5
    assert diagnosis.layers[0].snr_db > 15
    assert [layer.introduced for layer in diagnosis.layers] == sorted(layer.introduced for layer in diagnosis.layers)[::-1]


def test_the_figures_of_a_layer_are_those_of_its_values(files: dict[str, bytes], random_inputs: RandomInputs) -> None:
    inputs = random_inputs(6)
    float32, data = files["tflite"], quantized(files["tflite"], "tflite", inputs[:2] / np.float32(2))
    pair = tflite_pair.open_pair(float32, data)
    name = next(name for _, name, kind in activations(open_tflite(float32)) if kind == "CONV_2D")
    runs = [next((a, b) for found, a, b in pair.run(image) if found == name) for image in inputs]
    expected, found = (np.concatenate(values).astype(np.float64) for values in zip(*runs, strict=True))
    layer = next(layer for layer in diagnose(float32, data, "tflite", inputs).layers if layer.name == name)
    ratios = np.minimum(((found - expected) ** 2).sum((0, 1, 2)) / (expected**2).sum((0, 1, 2)), 1)
    assert layer.snr_db == pytest.approx(-10 * np.log10(ratios.mean()))
    assert layer.largest_difference == pytest.approx(np.abs(found - expected).max())
    scale = tflite_scales(data)[name]
    assert found.min() == 0
    assert np.allclose(found / scale, np.rint(found / scale), atol=1e-3)
    high = found.max()
    assert layer.saturated == pytest.approx((expected > high + scale).mean())
    assert layer.saturated > 0.01


@pytest.mark.parametrize(("pair", "model_format"), [(tflite_pair, "tflite"), (onnx_pair, "onnx")])
def test_a_layer_taken_back_is_float_with_what_reads_it(
    files: dict[str, bytes], random_inputs: RandomInputs, pair: Any, model_format: str
) -> None:
    float32, inputs = files[model_format], random_inputs(20)
    worst = diagnose(float32, quantized(float32, model_format, inputs), model_format, inputs[:5]).layers[0]
    data = quantized(float32, model_format, inputs, worst.keep)
    assert worst.name not in pair.open_pair(float32, data).quantized
    again = diagnose(float32, data, model_format, inputs[:5])
    assert worst.name not in [layer.name for layer in again.layers]
    assert again.float_layers + again.unmatched > 0


def test_a_float_layer_whose_numbers_are_quantized_for_the_next_is_still_compared(
    bad_network: Any, bad: tuple[str, bytes, bytes]
) -> None:
    model_format, float32, data = bad
    worst = diagnose(float32, data, model_format, bad_network.test_inputs[:20]).layers[0]
    alone = quantized(float32, model_format, bad_network.inputs[:100], tuple(name for name in worst.keep if "wild" in name))
    again = diagnose(float32, alone, model_format, bad_network.test_inputs[:20]).layers[0]
    # ONNX Runtime keeps the pooling of floats in float, and quantizes its output.
    assert {"tflite": "wild", "onnx": "pool"}[model_format] in again.name
    assert set(again.keep) == set(worst.keep)
    assert again.introduced == pytest.approx(worst.introduced, abs=0.05)


def test_a_loss_is_handed_on_through_what_is_fused_and_what_regroups_channels() -> None:
    def operator(name: str, *inputs: str, regroups: bool = False) -> Operator:
        return Operator(name, "", inputs, False, regroups)

    graph = [operator("a", "image"), operator("b", "image"), operator("fused", "a", "b"), operator("c", "fused")]
    graph += [operator("reshape", "c", regroups=True), operator("d", "reshape")]
    found = _lost_before_and_after(graph, {"a": 0.1, "b": 0.3, "c": 0.4, "reshape": 0.9, "d": 0.5})
    assert [(item.name, before, after) for item, before, after in found] == [
        ("a", 0, 0.1),
        ("b", 0, 0.3),
        ("fused", 0.3, 0.3),
        ("c", 0.3, 0.4),
        ("reshape", 0.4, 0.4),
        ("d", 0.4, 0.5),
    ]


def layer(name: str, introduced: float = 0.5) -> LayerError:
    return LayerError(name, "CONV_2D", 3.0, 40.0, 0.0001, introduced, 1.5, 0.25, (name,))


def test_the_table_has_the_worst_layers_and_says_how_many_more() -> None:
    many = tuple(layer(f"functional_1/block_{index}_with_a_long_name/Relu;and_more") for index in range(23))
    text = diagnosis_text(Diagnosis(7, many, 2, 1, quantized="int8.tflite", float32="float32.tflite"))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "int8.tflite against float32.tflite, 7 images, worst layer first"
    assert sum("CONV_2D" in line for line in lines) == 20
    assert "50.00%" in lines[3]
    for note in ("which lose less: 3.", "float in the quantized file: 2.", "which fuses some: 1."):
        assert note in text
    short = diagnosis_text(Diagnosis(7, many[:2], 0, 0))
    assert not any(words in short for words in ("not shown", "are float", "fuses"))


def test_a_name_loses_what_people_do_not_read() -> None:
    assert layer("sequential_1/wild_1/Relu;sequential_1/wild_1/BiasAdd").label == "wild_1/Relu"
    assert layer("wild_1/Relu:0").label == "wild_1/Relu"


def test_the_figure_is_a_png_of_any_layers(tmp_path: Path) -> None:
    path = tmp_path / "layers.png"
    save_diagnosis(path, Diagnosis(7, tuple(layer(f"$a_{index}/层") for index in range(30)), 0, 0), r"int8 $\frac$ x")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size > 10_000

"""Costs of real files of each format, against other tools and figures derived from the shapes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow

from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.graph.summary import summarize
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.sandbox.unverified import remember_made
from edgecnn.edge.show.summary import summary_text
from tests.convert.graph.conftest import FORMATS, Summarize, layers, summarized, written
from tests.onnx_text import onnx_model


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_damaged_file_is_an_error(folder: Path, model_format: str) -> None:
    data = written(folder, "mission", model_format).read_bytes()
    for part in (data[: len(data) // 2], data[:9]):
        file = ModelFile(Path("cut"), model_format, part, None, None, None)
        remember_made(part)
        with pytest.raises(ArtifactError, match="again"):
            summarize("cut", file)


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_loop_is_not_counted_but_named_and_its_weights_are(summary: Summarize, model_format: str) -> None:
    found = summary("recurrent", model_format)
    assert found.not_counted
    assert any("lstm" in name.lower() for name in found.not_counted)
    assert found.parameters >= 4 * 5 * (8 + 5 + 1) + 18
    text = summary_text(found)
    assert "not counted" in text
    assert f"{found.macs:,} MACs and those not" in text


def test_an_operator_of_a_domain_of_its_own_is_not_taken_for_the_one_of_that_name(folder: Path) -> None:
    model = onnx.load(written(folder, "mission", "onnx"))
    next(node for node in model.graph.node if node.op_type == "Relu").domain = "somebody"
    model.opset_import.append(onnx.helper.make_opsetid("somebody", 1))
    onnx.save(model, folder / "foreign.onnx")
    found = summarized(folder / "foreign.onnx")
    assert found.not_counted[0].startswith("Relu ")
    assert any("ONNX Runtime could not run" in note for note in found.notes)
    assert found.peak_activation_bytes is None


def test_shapes_are_not_looked_for_with_weights_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "(float[1, 3] x) => (float[] z) {y = com.microsoft.BiasGelu (x, w) z = Relu (y)}"
    model = onnx_model(text, domains=("com.microsoft",), w=np.ones(3, np.float32))
    onnx.save(model, tmp_path / "whole.onnx")
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    assert summarized(Path("whole.onnx")).layers[-1].shape == (1, 3)
    found = summarized(Path("m.onnx"))
    assert found.layers[-1].shape is None
    assert any("another file" in note for note in found.notes)


@pytest.mark.parametrize("model_format", FORMATS)
def test_where_the_image_size_is_open_neither_convolutions_nor_peak_are_counted(folder: Path, model_format: str) -> None:
    entry = layers.Input((None, None, 3))
    model = keras.Model(entry, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="open")(entry))))
    path = folder / f"free.{model_format}"
    if model_format == "keras":
        model.save(path)
    elif model_format == "tflite":
        path.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(model).convert())
    else:
        path.write_bytes(to_onnx(model, (None, None, 3), "float32", "logits"))  # type: ignore[arg-type]  # Open sizes.
    found = summarized(path)
    assert (found.macs, found.peak_activation_bytes, found.peak_layer) == (12, None, None)
    assert [name.split()[0].lower().replace("_", "") for name in found.not_counted] in (["conv2d"], ["conv"])
    assert "Peak activations: unknown." in summary_text(found)


def test_one_of_several_signatures_has_to_be_named(folder: Path) -> None:
    class Two(tensorflow.Module):  # type: ignore[misc]  # It has no types.
        @tensorflow.function(input_signature=[tensorflow.TensorSpec((1, 4))])  # type: ignore[untyped-decorator]
        def small(self, x: Any) -> Any:
            return {"y": tensorflow.nn.softmax(x)}

        @tensorflow.function(input_signature=[tensorflow.TensorSpec((1, 6))])  # type: ignore[untyped-decorator]
        def large(self, x: Any) -> Any:
            return {"y": tensorflow.matmul(x, tensorflow.reshape(tensorflow.range(12.0), (6, 2)))}

    module = Two()
    tensorflow.saved_model.save(module, str(folder / "two"), signatures={"small": module.small, "large": module.large})
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(folder / "two"), signature_keys=["small", "large"])
    path = folder / "two.tflite"
    path.write_bytes(converter.convert())
    for signature in (None, "medium"):
        with pytest.raises(ConfigError, match="small"):
            summarized(path, signature)
    assert summarized(path, "small").macs == 0
    assert summarized(path, "large").macs == 12


@pytest.mark.parametrize("model_format", ["keras", "onnx"])
def test_a_format_without_signatures_refuses_the_name_of_one(folder: Path, model_format: str) -> None:
    with pytest.raises(ConfigError, match="has no signatures"):
        summarized(written(folder, "mission", model_format), "small")


@pytest.mark.parametrize("model_format", FORMATS)
def test_the_missions_cnn_has_the_multiply_accumulates_that_its_shapes_say(summary: Summarize, model_format: str) -> None:
    found = summary("mission", model_format)
    counts = [layer.macs for layer in found.layers if layer.macs]
    assert counts == [28 * 28 * 9 * 1 * 32, 14 * 14 * 9 * 32 * 32, 7 * 7 * 9 * 32 * 32, 15_680]
    assert (found.macs, found.batch, found.not_counted) == (2_499_392, 1, ())
    # Exports fold the 4 x 32 numbers of each of three batch normalisations into kernels and biases.
    assert found.parameters == {"keras": 34_890}.get(model_format, 34_890 - 3 * 4 * 32)
    assert found.weight_bytes == 4 * found.parameters
    assert sum(layer.parameters for layer in found.layers) == found.parameters


def test_the_missions_cnn_peaks_where_two_large_tensors_meet(summary: Summarize) -> None:
    large = 28 * 28 * 32 * 4
    assert summary("mission", "keras").peak_activation_bytes == 2 * large
    assert summary("mission", "onnx").peak_activation_bytes == 2 * large
    # TFLite's converter fuses the ReLU into the convolution.
    found = summary("mission", "tflite")
    assert found.peak_activation_bytes == large + large // 4
    assert "MAX_POOL_2D" in summary_text(found).split("Peak activations: ")[1].splitlines()[0]


def test_layers_that_do_nothing_and_operators_of_the_model_have_rows_too(summary: Summarize) -> None:
    kinds = [layer.kind for layer in summary("convolutions", "keras").layers]
    assert "Dropout" in kinds
    assert "Functional: AddV2" in kinds

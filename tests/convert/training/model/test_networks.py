"""edgecnn's own networks: their layers, what they take, and that their files compute the same."""

import json
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.model.networks import NETWORKS, NetworkName, build_cnn, build_network
from edgecnn.convert.training.recipes import RECIPES, RecipeName
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Manifest
from tests.convert.training.runs import UNIT, train
from tests.drawings import blank_split

SMALLER: tuple[NetworkName, ...] = ("strided", "separable")
STAGE = ["BatchNormalization", "ReLU"]
HEAD = ["GlobalAveragePooling2D", "Dropout", "Dense"]


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def strides(model: Any) -> list[tuple[int, ...]]:
    return [layer.strides for layer in model.layers if hasattr(layer, "strides")]


def test_the_cnn_has_the_missions_layers_and_parameters() -> None:
    model = build_cnn((28, 28, 1), 10)
    stage = ["Conv2D", *STAGE]
    assert kinds(model) == [*stage, "MaxPooling2D", *stage, "MaxPooling2D", *stage, "Flatten", "Dropout", "Dense"]
    assert model.count_params() == 34_890
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == 34_698
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert {(layer.filters, layer.kernel_size, layer.padding) for layer in convolutions} == {(32, (3, 3), "same")}
    assert model.layers[-2].rate == 0.5
    assert model.layers[-1].activation.__name__ == "softmax"


def test_every_name_has_a_network_and_the_cnn_as_many_filters_as_asked() -> None:
    model = build_cnn((28, 28, 1), 10, filters=(8, 16, 24))
    assert [layer.filters for layer in model.layers if type(layer).__name__ == "Conv2D"] == [8, 16, 24]
    assert model.count_params() == 80 + 32 + 1168 + 64 + 3480 + 96 + 7 * 7 * 24 * 10 + 10
    assert tuple(NETWORKS) == get_args(NetworkName)


@pytest.mark.parametrize(("filters", "parameters"), [((16, 32, 32), 14_618), ((8, 16, 32), 6_386)])
def test_strided_has_strides_in_place_of_pools(filters: tuple[int, ...], parameters: int) -> None:
    model = build_network("strided", (28, 28, 1), 10, 0.3, filters)
    assert kinds(model) == ["Conv2D", *STAGE] * 3 + HEAD
    assert strides(model) == [(2, 2), (2, 2), (1, 1)]
    assert model.count_params() == parameters
    assert model.layers[-2].rate == 0.3


def test_separable_convolves_each_channel_by_itself_after_the_first_stage() -> None:
    model = build_network("separable", (28, 28, 1), 10, 0.3, (8, 16, 32))
    separable = ["DepthwiseConv2D", *STAGE, "Conv2D", *STAGE]
    assert kinds(model) == ["Reshape", "Conv2D", *STAGE, *separable, *separable, *HEAD]
    assert strides(model) == [(4, 1), (1, 1), (1, 1), (2, 2), (1, 1)]
    assert model.count_params() == 16 * 8 + 32 + (72 + 32 + 128 + 64) + (144 + 64 + 512 + 128) + 330


@pytest.mark.parametrize("shape", [(12, 12, 1), (14, 10, 3)])
def test_the_patches_of_separable_are_those_of_a_convolution(shape: tuple[int, int, int]) -> None:
    """A kernel of 4 x 4 and a stride of 4, with black pixels right of an image whose width is no multiple of 4."""
    height, width, channels = shape
    model = build_network("separable", shape, 3, 0.0, (5, 3, 4))
    convolution = next(layer for layer in model.layers if type(layer).__name__ == "Conv2D")
    images = np.random.default_rng(0).random((2, *shape), np.float32)
    got = keras.Model(model.inputs[0], convolution.output)(images).numpy()
    kernel = convolution.kernel.numpy().reshape(4, 4, channels, 5)
    padded = np.pad(images, ((0, 0), (-height % 4 // 2, -height % 4 - -height % 4 // 2), (0, -width % 4), (0, 0)))
    tiles = padded.reshape(2, padded.shape[1] // 4, 4, padded.shape[2] // 4, 4, channels)
    np.testing.assert_allclose(got, np.einsum("naibjc,ijcf->nabf", tiles, kernel), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(4, 4, 1), (12, 12, 1), (29, 27, 2), (32, 48, 3)])
def test_they_take_images_of_at_least_4_x_4(name: NetworkName, shape: tuple[int, int, int]) -> None:
    model = build_network(name, shape, 3, 0.0, (2, 3, 4))
    assert (model.input_shape, model.output_shape) == ((None, *shape), (None, 3))


@pytest.mark.parametrize("shape", [(3, 28, 1), (28, 3, 3), (2, 2, 1)])
@pytest.mark.parametrize(("name", "title"), [("cnn", "the CNN"), ("strided", "the strided network")])
def test_images_that_are_too_small_are_refused_in_a_line(name: NetworkName, title: str, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=rf"\b{shape[0]} x {shape[1]}\b.*small for {title} .*\b4 x 4"):
        build_network(name, shape, 10, 0.0, (8, 8, 8))


@pytest.fixture(scope="module", params=SMALLER)
def run(request: pytest.FixtureRequest, bars: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainConfig]:
    """A short training of a network. Do not write to its folder."""
    folder = tmp_path_factory.mktemp(request.param)
    config = TrainConfig(epochs=2, recipe="notebook", batch_size=8, network=request.param, filters=(4, 6, 8))
    train(bars, config, folder, UNIT)
    return folder, config


def test_their_files_compute_what_keras_does(run: tuple[Path, TrainConfig], bars: Dataset) -> None:
    folder, _ = run
    for model_format in ("tflite", "onnx"):
        export(folder / "model.keras", bars, ExportConfig((model_format,), ("float32", "int8")))
    names = {artifact.path for artifact in Manifest.load(folder).exported}
    assert {"float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"} <= names


def test_the_records_name_the_network(run: tuple[Path, TrainConfig]) -> None:
    folder, config = run
    assert json.loads((folder / "train.json").read_text())["config"]["network"] == config.network
    assert Manifest.load(folder).provenance.train_config["network"] == config.network
    layers = kinds(keras.models.load_model(folder / "model.keras"))
    assert layers == kinds(build_network(config.network, (12, 12, 1), 3, 0.5, config.filters))


@pytest.mark.parametrize("recipe", ["cosine", "notebook"])
def test_only_the_cnn_has_the_recipes_dropout(recipe: RecipeName) -> None:
    images = blank_split()
    usual = {name: resolved(TrainConfig(recipe=recipe, network=name), images).dropout for name in NETWORKS}
    assert usual == {name: RECIPES[recipe].dropout if name == "cnn" else 0.0 for name in NETWORKS}
    assert resolved(TrainConfig(network="strided", dropout=0.2), images).dropout == 0.2

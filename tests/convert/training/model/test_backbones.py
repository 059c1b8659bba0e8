"""Networks of keras.applications by name: their weights, their pixels, and the two phases of their training."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet

import edgecnn as ec
from edgecnn.convert.keras.runtime import load_from_bytes
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model import backbones
from edgecnn.convert.training.model.backbones import BACKBONES, build_backbone
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES
from tests.conftest import Lines
from tests.convert.training.model.weights import shorten_mobilenet, write_weights

SHAPE = (32, 32, 3)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError("no network in tests")

    for module in ("mobilenet", "mobilenet_v2", "mobilenet_v3", "efficientnet", "efficientnet_v2"):
        monkeypatch.setattr(f"keras.src.applications.{module}.file_utils.get_file", refuse)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of weights that are tried, in this process: whose networks they fit may be shortened here alone."""
    names: list[str] = []

    def run(call: Callable[[], None], origin: str, size_bytes: int) -> None:
        names.append(origin)
        call()

    monkeypatch.setattr(backbones, "run_in_child", run)
    return names


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first blocks alone of MobileNet and EfficientNet."""
    shorten_mobilenet(monkeypatch)
    monkeypatch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", efficientnet.DEFAULT_BLOCKS_ARGS[:1])


@pytest.fixture
def weights() -> str:
    """A file of weights as Keras saves them, made here."""
    return write_weights(Path("net.weights.h5"), SHAPE)


@pytest.fixture
def photos() -> ec.Dataset:
    """Red, green and blue images with noise, in three classes."""
    random, labels = np.random.default_rng(0), np.arange(60) % 3
    images = random.integers(0, 80, (60, *SHAPE), np.uint8)
    images[np.arange(60), :, :, labels] += 150
    np.savez("photos.npz", x_train=images[:48], y_train=labels[:48], x_test=images[48:], y_test=labels[48:])
    return ec.load_dataset("photos.npz")


def test_all_backbones_exist_and_have_layers_for_small_images() -> None:
    for name in BACKBONES:
        with pytest.raises(ConfigError, match=f"transfer={name}:.*ImageNet.*no network in tests"):
            build_backbone(name, SHAPE, None)


def test_a_pixel_goes_in_as_keras_says() -> None:
    """`preprocess_input` of each module is what the named scheme computes."""
    modules = {"MobileNet": "mobilenet", "MobileNetV2": "mobilenet_v2", "MobileNetV3Small": "mobilenet_v3"}
    modules |= {"EfficientNetB0": "efficientnet", "EfficientNetV2B0": "efficientnet_v2"}
    pixels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1).repeat(3, 3)
    for row in BACKBONES.values():
        rule = SCHEMES[row.scheme]
        ours = (pixels * rule.scale - np.array(rule.mean, np.float32)) / np.array(rule.std, np.float32)
        theirs = getattr(keras.applications, modules[row.builder]).preprocess_input(pixels.copy())
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.usefixtures("short")
def test_a_backbone_learns_in_two_phases_and_says_so(photos: ec.Dataset, weights: str, tried: list[str]) -> None:
    told = Lines()
    config = TrainConfig(epochs=2, transfer="mobilenet-0.25", weights=weights, batch_size=16)
    result = ec.train(photos, "out", config=config, progress=told)
    assert tried == [weights]
    record = Manifest.load(Path("out")).provenance.train_config
    assert (record["transfer"], record["weights"], record["fine_tune"]) == ("mobilenet-0.25", weights, "True")
    assert record["source_sha256"] == sha256(Path(weights).read_bytes())
    assert Manifest.load(Path("out")).preprocessing.scale == pytest.approx(1 / 127.5)
    assert re.search(r"last layer: AdamW,.*\b0\.01\b.*all layers: AdamW,.*\b0\.001\b", result.optimizer)
    assert any("Epochs 2 to 2" in text and "train all layers" in text for text in told.lines)
    assert result.history[-1].loss < result.history[0].loss
    base, model = build_backbone("mobilenet-0.25", SHAPE, weights), load_from_bytes(result.path.read_bytes(), "model.keras")
    for layer in base.layers[1:]:
        if layer.weights:
            old, new = layer.get_weights(), model.get_layer(layer.name).get_weights()
            same = all(np.array_equal(*pair) for pair in zip(old, new, strict=True))
            assert same is isinstance(layer, keras.layers.BatchNormalization), layer.name


@pytest.mark.usefixtures("short", "tried")
def test_a_file_of_efficientnet_s_weights_gives_what_keras_computes_with_imagenet_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `weights="imagenet"` Keras builds one layer more than with a file."""
    keras.utils.set_random_seed(5)
    made = keras.applications.EfficientNetB0(include_top=False, input_shape=SHAPE, weights=None)
    made.save_weights("own.weights.h5")  # These were never ImageNet's, and stay as they are.
    for one, other in zip(
        made.get_weights(), build_backbone("efficientnetb0", SHAPE, "own.weights.h5").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    (norm,) = (layer for layer in made.layers if isinstance(layer, keras.layers.Normalization))
    norm.set_weights(list(map(np.array, ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 1))))  # As in Keras's file.
    made.save_weights("net.weights.h5")
    with monkeypatch.context() as patch:
        patch.setattr("keras.src.applications.efficientnet.file_utils.get_file", lambda *given, **named: "net.weights.h5")
        theirs = keras.applications.EfficientNetB0(include_top=False, input_shape=SHAPE, weights="imagenet")
    ours = build_backbone("efficientnetb0", SHAPE, "net.weights.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.float32)
    one, other = (keras.Model(model.input, model.get_layer("stem_conv").output)(pixels) for model in (ours, theirs))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_download_says_nothing_where_results_go(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(backbones, "_built", lambda *given: os.write(1, b"Downloading data"))
    build_backbone("mobilenetv2", (96, 96, 3), None)
    assert capfd.readouterr().out == ""


def test_what_does_not_fit_is_one_error(photos: ec.Dataset, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"transfer=mobilnet is not.*\.keras.* mobilenet-0\.25, mobilenet"):
        TrainConfig(transfer="mobilnet")
    with pytest.raises(ConfigError, match=r"weights belong to.* transfer names"):
        TrainConfig(weights=weights)
    with pytest.raises(ConfigError, match=r"mobilenetv2 takes pixels.*known: omit interface"):
        ec.train(photos, "out", config=TrainConfig(transfer="mobilenetv2"), interface="unit")
    with pytest.raises(ConfigError, match="takes colour images: add channels=3"):
        build_backbone("mobilenetv2", (32, 32, 1), None)
    with pytest.raises(ConfigError, match=r"transfer=mobilenetv2 does not.*\(16, 16, 3\)"):
        build_backbone("mobilenetv2", (16, 16, 3), None)
    with monkeypatch.context() as patch:
        patch.setattr(backbones, "run_in_child", lambda call, *_: call())  # The next one is tried in a child.
        with pytest.raises(ArtifactError, match=r"weights=net\.weights\.h5 does not hold.* mobilenetv2-0\.35"):
            build_backbone("mobilenetv2-0.35", SHAPE, weights)
    Path("no.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(ArtifactError, match=r"no\.weights\.h5 does not hold"):
        build_backbone("mobilenet-0.25", SHAPE, "no.weights.h5")
    with pytest.raises(ArtifactError, match=r"nowhere\.h5 does not exist"):
        build_backbone("mobilenet-0.25", SHAPE, "nowhere.h5")


@pytest.mark.parametrize(
    "config", [TrainConfig(transfer="mobilenet-0.25", weights="nowhere.h5"), TrainConfig(teacher="nowhere.h5")]
)
def test_a_missing_file_is_named_before_the_images_are_read(config: TrainConfig) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere\.h5 does not exist"):
        ec.train("no such images", "out", config=config)

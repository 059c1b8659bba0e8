"""edgecnn's own converter from Keras to ONNX on whole networks: edgecnn's own, and those of keras.applications."""

from typing import Any

import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgecnn.convert.onnx.convert import converted
from edgecnn.convert.onnx.keras_source import KerasSource
from edgecnn.edge.runtimes import opener_for
from tools.claims.converters import images_of, settle


def answers(model: Any, images: NDArray[np.float32], channels_first: bool) -> NDArray[np.float32]:
    source = KerasSource(model, images.shape[1:], "float32", "probabilities", channels_first=channels_first)
    data = converted(source, "edgecnn").data
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    return opener_for("onnx").open_model(data, 1).run(images.transpose(0, 3, 1, 2) if channels_first else images)


@pytest.mark.parametrize("channels_first", [False, True])
def test_each_of_edgecnn_s_networks_computes_the_same(own_network: tuple[Any, ...], channels_first: bool) -> None:
    model, images, expected = own_network
    assert np.abs(answers(model, images, channels_first) - expected).max() <= 1e-5


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("MobileNet", 32),
        ("MobileNetV2", 96),
        ("MobileNetV3Small", 32),
        ("EfficientNetB0", 96),
        ("EfficientNetV2B0", 96),
        ("ResNet50", 96),
        ("ResNet50V2", 96),
        ("DenseNet121", 32),
        ("ConvNeXtTiny", 32),
        ("InceptionV3", 96),
        ("InceptionResNetV2", 75),
        ("Xception", 71),
    ],
)
def test_networks_of_keras_compute_the_same(name: str, side: int) -> None:
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(input_shape=(side, side, 3), weights=None, classes=10)
    images = images_of((side, side, 3))
    settle(model, images)
    expected = np.asarray(model(images))  # `predict` would compile it with XLA, which takes longer than all else here.
    assert np.ptp(expected, axis=0).max() > 0.02
    found = answers(model, images, channels_first=False)
    assert np.abs(found - expected).max() <= 1e-5
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))

"""The CNN is the mission's, layer by layer."""

import pytest

from edgecnn.convert.training.model.networks import build_cnn
from edgecnn.edge.errors import ConfigError


def test_the_cnn_has_the_missions_layers_and_parameters() -> None:
    model = build_cnn((28, 28, 1), 10)
    stage = ["Conv2D", "BatchNormalization", "ReLU"]
    expected = [*stage, "MaxPooling2D", *stage, "MaxPooling2D", *stage, "Flatten", "Dropout", "Dense"]
    assert [type(layer).__name__ for layer in model.layers] == expected
    assert model.count_params() == 34_890
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == 34_698
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert {(layer.filters, layer.kernel_size, layer.padding) for layer in convolutions} == {(32, (3, 3), "same")}
    assert model.layers[-2].rate == 0.5
    assert model.layers[-1].activation.__name__ == "softmax"


@pytest.mark.parametrize(("shape", "classes"), [((12, 12, 1), 3), ((32, 48, 3), 300)])
def test_it_takes_other_images_and_classes(shape: tuple[int, int, int], classes: int) -> None:
    model = build_cnn(shape, classes, dropout=0.1)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, classes)


def test_its_stages_have_as_many_filters_as_asked() -> None:
    model = build_cnn((28, 28, 1), 10, filters=(8, 16, 24))
    assert [layer.filters for layer in model.layers if type(layer).__name__ == "Conv2D"] == [8, 16, 24]
    assert model.count_params() == 80 + 32 + 1168 + 64 + 3480 + 96 + 7 * 7 * 24 * 10 + 10


@pytest.mark.parametrize("shape", [(3, 28, 1), (28, 3, 3), (2, 2, 1)])
def test_images_that_the_poolings_leave_nothing_of_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=rf"\b{shape[0]} x {shape[1]}\b.*small.*CNN.*\b4 x 4"):
        build_cnn(shape, 10)
    assert build_cnn((4, 4, 1), 2).output_shape == (None, 2)

"""The meaning of each axis: the rule for every shape of images and classes."""

import math

import numpy as np
import pytest

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.layout import Layout, has_batch, image_layout, output_columns

Shape = tuple[int | None, ...]


def spec(shape: Shape) -> TensorSpec:
    return TensorSpec("tensor", shape, "float32")


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 16000), r"\(1, 16000\)"),
        ((None, 783), r"\(n, 783\)"),
        ((None, 9), r"\(n, 9\)"),
        ((784,), r"\(784\)"),
        ((None, None, 40), r"\(n, n, 40\)"),
        ((None, 12, 12, 2), r"\(n, 12, 12, 2\)"),
        ((None, 2, 12, 12), r"\(n, 2, 12, 12\)"),
        ((None, 3, 12, 3), r"\(n, 3, 12, 3\)"),
        ((2, 3, 3), r"\(2, 3, 3\)"),
        ((1, 1, 28), r"\(1, 1, 28\)"),
        ((1, 2, 12, 12, 1), r"\(1, 2, 12, 12, 1\)"),
        ((12,), r"\(12\)"),
        ((), r"\(\)"),
    ],
)
def test_an_input_that_is_no_image_is_refused_and_its_shape_shown(shape: Shape, text: str) -> None:
    message = rf"^speech\.tflite takes {text}, which is not an image of 1 or 3 channels: give an image classifier$"
    with pytest.raises(ArtifactError, match=message):
        image_layout(spec(shape), "speech.tflite")


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_row_of_word_numbers_is_no_image(dtype: str) -> None:
    with pytest.raises(ArtifactError, match=r"text\.tflite takes \(n, 64\), which is not an image"):
        image_layout(TensorSpec("words", (None, 64), dtype), "text.tflite")


@pytest.mark.parametrize(
    "shape", [(None, None, None, 3), (1, 3, None, None), (None, 12, None, 1), (None, 12, 12, None), (None, None, 3)]
)
def test_an_image_of_free_size_is_refused_with_how_to_fix_it(shape: Shape) -> None:
    with pytest.raises(ArtifactError, match=r"^x\.onnx takes \(.*n.*\), .*size.* free"):
        image_layout(spec(shape), "x.onnx")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None, 96, 64, 3), Layout((96, 64, 3), (96, 64, 3), None)),
        ((1, 28, 28, 1), Layout((28, 28, 1), (28, 28, 1), 1)),
        ((8, 96, 64, 3), Layout((96, 64, 3), (96, 64, 3), 8)),
        ((None, 3, 96, 64), Layout((96, 64, 3), (3, 96, 64), None)),
        ((2, 1, 28, 20), Layout((28, 20, 1), (1, 28, 20), 2)),
        ((3, 3, 96, 64), Layout((96, 64, 3), (3, 96, 64), 3)),
        ((None, 28, 20), Layout((28, 20, 1), (28, 20), None)),
        ((1, 28, 20), Layout((28, 20, 1), (28, 20), 1)),
        ((8, 28, 20), Layout((28, 20, 1), (28, 20), 8)),
        ((96, 64, 3), Layout((96, 64, 3), (96, 64, 3), 0)),
        ((28, 20, 1), Layout((28, 20, 1), (28, 20, 1), 0)),
        ((3, 96, 64), Layout((96, 64, 3), (3, 96, 64), 0)),
        ((28, 20), Layout((28, 20, 1), (28, 20), 0)),
        ((1, 4, 4, 1), Layout((4, 4, 1), (4, 4, 1), 1)),
        ((None, 784), Layout((28, 28, 1), (784,), None)),
        ((1, 784), Layout((28, 28, 1), (784,), 1)),
    ],
)
def test_an_image_is_found_in_every_order_with_and_without_a_batch(shape: Shape, expected: Layout) -> None:
    assert image_layout(spec(shape), "x") == expected


@pytest.mark.parametrize("shape", [(None, 5, 4, 3), (None, 3, 5, 4), (3, 5, 4), (None, 1, 5, 4), (None, 5, 4), (None, 25)])
def test_every_pixel_goes_where_the_file_has_it(shape: Shape) -> None:
    layout = image_layout(spec(shape), "x")
    images = np.arange(2 * math.prod(layout.shape)).reshape(2, *layout.shape)
    arranged = layout.arrange(images)
    assert arranged.shape == (2, *layout.item)
    assert arranged.flags.c_contiguous
    for n, y, x, c in np.ndindex(images.shape):
        where = {1: 5 * y + x, 2: (y, x), 3: (y, x, c) if layout.item == layout.shape else (c, y, x)}[len(layout.item)]
        assert arranged[n][where] == images[n, y, x, c]


@pytest.mark.parametrize(
    ("shape", "batch"),
    [((None, 5, 3), None), ((1, 5, 3), 1), ((5, 3, 1), 0), ((None, None, 4), None), ((None, 5, None), None), ((), 0)],
)
def test_an_output_of_several_axes_or_none_is_no_classifiers(shape: Shape, batch: int | None) -> None:
    with pytest.raises(ArtifactError, match=r"^x\.onnx (takes 1 image.*)?gives \(.*\).*classifier$"):
        output_columns(spec(shape), batch, "x.onnx")


@pytest.mark.parametrize(("shape", "batch"), [((2, 10), 1), ((3, 10), 0), ((1, 10), 4), ((8,), 4), ((10, 1), 0)])
def test_an_output_of_another_batch_than_the_input_is_refused(shape: Shape, batch: int) -> None:
    with pytest.raises(ArtifactError, match=rf"^x takes {batch or 1} images?.*gives \("):
        output_columns(spec(shape), batch, "x")


@pytest.mark.parametrize(
    ("shape", "batch", "columns"),
    [
        ((None, 10), None, 10),
        ((1, 10), 1, 10),
        ((None, 10), 1, 10),
        ((1, 1000, 1, 1), 1, 1000),
        ((None, 1, 1, 1001), None, 1001),
        ((4, 10), 4, 10),
        ((10,), 0, 10),
        ((1, 10), 0, 10),
        ((10,), 1, 10),
        ((None, 1), None, 1),
        ((1, 1), 1, 1),
        ((1,), 0, 1),
        ((None,), None, 1),
        ((4,), 4, 1),
        ((None, None), None, None),
        ((1, None), 1, None),
    ],
)
def test_the_classes_of_one_image_are_counted(shape: Shape, batch: int | None, columns: int | None) -> None:
    assert output_columns(spec(shape), batch, "x") == columns


@pytest.mark.parametrize(
    ("shape", "batched"),
    [
        ((), False),
        ((15_600,), False),
        ((None,), False),
        ((None, 784), True),
        ((1, 784), True),
        ((28, 28), False),
        ((28, 28, 1), False),
        ((3, 28, 28), False),
        ((None, 28, 28), True),
        ((8, 28, 28, 3), True),
        ((1, 2, 28, 28, 3), True),
    ],
)
def test_the_first_axis_counts_images_only_where_it_can(shape: tuple[int | None, ...], batched: bool) -> None:
    assert has_batch(shape) == batched

"""The picture that README.md sends to `edgecnn serve`."""

from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.edge.data.dataset import load_test

DIGIT = Path(__file__).parents[2] / "examples" / "digit.png"


def test_the_picture_is_test_image_47_of_mnist() -> None:
    with Image.open(DIGIT) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), load_test().images(range(47, 48))[0, :, :, 0])

"""edge reads and computes the same without Keras as Keras does."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.data.image_folder import load_image_folder
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.model.preprocess import input_table, to_input


@pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])
def test_a_scheme_is_what_keras_computes(mode: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    # The public function has only the default mode; each application passes its own.
    expected = keras.src.applications.imagenet_utils.preprocess_input(images.astype(np.float32), mode=mode)
    inputs = to_input(images, input_table(SCHEMES[mode], TensorSpec("image", (), "float32")))
    np.testing.assert_allclose(inputs, expected, rtol=0, atol=2e-5 if mode == "caffe" else 1e-6)


def test_images_come_with_the_label_of_their_folder_in_the_order_of_keras(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "Ant", "dog"):
        for part, count in (("train", 6), ("test", 2)):
            place = tmp_path / part / name
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (10, 8, 3)).astype(np.uint8)).save(place / f"{number:02}.png")
    theirs = keras.utils.image_dataset_from_directory(
        tmp_path / "train", image_size=(10, 8), shuffle=False, batch_size=None, verbose=False
    )
    ours = load_image_folder(tmp_path, NO_OPTIONS, None)
    assert ours.class_names == tuple(theirs.class_names) == ("Ant", "cat", "dog")
    train = ours.splits["train"]
    images, labels = zip(*theirs.as_numpy_iterator(), strict=True)
    assert train.labels.tolist() == list(labels) == [0] * 6 + [1] * 6 + [2] * 6
    np.testing.assert_array_equal(train.images(range(18)), np.array(images, np.uint8))
    assert ours.splits["test"].labels.tolist() == [0, 0, 1, 1, 2, 2]

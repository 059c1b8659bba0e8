"""edge reads and computes the same without Keras as Keras does, and loads datasets by name with its loaders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.dataset import load_dataset, load_test
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.data.image_folder import load_image_folder
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.model.preprocess import input_table, to_input

FASHION = Path("/usr/share/datasets/fashion-mnist")


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


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10", "cifar100"])
def test_without_a_network_the_message_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline() -> None:
        print("Downloading data from https://storage.example/set.gz")
        raise Exception("URL fetch failure on https://storage.example/set.gz: None -- [Errno -3] Temporary failure")

    monkeypatch.setattr(getattr(keras.datasets, name.replace("-", "_")), "load_data", offline)
    for load in (load_dataset, load_test):
        reason = r"https://storage\.example/set\.gz: .*\[Errno -3\]"
        with pytest.raises(ConfigError, match=rf"^{name} can't be loaded.*{reason}.*online.*~/\.keras/datasets.* data$"):
            load(name)


def test_what_keras_prints_does_not_stand_among_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    parts = [(rng.integers(0, 256, (50, 32, 32, 3)).astype(np.uint8), np.arange(50)[:, None] % 10) for _ in range(2)]

    def load_data() -> object:
        print("Downloading data")
        return parts

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)
    dataset = load_dataset("cifar10")
    assert capsys.readouterr().out == ""
    assert (dataset.name, dataset.source, dataset.train.shape) == ("cifar10", "keras", (32, 32, 3))
    assert dataset.class_names[3] == "cat"
    np.testing.assert_array_equal(dataset.test.images(range(50)), parts[1][0])
    assert dataset.test.labels.tolist() == parts[1][1][:, 0].tolist()


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_comes_through_keras_and_its_cache(tmp_path: Path) -> None:
    shutil.copytree(FASHION, tmp_path / "datasets" / "fashion-mnist")
    code = (
        "from edgecnn.edge.data.dataset import load_dataset; d = load_dataset('fashion-mnist'); "
        "print(d.describe()); print(d.test.sha256, d.image_rule.fit, d.image_rule.background)"
    )
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "no_proxy": "", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert all(part in first for part in ("fashion-mnist (keras)", "60,000 training", "10,000 test", "(28, 28, 1)"))
    assert second.startswith("10 labels: T-shirt/top, Trouser, ")
    # The same files, read as a folder of IDX files.
    assert third == f"{load_test(FASHION).sha256} letterbox dark"

"""Datasets loaded by name with Keras's loaders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from edgecnn.edge.data.dataset import load_dataset, load_test
from edgecnn.edge.errors import ConfigError

FASHION = Path("/usr/share/datasets/fashion-mnist")


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

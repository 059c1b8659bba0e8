"""The images of a model or a result: others are never mistaken for them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.data.recorded_images import images_at_hand, recorded_images
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import model_test_images, model_test_record, split_note
from edgecnn.edge.manifest import DatasetRecord, Fitted, SplitOff
from edgecnn.edge.model.interface import SCHEMES, Interface

FILE = Path("float32.tflite")


@pytest.fixture
def own(artifacts: Path) -> Classifier:
    return Classifier.load(artifacts / "float32.tflite")


@pytest.fixture
def bare(artifacts: Path) -> Classifier:
    (artifacts / "manifest.json").unlink()
    return Classifier.load(artifacts / "float32.tflite", interface=Interface(SCHEMES["unit"]))


@pytest.fixture
def pictures(idx_folder: Path, tmp_path: Path) -> Path:
    """The test images as light, larger PNG files, of the classes 2 and 0."""
    test = load_dataset(idx_folder).test
    for number, (image, label) in enumerate(zip(test.images(range(60)), test.labels, strict=True)):
        if label != 1:
            (tmp_path / "paper" / "test" / str(label)).mkdir(parents=True, exist_ok=True)
            large = Image.fromarray(255 - image[..., 0]).resize((36, 24))
            large.save(tmp_path / "paper" / "test" / str(label) / f"{number:02}.png")
    return tmp_path / "paper"


def test_a_models_own_images_are_where_its_manifest_says(own: Classifier, idx_folder: Path) -> None:
    assert model_test_images(FILE, own, None, NO_OPTIONS).sha256 == load_dataset(idx_folder).test.sha256


def test_images_that_changed_since_are_not_the_models_own(own: Classifier, idx_folder: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(idx_folder, tmp_path / "moved"))
    shutil.copy(moved / "train-images-idx3-ubyte.gz", moved / "t10k-images-idx3-ubyte.gz")
    shutil.copy(moved / "train-labels-idx1-ubyte.gz", moved / "t10k-labels-idx1-ubyte.gz")
    assert own.manifest is not None
    record = replace(own.manifest.dataset, source=str(moved))
    for data in (None, moved):
        with pytest.raises(ConfigError, match="not the model's test images"):
            recorded_images(record, data, own.class_names)
    # Other images may be measured on request.
    assert len(model_test_images(FILE, own, str(moved), NO_OPTIONS).labels) == 240


def test_images_of_another_shape_are_refused(own: Classifier, bare: Classifier, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x_test=np.zeros((6, 12, 5), np.uint8), y_test=np.arange(6))
    for classifier in (own, bare):
        with pytest.raises(ConfigError, match=r"takes.*\(12, 12, 1\).*not.*\(12, 5, 1\).*data"):
            model_test_images(FILE, classifier, tmp_path / "wide.npz", NO_OPTIONS)


def test_image_files_get_the_models_size_and_rule_and_no_option_another(
    own: Classifier, pictures: Path, bare: Classifier
) -> None:
    test = model_test_images(FILE, own, pictures, NO_OPTIONS)
    assert test.shape == (12, 12, 1)
    assert np.unique(test.labels).tolist() == [0, 2]
    path = sorted((pictures / "test" / "0").iterdir())[0]
    expected = read_image(path, own.shape, own.preprocessing)
    assert own.preprocessing.background == "dark"
    np.testing.assert_array_equal(test.images([0])[0], expected)
    test = model_test_images(FILE, bare, pictures, NO_OPTIONS)
    assert test.shape == (12, 12, 1)
    assert test.images([0]).mean() > 128
    with pytest.raises(ConfigError, match="size=9x9 contradicts the model"):
        model_test_images(FILE, bare, pictures, FolderOptions(size=(9, 9)))


def test_images_that_are_not_at_hand_are_said_and_named_ones_must_be(own: Classifier, tmp_path: Path) -> None:
    assert own.manifest is not None
    said: list[str] = []
    record = replace(own.manifest.dataset, source=str(tmp_path / "gone"))
    assert images_at_hand(record, None, own.class_names, said.append) is None
    assert len(said) == 1
    assert all(part in said[0] for part in ("flipped images", "by number only", "the model's images (bars, "))
    with pytest.raises((ConfigError, ArtifactError)):
        images_at_hand(record, tmp_path / "gone", own.class_names, said.append)
    found = images_at_hand(own.manifest.dataset, None, own.class_names, said.append)
    assert found is not None
    assert found.sha256 == own.manifest.dataset.test_sha256


def test_what_was_measured_is_recorded_so_that_it_is_found_again(own: Classifier, bare: Classifier, pictures: Path) -> None:
    assert own.manifest is not None
    test = model_test_images(FILE, own, None, NO_OPTIONS)
    assert model_test_record(own, None, test, NO_OPTIONS) == own.manifest.dataset
    listed = tuple(sorted(f"{path.parent.name}/{path.name}" for path in (pictures / "test").rglob("*.png")))[::2]
    for options in (NO_OPTIONS, FolderOptions(test_list=listed), FolderOptions(test_share=0.5)):
        data = pictures if options == NO_OPTIONS else pictures / "test"
        test = model_test_images(FILE, bare, data, options)
        record = model_test_record(bare, data, test, options)
        assert recorded_images(record, None, bare.class_names).sha256 == test.sha256
        assert (record.split_off is None) == (options.test_share is None)
        assert record.test_list == (options.test_list or ())
        assert record.may_be_learnt == (options.test_share is not None)
    assert (record.source, record.split_off) == (str(pictures / "test"), SplitOff(0.5, 0))
    # Read with the rule of a model trained on dark images: dark on light is inverted, and found again.
    test = model_test_images(FILE, own, pictures, NO_OPTIONS)
    record = model_test_record(own, pictures, test, NO_OPTIONS)
    assert record.fitted == Fitted(own.shape, own.preprocessing.fit, "dark")
    assert recorded_images(record, None, own.class_names).sha256 == test.sha256
    arrays = own.manifest.dataset.source
    record = model_test_record(bare, arrays, model_test_images(FILE, bare, arrays, NO_OPTIONS), NO_OPTIONS)
    assert record == replace(own.manifest.dataset, train_sha256="")


def test_a_share_of_a_folder_is_told() -> None:
    record = DatasetRecord("pets", "/data/pets", "", "hash", split_off=SplitOff(0.2, 4))
    (note,) = split_note(record)
    assert all(part in note for part in ("20% of each class", "pets", "no test/", "split seed 4", "share of 1"))
    assert split_note(replace(record, split_off=SplitOff(1.0, 4))) == []
    assert split_note(replace(record, split_off=None)) == []
    assert split_note(record.of_unknown_training()) == []  # This is said as a doubt instead.

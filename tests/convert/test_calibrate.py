"""The calibration draw is even over the classes, repeatable, and never a test image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.calibrate import choose_calibration
from convert.dataset import Dataset, Split, load_dataset
from edge.errors import ConversionError
from edge.files import sha256


@pytest.fixture
def dataset(idx_folder: Path) -> Dataset:
    return load_dataset(idx_folder)


def test_no_training_image_left_is_an_error(dataset: Dataset) -> None:
    with pytest.raises(ConversionError, match="every training image is also a test image"):
        choose_calibration(replace(dataset, test=dataset.train))


def test_a_training_image_that_is_also_a_test_image_is_passed_over(dataset: Dataset) -> None:
    leaked = replace(dataset, test=Split(dataset.train.images[:120], dataset.train.labels[:120]))
    _, calibration = choose_calibration(leaked, count=60)
    assert min(calibration.indices) >= 120
    assert len(calibration.indices) == 60


def test_classes_are_even(dataset: Dataset) -> None:
    _, calibration = choose_calibration(dataset, count=90)
    assert np.bincount(dataset.train.labels[list(calibration.indices)]).tolist() == [30, 30, 30]


def test_a_small_class_runs_out_without_making_the_others_uneven(dataset: Dataset) -> None:
    kept = np.flatnonzero((dataset.train.labels != 2) | (np.arange(len(dataset.train.labels)) < 12))
    small = replace(dataset, train=Split(dataset.train.images[kept], dataset.train.labels[kept]))
    _, calibration = choose_calibration(small, count=64)
    assert np.bincount(small.train.labels[list(calibration.indices)]).tolist() == [30, 30, 4]


def test_the_draw_is_recorded_so_that_it_can_be_repeated(dataset: Dataset) -> None:
    images, calibration = choose_calibration(dataset, count=30)
    assert np.array_equal(images, dataset.train.images[list(calibration.indices)])
    assert calibration.images_sha256 == sha256(images.tobytes())
    assert choose_calibration(dataset, count=30)[1] == calibration
    assert choose_calibration(dataset, count=30, seed=1)[1].indices != calibration.indices

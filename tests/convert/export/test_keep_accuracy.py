"""Which images choose the layers that stay float, and which judge the chosen file."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.convert.export.keep_accuracy import JudgedImages, judged_images
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.model.preprocess import Floats
from edgecnn.workflows.export import _judge

CLASSES = 4


def images(count: int, copies: int = 0) -> ArraySplit:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 5, 5, 1), np.uint8)
    pixels = np.concatenate([pixels, pixels[:copies]])
    return ArraySplit(pixels, np.arange(count + copies) % CLASSES)


def divided(test: ArraySplit, points: float = 0.5) -> JudgedImages:
    return judged_images(_judge(points), test, answers(test.labels))


def answers(labels: NDArray[np.int64]) -> Floats:
    return np.eye(CLASSES, dtype=np.float32)[labels]


def test_half_of_many_images_judge_what_the_other_half_chose() -> None:
    found = divided(images(4000))
    assert found.held_out is not None
    assert not (found.choosing & found.held_out).any()
    assert np.array_equal(found.choosing | found.held_out, found.every)
    assert 1850 < found.held_out.sum() < 2150


def test_the_same_images_are_held_out_in_any_order() -> None:
    test = images(4000)
    order = np.random.default_rng(1).permutation(4000)
    shuffled = divided(ArraySplit(test.array[order], test.labels[order]))
    found = divided(test)
    assert found.held_out is not None
    assert shuffled.held_out is not None
    assert np.array_equal(found.held_out[order], shuffled.held_out)


def test_of_few_images_none_is_held_out() -> None:
    # A half of 1,500 that loses three images is not shown to be within half a point.
    found = divided(images(3000))
    assert drop_interval(3, 0, 1500).high > 0.005
    assert found.held_out is None
    assert np.array_equal(found.choosing, found.every)
    assert found.every.all()


def test_copies_neither_choose_nor_judge() -> None:
    found = divided(images(4000, copies=500))
    assert found.every[:4000].all()
    assert not found.every[4000:].any()
    assert found.held_out is not None
    assert not (found.choosing | found.held_out)[4000:].any()


@pytest.mark.parametrize("wrong", ["too few", "a guess"])
def test_what_keras_itself_would_not_pass_is_said_at_once(wrong: str) -> None:
    test = images(300 if wrong == "too few" else 4000)
    reference = answers(test.labels if wrong == "too few" else np.roll(test.labels, 1))
    with pytest.raises(ConfigError, match=r"not even.*Keras model would pass"):
        judged_images(_judge(0.5), test, reference)

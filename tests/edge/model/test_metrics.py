"""Accuracy and loss, against numbers computed by hand."""

import math

import numpy as np
import pytest

from edgecnn.edge.model.preprocess import correct, cross_entropy


def test_a_wrong_class_is_not_correct_and_a_tie_goes_to_the_first() -> None:
    probabilities = np.array([[0.1, 0.9], [0.1, 0.9], [0.5, 0.5], [0.5, 0.5]], np.float32)
    assert correct(probabilities, np.array([0, 1, 0, 1])).tolist() == [False, True, True, False]


def test_a_label_of_probability_zero_costs_a_finite_loss() -> None:
    assert cross_entropy(np.array([[0, 1]], np.float32), np.array([0])) == pytest.approx(-math.log(1e-7))


def test_a_perfect_model_loses_nothing_not_minus_nothing() -> None:
    assert f"{cross_entropy(np.eye(3, dtype=np.float32), np.arange(3)):.4f}" == "0.0000"


def test_the_loss_is_the_mean_in_nats_of_the_labels_own_probabilities() -> None:
    probabilities = np.array([[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0, 1]], np.float32)
    expected = (math.log(2) + math.log(4) + 0) / 3
    assert cross_entropy(probabilities, np.array([1, 2, 2])) == pytest.approx(expected)

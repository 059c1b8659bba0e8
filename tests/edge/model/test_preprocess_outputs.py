"""Outputs to probabilities, for every dtype that a model has; accuracy and loss, against numbers computed by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.preprocess import correct, cross_entropy, to_probabilities
from tests.edge.model.tensors import spec


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        *((spec("float32"), [row]) for row in ([2.0, -1, 0], [0.2, 0.2, 0.2], [5, 3, 1], [np.nan, 0.5, 0.5], [np.inf, 0, 0])),
        (spec("float32"), [[0, 1, 0], [0, 0, 0]]),
        *((spec("int8", 1 / 256, -128), [row]) for row in ([127, 127, 127], [-128, -128, -128], [-120, -100, -90])),
    ],
)
def test_logits_and_nan_are_refused(target: TensorSpec, rows: list[list[float]]) -> None:
    with pytest.raises(ArtifactError, match=r"^output tensor .*not class probabilities.*softmax.*logits"):
        to_probabilities(np.array(rows, target.dtype), target)


@pytest.mark.parametrize(("rows", "named"), [([[0.9, 0.2, 0.7], [0.1, 0.8, 0]], True), ([[0.9, -0.2, 0.7]], False)])
def test_a_sigmoid_for_each_class_is_named_as_what_it_may_be(rows: list[list[float]], named: bool) -> None:
    with pytest.raises(ArtifactError, match="not class probabilities") as refused:
        to_probabilities(np.array(rows, np.float32), spec("float32"))
    assert ("each class had a sigmoid of its own" in str(refused.value)) == named


@pytest.mark.parametrize("rows", [[[1.1]], [[-0.1]], [[0.5], [np.nan]], [[3.0]]])
def test_a_probability_of_class_1_is_one(rows: list[list[float]]) -> None:
    with pytest.raises(ArtifactError, match=r"not class probabilities.*softmax.*sigmoid.*NaN"):
        to_probabilities(np.array(rows, np.float32), spec("float32"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_rows_come_back_as_float32(dtype: str) -> None:
    rows = to_probabilities(np.array([[0.25, 0.75, 0], [0, 0, 1]], dtype), spec(dtype))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[0.25, 0.75, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("stored", "target", "expected"),
    [
        # 1.0 itself lies one step beyond int8's largest value; the sum is allowed that.
        ([-128, 127, -128], spec("int8", 1 / 256, -128), [0, 255 / 256, 0]),
        # Three thirds, each rounded down.
        ([-43, -43, -43], spec("int8", 1 / 256, -128), [85 / 256] * 3),
        ([64, 64, 128], spec("uint8", 1 / 256), [0.25, 0.25, 0.5]),
        ([32767, 0, 0], spec("int16", 1 / 32768), [32767 / 32768, 0, 0]),
        ([-128 + 64], spec("int8", 1 / 256, -128), [0.75, 0.25]),
    ],
)
def test_integer_rows_are_read_by_their_scale_within_its_rounding(
    stored: list[int], target: TensorSpec, expected: list[float]
) -> None:
    rows = to_probabilities(np.array([stored], target.dtype), target)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [expected], rtol=0, atol=1e-7)


@pytest.mark.parametrize("rows", [[[np.nan, 1, 2]], [[0, 1, 2], [np.inf, 0, 0]], [[-np.inf, -np.inf, -np.inf]], [[np.nan]]])
def test_logits_that_are_no_numbers_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ArtifactError, match=r"^output tensor has NaN.*infinite logits"):
        to_probabilities(np.array(rows, np.float32), spec("float32"), "logits")


@pytest.mark.parametrize(
    ("rows", "target"),
    [
        (np.random.default_rng(0).dirichlet([1, 1, 1, 1], 20).astype(np.float32), spec("float32")),
        (np.full((20, 4), -64, np.int8), spec("int8", 1 / 256, -128)),
    ],
)
def test_probabilities_are_not_taken_for_logits(rows: NDArray[np.float32], target: TensorSpec) -> None:
    with pytest.raises(ArtifactError, match=r"^output tensor .*already probabilities.*omit logits$"):
        to_probabilities(rows, target, "logits")
    # Few rows may sum to 1 by chance; so may one number be 1.
    assert to_probabilities(rows[:19], target, "logits").shape == (19, 4)
    assert to_probabilities(np.ones((20, 1), np.float32), spec("float32"), "logits").shape == (20, 2)


@pytest.mark.parametrize(("size", "dtype"), [(1, "float32"), (1000, "float32"), (20_000, "float16")])
def test_logits_become_their_softmax_without_overflow(size: float, dtype: str) -> None:
    logits = np.array([[1, 2, 3, -1]], dtype) * np.dtype(dtype).type(size)
    powers = np.exp(logits.astype(np.float64) - float(logits.max()))
    rows = to_probabilities(logits, spec(dtype), "logits")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, powers / powers.sum(), rtol=1e-6, atol=1e-12)


def test_quantized_logits_are_read_by_their_scale_first() -> None:
    rows = to_probabilities(np.array([[10, 20, -5]], np.int8), spec("int8", 0.1, 3), "logits")
    powers = np.exp([0.7, 1.7, -0.8])
    np.testing.assert_allclose(rows, [powers / powers.sum()], rtol=1e-6)


@pytest.mark.parametrize(("logit", "probability"), [(0, 0.5), (2, 1 / (1 + np.exp(-2))), (-200, 0), (200, 1)])
def test_one_logit_becomes_two_classes_by_its_sigmoid(logit: float, probability: float) -> None:
    rows = to_probabilities(np.array([[logit]], np.float32), spec("float32"), "logits")
    np.testing.assert_allclose(rows, [[1 - probability, probability]], rtol=1e-6, atol=1e-12)


def test_one_probability_is_of_class_1() -> None:
    rows = to_probabilities(np.array([[0.25], [1]], np.float32), spec("float32"))
    np.testing.assert_array_equal(rows, [[0.75, 0.25], [0, 1]])


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
@pytest.mark.parametrize("columns", [1, 3])
def test_no_rows_are_no_error(columns: int, kind: str) -> None:
    rows = to_probabilities(np.empty((0, columns), np.float32), spec("float32"), kind)
    assert rows.shape == (0, max(2, columns))


def test_many_quantized_classes_are_told_from_logits_by_each_value() -> None:
    """300 steps of rounding allow a row any sum, and no value more than one step beyond 1."""
    logits = np.random.default_rng(0).normal(0, 5, (40, 300)).astype(np.float32)
    logits -= logits.mean(axis=1, keepdims=True)
    stored = np.rint(logits / 0.2).clip(-128, 127).astype(np.int8)
    with pytest.raises(ArtifactError, match="is not class probabilities"):
        to_probabilities(stored, spec("int8", 0.2))
    expected = np.exp(stored * 0.2) / np.exp(stored * 0.2).sum(axis=1, keepdims=True)
    assert to_probabilities(stored, spec("int8", 0.2), "logits") == pytest.approx(expected, abs=1e-5)
    softmax = np.rint(expected * 256 - 128).clip(-128, 127).astype(np.int8)
    assert to_probabilities(softmax, spec("int8", 1 / 256, -128)).shape == (40, 300)


@pytest.mark.parametrize("classes", [300, 600, 1000])
def test_of_many_classes_no_two_are_nearly_certain(classes: int) -> None:
    rows = np.zeros((2, classes), np.float32)
    rows[:, :2] = 0.95
    for target in ("int8", "float32"):
        stored = np.rint(rows * 256 - 128).astype(np.int8) if target == "int8" else np.rint(rows * 256) / np.float32(256)
        with pytest.raises(ArtifactError, match="is not class probabilities"):
            to_probabilities(stored, spec(target, 1 / 256, -128) if target == "int8" else spec(target))


def test_an_even_answer_of_1000_classes_may_round_to_0_and_its_loss_is_a_number() -> None:
    rows = to_probabilities(np.full((1, 1000), -128, np.int8), spec("int8", 1 / 256, -128))
    assert cross_entropy(rows, np.array([3])) == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize("step", [1 / 256, 1 / 255])
def test_float_outputs_that_were_8_bit_inside_may_sum_to_1_as_roughly(step: float) -> None:
    probabilities = np.random.default_rng(0).dirichlet([0.3] * 10, 50)
    rows = (np.rint(probabilities / step) * step).astype(np.float32)
    assert np.abs(rows.sum(axis=1) - 1).max() > 2e-3
    np.testing.assert_array_equal(to_probabilities(rows, spec("float32")), rows)
    with pytest.raises(ArtifactError, match=r"not class probabilities.*sum to 1"):
        to_probabilities(rows + np.float32(step / 3), spec("float32"))
    with pytest.raises(ArtifactError, match="is not class probabilities"):
        to_probabilities(np.rint(rows), spec("float32"))  # Whole numbers are steps of 1/256 too: rows of 0 sum to 0.


def test_a_wrong_class_is_not_correct_and_a_tie_goes_to_the_first() -> None:
    probabilities = np.array([[0.1, 0.9], [0.1, 0.9], [0.5, 0.5], [0.5, 0.5]], np.float32)
    assert correct(probabilities, np.array([0, 1, 0, 1])).tolist() == [False, True, True, False]


def test_the_loss_is_the_mean_of_the_labels_own_probabilities_in_nats_and_finite() -> None:
    assert cross_entropy(np.array([[0, 1]], np.float32), np.array([0])) == pytest.approx(-math.log(1e-7))
    assert f"{cross_entropy(np.eye(3, dtype=np.float32), np.arange(3)):.4f}" == "0.0000"
    probabilities = np.array([[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0, 1]], np.float32)
    expected = (math.log(2) + math.log(4) + 0) / 3
    assert cross_entropy(probabilities, np.array([1, 2, 2])) == pytest.approx(expected)

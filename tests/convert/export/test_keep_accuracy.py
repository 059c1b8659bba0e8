"""A file that computes something else is no export; a badly quantized one passes with few layers in float, or is reported."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.convert.diagnose import LayerError, diagnose
from edgecnn.convert.export.keep_accuracy import JudgedImages, check_parity, judged_images, mend
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ConfigError, ConversionError, GateFailed
from edgecnn.edge.model.preprocess import Floats
from edgecnn.workflows.export import _judge
from tests.convert.conftest import quantized

REFERENCE: Floats = np.array([[0.9, 0.1], [0.50001, 0.49999]], np.float32)


def off_by(difference: float) -> Floats:
    return np.array([[0.9 - difference, 0.1 + difference], [0.50001, 0.49999]], np.float32)


@pytest.mark.parametrize(("precision", "difference"), [("float32", 2e-4), ("float16", 3e-2)])
def test_a_difference_beyond_the_tolerance_fails(precision: str, difference: float) -> None:
    with pytest.raises(ConversionError, match=r"name\.tflite differs from Keras.*nothing is exported: name.*formats"):
        check_parity("name.tflite", precision, off_by(difference), REFERENCE)


def test_another_shape_or_class_fails_even_where_the_difference_is_small_and_a_tie_is_none() -> None:
    flipped = REFERENCE.copy()
    flipped[1] = flipped[1, ::-1]
    with pytest.raises(ConversionError, match=r"another class.*Keras for 1 images"):
        check_parity("float32.onnx", "float32", flipped, REFERENCE)
    tie = np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)
    tie[0] += np.array([1e-7, -1e-7], np.float32)
    turned = tie.copy()
    turned[0] = turned[0, ::-1]
    assert turned.argmax(axis=1).tolist() != tie.argmax(axis=1).tolist()
    assert check_parity("float32.onnx", "float32", turned, tie).same_class == 1
    with pytest.raises(ConversionError, match=r"gives \(1, 2\),.*Keras \(2, 2\)"):
        check_parity("int8.tflite", "int8", REFERENCE[:1], REFERENCE)


def test_the_largest_difference_and_the_agreement_are_measured() -> None:
    parity = check_parity("int8.tflite", "int8", off_by(0.5), REFERENCE)
    assert (parity.images, parity.same_class) == (2, 1)
    assert parity.max_difference == pytest.approx(0.5, abs=1e-6)


CLASSES = 4


def images(count: int, copies: int = 0) -> ArraySplit:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 5, 5, 1), np.uint8)
    pixels = np.concatenate([pixels, pixels[:copies]])
    return ArraySplit(pixels, np.arange(count + copies) % CLASSES)


def divided(test: ArraySplit) -> JudgedImages:
    return judged_images(_judge(0.5), test, answers(test.labels))


def answers(labels: NDArray[np.int64]) -> Floats:
    return np.eye(CLASSES, dtype=np.float32)[labels]


def test_half_of_many_images_judge_what_the_other_half_chose_in_any_order() -> None:
    test = images(4000)
    found = divided(test)
    assert found.held_out is not None
    assert not (found.choosing & found.held_out).any()
    assert np.array_equal(found.choosing | found.held_out, found.every)
    assert 1850 < found.held_out.sum() < 2150
    order = np.random.default_rng(1).permutation(4000)
    shuffled = divided(ArraySplit(test.array[order], test.labels[order]))
    assert shuffled.held_out is not None
    assert np.array_equal(found.held_out[order], shuffled.held_out)


def test_of_few_images_none_is_held_out_and_copies_neither_choose_nor_judge() -> None:
    # A half of 1,500 that loses three images is not shown to be within half a point.
    found = divided(images(3000))
    assert drop_interval(3, 0, 1500).high > 0.005
    assert found.held_out is None
    assert np.array_equal(found.choosing, found.every)
    assert found.every.all()
    found = divided(images(4000, copies=500))
    assert found.every[:4000].all()
    assert not found.every[4000:].any()
    assert found.held_out is not None
    assert not (found.choosing | found.held_out)[4000:].any()


@pytest.mark.parametrize("wrong", ["too few", "a guess"])
def test_what_keras_itself_would_not_pass_is_said_at_once(wrong: str) -> None:
    test = images(300 if wrong == "too few" else 4000)
    reference = answers(test.labels if wrong == "too few" else np.roll(test.labels, 1))
    with pytest.raises(ConfigError, match=r"not even the float model itself would pass"):
        judged_images(_judge(0.5), test, reference)


def layer(*keep: str) -> LayerError:
    return LayerError(keep[0], "CONV_2D", 3.0, 40.0, 0.0, 0.5, 1.5, 0.0, keep)


def quantize(keep: Sequence[str]) -> bytes:
    return ",".join(keep).encode()


def test_nothing_that_passes_is_an_error() -> None:
    with pytest.raises(GateFailed, match=r"int8\.onnx.*not accurate.* 3 choices.*last.*\b2: ship"):
        mend("int8.onnx", quantize, lambda data: [layer("a"), layer("b")], lambda data: False)


def test_it_stops_after_20_files() -> None:
    judged: list[bytes] = []
    steps: list[str] = []

    def fail(data: bytes) -> bool:
        judged.append(data)
        return False

    with pytest.raises(GateFailed, match="any of 20 choices"):
        mend("f", quantize, lambda data: [layer(data.decode() + "x")], fail, on_step=steps.append)
    assert len(judged) == len(set(judged)) == 20
    assert len(steps) == 19


def test_the_worst_layer_of_each_file_goes_back_until_it_passes() -> None:
    assert mend("f", quantize, lambda data: [layer("a")], lambda data: True) == (b"", ())
    steps: list[str] = []
    ranked = {b"": [layer("a", "b"), layer("c")], b"a,b": [layer("b", "a"), layer("b", "d"), layer("c")]}
    mended = mend("f", quantize, lambda data: ranked[data], lambda data: b"d" in data, on_step=steps.append)
    assert mended == (b"a,b,d", ("a", "b", "d"))
    assert steps == ["f: CONV_2D a loses most: 2 operators in float", "f: CONV_2D b loses most: 3 operators in float"]


@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
def test_the_bad_network_is_mended_by_its_wild_layer(bad_network: Any, model_format: str) -> None:
    float32 = bad_network.float32[model_format]
    with_float = partial(quantized, float32, model_format, bad_network.inputs[:100])
    accuracies: list[float] = []

    def passes(data: bytes) -> bool:
        accuracies.append(bad_network.accuracy(data, model_format))
        return accuracies[-1] > 0.99

    data, layers = mend(
        f"int8.{model_format}",
        with_float,
        lambda data: diagnose(float32, data, model_format, bad_network.inputs[:30]).layers,
        passes,
    )
    changed = [{word for word in ("wild", "pooled", "following") if word in name} for name in layers]
    assert all(changed)
    assert set().union(*changed) == {"wild", "pooled", "following"}
    plain, _ = accuracies
    assert plain < 0.7
    assert len(with_float(())) < len(data)

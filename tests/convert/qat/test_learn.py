"""Training for integers: what learns is what the int8 file computes, and a network that 8 bits spoil learns to bear them."""

from collections.abc import Iterator
from typing import Any, cast

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Learnt
from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.convert.onnx.converter import activations, calibrate_onnx, onnx_scales, prepare_onnx, quantize_onnx
from edgecnn.convert.qat import graph
from edgecnn.convert.qat.graph import FloatGraph, NotTrainable, require_same
from edgecnn.convert.qat.learn import IntegerNetwork, Lesson, Lessons, learn
from edgecnn.convert.qat.onnx import matched_ranges, with_learnt_weights
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import quantize_tflite, tflite_steps
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.runtimes import opener_for
from tests.bad_network import BadNetwork
from tests.convert.tflite.conftest import run, stored

layers = keras.layers
_SHAPE = (12, 12, 3)


def _images(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 1, (count, *_SHAPE)).astype(np.float32)


def _strided(image: Any) -> Any:
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(layers.ZeroPadding2D(1)(image))
    return layers.Flatten()(layers.AveragePooling2D(2)(layers.ReLU(6)(layers.BatchNormalization()(x))))


def _separable(image: Any) -> Any:
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(image)
    return layers.Conv2D(8, 1, activation="hard_swish")(layers.LeakyReLU(negative_slope=0.125)(x))


def _residual(image: Any) -> Any:
    x = layers.MaxPooling2D(2)(layers.Conv2D(6, 3, padding="same", activation="relu")(image))
    y = layers.Conv2D(6, 3, padding="same", dilation_rate=2)(x)
    z = layers.Concatenate()([layers.Add()([x, y]), layers.Multiply()([x, layers.Activation("sigmoid")(y)])])
    return layers.Dense(12, activation="tanh")(layers.Flatten()(z))


def _joined(image: Any) -> Any:
    """Two tensors of different ranges, which the int8 file brings to one before it joins them."""
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    return layers.Flatten()(layers.Concatenate()([x, layers.Conv2D(6, 3, padding="same")(x)]))


def _grouped(image: Any) -> Any:
    return layers.Conv2D(6, 3, groups=2, strides=2)(layers.Conv2D(4, 3, activation="relu")(image))


def _extremes(image: Any) -> Any:
    x, y = (layers.Conv2D(8, 3, activation=name)(image) for name in ("elu", "gelu"))
    return layers.GlobalMaxPooling2D()(layers.Maximum()([x, y]))


def _excited(image: Any) -> Any:
    """Eight channels with a factor each, whose tensor the converter gives a shape without a batch axis."""
    x = layers.Conv2D(8, 3, activation="relu")(image)
    wide = keras.initializers.RandomNormal(0, 9, seed=2)
    y = layers.Dense(8, activation="sigmoid", kernel_initializer=wide)(layers.GlobalAveragePooling2D()(x))
    return layers.Multiply()([x, layers.Reshape((1, 1, 8))(y)])


def _residual_of_one_pixel(image: Any) -> Any:
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(8, 3)(image))
    return layers.Flatten()(layers.Add()([x, layers.Conv2D(8, 1, activation="relu")(x)]))


def _network(body: Any) -> Any:
    keras.utils.set_random_seed(1)
    image = keras.Input(_SHAPE)
    x = body(image)
    x = layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x
    # Without a softmax, which is steep where large scores differ by a step. With large weights, they depend on the image.
    return keras.Model(image, layers.Dense(5, kernel_initializer=keras.initializers.RandomNormal(seed=1))(x))


def _answers(data: bytes, images: NDArray[np.float32]) -> tuple[NDArray[Any], float, int]:
    """Return the file's int8 outputs (n, classes), and their scale and zero point."""
    given = opener_for("tflite").open_model(data, 1).output_spec.quantization
    assert given
    return run(data, stored(data, images)), given.scales[0], given.zero_points[0]


def _batches(inputs: NDArray[Any], labels: NDArray[np.int64], size: int = 32) -> Any:
    def epoch(number: int) -> Iterator[Lesson]:
        order = np.random.default_rng(number).permutation(len(inputs))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield inputs[chosen], labels[chosen]

    return epoch


def _lessons(
    inputs: NDArray[Any], epochs: int, labels: NDArray[np.int64] | None = None, seen: list[float] | None = None
) -> Lessons:
    losses = [] if seen is None else seen
    labels = np.arange(len(inputs)) % 5 if labels is None else labels
    batches = _batches(inputs, labels)
    return Lessons(epochs, -(-len(inputs) // 32), batches, None, lambda epoch, batch, loss: losses.append(loss))


@pytest.fixture(scope="module", params=[_strided, _separable, _residual, _joined, _grouped, _extremes])
def taught(request: pytest.FixtureRequest) -> tuple[Any, Learnt]:
    """A Keras model, and what its file has learnt."""
    model = _network(request.param)
    return model, _teach(to_tflite(model, "float32", _SHAPE, "float32"))


def _teach(float32: bytes) -> Learnt:
    return learn(float32, calibrate_tflite(float32, _images(50)), _lessons(_images(64), 2))


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_forward_that_learns_is_what_the_file_computes(taught: tuple[Any, Learnt], precision: str) -> None:
    learnt, images = taught[1], _images(200, seed=5)
    if precision == "int4":
        learnt = learn(learnt.before, learnt.ranges, _lessons(_images(64), 1), precision)
    int8 = quantize_tflite(learnt.file, precision, learnt.ranges)
    found, scale, zero = _answers(int8, images)
    network = IntegerNetwork(learnt.file, learnt.ranges, tflite_steps(int8), precision)
    forward = np.rint(network.forward(images).numpy() / scale) + zero
    # XNNPACK leaves layers with 4-bit weights, and what is around them, to LiteRT's own kernels, which are in fixed point.
    assert np.abs(forward - found).max() <= {"int8": 0, "int4": 8}[precision]
    assert np.abs(forward - found).mean() < 1
    # Two classes may be a step apart.
    assert (forward.argmax(axis=1) == found.argmax(axis=1)).mean() > 0.95
    assert np.ptp(found.astype(int), axis=0).max() > 40


@pytest.mark.parametrize("spread", [0.02, 2.0, 40.0])  # Of weights: the kernel shifts small and large ranges otherwise.
def test_hard_swish_is_to_the_step_whatever_its_range(spread: float) -> None:
    keras.utils.set_random_seed(1)
    wide = keras.initializers.RandomNormal(0, spread, seed=3)
    body = [layers.Conv2D(4, 3, kernel_initializer=wide, activation="hard_swish"), layers.Flatten()]
    float32 = to_tflite(keras.Sequential([keras.Input(_SHAPE), *body]), "float32", _SHAPE, "float32")
    ranges, images = calibrate_tflite(float32, _images(50)), _images(50, seed=5)
    int8 = quantize_tflite(float32, "int8", ranges)
    found, scale, zero = _answers(int8, images)
    network = IntegerNetwork(float32, ranges, tflite_steps(int8), "int8")
    assert "HARD_SWISH" in {one.kind for one in network.graph.operators}
    assert np.ptp(found.astype(int)) > 200
    assert np.array_equal(np.rint(network.forward(images).numpy() / scale) + zero, found)


def test_a_network_that_8_bits_spoil_learns_to_bear_them(spoilt: tuple[BadNetwork, bytes]) -> None:
    bad, float32 = spoilt
    ranges = calibrate_tflite(float32, bad.inputs[:100])
    plain = bad.accuracy(quantize_tflite(float32, "int8", ranges), "tflite")
    losses: list[float] = []
    # Whole batches: another size is traced once more.
    learnt = learn(float32, ranges, _lessons(bad.inputs[:224], 20, bad.labels[:224], losses))
    assert plain < 0.5
    assert losses[-1] < losses[0] / 2
    assert bad.accuracy(quantize_tflite(learnt.file, "int8", learnt.ranges), "tflite") > plain + 0.2


def test_labels_teach_what_the_float_file_does_not_know(spoilt: tuple[BadNetwork, bytes]) -> None:
    bad, _ = spoilt
    keras.utils.set_random_seed(0)
    body = [layers.Conv2D(8, 3, strides=2, activation="relu"), layers.Flatten(), layers.Dense(3, activation="softmax")]
    float32 = to_tflite(keras.Sequential([keras.Input((12, 12, 1)), *body]), "float32", (12, 12, 1), "float32")
    lessons = _lessons(bad.inputs[:224], 10, bad.labels[:224])
    learnt = learn(float32, calibrate_tflite(float32, bad.inputs[:100]), lessons, "int4")
    assert bad.accuracy(float32, "tflite") < 0.6
    assert bad.accuracy(quantize_tflite(learnt.file, "int4", learnt.ranges), "tflite") > 0.8


def test_validation_images_choose_among_the_epochs_whose_ranges_are_frozen(spoilt: tuple[BadNetwork, bytes]) -> None:
    bad, float32 = spoilt
    # Images far beyond the range of the input are where the int8 file differs from the float file.
    brightness = iter((30, 1, 30))
    lessons = Lessons(
        9,
        2,
        _batches(bad.inputs[:64], bad.labels),
        lambda: iter([(bad.test_inputs * next(brightness), bad.test_labels)]),
        lambda epoch, batch, loss: None,
    )
    assert learn(float32, calibrate_tflite(float32, bad.inputs[:100]), lessons).epoch == 8


@pytest.mark.parametrize("taught", [_strided], indirect=True)
def test_a_training_that_diverges_is_no_result(taught: tuple[Any, Learnt]) -> None:
    lessons = _lessons(np.full_like(_images(64), np.nan), 1)
    with pytest.raises(NotTrainable, match="batch 1 of epoch 1"):
        learn(taught[1].before, taught[1].ranges, lessons)


@pytest.mark.parametrize("taught", [_strided], indirect=True)
def test_the_last_step_of_4_bits_never_goes_beyond_a_channels_largest_weight(taught: tuple[Any, Learnt]) -> None:
    learnt = taught[1]
    steps = tflite_steps(quantize_tflite(learnt.before, "int4", learnt.ranges))
    network = IntegerNetwork(learnt.before, learnt.ranges, steps, "int4")
    optimizers = [keras.optimizers.Adam(rate) for rate in (0.0, 40.0)]
    network.build(optimizers)
    for few in network._shares.values():
        few.assign(few + 40)
    for inputs in (_images(32), _images(32, seed=1)):
        assert np.isfinite(network.train(inputs, np.arange(32) % 5, False, optimizers))
        assert all(few.numpy().max() <= 0 for few in network._shares.values())


@pytest.mark.parametrize("taught", [_strided], indirect=True)
def test_the_same_lessons_teach_the_same(taught: tuple[Any, Learnt]) -> None:
    first = taught[1]
    second = _teach(first.before)
    assert first.file == second.file != first.before
    assert first.ranges == second.ranges


def test_the_onnx_file_has_the_same_weights_and_ranges(taught: tuple[Any, Learnt]) -> None:
    (model, learnt), inputs = taught, _images(40)
    network = FloatGraph(learnt.before)
    prepared = with_learnt_weights(prepare_onnx(to_onnx(model, _SHAPE, "float32", "logits")), network, learnt.weights)
    of = {name: np.asarray(values) for name, values in network.run(inputs[:2], learnt.weights).items()}
    run = opener_for("onnx").open_model(prepared, 1)
    assert np.abs(np.concatenate([run.run(image[np.newaxis]) for image in inputs[:2]]) - of[network.output][:, 0]).max() < 1e-5
    calibrated = calibrate_onnx(prepared, inputs, "minmax")
    ranges = matched_ranges(calibrated, activations(prepared, inputs[:2], list(calibrated)), learnt.ranges, of)
    scales = onnx_scales(quantize_onnx(prepared, ranges))
    own = {round(scale, 6) for scale, _ in tflite_steps(quantize_tflite(learnt.file, "int8", learnt.ranges)).values()}
    assert sum(round(scale, 6) in own for scale in scales.values()) >= len(scales) / 2


def test_an_onnx_file_of_another_network_learns_nothing() -> None:
    float32 = to_tflite(_network(_residual), "float32", _SHAPE, "float32")
    network = FloatGraph(float32)
    other = prepare_onnx(to_onnx(_network(_separable), _SHAPE, "float32", "logits"))
    with pytest.raises(NotTrainable, match="not built like"):
        with_learnt_weights(other, network, network.weights)


def test_an_operator_that_cannot_learn_is_named() -> None:
    larger = layers.UpSampling2D(2, interpolation="bilinear")
    model = keras.Sequential([keras.Input(_SHAPE), larger, layers.Flatten(), layers.Dense(3)])
    with pytest.raises(NotTrainable, match="RESIZE_BILINEAR"):
        FloatGraph(to_tflite(model, "float32", _SHAPE, "float32"))


@pytest.mark.parametrize("body", [_excited, _residual_of_one_pixel])
def test_each_image_has_its_own_answer_where_the_file_has_no_batch_axis(body: Any) -> None:
    model, images = _network(body), _images(8) * np.linspace(0.1, 1, 8, dtype=np.float32).reshape(8, 1, 1, 1)
    network = FloatGraph(to_tflite(model, "float32", _SHAPE, "float32"))
    found = np.asarray(network.run(images, network.weights)[network.output])[:, 0]
    assert np.abs(found - np.asarray(model(images))).max() < 1e-5 * np.abs(found).max()


def _mixed(options: Any, *values: Any) -> Any:
    return keras.ops.roll(keras.ops.multiply(*values), 1, axis=0)


def _of_another_shape(options: Any, *values: Any) -> Any:
    return values[0][..., :1]


@pytest.mark.parametrize("function", [_mixed, _of_another_shape])
def test_a_teacher_that_is_not_the_file_teaches_nothing(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    float32 = to_tflite(_network(_excited), "float32", _SHAPE, "float32")
    require_same(float32, _images(7))
    monkeypatch.setitem(cast(Any, graph._KINDS), "MUL", function)
    with pytest.raises(NotTrainable, match="TensorFlow"):
        require_same(float32, _images(7))


def test_weights_that_are_stored_once_learn_apart() -> None:
    keras.utils.set_random_seed(0)
    body = [layers.Conv2D(3, 3, padding="same"), layers.Conv2D(3, 3, padding="same"), layers.Flatten()]
    model = to_object(to_tflite(keras.Sequential([keras.Input(_SHAPE), *body]), "float32", _SHAPE, "float32"))
    tensors = model.subgraphs[0].tensors
    filters = [tensor for tensor in tensors if tensor.shape is not None and list(tensor.shape) == [3, 3, 3, 3]]
    filters[1].buffer = filters[0].buffer
    network = FloatGraph(from_object(model))
    names = [one.filter for one in network.operators if one.channels is not None]
    changed = {name: network.weights[name] + place for place, name in enumerate(names, 1)}
    again = FloatGraph(network.with_weights(changed))
    assert len(names) == len(filters) == 2
    assert all(np.array_equal(again.weights[name], changed[name]) for name in names)

"""Models with state: the state left by one image changes no answer about another, in any command.

The .tflite file is TensorFlow's own conversion of an LSTM, with variable tensors that keep their values between calls.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.edge.archive import GOLDEN_IMAGES_NAME, golden_name
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.tflite_state import TfliteState, tflite_state

# Smallest change of a probability by an earlier image if nothing is reset.
LEAK = 0.05
SHORT = ("--launches", "2", "--min-runs", "4", "--min-seconds", "0")


@pytest.fixture
def file(remembering: Path) -> Path:
    return remembering / "float32.tflite"


def images(idx_folder: Path) -> NDArray[np.uint8]:
    return load_test(idx_folder).images(range(6))


def test_the_file_has_state_that_leaks_unless_it_is_reset(file: Path, idx_folder: Path) -> None:
    assert tflite_state(file.read_bytes()) == TfliteState(resettable=True, lasting=False)
    leak, fresh = (opener_for("tflite").open_model(file.read_bytes(), 1, None, streaming).run for streaming in (True, False))
    inputs = images(idx_folder).astype(np.float32)[:, np.newaxis] / 255
    assert max(np.abs(leak(one) - fresh(one)).max() for one in inputs) > LEAK


def test_a_classifier_keeps_the_state_of_frames_only_where_it_is_to_stream(file: Path, idx_folder: Path) -> None:
    single, stream = Classifier.load(file), Classifier.load(file, streaming=True)
    frames = images(idx_folder)
    answers, again, streamed = (
        [classifier.predict(frame).probabilities for frame in frames] for classifier in (single, single, stream)
    )
    np.testing.assert_array_equal(again, answers)
    np.testing.assert_array_equal(streamed[0], answers[0])
    assert np.abs(np.subtract(streamed, answers)).max() > LEAK


def test_what_keeps_no_state_can_not_stream(exported: Path) -> None:
    for name in ("int8.tflite", "int8.onnx"):
        with pytest.raises(ConfigError, match=rf"{name}: .*keeps no state.*omit streaming"):
            Classifier.load(exported / name, streaming=True)


def test_export_found_the_file_to_compute_what_keras_does(remembering: Path) -> None:
    (artifact,) = (item for item in Manifest.load(remembering).artifacts if item.format == "tflite")
    assert artifact.parity
    assert artifact.parity.max_difference < 1e-5


def test_predict_does_not_depend_on_the_order_of_the_images(
    file: Path, idx_folder: Path, tmp_path: Path, terminal: Any
) -> None:
    names = []
    for number, image in enumerate(images(idx_folder)):
        names.append(tmp_path / f"{number}.png")
        Image.fromarray(image[..., 0]).save(names[-1])
    forth, back = (json.loads(terminal.passes("predict", file, *order, "--json", "-")) for order in (names, names[::-1]))
    assert forth["images"] == back["images"][::-1]


def test_evaluate_verify_and_bench_agree_with_keras_on_every_image(remembering: Path, file: Path, terminal: Any) -> None:
    expected = np.load(remembering / "reference.npy").argmax(axis=1)
    correct = int((expected == load_test(Path(Manifest.load(remembering).dataset.source)).labels).sum())
    assert json.loads(terminal.passes("evaluate", file, "--json", "-"))["files"][0]["correct"] == correct
    assert json.loads(terminal.passes("verify", file, "--json", "-"))["passed"]
    text = terminal.passes("bench", remembering, "--runtime", "tflite", "--max-drop", "100", *SHORT, "--json", "-")
    (measured,) = json.loads(text)["files"]
    assert (measured["accuracy"]["correct"], measured["accuracy"]["same_class"]) == (correct, len(expected))


def test_golden_vectors_are_those_of_fresh_states(remembering: Path, tmp_path: Path, terminal: Any) -> None:
    bundle = tmp_path / "lstm.zip"
    terminal.passes("bundle", remembering, "--out", bundle)
    folder = tmp_path / "unpacked"
    shutil.unpack_archive(bundle, folder)
    (golden,), (inputs,) = (
        [np.load(path) for path in folder.rglob(name)] for name in (golden_name("float32.tflite"), GOLDEN_IMAGES_NAME)
    )
    order = np.random.default_rng(0).permutation(len(inputs))
    again = Classifier.load(remembering / "float32.tflite").predict(inputs[order]).probabilities
    np.testing.assert_array_equal(again, golden.reshape(len(golden), -1)[order])


def remembered_sum(shape: tuple[int, ...], folder: Path, signatures: tuple[str, ...]) -> bytes:
    """Return a .tflite file that sums its inputs in a resource variable, with these signatures."""
    tf = load_tensorflow()
    module = tf.Module()
    module.total = tf.Variable(tf.zeros(shape))

    def add(image: Any) -> Any:
        module.total.assign_add(image)
        return tf.nn.softmax(tf.reshape(module.total, (1, -1)))

    entry = tf.TensorSpec(shape, tf.float32, name="image")
    module.added = tf.function(add, input_signature=[entry])
    module.plain = tf.function(lambda image: tf.nn.softmax(tf.reshape(image, (1, -1))), input_signature=[entry])
    tf.saved_model.save(module, str(folder), signatures={name: getattr(module, name) for name in signatures})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(signatures))
    converter.experimental_enable_resource_variables = True
    data: bytes = converter.convert()
    return data


def test_state_that_no_interpreter_resets_is_refused_unless_it_streams(tmp_path: Path) -> None:
    path = tmp_path / "sum.tflite"
    path.write_bytes(remembered_sum((1, 4, 4, 1), tmp_path / "saved", ("added",)))
    with pytest.raises(ArtifactError, match=r"sum\.tflite: .*keeps state.*no interpreter.*streaming=True"):
        Classifier.load(path, interface=Interface(SCHEMES["raw"]))
    stream = Classifier.load(path, interface=Interface(SCHEMES["raw"]), streaming=True)
    frame = np.eye(4, dtype=np.uint8)[..., np.newaxis]
    tops = [stream.predict(frame).probabilities[0, 0] for _ in range(2)]
    assert tops[0] < tops[1]


def test_only_the_signature_that_runs_matters(tmp_path: Path) -> None:
    data = remembered_sum((1, 4, 4, 1), tmp_path / "saved", ("added", "plain"))
    assert tflite_state(data, "added") == TfliteState(resettable=False, lasting=True)
    assert tflite_state(data, "plain") == TfliteState(resettable=False, lasting=False)
    opener_for("tflite").open_model(data, 1, "plain")
    with pytest.raises(ArtifactError, match="keeps state"):
        opener_for("tflite").open_model(data, 1, "added")


@pytest.mark.parametrize("length", [4, 12, 40])
def test_a_file_that_ends_early_has_no_state_to_read(length: int, exported: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a tflite file"):
        tflite_state((exported / "int8.tflite").read_bytes()[:length])


def test_a_stateful_keras_layer_starts_afresh_too() -> None:
    entry = keras.Input((4, 3), batch_size=1)
    model = keras.Model(entry, keras.layers.LSTM(5, stateful=True)(entry))
    inputs = np.random.default_rng(0).random((3, 1, 4, 3)).astype(np.float32)
    model(inputs[0])  # The state after training.
    runtime = KerasRuntime(model)
    first = [runtime.run(item) for item in inputs]
    np.testing.assert_array_equal(first[::-1], [runtime.run(item) for item in inputs[::-1]])
    model.get_layer(index=1).reset_state()
    np.testing.assert_allclose(model(inputs[0]), first[0], atol=1e-6)

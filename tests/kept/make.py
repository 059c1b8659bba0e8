"""The files in this folder, made by the real libraries: python -m tests.kept.make. Tests on them need no TensorFlow.

Make them again when exports change, which tests/convert/export/test_kept_files.py notices.

bars/: a trained model and every file that edgecnn exports by default. any_batch/: the same files, which take any number of
images. by_name/: files of the same model in the formats that must be named. lstm/: a network whose .tflite file has state.
rpicam_apps/: the same model's files for rpicam-apps.
foreign/: files like other tools', all of which compute `tests.dense`, or twice their input.
"""

import shutil
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import MODEL_NAME, Manifest, Preprocessing
from edgecnn.edge.model.interface import SCHEMES, Interface
from tests.convert.training.runs import train
from tests.dense import CLASSES, weights
from tests.drawings import write_idx_folder
from tests.remembering import FusedLstm

KEPT = Path(__file__).parent
PRECISIONS = {"tflite": ("float16", "dynamic", "int8", "int16x8"), "onnx": ("int8",)}
_LOGS = shutil.ignore_patterns("logs", "checkpoint")


def make_bars(images: Path, folder: Path) -> None:
    """Train on an IDX folder, and export every file."""
    dataset = load_dataset(images)
    preprocessing = Preprocessing(1 / 255, dataset.image_rule.fit, dataset.image_rule.background)
    config = TrainConfig(epochs=12, recipe="notebook", batch_size=8, augment="none", learning_rate=0.003)
    train(dataset, config, folder, preprocessing)
    for model_format, precisions in PRECISIONS.items():
        export(folder / "model.keras", dataset, ExportConfig((model_format,), precisions))


def make_any_batch(images: Path, bars: Path, folder: Path) -> None:
    """Export every file of a folder so that it takes any number of images at a time, into another folder."""
    shutil.copytree(bars, folder, ignore=_LOGS)
    for model_format, precisions in PRECISIONS.items():
        export(folder / "model.keras", load_dataset(images), ExportConfig((model_format,), precisions, batch="dynamic"))


def make_by_name(images: Path, bars: Path, folder: Path) -> None:
    """Export every file of the formats that must be named, next to a folder's own, into another folder."""
    shutil.copytree(bars, folder, ignore=_LOGS)
    for row in FORMATS.values():
        if row.by_name and not row.apart:
            export(folder / "model.keras", load_dataset(images), ExportConfig((row.name,), row.precisions))


def make_rpicam_apps(images: Path, bars: Path, folder: Path) -> None:
    """Export a folder's model for rpicam-apps, into another folder."""
    shutil.copytree(bars, folder, ignore=_LOGS)
    export(folder / "model.keras", load_dataset(images), ExportConfig(("tflite",), targets=("rpicam-apps",)))


def make_lstm(images: Path, folder: Path) -> None:
    """Export an LSTM trained on an IDX folder, whose .tflite file keeps its state between calls."""
    keras = load_keras()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    rows = [keras.Input((12, 12, 1)), layers.Reshape((12, 12)), FusedLstm(), layers.Dense(3, activation="softmax")]
    model, dataset = keras.Sequential(rows), load_dataset(images)
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    train_images = dataset.train.images(range(240)) / np.float32(255)
    model.fit(train_images, dataset.train.labels, batch_size=16, epochs=12, verbose=0)
    model.save(folder.parent / "lstm.keras")
    config, trust = ExportConfig(("tflite",), ("float32",)), ("tests.remembering",)
    export(folder.parent / "lstm.keras", dataset, config, Interface(SCHEMES["unit"]), folder, trust=trust)


def make_foreign(folder: Path) -> None:
    """Write the files that the fixture `foreign` in tests/edge describes."""
    folder.mkdir()
    shapes = {"float32": (1, 8, 6, 3), "batch4": (4, 8, 6, 3), "nobatch": (8, 6, 3), "grey": (1, 8, 6), "free": (None, 8, 6, 3)}
    for name, shape in shapes.items():
        (folder / f"{name}.tflite").write_bytes(_converter(_network(shape)).convert())
    with warnings.catch_warnings():
        # The converter asks for statistics that only its predecessor used.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected", UserWarning)
        _write_quantized(folder)
    with tempfile.TemporaryDirectory() as saved:
        (folder / "two.tflite").write_bytes(_two_signatures(Path(saved)))
    for shape in ((), (16,), (1, 16), (1, 4, 2, 2, 1)):
        (folder / f"twice{len(shape)}.tflite").write_bytes(_converter(_twice(shape)).convert())


def _write_quantized(folder: Path) -> None:
    tf = load_tensorflow()
    for dtype in (tf.uint8, tf.int8, tf.int16):
        converter = _converter(_network((1, 8, 6, 3)))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _calibration
        converter.inference_input_type = converter.inference_output_type = dtype
        if dtype == tf.int16:
            ops = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            converter.target_spec.supported_ops = [ops]
        (folder / f"{'int16x8' if dtype == tf.int16 else dtype.name}.tflite").write_bytes(converter.convert())


def _network(shape: tuple[int | None, ...], seed: int = 0) -> Any:
    tf = load_tensorflow()
    size = int(np.prod([length for length in shape[-3:] if length]))
    matrix = tf.constant(weights(size, CLASSES, seed))

    def network(image: Any) -> Any:
        return tf.nn.softmax(tf.matmul(tf.reshape(image, [-1, size]), matrix))

    return tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])


def _twice(shape: tuple[int, ...]) -> Any:
    tf = load_tensorflow()
    return tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec(shape, tf.float32)])


def _converter(network: Any) -> Any:
    return load_tensorflow().lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()], network)


def _calibration() -> Any:
    yield from ([np.full((1, 8, 6, 3), value, np.float32)] for value in (-1, 1))
    rng = np.random.default_rng(1)
    yield from ([rng.uniform(-1, 1, (1, 8, 6, 3)).astype(np.float32)] for _ in range(20))


def _two_signatures(folder: Path) -> bytes:
    tf = load_tensorflow()
    module = tf.Module()
    module.first, module.second = _network((1, 8, 6, 3)), _network((1, 8, 6, 3), seed=1)
    tf.saved_model.save(module, str(folder), signatures={"first": module.first, "second": module.second})
    data: bytes = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["first", "second"]).convert()
    return data


def _keep(folder: Path, name: str, files: Iterable[str]) -> None:
    shutil.rmtree(KEPT / name, ignore_errors=True)
    (KEPT / name).mkdir()
    for file in files:
        shutil.copy(folder / file, KEPT / name)


def _keep_exports(folder: Path, name: str, files: Iterable[str]) -> None:
    _keep(folder, name, files)
    manifest = Manifest.load(folder)
    replace(manifest, dataset=replace(manifest.dataset, source="bars")).save(KEPT / name)  # Not this machine's path.


def _listed(folder: Path) -> list[str]:
    return [artifact.path for artifact in Manifest.load(folder).artifacts]


def _named(folder: Path) -> list[str]:
    return ["reference.npy", *(item.path for item in Manifest.load(folder).exported if FORMATS[item.format].by_name)]


def main() -> None:
    """Make everything in a temporary folder, and then replace the files here."""
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        images = write_idx_folder(home / "images" / "bars")
        make_bars(images, home / "bars")
        make_any_batch(images, home / "bars", home / "any" / "bars")
        make_foreign(home / "foreign")
        _keep_exports(home / "bars", "bars", ("reference.npy", *_listed(home / "bars")))
        _keep_exports(
            home / "any" / "bars", "any_batch", [name for name in _listed(home / "any" / "bars") if name != MODEL_NAME]
        )
        make_by_name(images, home / "bars", home / "named" / "bars")
        _keep_exports(home / "named" / "bars", "by_name", _named(home / "named" / "bars"))
        make_rpicam_apps(images, home / "bars", home / "rpicam" / "bars")
        names = [file.path for file in Manifest.load(home / "rpicam" / "bars").for_programs]
        _keep(home / "rpicam" / "bars", "rpicam_apps", names)
        make_lstm(images, home / "lstm")
        _keep_exports(home / "lstm", "lstm", ("reference.npy", *_listed(home / "lstm")))
        _keep(home / "foreign", "foreign", (path.name for path in (home / "foreign").iterdir()))


if __name__ == "__main__":
    main()

"""What a model shows of how it takes pixels, and what its user says against it."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import edgecnn as ec
from edgecnn.convert.export.evidence import Evidence, evidence_of
from edgecnn.convert.tflite.source import first_layer_input
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for
from edgecnn.workflows.source_interface import _fitting
from tests.conftest import Lines
from tests.convert.export.conftest import entry
from tests.drawings import bar_weights, drawings, write_idx, write_letters
from tests.onnx_text import onnx_bytes

SHAPE = (12, 12, 1)
COLOUR = (12, 12, 3)


def network(*first: Any, shape: tuple[int, ...] = SHAPE) -> Any:
    keras.utils.set_random_seed(0)
    # Padded: TensorFlow's converter folds what comes before a convolution without padding into its weights.
    convolution = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
    last = [convolution, keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input(shape), *first, *last])


def with_steps(prepare: Callable[[Any], Any]) -> Any:
    start = keras.Input(COLOUR)
    return keras.Model(start, network(shape=COLOUR)(prepare(start)))


def settled(mean: float, variance: float) -> Any:
    """A batch normalization that has seen images."""
    layer = keras.layers.BatchNormalization()
    layer.build((None, *SHAPE))
    layer.set_weights([np.ones(1), np.zeros(1), np.full(1, mean), np.full(1, variance)])
    return layer


def normalization(mean: float, variance: float) -> Any:
    return keras.layers.Normalization(mean=[mean], variance=[variance])


MODELS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "rescaling to 1": (lambda: network(keras.layers.Rescaling(1 / 255)), "raw"),
    "rescaling to -1 and 1": (lambda: network(keras.layers.Rescaling(1 / 127.5, offset=-1)), "raw"),
    "behind variations": (lambda: network(keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255)), "raw"),
    "a crop": (lambda: network(keras.layers.CenterCrop(10, 10), keras.layers.Rescaling(1 / 255)), "raw"),
    "normalization of pixels": (lambda: network(normalization(120, 3600)), "raw"),
    "normalization of 0 to 1": (lambda: network(normalization(0.5, 0.06)), "unit"),
    "batch normalization of pixels": (lambda: network(settled(120, 3600)), "raw"),
    "keras.applications tf": (lambda: with_steps(keras.applications.mobilenet_v2.preprocess_input), "raw"),
    "keras.applications torch": (lambda: with_steps(keras.applications.densenet.preprocess_input), "raw"),
    "keras.applications caffe": (lambda: with_steps(keras.applications.resnet.preprocess_input), "raw"),
    "nothing": (lambda: network(), None),
    "a batch normalization of nothing": (lambda: network(settled(0, 1)), None),
}


def evidence_in(path: Path) -> Evidence | None:
    model = read_model(path)
    return evidence_of(model, opener_for(model.format).open_file(model, 1))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Evidence | None]:
    """Return what one of `MODELS` shows in a .keras file."""

    @cache
    def found(name: str) -> Evidence | None:
        path = tmp_path_factory.mktemp("shown") / "model.keras"
        MODELS[name][0]().save(path)
        return evidence_in(path)

    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_steps_before_the_first_layer_say_how_pixels_go_in(name: str, shown: Callable[[str], Evidence | None]) -> None:
    found = shown(name)
    assert (found and found.scheme) == MODELS[name][1]


@pytest.mark.parametrize("name", ["rescaling to -1 and 1", "nothing"])
def test_a_tflite_file_shows_what_its_model_does(name: str, tmp_path: Path) -> None:
    make, scheme = MODELS[name]
    path = tmp_path / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(make()).convert())
    found = evidence_in(path)
    assert (found and found.scheme) == scheme


@pytest.mark.parametrize(("name", "values"), [("batch4", (144,)), ("free", (144,)), ("grey", (48,)), ("nobatch", (1, 144))])
def test_a_tflite_file_of_any_batch_shows_what_enters_its_first_layer(name: str, values: tuple[int, ...]) -> None:
    data = (Path(__file__).parents[1] / "kept" / "foreign" / f"{name}.tflite").read_bytes()
    images = np.random.default_rng(0).random((5, 8, 6) if name == "grey" else (5, 8, 6, 3), np.float32)
    found = first_layer_input(data, images)
    assert found is not None
    assert found.shape == (5, *values)
    assert np.array_equal(found.reshape(5, -1), images.reshape(5, -1))


@pytest.mark.parametrize(("divides", "batch"), [(True, "n"), (True, 1), (True, 10), (False, "n")])
def test_an_onnx_file_shows_what_it_does(divides: bool, batch: str | int, tmp_path: Path) -> None:
    constants = {"by": np.float32(255), "kernel": np.ones((4, 1, 3, 3), np.float32), "dense": np.ones((400, 3), np.float32)}
    first = "Div (pixels, by)" if divides else "Identity (pixels)"
    nodes = f"unit = {first} conv = Conv (unit, kernel) flat = Flatten (conv) scores = Gemm (flat, dense)"
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_bytes(f"(float[{batch}, 1, 12, 12] pixels) => (float[{batch}, 3] scores) {{{nodes}}}", **constants))
    found = evidence_in(path)
    assert (found and found.scheme) == ("raw" if divides else None)


def test_who_only_asks_a_file_need_not_say_what_it_shows(idx_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "theirs.keras"
    MODELS["rescaling to 1"][0]().save(path)
    (evaluation,) = ec.evaluate(path, data=idx_folder).files
    assert evaluation.images == 60
    asked = [ec.predict(path, indices=[0], data=idx_folder, interface=said).images[0].probabilities for said in (None, "raw")]
    assert asked[0] == asked[1]
    plain = tmp_path / "plain.keras"
    network().save(plain)
    with pytest.raises(ConfigError, match=r"plain\.keras: .*how it takes pixels is not known"):
        ec.predict(plain, indices=[0], data=idx_folder)


def test_preprocessing_inside_need_not_be_said(idx_folder: Path, tmp_path: Path) -> None:
    network(keras.layers.Rescaling(1 / 255)).save(tmp_path / "theirs.keras")
    told = Lines()
    ec.export(tmp_path / "theirs.keras", idx_folder, formats=["tflite"], out=tmp_path / "out", progress=told)
    manifest = Manifest.load(tmp_path / "out")
    assert (manifest.preprocessing.scale, manifest.output) == (1.0, "probabilities")
    assert any("0 to 255 into 0 to 1 by itself" in line for line in told.lines)


def test_a_contradiction_is_an_error(idx_folder: Path, tmp_path: Path) -> None:
    MODELS["behind variations"][0]().save(tmp_path / "theirs.keras")
    with pytest.raises(ConfigError, match=r"theirs\.keras turns 0 to 255 into .* by itself .*preprocess.*preprocess=raw"):
        ec.export(tmp_path / "theirs.keras", idx_folder, interface="unit", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name, (_, scheme) in MODELS.items() if scheme == "raw"])
def test_each_other_scheme_contradicts_a_model_that_prepares_pixels_itself(
    name: str, shown: Callable[[str], Evidence | None]
) -> None:
    found = shown(name)
    assert found
    found.require(SCHEMES["raw"], "theirs.keras")
    for other in {*SCHEMES} - {"raw"}:
        with pytest.raises(ConfigError, match=r"theirs\.keras turns 0 to 255 into .* by itself .*preprocess=raw"):
            found.require(SCHEMES[other], "theirs.keras")


@pytest.mark.parametrize(("mean", "fits"), [(90, False), (60, True), (0, True)])
def test_a_mean_that_is_subtracted_twice_contradicts_a_model_unless_that_centres_its_pixels(
    mean: float, fits: bool, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.keras"
    network(normalization(mean, 2500)).save(path)  # No scheme's own numbers.
    found = evidence_in(path)
    assert found
    with nullcontext() if fits else pytest.raises(ConfigError, match=r"turns 0 to 255 .*preprocess=raw"):
        found.require(SCHEMES["caffe"], "theirs.keras")


def test_a_model_that_hardly_changes_its_input_may_take_any_scheme(tmp_path: Path) -> None:
    path = tmp_path / "theirs.keras"
    network(settled(0, 0.97)).save(path)
    found = evidence_in(path)
    assert found
    for scheme in ("unit", "tf", "torch"):
        found.require(SCHEMES[scheme], "theirs.keras")


def test_without_evidence_labelled_images_suggest_a_scheme(exported: Path, idx_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "theirs.keras"
    path.write_bytes((exported / "model.keras").read_bytes())
    with pytest.raises(ConfigError, match=r"theirs\.keras: how it takes pixels is not known; .*unit \d+.*add preprocess=unit"):
        ec.export(path, idx_folder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def of_bars(folder: Path, scale: float, count: int, wrong: int) -> None:
    """Write images of bars, of which some have wrong labels, and a model that finds the bars of pixels of that scale."""
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3, "softmax", use_bias=False)])
    model.set_weights([bar_weights() * scale])
    model.save(folder / "theirs.keras")
    images, labels = drawings(count, 2)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)


@pytest.mark.parametrize(("stated", "doubted"), [("unit", False), ("raw", True)])
def test_a_stated_scheme_is_doubted_where_another_one_fits_labelled_images_better(
    stated: str, doubted: bool, tmp_path: Path
) -> None:
    said: list[str] = []
    of_bars(tmp_path, 1.0, 200, 20)
    files: Any = {"formats": ["tflite"], "precisions": ["float32"]}
    ec.export(tmp_path / "theirs.keras", tmp_path, interface=stated, out=tmp_path / "out", progress=Lines(said), **files)
    assert any("Doubtful: of 200 labelled images unit gets 180 right" in line for line in said) == doubted


@pytest.mark.parametrize("wrong", [0, 6])
@pytest.mark.parametrize(("scale", "scheme"), [(1.0, "unit"), (1 / 255, "raw")], ids=["unit", "raw"])
def test_of_schemes_that_name_the_same_classes_the_fitting_probabilities_decide(
    scale: float, scheme: str, wrong: int, tmp_path: Path
) -> None:
    of_bars(tmp_path, scale, 60, wrong)
    with pytest.raises(ConfigError, match=rf"(unit|raw) {60 - wrong} .*(unit|raw) {60 - wrong} .*add preprocess={scheme}"):
        ec.export(tmp_path / "theirs.keras", tmp_path, out=tmp_path / "out")


def test_normalization_by_the_images_own_figures_is_tried(idx_folder: Path, tmp_path: Path) -> None:
    pixels = ec.load_dataset(idx_folder).train.images(range(240)) / 255
    first, last = keras.layers.Conv2D(1, 1), keras.layers.Dense(3, "softmax")
    model = keras.Sequential([keras.Input(SHAPE), first, keras.layers.ReLU(max_value=1.0), keras.layers.Flatten(), last])
    # Of pixels that are not normalized, none is above 1.2 or almost all are.
    model.set_weights([np.ones((1, 1, 1, 1)), np.array([-1.2]), bar_weights(), np.zeros(3)])
    model.save(tmp_path / "theirs.keras")
    mean, std = (f"{value:.4f}"[:4] for value in (pixels.mean(), pixels.std()))
    with pytest.raises(ConfigError, match=rf"normalised 60 .*add scale=0\.0039\d* mean={mean}\d* std={std}\d*"):
        ec.export(tmp_path / "theirs.keras", idx_folder, out=tmp_path / "out")


def test_images_of_another_size_are_named_before_any_scheme_is_tried(idx_folder: Path, tmp_path: Path) -> None:
    network(shape=(16, 16, 1)).save(tmp_path / "theirs.keras")
    with pytest.raises(ConfigError, match=r"takes images of \(16, 16, 1\), not \(12, 12, 1\)"):
        ec.export(tmp_path / "theirs.keras", idx_folder, out=tmp_path / "out")


def test_one_wrong_answer_is_no_worse_than_none_but_many_are() -> None:
    few, none, many = (np.full(200, loss) for loss in (0.02, 0.0, 0.4))
    assert _fitting({"unit": few, "raw": none}, {"unit": 199, "raw": 200}, 20) == ("unit", True)
    assert _fitting({"unit": many, "tf": none}, {"unit": 195, "tf": 200}, 20) == ("tf", True)
    # One at chance is not fitting, however little its answers say.
    assert _fitting({"unit": few, "tf": many}, {"unit": 105, "tf": 130}, 100) == ("tf", False)


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_pictures_are_fitted_as_said_before_the_scheme_is_known(fit: Any, tmp_path: Path) -> None:
    write_letters(tmp_path / "photos", 10)
    network(shape=COLOUR).save(tmp_path / "theirs.keras")
    with pytest.raises(ConfigError, match="how it takes pixels is not known"):
        ec.export(tmp_path / "theirs.keras", tmp_path / "photos", images=ec.FolderOptions(fit=fit), out=tmp_path / "out")


def test_where_no_scheme_fits_none_is_suggested(idx_folder: Path, tmp_path: Path) -> None:
    model = network()
    model.layers[-1].set_weights([np.zeros((576, 3)), np.array([0.0, 1.0, 0.0])])
    model.save(tmp_path / "theirs.keras")
    with pytest.raises(ConfigError, match=r"no scheme fits .*order of the classes"):
        ec.export(tmp_path / "theirs.keras", idx_folder, out=tmp_path / "out")


def test_a_model_that_ends_in_logits_is_seen_where_its_preprocessing_is(idx_folder: Path, tmp_path: Path) -> None:
    model = network(keras.layers.Rescaling(1 / 255))
    model.layers[-1].activation = keras.activations.linear
    model.save(tmp_path / "theirs.keras")
    ec.export(tmp_path / "theirs.keras", idx_folder, formats=["tflite"], out=tmp_path / "out")
    assert Manifest.load(tmp_path / "out").output == "logits"


def test_a_tflite_file_s_metadata_says_how_pixels_go_in(artifacts: Path, idx_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "theirs.tflite"
    ec.export(artifacts / "model.keras", idx_folder, formats=["tflite"], precisions=["float32"])
    path.write_bytes((artifacts / "float32.tflite").read_bytes())
    told = Lines()
    ec.export(path, idx_folder, precisions=["int8"], out=tmp_path / "out", progress=told)
    manifest = Manifest.load(tmp_path / "out")
    taken = manifest.preprocessing
    assert (taken.scale, taken.mean, taken.std) == (1.0, (0.0,), (255.0,))
    assert any("its metadata says so" in line for line in told.lines)
    parity = entry(manifest, "int8.tflite").parity
    assert parity.same_class == parity.images

"""What a training chooses where nothing is stated, and that it then learns."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgecnn as ec
from edgecnn.convert.show import advice
from edgecnn.convert.training.choices import choose, reasons_of, validated
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.fit.augmentation import variation_notes
from edgecnn.convert.training.records import Epoch, TrainResult, TrainState
from edgecnn.convert.training.train import shown
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.data.recorded_images import recorded_source
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.manifest import Fitted, Manifest
from edgecnn.edge.records import from_json
from edgecnn.edge.result import SILENT, Silent
from tests.conftest import Lines
from tests.convert.training.runs import same
from tests.drawings import blank_split, drawings, write_idx_folder, write_letters

pytestmark = pytest.mark.usefixtures("one_stage")


def images(count: int, side: int, channels: int, classes: int = 10) -> ArraySplit:
    black = np.broadcast_to(np.zeros((1, side, side, channels), np.uint8), (count, side, side, channels))
    return ArraySplit(black, np.arange(count) % classes)


@pytest.mark.parametrize("count", [60_000, 54_000])
def test_mnist_keeps_its_network_and_its_epochs(count: int) -> None:
    config, reasons = choose(TrainConfig(), images(count, 28, 1))
    assert (config.network, config.filters, config.dropout) == ("cnn", (32, 32, 32), 0.3)
    assert (config.epochs, config.batch_size, config.augment, config.class_weights) == (5, 64, "digit", "none")
    assert config.learning_rate == 0.01
    assert {*reasons} == {"network", "learning_rate", "epochs", "batch_size", "augment", "class_weights"}
    notebook, _ = choose(TrainConfig(recipe="notebook"), images(count, 28, 1))
    assert (notebook.epochs, notebook.batch_size, notebook.augment, notebook.dropout) == (5, 128, "none", 0.5)


@pytest.mark.parametrize(
    ("count", "side", "channels", "chosen"),
    [
        (45_000, 32, 3, ("residual", 17, 64, "photo")),
        (1872, 64, 3, ("residual", 60, 32, "photo")),
        (1872, 96, 1, ("residual", 60, 32, "digit")),
        (900, 28, 1, ("cnn", 60, 32, "digit")),
        (1_000_000, 32, 3, ("residual", 5, 64, "photo")),
    ],
)
def test_pictures_get_a_network_and_epochs_by_their_size_and_number(
    count: int, side: int, channels: int, chosen: tuple[object, ...]
) -> None:
    config, reasons = choose(TrainConfig(), images(count, side, channels))
    assert (config.network, config.epochs, config.batch_size, config.augment) == chosen
    assert config.filters == ((32, 64, 128) if config.network == "residual" else (32, 32, 32))
    assert config.learning_rate == (0.002 if config.network == "residual" and count < 5000 else 0.01)
    assert f"{side}x{side}" in reasons["network"]


@pytest.mark.parametrize("colour", [False, True])
def test_data_says_which_variations_training_will_choose(colour: bool, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number, (pixels, _) in enumerate(zip(*drawings(4, ord(label[0])), strict=True)):
            Image.fromarray(pixels).convert("RGB" if colour else "L").save(tmp_path / label / f"{number}.png")
    said: list[str] = []

    ec.inspect_images(tmp_path, progress=Lines(said))
    chosen, _ = choose(TrainConfig(), load_dataset(tmp_path).train)
    notes = [f"What edgecnn train does, unless told otherwise. {note}" for note in variation_notes(chosen.variation)]
    assert [line for line in said if line.startswith("What edgecnn train")] == notes
    assert len(notes) == (2 if colour else 1)


def test_what_is_stated_is_not_chosen() -> None:
    stated = TrainConfig(
        epochs=3, batch_size=7, network="strided", filters=(1, 2, 3), learning_rate=0.05, dropout=0.1, augment="none",
        class_weights="none",
    )  # fmt: skip
    assert choose(stated, blank_split(3, counts=(40, 10))) == (stated, {})


def test_uneven_classes_are_balanced() -> None:
    found = {
        counts: choose(TrainConfig(), blank_split(counts=counts))[0].class_weights
        for counts in ((20, 20), (19, 10), (20, 10), (0, 20))
    }
    assert found == {(20, 20): "none", (19, 10): "none", (20, 10): "balanced", (0, 20): "none"}


def test_a_model_that_has_learnt_before_gets_fewer_epochs() -> None:
    again, _ = choose(TrainConfig(transfer="mobilenetv2"), images(900, 96, 3))
    own, _ = choose(TrainConfig(model="networks:mine"), images(900, 96, 3))
    assert (again.epochs, own.epochs) == (12, 60)


def named(folder: Path, *counts: int) -> Path:
    """Make so many empty image files in each of several class folders."""
    for label, count in enumerate(counts):
        (folder / str(label)).mkdir(parents=True)
        for number in range(count):
            (folder / str(label) / f"{number}.png").touch()
    return folder


def test_a_share_is_kept_aside_of_a_folder_that_has_enough_images_and_no_own_ones(tmp_path: Path) -> None:
    plain = FolderOptions()
    enough = named(tmp_path / "enough", 362, 13)  # A fifth of each are test images.
    assert validated(enough, plain).val_share == 0.1
    assert validated(enough, FolderOptions(val_share=0)).val_share == 0
    assert validated(enough, FolderOptions(val_share=0.3)).val_share == 0.3
    assert validated("mnist", plain) == plain
    assert validated(named(tmp_path / "few", 186, 186), plain) == plain
    assert validated(named(tmp_path / "rare", 400, 11), plain) == plain
    for part in ("train", "test", "val"):
        named(tmp_path / "own" / part, 200, 200)
    assert validated(tmp_path / "own", plain) == plain


def test_a_share_is_kept_aside_of_arrays_too(tmp_path: Path) -> None:
    plain = FolderOptions()
    enough = write_idx_folder(tmp_path / "idx", train=300)
    assert validated(enough, plain).val_share == 0.1
    assert validated(enough, FolderOptions(val_share=0)).val_share == 0
    drawn, labels = drawings(300, 0)
    test = {"x_test": drawn, "y_test": labels}
    for name, count, own in (("enough", 300, {}), ("few", 294, {}), ("own", 300, {"x_val": drawn, "y_val": labels})):
        arrays: dict[str, Any] = {"x_train": drawn[:count], "y_train": labels[:count], **test, **own}
        np.savez_compressed(tmp_path / f"{name}.npz", **arrays)
    assert validated(tmp_path / "enough.npz", FolderOptions(split_seed=3)) == FolderOptions(val_share=0.1, split_seed=3)
    assert validated(tmp_path / "few.npz", plain) == validated(tmp_path / "own.npz", plain) == plain


def test_a_label_that_is_no_class_number_is_named_before_its_images_are_counted(tmp_path: Path) -> None:
    drawn, labels = drawings(300, 0)
    wrong = labels.astype(np.int64)
    wrong[0] = 10**12
    np.savez_compressed(tmp_path / "wrong.npz", x_train=drawn, y_train=wrong, x_test=drawn, y_test=labels)
    with pytest.raises(ec.ArtifactError, match="1000000000000 for 300 images"):
        ec.train(tmp_path / "wrong.npz", tmp_path / "out")


def test_the_reason_says_what_is_kept_aside_or_why_nothing_is(idx_folder: Path, tmp_path: Path) -> None:
    plain = FolderOptions()
    enough = write_idx_folder(tmp_path, train=300)
    dataset = load_dataset(enough, validated(enough, plain))
    assert dataset.val
    assert len(dataset.val.labels) == 30
    assert "0.1 (30 images" in reasons_of(enough, dataset, plain)["val_share"]
    assert "240 training images, 80 of" in reasons_of(idx_folder, load_dataset(idx_folder), plain)["val_share"]
    assert "recipe" in reasons_of(None, load_dataset(), plain)["val_share"]
    assert reasons_of("model.keras", load_dataset(enough), plain) == {}
    for share in (0, 0.2):
        stated = FolderOptions(val_share=share)
        assert reasons_of(idx_folder, load_dataset(idx_folder, stated), stated) == {}


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 JPEGs of several sizes in three classes."""
    return write_letters(tmp_path_factory.mktemp("letters"), 40)


@pytest.fixture(scope="module")
def trained(letters: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return ec.train(letters, tmp_path_factory.mktemp("trained"))


def test_pictures_train_well_without_an_option_and_the_record_says_what_was_chosen(trained: TrainResult) -> None:
    assert trained.test_accuracy >= 0.9
    assert (trained.val_images, trained.kept_for) == (None, "last_epoch")
    record = from_json(TrainResult, (trained.folder / "train.json").read_text(), "train.json")
    assert record.chosen == trained.chosen
    everything = {"size", "val_share", "network", "learning_rate", "epochs", "batch_size", "augment", "class_weights"}
    assert {*record.chosen} == everything
    assert record.config.network == "residual"
    assert (record.dataset.fitted is not None and record.dataset.fitted.shape) == (32, 32, 3)


def test_its_files_compute_what_keras_does(trained: TrainResult) -> None:
    folder = ec.export(trained, formats=["tflite", "onnx", "ncnn", "mnn"], precisions=["float32", "int8"])
    assert folder.manifest
    parities = {artifact.path: artifact.parity for artifact in folder.manifest.exported}
    assert {*parities} == {f"{kind}.{ending}" for kind in ("float32", "int8") for ending in ("tflite", "onnx", "ncnn", "mnn")}
    for name, parity in parities.items():
        assert parity
        assert parity.same_class >= parity.images - ("int8" in name)
        assert parity.max_difference < (1e-4 if "float32" in name else 0.3)
    test = ec.load_dataset(*recorded_source(trained.dataset)).test.images(range(20))
    for name in ("float32.tflite", "float32.onnx"):
        own, other = (ec.Classifier.load(folder.path / name, runtime=runtime).predict(test) for runtime in (None, "openvino"))
        np.testing.assert_allclose(own.probabilities, other.probabilities, atol=1e-4)


def test_an_interrupted_run_goes_on_with_the_same_choices(letters: Path, tmp_path: Path) -> None:
    class Stop(Silent):
        def say(self, text: str) -> None:
            if text.startswith("epoch 2/"):
                raise KeyboardInterrupt

    config = TrainConfig(epochs=2, network="cnn", filters=(2, 2, 2))
    ec.train(letters, tmp_path / "whole", config=config)
    ec.train(letters, tmp_path / "parts", config=config, progress=Stop())
    resumed = ec.train(letters, tmp_path / "parts", config=config, resume=True)
    assert len(resumed.history) == 2
    assert {*resumed.chosen} == {"size", "val_share", "learning_rate", "batch_size", "augment", "class_weights"}
    assert same(tmp_path / "whole", tmp_path / "parts")


def result_of(
    trained: TrainResult, *epochs: tuple[float, float, float], test_accuracy: float = 0.9, recall: float | None = None
) -> TrainResult:
    """Return a result with epochs of a training accuracy, a validation loss and a validation accuracy."""
    history = tuple(Epoch(number, 0.5, *((one[0]), 1.0, one[1], one[2])) for number, one in enumerate(epochs, 1))
    best = min(history, key=lambda epoch: epoch.val_loss or 0).number
    config = replace(trained.config, epochs=len(history))
    run = replace(trained, config=config, history=history, epoch=best)
    return replace(run, test_accuracy=test_accuracy, test_images=100, recall=recall)


def test_the_end_says_when_a_model_is_at_chance_overfitted_or_still_falling_and_what_to_type(trained: TrainResult) -> None:
    good = [(0.9, 0.3, 0.9)] * 10
    assert advice(result_of(trained, *good)) == []
    (chance,) = advice(result_of(trained, *[(0.4, 1.1, 0.4)] * 10, test_accuracy=0.41))
    assert all(
        part in chance for part in ("At chance", "41.00%", "33.33%", "edgecnn data", "epochs=20", "learning_rate=0.0002")
    )
    assert trained.guessed == pytest.approx(1 / 3 + 2 * (3 * 2 / 9 / 8) ** 0.5 / 3)  # Eight of each letter.
    assert trained.recall == trained.test_accuracy
    for recall, expected in (
        (0.5, 1),
        (0.9, 0),
    ):  # Who is right as often may know a rare class.
        said = advice(result_of(trained, *good, test_accuracy=0.41, recall=recall))
        assert sum("At chance" in line for line in said) == expected
    (by_heart,) = advice(result_of(trained, *good[:-1], (0.98, 0.3, 0.5), test_accuracy=0.41))
    assert all(part in by_heart for part in ("At chance", "41.00%", "98.0%", "edgecnn data", "transfer="))
    assert "learning_rate" not in by_heart
    (few,) = advice(result_of(trained, *good[:2], (0.64, 0.3, 0.5), test_accuracy=0.41))
    assert "epochs=6" in few
    assert "by heart" not in few
    (luck,) = advice(replace(result_of(trained, *good, test_accuracy=1.0, recall=0.5), test_images=2, commonest=0.5))
    assert all(part in luck for part in ("Too few test images", "100.00% of 2 test images"))
    (unlike,) = advice(result_of(trained, *good, test_accuracy=0.6))
    assert all(part in unlike for part in ("differ", "90.0% of the validation images", "60.0% of the test images"))
    assert "Overfitted" not in unlike
    (over,) = advice(result_of(trained, *good[:-1], (0.99, 0.2, 0.8)))
    assert all(part in over for part in ("Overfitted", "99.0%", "80.0%", "augment=photo-mirror"))
    (after,) = advice(result_of(trained, *good[:-1], (0.99, 0.9, 0.6)))  # The kept epoch is the first.
    assert all(part in after for part in ("Overfitted after epoch 1", "epoch 10", "99.0%", "60.0%", "augment=photo-mirror"))
    # Batch normalisation's averages have hardly begun.
    assert "Overfitted" not in "".join(advice(result_of(trained, (0.9, 0.3, 0.9), (0.99, 0.2, 0.5))))
    unvalidated = tuple(replace(epoch, val_loss=None, val_accuracy=None) for epoch in result_of(trained, *good).history)
    for test_accuracy, expected in ((0.75, 0), (0.65, 1)):  # Of 100 images 0.09 and 0.1 are two standard deviations.
        assert len(advice(replace(result_of(trained, *good, test_accuracy=test_accuracy), history=unvalidated))) == expected
    (falling,) = advice(result_of(trained, *good[:-1], (0.9, 0.2, 0.9)))
    assert all(part in falling for part in ("Still falling", "epochs=20"))


@pytest.mark.parametrize(
    ("changes", "ways"),
    [
        ({"augment": "none"}, {"augment", "transfer"}),
        ({"augment": "digit"}, {"transfer"}),
        ({"augment": "digit", "shape": (28, 28, 1)}, {"transfer", "size", "channels"}),
        ({"augment": "digit", "shape": None}, set()),  # Arrays stay as they are.
        ({"augment": "digit", "transfer": "mobilenetv2", "fine_tune": True}, {"fine_tune"}),
        ({"augment": "digit", "transfer": "mobilenetv2", "fine_tune": False}, set()),
    ],
)
def test_what_helps_against_overfitting_is_only_what_was_not_done(
    changes: dict[str, Any], ways: set[str], trained: TrainResult
) -> None:
    shape, changes = changes.get("shape", (64, 64, 3)), {name: changes[name] for name in changes if name != "shape"}
    over = result_of(trained, *[(0.9, 0.3, 0.9)] * 9, (0.99, 0.2, 0.8))
    over = replace(over, dataset=replace(over.dataset, fitted=Fitted(shape, "letterbox") if shape else None))
    config = replace(TrainConfig(), epochs=10, learning_rate=0.01, **changes)
    (text,) = advice(replace(over, config=config))
    assert set(re.findall(r"(\w+)=", text)) == ways
    assert "more, or" not in text


def test_a_long_training_says_once_how_long_it_will_take() -> None:
    said: list[str] = []

    def run(epochs: int, batches: int, seconds: float) -> list[str]:
        said.clear()
        show = shown(Lines(said))
        for number in range(1, min(epochs, 3) + 1):
            for batch in range(1, batches + 1):
                show(TrainState(Epoch(number, 0.5, 0.5, batch * seconds), epochs, batch, batches))
        return [text for text in said if not text.startswith("epoch")]

    assert run(60, 2, 2) == []  # Four minutes.
    (short_epochs,) = run(60, 2, 6)
    assert "12 min" in short_epochs
    (long_epochs,) = run(5, 10_000, 0.5)
    assert "6.9 h" in long_epochs
    assert run(1, 100, 2) == []


def test_a_run_of_few_steps_has_settled_averages(idx_folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    progress: Any = SimpleNamespace(say=said.append, step=SILENT.step)
    ec.train(idx_folder, tmp_path, config=TrainConfig(epochs=6, filters=(2, 2, 2)), progress=progress)
    assert not [text for text in said if "still" in text]
    assert Manifest.load(tmp_path).source()

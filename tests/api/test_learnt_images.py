"""A model is not tested on images that it has learnt: not when it is trained further, nor on copies of training images."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgecnn as ec
from edgecnn.edge.data.pixel_digests import learnt_images
from edgecnn.edge.data.splits import FileSplit
from edgecnn.edge.records import from_json
from tests.cli.commands.own_things import photos
from tests.conftest import Lines

pytestmark = pytest.mark.usefixtures("one_stage")

CONFIG = ec.TrainConfig(epochs=1)
SMALL = replace(CONFIG, network="cnn", filters=(2, 2, 2))
FLOAT: Any = {"formats": ["tflite"], "precisions": ["float32"]}
BRIEF = ec.BenchOptions(plan=ec.PlanOptions(launches=1, min_runs=5, min_seconds=0))


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos without a test/, and a model that was trained on them and exported, in `model`."""
    root = tmp_path_factory.mktemp("pets")
    photos(str(root / "parts"), test=3)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (root / "photos" / name).mkdir(parents=True, exist_ok=True)
            for picture in (root / "parts" / part / name).iterdir():
                shutil.move(picture, root / "photos" / name / f"{part}-{picture.name}")
    ec.train(root / "photos", root / "model", config=SMALL, images=options())
    ec.export(root / "model" / "model.keras", formats=["tflite"], precisions=["float32", "float16"])
    return root


def options(**more: Any) -> ec.FolderOptions:
    return ec.FolderOptions(**({"test_share": 0.5} | more))


def train_further(data: Path, out: Path, images: ec.FolderOptions, interface: str | None = None, **how: Any) -> ec.TrainResult:
    return ec.train(data, out, config=replace(CONFIG, **how), images=images, interface=interface)


def test_the_same_draw_is_none_of_the_learnt_images_and_no_doubt(pets: Path, tmp_path: Path) -> None:
    model = pets / "model" / "model.keras"
    further = train_further(pets / "photos", tmp_path, options(), transfer=str(model))
    assert further.test_images == 8
    (own,) = ec.evaluate(model, data=pets / "photos", images=options()).files
    assert own.dataset.learnt == ()
    for result in (further, ec.open(pets / "model"), ec.evaluate(pets / "model")):
        assert "may have learned from them" not in " ".join(result.to_text().split())


@pytest.mark.parametrize("other", [{"split_seed": 3}, {"test_share": 0.2}])
def test_another_draw_is_refused_with_that_of_before(other: dict[str, Any], pets: Path, tmp_path: Path) -> None:
    with pytest.raises(ec.ConfigError, match=r"model\.keras may have learnt.* test_share=0\.5.*split_seed=0"):
        train_further(pets / "photos", tmp_path, options(**other), transfer=str(pets / "model" / "model.keras"))


@pytest.mark.parametrize("other", [{"split_seed": 3}, {"test_share": 0.8}, {"test_share": 1.0}])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_training_images_in_another_draw_are_a_doubt_and_not_counted(
    other: dict[str, Any], elsewhere: bool, pets: Path, tmp_path: Path
) -> None:
    model, data = pets / "model" / "float32.tflite", pets / "photos"
    learnt = ec.load_dataset(data, options()).train
    assert isinstance(learnt, FileSplit)
    if elsewhere:
        data = Path(shutil.copytree(data, tmp_path / "elsewhere"))
    drawn = ec.load_dataset(data, options(**other)).test if other != {"test_share": 1.0} else None
    (file,) = ec.evaluate(model, data=data, images=options(**other)).files
    known = len(learnt.names) if drawn is None else len({*learnt.names} & {*drawn.names})  # type: ignore[attr-defined]
    assert 0 < len(file.dataset.learnt) == known < file.images
    assert file.distinct == file.images - known
    assert all(part in file.doubts()[0] for part in (f"Doubtful: {known} of {file.images} test", "copies of training images"))


@pytest.mark.parametrize("kind", ["folder", "arrays"])
def test_training_images_named_as_test_images_prove_nothing_whatever_else_is_beside_them(
    kind: str, pets: Path, copied: Path, tmp_path: Path
) -> None:
    if kind == "folder":
        model, data, images = pets / "model" / "model.keras", tmp_path / "named", options(test_share=1.0)
        for name in ec.load_dataset(pets / "photos", options()).train.names:  # type: ignore[attr-defined]
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pets / "photos" / name, data / name)
    else:
        model, data, images = copied / "model" / "model.keras", tmp_path / "others.npz", ec.FolderOptions()
        parts = np.load(copied / "images.npz")
        other = np.zeros_like(parts["x_train"])
        np.savez(data, x_train=other, y_train=parts["y_train"], x_test=parts["x_train"][10:], y_test=parts["y_train"][10:])
    (file,) = ec.evaluate(model, data=data, images=images).files
    assert len(file.dataset.learnt) == file.images
    assert all(said in " ".join(file.to_text().split()) for said in (f"all {file.images} test images", "copies of training"))
    files, limits = [model.with_name(f"float{bits}.tflite") for bits in (32, 16)], {"max_drop_points": 60.0}
    report = ec.bench(files, limits=limits, options=BRIEF, data=data, images=images, allow=["noise"])
    assert all(file.accuracy and file.accuracy.all_learnt for file in report.files)  # So weak a model is never judged.
    assert report.verdict.status == "UNJUDGED"


def test_images_that_a_model_learnt_before_it_was_trained_further_are_a_doubt(copied: Path, tmp_path: Path) -> None:
    parts = np.load(copied / "images.npz")
    fresh = np.random.default_rng(1).integers(0, 256, (40, 12, 12)).astype(np.uint8)
    test = np.concatenate([parts["x_train"][:7], 255 - fresh[:23]])
    np.savez(tmp_path / "more.npz", x_train=fresh, y_train=parts["y_train"], x_test=test, y_test=parts["y_test"])
    config = replace(CONFIG, model=str(copied / "model" / "model.keras"))
    trained = ec.train(tmp_path / "more.npz", tmp_path / "further", config=config)
    assert trained.dataset.learnt == tuple(range(7))
    assert "Doubtful: 7 of 30 test" in " ".join(trained.to_text().split())
    folder = ec.export(tmp_path / "further" / "model.keras", **FLOAT)
    assert folder.manifest
    assert folder.manifest.dataset.learnt == tuple(range(7))


@pytest.fixture(scope="module")
def drawn_before(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, str]:
    """Models that were trained on the images of `copied` without validation images, and with some of them as such."""
    found = {}
    for has_validation, share in ((False, 0.0), (True, 0.2)):
        folder = tmp_path_factory.mktemp("first")
        ec.train(copied / "images.npz", folder, config=SMALL, images=ec.FolderOptions(val_share=share))
        found[has_validation] = str(folder / "model.keras")
    return found


@pytest.mark.parametrize(("drawn_from", "learnt"), [("all", True), ("other seed", True), ("same draw", False), ("new", False)])
def test_validation_images_that_a_model_learnt_before_it_was_trained_further_set_no_threshold(
    drawn_from: str, learnt: bool, copied: Path, drawn_before: dict[bool, str], tmp_path: Path
) -> None:
    now = ec.FolderOptions(val_share=0.2, split_seed=5 if "seed" in drawn_from else 0)
    data, first = copied / "images.npz", drawn_before[drawn_from != "all"]
    if drawn_from == "new":
        parts = dict(np.load(data))
        data = tmp_path / "others.npz"
        np.savez(data, **parts | {"x_train": 255 - parts["x_train"]})
    trained = ec.train(data, tmp_path / "on", config=replace(CONFIG, model=first), images=now)
    assert trained.dataset.validation
    assert trained.dataset.validation.val_may_be_learnt == learnt
    # Further training on the same images does not make it unknown.
    model = str(tmp_path / "on" / "model.keras")
    with pytest.raises(ec.ConfigError if learnt else ec.GateFailed, match="may have learned these" if learnt else "can't show"):
        ec.export(model, max_error=1, **FLOAT)
    again = ec.train(data, tmp_path / "again", config=replace(CONFIG, model=model), images=now)
    assert again.dataset.validation == trained.dataset.validation


DOUBT = ("was trained elsewhere", " test/ folder", "test_list=FILE", "test_share=1", "fitted by letterbox")


def test_images_drawn_for_a_model_from_elsewhere_are_a_doubt_and_not_called_test_images(pets: Path, tmp_path: Path) -> None:
    shutil.copy(pets / "model" / "model.keras", tmp_path / "own.keras")
    named: dict[str, Any] = FLOAT | {"interface": "unit"}
    folder = ec.export(tmp_path / "own.keras", pets / "photos", out=tmp_path / "out", images=options(), **named)
    asked = named | {"out": tmp_path / "other", "images": options(val_share=0.5), "max_error": 90}
    with pytest.raises(ec.ConfigError, match="may have learned these validation images"):
        ec.export(tmp_path / "own.keras", pets / "photos", **asked)
    report = ec.bench(tmp_path / "out", runtime="tflite", options=BRIEF, allow=["noise"])
    elsewhere = tmp_path / "own.tflite"
    shutil.copy(tmp_path / "out" / "float32.tflite", elsewhere)
    said = [folder, ec.evaluate(folder), report]
    said += [ec.evaluate(elsewhere, data=pets / "photos", images=options(), interface="unit")]
    said += [ec.bench(elsewhere, data=pets / "photos", images=options(), interface="unit", options=BRIEF, allow=["noise"])]
    said += [train_further(pets / "photos", tmp_path / "on", options(), model=str(tmp_path / "own.keras"), interface="unit")]
    for result in said:
        text = " ".join(result.to_text().split())
        assert text.count("may have learned from them") == 1, text
        assert all(part in text for part in DOUBT), text
        assert re.search(r"\b8 test images", text) is None, text
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert card.count("may have learned from them") == 1
    assert all(part in card for part in DOUBT)
    assert "test images" not in card
    written = elsewhere.read_bytes()
    assert b" of 8 images" in written  # What the file says of itself.
    assert b"test images" not in written
    # The doubt is data, also of what an earlier release wrote without it, and travels with a bundle.
    assert report.dataset
    assert report.dataset.may_be_learnt
    assert folder.manifest
    replace(folder.manifest, dataset=replace(folder.manifest.dataset, may_be_learnt=False)).save(tmp_path / "out")
    ec.bundle(tmp_path / "out", tmp_path / "out.zip")
    for target in (tmp_path / "out", tmp_path / "out.zip"):
        assert "may have learned from them" in " ".join(ec.evaluate(target).to_text().split())


def test_listed_test_images_are_no_doubt_and_are_found_again(pets: Path, tmp_path: Path) -> None:
    shutil.copy(pets / "model" / "model.keras", tmp_path / "own.keras")
    listed = tuple(sorted(f"{path.parent.name}/{path.name}" for path in (pets / "photos").rglob("test-*.png")))
    (tmp_path / "test.txt").write_text("\n".join(listed))
    named: dict[str, Any] = FLOAT | {"interface": "unit"}
    images = ec.FolderOptions(test_list=tmp_path / "test.txt")
    folder = ec.export(tmp_path / "own.keras", pets / "photos", out=tmp_path / "out", images=images, **named)
    (tmp_path / "test.txt").unlink()
    moved = shutil.copytree(pets / "photos", tmp_path / "moved")
    for result in (folder, ec.evaluate(folder), ec.evaluate(folder, data=moved)):
        assert "Doubtful: these images" not in " ".join(result.to_text().split())
    assert folder.manifest
    assert folder.manifest.dataset.test_list == listed
    assert "those of a list" in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_more_pictures_are_drawn_anew_unless_they_have_a_test_folder(pets: Path, tmp_path: Path) -> None:
    source = pets / "photos"
    before = ec.load_dataset(source, options())
    more = [source / "cat" / f"another-{number}.png" for number in range(3)]
    for picture in more:
        shutil.copy(next((source / "dog").iterdir()), picture)
    named = {"transfer": str(pets / "model" / "model.keras")}
    try:
        assert ec.load_dataset(source, options()).test.sha256 != before.test.sha256
        with pytest.raises(ec.ConfigError, match=rf"{source} .* has changed.* test/"):
            train_further(source, tmp_path, options(), **named)
    finally:
        for picture in more:
            picture.unlink()
    # Those of another folder are none that it has learnt.
    elsewhere = shutil.copytree(source, tmp_path / "elsewhere")
    assert train_further(elsewhere, tmp_path / "out", options(split_seed=3), **named).test_images == 8


def test_a_mended_test_picture_is_none_that_it_has_learnt(pets: Path, tmp_path: Path) -> None:
    source = pets / "photos"
    test = ec.load_dataset(source, options()).test
    assert isinstance(test, FileSplit)
    picture, other = (source / name for name in test.names[:2])
    whole = picture.read_bytes()
    picture.write_bytes(other.read_bytes())
    try:
        train_further(source, tmp_path, options(), transfer=str(pets / "model" / "model.keras"))
    finally:
        picture.write_bytes(whole)


def test_parts_that_were_put_together_are_refused(pets: Path, tmp_path: Path) -> None:
    data, model = tmp_path / "photos", tmp_path / "model"
    photos(str(data), test=3)
    ec.train(data, model, config=SMALL)
    for picture in [*data.rglob("*.png")]:
        (data / picture.parent.name).mkdir(exist_ok=True)
        picture.rename(data / picture.parent.name / f"{picture.parent.parent.name}-{picture.name}")
    for part in ("train", "test"):
        shutil.rmtree(data / part)
    with pytest.raises(ec.ConfigError, match=rf"{data} had a test/ before"):
        train_further(data, tmp_path / "out", options(), transfer=str(model / "model.keras"))


def test_validation_images_that_it_may_have_learnt_are_named(pets: Path, tmp_path: Path) -> None:
    said: list[str] = []

    config = replace(CONFIG, model=str(pets / "model" / "model.keras"))
    found = ec.train(pets / "photos", tmp_path, config=config, images=options(val_share=0.3), progress=Lines(said))
    assert found.test_images == 8  # Drawn as before, the test images are none that it has learnt.
    assert any("model.keras may have" in text and "these validation images" in text for text in said)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file whose test images are all copies of training images, and a model that was trained on it and exported."""
    root = tmp_path_factory.mktemp("copied")
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12)).astype(np.uint8)
    labels = np.arange(40) % 2
    np.savez(root / "images.npz", x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])
    ec.train(root / "images.npz", root / "model", config=SMALL)
    ec.export(root / "model" / "model.keras", formats=["tflite"], precisions=["float32", "float16"])
    return root


def test_copies_of_training_images_are_a_doubt_in_train_export_and_evaluate_and_travel_with_the_manifest(copied: Path) -> None:
    said = "Doubtful: all 30 test images are exact copies of training images"
    trained = from_json(ec.TrainResult, (copied / "model" / "train.json").read_text(), "train.json")
    assert trained.dataset.learnt == tuple(range(30))
    assert said in " ".join(trained.to_text().split())
    folder = ec.open(copied / "model")
    assert folder.manifest
    assert folder.manifest.dataset.learnt == tuple(range(30))
    assert said in " ".join(folder.to_text().split())
    assert said in " ".join(ec.evaluate(copied / "model" / "float32.tflite").to_text().split())
    card = (copied / "model" / "MODEL_CARD.md").read_text()
    assert all(part in card for part in ("30 of these 30 images", "copies of training images"))
    ec.bundle(copied / "model", copied / "model.zip")
    assert {file.distinct for file in ec.evaluate(copied / "model.zip").files} == {0}


def test_a_file_from_elsewhere_is_doubted_on_copies_of_the_training_images_beside(copied: Path, tmp_path: Path) -> None:
    shutil.copy(copied / "model" / "float32.tflite", tmp_path)
    found = ec.evaluate(tmp_path / "float32.tflite", data=copied / "images.npz", interface="unit")
    assert all(said in " ".join(found.to_text().split()) for said in ("all 30 test images", "copies of training"))


def test_mnist_has_no_copy_of_a_training_image_among_its_test_images() -> None:
    mnist = ec.load_dataset()
    assert learnt_images(mnist.train, mnist.test) == mnist.learnt == ()


@pytest.mark.usefixtures("made_here")
def test_a_model_that_always_answers_the_commonest_class_is_doubtful_as_in_bench(tmp_path: Path) -> None:
    """35 of 60 test images have class 1, more than a third and three standard deviations."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(60) < 35, 1, np.arange(60) % 3)
    parts: dict[str, Any] = {f"x_{part}": rng.integers(0, 256, (60, 12, 12)).astype(np.uint8) for part in ("train", "test")}
    np.savez(tmp_path / "images.npz", **parts, y_train=labels, y_test=labels)
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((12, 12, 1)), flat, dense])
    dense.set_weights([np.zeros((144, 3)), np.array([0.0, 2.0, 0.0])])
    model.save(tmp_path / "guess.keras")
    folder = ec.export(tmp_path / "guess.keras", tmp_path / "images.npz", out=tmp_path / "out", interface="unit", **FLOAT)
    assert folder.manifest
    assert folder.manifest.reference
    assert folder.manifest.reference.doubtful
    doubt = "Doubtful: this is not shown to be better than always answering the most frequent class"
    assert doubt in " ".join(folder.to_text().split())
    assert doubt in " ".join(ec.evaluate(folder).to_text().split())


def test_files_are_compared_on_images_that_none_of_their_models_learnt(pets: Path, tmp_path: Path) -> None:
    ec.train(pets / "photos", tmp_path / "again", config=SMALL, images=options(split_seed=3))
    ec.export(tmp_path / "again" / "model.keras", **FLOAT)
    files = [pets / "model" / "float32.tflite", tmp_path / "again" / "float32.tflite"]
    report = ec.bench(files, options=BRIEF, allow=("noise",))
    own = ec.load_dataset(pets / "photos", options()).test
    learnt = learnt_images(ec.load_dataset(pets / "photos", options(split_seed=3)).train, own)
    assert 0 < len(learnt) < len(own.labels)
    assert report.dataset
    assert report.dataset.learnt == learnt
    assert {file.accuracy.images for file in report.files if file.accuracy} == {len(own.labels) - len(learnt)}
    shutil.move(pets / "photos", pets / "elsewhere")
    try:
        told = ec.bench(files, options=BRIEF, allow=("noise",), data=pets / "elsewhere", images=options())
    finally:
        shutil.move(pets / "elsewhere", pets / "photos")
    assert any("again" in note and "may have learned" in note for note in told.notes)

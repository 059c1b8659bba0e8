"""Thresholds are set by validation images alone, and an export without them, or without enough, says what to do."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.selective import Level, certified, least_images
from edgecnn.convert.export.thresholds import (
    Acceptance,
    Outputs,
    _least,
    made_strangers,
    require_enough_images,
    threshold_of,
    validation_of,
)
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.splits import ArraySplit, Split
from edgecnn.edge.errors import ArtifactError, ConfigError, GateFailed
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest, Validation
from edgecnn.edge.model.preprocess import Floats, accepts, scores
from edgecnn.edge.model.threshold import Strangers, Threshold
from edgecnn.edge.show.export import thresholds, tied_note
from tests.convert.conftest import save_splits, unchanged
from tests.drawings import drawings
from tests.edge.data.drawn.photos import compressed, cropped, photo
from tests.edge.inference.thresholds import THRESHOLD

SHAPE = (2, 2, 1)
VALIDATION = 600


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


class Model:
    """A model of three classes that is less sure where it errs; logits of strangers are small, but far apart."""

    def __init__(self, gives_logits: bool, error: float = 0.03, images: int = 2000) -> None:
        rng = np.random.default_rng(3)
        self.gives_logits = gives_logits
        labels = rng.integers(0, 3, images)
        wrong = rng.random(images) < error
        logits = rng.normal(0, 0.1, (images, 3)).astype(np.float32)
        size = np.where(wrong, rng.uniform(0.5, 3, images), rng.uniform(1, 12, images)).astype(np.float32)
        logits[np.arange(images), np.where(wrong, (labels + 1) % 3, labels)] += size
        strangers = rng.normal(-6, 0.1, (500, 3)).astype(np.float32)
        strangers[:, 0] += rng.uniform(4, 7, 500).astype(np.float32)
        self.validation = ArraySplit(np.zeros((images, *SHAPE), np.uint8), labels.astype(np.int64))
        self.strangers = ArraySplit(np.zeros((500, *SHAPE), np.uint8), np.zeros(500, np.int64))
        self.logits = {id(self.validation): logits, id(self.strangers): strangers}

    def run(self, split: Split) -> Outputs:
        logits = self.logits[id(split)]
        return Outputs(softmax(logits), logits.max(axis=1) if self.gives_logits else None)

    def threshold(self, asked: Acceptance | None = None, tests: int = 1) -> Threshold:
        """Return that of a file which answers as this model; its validation images chose among so many epochs."""
        return threshold_of("a.tflite", self.run, asked or self.acceptance(), (self.validation, tests), "f" * 64)

    def acceptance(self, max_error: float = 0.02, least_share: float | None = None) -> Acceptance:
        strangers = (("letters", self.strangers),)
        return Acceptance(max_error, strangers, 1, least_share, least_share is not None, certified, least_images)


def test_a_file_of_probabilities_has_the_scores_of_these_alone() -> None:
    model = Model(gives_logits=False)
    found = model.threshold()
    assert found.score in ("probability", "margin")
    assert (found.tests, found.most) == (2, None)
    accepted = accepts(found, *model.run(model.validation))
    assert (found.images, found.accepted) == (2000, int(accepted.sum()))
    wrong = model.run(model.validation).probabilities.argmax(axis=1) != model.validation.labels
    assert found.wrong == int((accepted & wrong).sum())
    assert found.wrong / found.accepted < found.max_error == 0.02


def test_a_file_of_logits_takes_the_score_that_accepts_the_fewest_strangers_corrected_for_three() -> None:
    model = Model(gives_logits=True)
    found = model.threshold()
    (letters,) = found.strangers
    assert found.score in ("max-logit", "energy")
    assert found.tests == 3
    assert (letters.name, letters.images) == ("letters", 500)
    assert letters.accepted == int(accepts(found, *model.run(model.strangers)).sum())
    assert 2 * letters.accepted <= letters.plain


def test_logits_beyond_those_of_the_validation_images_are_not_accepted() -> None:
    """As of random pixels, of which a network may be surest of all."""
    model = Model(gives_logits=True)
    model.logits[id(model.strangers)] += 40
    found = model.threshold()
    largest = scores(found.score, *model.run(model.validation)).max()
    assert found.most is not None
    assert largest - 1e-3 < found.most < largest
    accepted = accepts(found, *model.run(model.validation))
    wrong = model.run(model.validation).probabilities.argmax(axis=1) != model.validation.labels
    assert (found.accepted, found.wrong) == (int(accepted.sum()), int((accepted & wrong).sum()))
    (letters,) = found.strangers
    assert letters.accepted == 0 < letters.plain
    # The surest image, which no such threshold accepts, does not count as one that must stay accepted.
    strict = model.threshold(model.acceptance(least_share=0.65))
    assert (strict.score, strict.accepted) == (found.score, 1299)


def test_a_margin_tells_apart_what_8_bits_round_alike_and_what_it_can_not_is_counted() -> None:
    model = Model(gives_logits=False)
    labels, strangers = model.validation.labels, len(model.strangers.labels)
    rows = np.zeros((2000, 3), np.float32)
    rows[np.arange(2000), labels] = np.where(np.arange(2000) < 1500, 255, 200)
    rows[1100:, :] += (rows[1100:] == 0) * np.float32(1)
    surest = np.array([[255, 1, 0]] * strangers, np.float32) / np.float32(256)
    outputs = {id(model.validation): rows / np.float32(256), id(model.strangers): surest}

    def run(split: Split) -> Outputs:
        return Outputs(outputs[id(split)], None)

    found = threshold_of("a.tflite", run, model.acceptance(least_share=0.5), (model.validation, 1), "f" * 64)
    assert (found.score, found.accepted, found.tied) == ("margin", 1100, 1100)
    assert (found.strangers[0].accepted, found.strangers[0].plain) == (0, strangers)
    enough = threshold_of("a.tflite", run, model.acceptance(least_share=0.55), (model.validation, 1), "f" * 64)
    assert (enough.score, enough.accepted, enough.tied) == ("margin", 1100, 0)
    text = " ".join(tied_note([("a.tflite", found), ("b.tflite", enough)]))
    assert "a.tflite (1,100 of 2,000)" in text
    assert "export with io=float32" in text
    assert "preprocess=unit and logits" in text
    assert "b.tflite" not in text
    assert tied_note([("b.tflite", enough)]) == []


def test_a_score_that_accepts_too_few_images_loses_to_one_that_accepts_enough() -> None:
    model = Model(gives_logits=False)
    labels, sure = model.validation.labels, np.arange(2000) < 1200
    rows = np.where(sure[:, np.newaxis], (0.9, 0.06, 0.04), (0.55, 0.4, 0.05)).astype(np.float32)
    rows[1940:] = 0.25, 0.5, 0.25  # Wrong, by a larger margin than many that are right.
    rows[:1200, 0] += np.linspace(0, 0.05, 1200, dtype=np.float32)
    places = (np.arange(3)[np.newaxis] - labels[:, np.newaxis]) % 3
    strangers = np.tile(np.array([0.56, 0.44, 0.0], np.float32), (len(model.strangers.labels), 1))
    outputs = {id(model.validation): np.take_along_axis(rows, places, axis=1), id(model.strangers): strangers}

    def run(split: Split) -> Outputs:
        return Outputs(outputs[id(split)], None)

    few = threshold_of("a.tflite", run, model.acceptance(), (model.validation, 1), "f" * 64)
    assert few.score == "margin"
    assert few.accepted <= 1200
    enough = threshold_of("a.tflite", run, model.acceptance(least_share=0.9), (model.validation, 1), "f" * 64)
    assert enough.score == "probability"
    assert enough.accepted >= 1800


def test_files_of_several_exports_keep_their_own_promise_and_strangers() -> None:
    one = replace(THRESHOLD, strangers=(Strangers("bars", 30, 9, 12), Strangers("noise", 256, 0, 3)))
    other = replace(THRESHOLD, max_error=0.05, strangers=(Strangers("noise", 256, 7, 11),))
    table, _ = thresholds([("a.tflite", one), ("b.tflite", other)])
    assert [row[-3:] for row in table.rows] == [("1", "9 (12) of 30", "0 (3) of 256"), ("5", "", "7 (11) of 256")]


def test_a_share_that_stays_accepted_takes_the_strictest_threshold_with_it() -> None:
    model = Model(gives_logits=False)
    loose = model.threshold()
    strict = model.threshold(model.acceptance(least_share=0.5))
    assert strict.images / 2 <= strict.accepted < loose.accepted
    assert strict.least > loose.least
    assert strict.strangers[0].plain == loose.strangers[0].plain == loose.strangers[0].accepted > strict.strangers[0].accepted


def test_a_share_that_can_not_be_accepted_is_an_error_if_it_was_asked_for_and_else_the_most_that_can() -> None:
    model = Model(gives_logits=False)
    asked = model.acceptance(least_share=1.0)
    with pytest.raises(GateFailed, match="accept"):
        model.threshold(asked)
    loose = model.threshold(replace(asked, required=False))
    assert loose == model.threshold()


def test_without_named_strangers_a_file_of_logits_has_its_probability_and_no_correction_for_scores() -> None:
    model = Model(gives_logits=True)
    alone = replace(model.acceptance(), named=0)
    found = model.threshold(alone)
    assert (found.score, found.tests) == ("probability", 1)


def test_a_threshold_that_can_not_be_had_is_an_error_that_says_why() -> None:
    model = Model(False, error=1.0)
    with pytest.raises(GateFailed, match="surest half") as refused:
        model.threshold()
    assert "a.tflite" in str(refused.value)


@pytest.mark.parametrize(
    ("images", "epochs", "output", "needed"),
    [(100, 1, "probabilities", 183), (160, 5, "probabilities", 263), (200, 1, "logits", 203)],
    ids=["few", "few for five epochs", "few for three scores"],
)
def test_too_few_images_to_show_anything_are_refused_before_a_file_is_made(
    images: int, epochs: int, output: str, needed: int
) -> None:
    model = Model(False)
    manifest, dataset = manifest_of(None, output), dataset_of(drawings(9, 3))
    few = ArraySplit(np.zeros((images, *SHAPE), np.uint8), np.zeros(images, np.int64))
    with pytest.raises(GateFailed, match=f"which takes {needed}: put more .* into the val/") as refused:
        require_enough_images(model.acceptance(), (few, epochs), dataset, manifest)
    percent = float(str(refused.value).rpartition("=")[2].strip("\ufdd1"))
    require_enough_images(model.acceptance(percent / 100), (few, epochs), dataset, manifest)
    with pytest.raises(GateFailed):
        require_enough_images(model.acceptance(percent / 100 - 0.001), (few, epochs), dataset, manifest)


def test_images_that_were_drawn_are_more_with_a_larger_share_that_is_named() -> None:
    model, manifest = Model(False), manifest_of(None, epochs="1")
    drawn = replace(dataset_of(drawings(45, 3)), train=split_of(drawings(405, 1)), val_share=0.1)
    assert drawn.val
    asked = replace(model.acceptance(), named=0, max_error=0.0165)  # 181 images.
    with pytest.raises(GateFailed, match=r"train again with .*val_share.*=0\.41"):
        require_enough_images(asked, (drawn.val, 1), drawn, manifest)
    scarce = replace(drawn, train=split_of(drawings(90, 1)))
    with pytest.raises(GateFailed, match="add training images"):
        require_enough_images(asked, (drawn.val, 1), scarce, manifest)


def test_images_that_chose_an_epoch_are_corrected_for_it() -> None:
    model = Model(False)
    asked = model.acceptance(0.03)
    once, often = (model.threshold(asked, epochs) for epochs in (1, 50))
    assert (once.tests, often.tests) == (2, 100)
    assert often.accepted < once.accepted


@pytest.mark.parametrize("above", [0.5, -3.0, 12.25, 4000.0])
@pytest.mark.parametrize("gap", [1e-7, 1e-3, 2.0])
def test_the_smallest_accepted_score_is_above_the_level_by_no_more_than_rounding(above: float, gap: float) -> None:
    values = np.array([above - 1, above, above, max(np.nextafter(np.float32(above), np.inf), above + gap)], np.float32)
    least = _least(values, Level(above, 1, 0))
    assert (values >= least).tolist() == [False, False, False, True]
    assert 0 < least - above <= 1e-4 * max(1, abs(above))


def split_of(drawn: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> ArraySplit:
    return ArraySplit(drawn[0][..., np.newaxis], drawn[1].astype(np.int64))


def dataset_of(val: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None) -> Dataset:
    train, test = split_of(drawings(9, 1)), split_of(drawings(9, 2))
    return Dataset("bars", "/bars.npz", ("a", "b", "c"), train, test, val=val and split_of(val))


def manifest_of(sha256: str | None, output: str = "probabilities", **config: str) -> Manifest:
    validation = Validation(sha256) if sha256 else None
    made = SimpleNamespace(
        output=output, dataset=SimpleNamespace(validation=validation), provenance=SimpleNamespace(train_config=config)
    )
    return cast(Manifest, made)


@pytest.mark.parametrize(("config", "fix"), [({"epochs": "5"}, "val_share"), ({}, "val/")])
def test_a_model_without_validation_images_is_told_how_to_have_some(config: dict[str, str], fix: str) -> None:
    with pytest.raises(ConfigError, match=fix):
        validation_of(dataset_of(None), manifest_of(None, **config))


def test_other_validation_images_than_those_of_the_training_are_refused() -> None:
    with pytest.raises(ConfigError, match="not the validation images"):
        validation_of(dataset_of(drawings(9, 3)), manifest_of("0" * 64, epochs="5"))


def test_copies_of_training_and_test_images_set_no_threshold() -> None:
    parts = [drawings(9, seed) for seed in (1, 2, 3)]
    joined = np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])
    images, epochs = validation_of(dataset_of(joined), manifest_of(None))
    assert len(images.labels) == 9
    assert np.array_equal(images.images(range(9))[..., 0], parts[2][0])
    assert epochs == 1
    with pytest.raises(ConfigError, match="copy"):
        validation_of(dataset_of(drawings(9, 1)), manifest_of(None))


def test_near_duplicates_of_training_images_set_no_threshold() -> None:
    taken = [photo(number, (64, 48)) for number in range(6)]

    def split(*pictures: Any) -> ArraySplit:
        pixels = np.stack([np.asarray(picture.convert("RGB").resize((64, 48))) for picture in pictures])
        return ArraySplit(pixels, np.arange(len(pictures)) % 2)

    val = split(compressed(taken[0]), taken[4], cropped(taken[1], 0.03, 0.05), taken[2], taken[5])
    dataset = Dataset("pets", "/pets.npz", ("a", "b"), split(*taken[:3]), split(taken[3]), val=val)
    lines: list[str] = []
    images, _ = validation_of(dataset, manifest_of(None), lines.append)
    assert np.array_equal(images.images(range(len(images.labels))), val.images([1, 4]))
    assert "2 of 5 validation images" in lines[-1]  # The third is an exact copy.


@pytest.mark.parametrize(("config", "epochs"), [({}, 7), ({"keep": "last"}, 1), ({"keep": "last", "patience": "3"}, 7)])
def test_the_epochs_among_which_they_chose_are_those_of_the_training(config: dict[str, str], epochs: int) -> None:
    dataset = dataset_of(drawings(9, 3))
    assert dataset.val
    assert validation_of(dataset, manifest_of(dataset.val.sha256, epochs="7", **config))[1] == epochs


def test_a_number_of_epochs_that_is_missing_is_not_taken_for_one_but_a_model_from_elsewhere_has_none() -> None:
    dataset = dataset_of(drawings(9, 3))
    assert dataset.val
    assert validation_of(dataset, manifest_of(dataset.val.sha256))[1] == 1
    with pytest.raises(ArtifactError, match="epochs"):
        validation_of(dataset, manifest_of(dataset.val.sha256, keep="best"))


def test_noise_and_pictures_of_one_grey_have_the_shape_of_the_models_images() -> None:
    (_, noise), (_, blank) = made_strangers((5, 4, 3))
    assert noise.images(range(256)).shape == blank.images(range(256)).shape == (256, 5, 4, 3)
    assert sorted(image.max() for image in blank.images(range(256))) == list(range(256))
    assert all(image.min() == image.max() for image in blank.images(range(256)))


@pytest.fixture
def own_data(idx_folder: Path, tmp_path: Path) -> Path:
    """An .npz file of the images of `exported`, with validation images that chose nothing."""
    dataset, val = load_dataset(idx_folder), split_of(drawings(VALIDATION, 3))
    return save_splits(tmp_path / "bars.npz", train=dataset.train, test=dataset.test, val=val)


def test_an_export_writes_each_files_threshold_and_without_one_asked_for_says_that_it_is_gone(
    artifacts: Path, own_data: Path, terminal: Any
) -> None:
    asked = ["export", artifacts / "model.keras", "--data", own_data, "--format", "tflite"]
    text = terminal.passes(*asked, "--max-error", "2", "--accept", "90", "--strangers", own_data)
    assert all(word in text for word in ("Accepted", "answers", "bars", "noise", "blank"))
    files = [one for one in Manifest.load(artifacts).exported if one.path in ("float32.tflite", "int8.tflite")]
    assert len({one.threshold.least for one in files if one.threshold}) == 2
    assert [one.input.dtype for one in files] == ["float32"] * 2  # Probabilities of 8 bits would be alike for most images.
    for one in files:
        threshold = one.threshold
        assert threshold
        assert (threshold.images, threshold.max_error, threshold.tests) == (VALIDATION, 0.02, 2)
        assert 0.9 <= threshold.accepted / threshold.images < 1
        assert [stranger.name for stranger in threshold.strangers] == ["bars", "noise", "blank"]
        classifier = Classifier.load(artifacts / one.path)
        assert classifier.threshold == threshold
        accepted = classifier.predict(drawings(VALIDATION, 3)[0][..., np.newaxis]).accepted
        assert accepted is not None
        assert int(accepted.sum()) == threshold.accepted
    terminal.passes(*asked)
    assert "int8.tflite has no threshold any more" in terminal.err
    assert all(one.threshold is None for one in Manifest.load(artifacts).exported)


def test_with_strangers_an_int8_file_of_probabilities_gives_float32_unless_its_type_is_stated(
    artifacts: Path, own_data: Path, terminal: Any
) -> None:
    asked = ("export", artifacts / "model.keras", "--data", own_data, "--format", "tflite", "--max-error", "2")
    strangers = ("--strangers", own_data)
    for options, dtype in ((strangers, "float32"), ((), "int8"), ((*strangers, "--io", "uint8"), "uint8")):
        terminal.passes(*asked, *options)
        assert next(one.input.dtype for one in Manifest.load(artifacts).exported if one.path == "int8.tflite") == dtype
        assert ("--io int8 keeps integers" in terminal.err) == (dtype == "float32")
    terminal.passes(*asked, *strangers, "--quantize", "float32")


@pytest.mark.parametrize("option", [["--strangers", "fashion-mnist"], ["--accept", "90"]])
def test_an_option_about_a_threshold_without_one_is_refused(option: list[str], artifacts: Path, terminal: Any) -> None:
    terminal.fails(2, "export", artifacts / "model.keras", *option)
    assert "--max-error" in terminal.err


def test_strangers_that_can_not_be_read_are_named_with_their_option(artifacts: Path, own_data: Path, terminal: Any) -> None:
    asked = ("export", artifacts / "model.keras", "--data", own_data, "--max-error", "2")
    line = terminal.fails(2, *asked, "--strangers", own_data.parent / "none")
    assert "none" in line
    assert "--strangers" in line
    assert "--data" not in line


def test_an_export_with_too_few_validation_images_ends_before_it_converts(
    artifacts: Path, own_data: Path, terminal: Any
) -> None:
    terminal.fails(3, "export", artifacts / "model.keras", "--data", own_data, "--max-error", "0.1")
    assert f"{VALIDATION} validation images can't show" in " ".join(terminal.err.split())
    assert "--max-error 0.5" in terminal.err
    assert "float32.tflite" not in terminal.err


def test_an_export_without_validation_images_says_what_to_do_and_changes_nothing(artifacts: Path, terminal: Any) -> None:
    with unchanged(artifacts):
        terminal.fails(2, "export", artifacts / "model.keras", "--max-error", "1")
    assert "--val-share" in terminal.err

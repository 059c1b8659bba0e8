"""Accuracy and loss of one file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.benchmarks.measure.evaluation import Evaluations, evaluate
from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.data.pixel_digests import held_out, pixel_digests
from edgecnn.edge.data.splits import CHUNK, ArraySplit, Indices, Split, chunks
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.export_records import Mended
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import DatasetRecord, Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model.preprocess import Images, correct, cross_entropy
from tests.edge.inference.thresholds import with_threshold

RECORD = DatasetRecord("bars", "/data/bars", "", "hash")


@pytest.fixture
def int8(exported: Path) -> Classifier:
    return Classifier.load(exported / "int8.tflite")


def black(*labels: int) -> ArraySplit:
    return ArraySplit(np.zeros((len(labels), 12, 12, 1), np.uint8), np.array(labels, np.int64))


def test_labels_beyond_the_classes_are_refused(int8: Classifier) -> None:
    with pytest.raises(ConfigError, match=r"int8\.tflite.*3 classes.*labels.*to 3:.*data"):
        evaluate("int8.tflite", int8, black(0, 3), RECORD)


@pytest.mark.parametrize("name", ["int8.tflite", "float32.tflite", "float32.onnx"])
def test_an_evaluation_counts_what_the_classifier_says(name: str, exported: Path, test_split: Split) -> None:
    classifier = Classifier.load(exported / name)
    images = next(chunks(test_split))
    probabilities = classifier.probabilities(images)
    labels = probabilities.argmax(axis=1)
    labels[:15] = (labels[:15] + 1) % 3
    result = evaluate(name, classifier, ArraySplit(images, labels), RECORD)
    assert (result.file, result.images, result.correct, result.accuracy) == (name, 60, 45, 0.75)
    assert result.loss == pytest.approx(cross_entropy(probabilities, labels))
    assert result.runtime == f"{classifier.runtime.name} {classifier.runtime.version}"
    assert (result.unverified, result.dataset) == (None, RECORD)


def test_an_evaluation_needs_images_and_says_that_nothing_vouches_for_the_file(artifacts: Path, int8: Classifier) -> None:
    (artifacts / "manifest.json").unlink()
    classifier = Classifier.load(artifacts / "int8.tflite", interface=Interface(SCHEMES["unit"]))
    result = evaluate("int8.tflite", classifier, black(0), RECORD)
    assert result.unverified == "no manifest.json beside it"
    with pytest.raises(ConfigError, match=r"no test images.*int8\.tflite.*data"):
        evaluate("int8.tflite", int8, black(), RECORD)


def test_no_more_than_a_chunk_of_images_is_asked_for_at_a_time(int8: Classifier, test_split: Split) -> None:
    images = next(chunks(test_split))
    many = Counted(np.tile(images, (11, 1, 1, 1)), np.tile(test_split.labels, 11))
    few, result = (evaluate("", int8, split, RECORD) for split in (ArraySplit(images, test_split.labels), many))
    assert many.asked == [CHUNK, CHUNK, 160]
    assert (result.images, result.correct) == (660, 11 * few.correct)
    assert result.loss == pytest.approx(few.loss)


class Counted(ArraySplit):
    """Records how many images were requested at a time."""

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        self.__dict__.setdefault("asked", []).append(len(indices))
        return super().images(indices)

    @property
    def asked(self) -> list[int]:
        """Number of images of each request."""
        return list(self.__dict__["asked"])


def repeated(times: int, other_labels: int) -> ArraySplit:
    """Return three images repeated this many times; this many of the last have another label than before."""
    images = np.zeros((3, 12, 12, 1), np.uint8)
    images[:, 0, 0, 0] = 1, 2, 3
    labels = np.zeros(3 * times, np.int64)
    labels[len(labels) - other_labels :] = 1
    return ArraySplit(np.tile(images, (times, 1, 1, 1)), labels)


def test_copies_are_said_and_counted_once(int8: Classifier) -> None:
    result = evaluate("int8.tflite", int8, repeated(200, 0), RECORD)
    once = evaluate("int8.tflite", int8, repeated(1, 0), RECORD)
    assert (result.images, result.distinct, result.distinct_correct) == (600, 3, once.correct)
    said = (f"({200 * once.correct} of 600 test images;", "; 3 distinct ones,", f" of which {once.correct} are right)")
    assert all(part in " ".join(result.to_text().split()) for part in said)
    assert "distinct" not in once.to_text()
    assert (result.conflicting, once.conflicting) == (0, 0)
    assert "label" not in result.to_text()


def test_copies_with_another_label_are_said(int8: Classifier) -> None:
    result = evaluate("int8.tflite", int8, repeated(200, 5), RECORD)
    assert (result.images, result.distinct, result.conflicting) == (600, 3, 5)
    assert all(said in result.to_text() for said in ("5 test images have", "of an earlier image"))


def test_copies_of_training_images_are_a_doubt_and_count_as_none(int8: Classifier, test_split: Split) -> None:
    alone = evaluate("int8.tflite", int8, ArraySplit(test_split.images(range(20, 60)), test_split.labels[20:60]), RECORD)
    some = evaluate("int8.tflite", int8, test_split, replace(RECORD, learnt=tuple(range(20))))
    assert (some.images, some.distinct, some.distinct_correct) == (60, 40, alone.correct)
    assert all(said in " ".join(some.to_text().split()) for said in ("Doubtful: 20 of 60 test", "copies of training images"))
    every = evaluate("int8.tflite", int8, test_split, replace(RECORD, learnt=tuple(range(60))))
    assert every.distinct == 0
    for text in (every.to_text(), Evaluations((every,), {}).to_text()):
        assert all(said in " ".join(text.split()) for said in ("Doubtful: all 60 test", "copies of training images"))


def test_an_evaluation_counts_accepted_answers_and_errors_among_them_once(artifacts: Path, test_split: Split) -> None:
    plain = evaluate("int8.tflite", Classifier.load(artifacts / "int8.tflite"), test_split, RECORD)
    assert (plain.accepted, plain.max_error) == (None, None)
    assert "not sure" not in plain.to_text()
    images, surest = test_split.images(range(60)), Classifier.load(artifacts / "int8.tflite").probabilities
    least = float(np.median(surest(images).max(axis=1)))
    classifier = Classifier.load(with_threshold(artifacts, least) / "int8.tflite")
    probabilities, sure = classifier.judged(images)
    assert sure is not None
    labels = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(sure)[:3]
    labels[wrong] = (labels[wrong] + 1) % 3
    twice = ArraySplit(np.concatenate([images, images]), np.concatenate([labels, labels]))
    found = evaluate("int8.tflite", classifier, twice, RECORD)
    assert (found.images, found.distinct) == (120, 60)
    assert (found.accepted, found.accepted_wrong, found.max_error) == (int(sure.sum()), 3, 0.01)
    share = binomial.interval(3, int(sure.sum()))
    text = " ".join(found.to_text().split())
    assert f"accepts {int(sure.sum())} of 60 answers" in text
    assert f"of which {100 * share.estimate:.2f} % are wrong" in text
    assert f"{100 * share.low:.2f} to {100 * share.high:.2f} %" in text
    assert found.to_text().split("Its threshold")[1] == Evaluations((found,), {}).to_text().split("Its threshold")[1]


def test_a_model_no_better_than_its_commonest_class_is_doubtful(int8: Classifier, test_split: Split) -> None:
    good = evaluate("int8.tflite", int8, test_split, RECORD)
    assert "Doubtful" not in good.to_text()
    always = ArraySplit(test_split.images(range(60)), np.where(np.arange(60) < 50, 0, 1))
    poor = evaluate("int8.tflite", int8, always, RECORD)
    assert poor.commonest == 50
    assert all(said in " ".join(poor.to_text().split()) for said in ("Doubtful: ", "not shown to be better", "frequent class"))


@pytest.mark.parametrize("held", [False, True])
def test_images_that_chose_layers_of_the_file_are_a_doubt_with_what_the_others_say(
    held: bool, artifacts: Path, test_split: Split
) -> None:
    manifest = Manifest.load(artifacts)
    own = manifest.artifact("int8.tflite")
    assert own
    digests = pixel_digests(next(chunks(test_split)))
    judging = held_out(digests) if held else np.zeros(len(digests), bool)
    mended = Mended(("conv",), "float32", 0.5, 7, 1000, 1.1, held_out=int(judging.sum()))
    manifest.with_artifacts(replace(own, mended=mended)).save(artifacts)
    (result,) = ec.evaluate(artifacts / "int8.tflite").files
    assert (result.distinct, result.chose) == (len(digests), len(digests) - judging.sum())
    right = correct(Classifier.load(artifacts / "int8.tflite").split_probabilities(test_split), test_split.labels)
    said = (
        f"other {judging.sum()} different ones, {right[judging].sum()} are right"
        if held
        else f"Doubtful: {len(digests)} test images chose"
    )
    assert said in " ".join(result.to_text().split())
    (other,) = ec.evaluate(artifacts / "float32.tflite").files
    assert (other.chose, other.doubts()) == (0, [])

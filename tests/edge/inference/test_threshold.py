"""An answer below a file's threshold is not accepted, wherever files answer."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.int8_fast_path import SingleImage
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import accepts, scores
from edgecnn.edge.model.threshold import ScoreName, Strangers, Threshold
from tests.edge.inference.thresholds import THRESHOLD, with_threshold


@pytest.mark.parametrize(
    ("name", "score"),
    [(name, "probability") for name in ("int8.tflite", "float32.tflite", "int8.onnx")] + [("int8.tflite", "margin")],
)
def test_what_is_below_the_threshold_is_not_accepted_alone_or_among_others(
    name: str, score: ScoreName, artifacts: Path, test_split: Split
) -> None:
    images = test_split.images(range(60))
    plain = Classifier.load(artifacts / name).predict(images)
    assert plain.accepted is None
    found_scores = scores(score, plain.probabilities, None)
    least = float((found_scores.min() + found_scores.max()) / 2)
    classifier = Classifier.load(with_threshold(artifacts, least, score) / name)
    assert isinstance(classifier._single, SingleImage) == (name == "int8.tflite")  # A threshold holds on the fast path too.
    found = classifier.predict(images)
    assert found.accepted is not None
    assert found.accepted.tolist() == (found_scores >= least).tolist()
    assert 0 < found.accepted.sum() < 60
    alone = [classifier.predict(image).accepted for image in images]
    assert [bool(accepted[0]) for accepted in alone if accepted is not None] == found.accepted.tolist()
    probabilities, accepted = classifier.judged(images)
    assert accepted is not None
    assert accepted.tolist() == found.accepted.tolist()
    assert np.array_equal(probabilities, found.probabilities)


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_the_ends_of_the_range_accept_all_or_what_is_surely_so_alone_or_among_others(
    least: float, artifacts: Path, test_split: Split
) -> None:
    classifier = Classifier.load(with_threshold(artifacts, least) / "int8.tflite")
    for images in (test_split.images([0]), test_split.images(range(60))):
        found = classifier.predict(images)
        assert found.accepted is not None
        assert found.accepted.tolist() == [not least] * len(images)  # Probabilities of 8 bits end at 255/256.


def test_the_scores_of_logits_are_those_of_their_formulas_and_those_of_a_softmax_are_its_probability() -> None:
    logits = np.array([[3.0, 1.0, -2.0], [-1.0, 0.5, 0.25]], np.float32)
    powers = np.exp(logits)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    tops = logits.max(axis=1)
    assert np.allclose(scores("energy", probabilities, tops), np.log(powers.sum(axis=1)))
    assert scores("max-logit", probabilities, tops).tolist() == tops.tolist()
    assert scores("probability", probabilities, None).tolist() == probabilities.max(axis=1).tolist()
    two = np.sort(probabilities, axis=1)
    assert scores("margin", probabilities, None).tolist() == (two[:, 2] - two[:, 1]).tolist()
    assert accepts(replace(THRESHOLD, score="max-logit", least=0.5, most=2.9), probabilities, tops).tolist() == [False, True]
    assert accepts(replace(THRESHOLD, score="max-logit", least=0.6, most=3.0), probabilities, tops).tolist() == [True, False]
    with pytest.raises(ValueError, match="logits"):
        scores("energy", probabilities, None)


@pytest.mark.parametrize("score", ["energy", "max-logit"])
def test_no_image_of_a_file_with_logits_is_accepted_or_refused(score: Any, artifacts: Path) -> None:
    classifier = Classifier.load(artifacts / "int8.tflite")
    classifier.interface = replace(classifier.interface, output="logits")
    classifier.threshold = replace(THRESHOLD, score=score, least=0.5, most=2.9)
    accepted = classifier.predict(np.empty((0, *classifier.shape), np.uint8)).accepted
    assert accepted is not None
    assert accepted.shape == (0,)


@pytest.mark.parametrize(
    "change",
    [
        {"max_error": 0.0}, {"max_error": 1.0}, {"confidence": 1.5}, {"least": 1.5}, {"least": -0.1}, {"wrong": 951},
        {"accepted": 1001}, {"images": 0, "accepted": 0, "wrong": 0}, {"tests": 0},
        {"score": "margin", "least": 1.5}, {"score": "energy", "least": 3.0, "most": 2.0}, {"tied": 1001},
        {"strangers": (Strangers("noise", 256, 257, 0),)},
        {"strangers": (Strangers("noise", 256, 0, -1),)},
    ],
)  # fmt: skip
def test_a_manifest_with_a_threshold_out_of_range_is_refused(change: dict[str, Any], artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    first, *others = manifest.exported
    broken = replace(first, threshold=replace(THRESHOLD, **change))
    replace(manifest, artifacts=(manifest.source(), broken, *others)).save(artifacts)
    with pytest.raises(ArtifactError, match=re.escape(f"the threshold of {first.path}")):
        Manifest.load(artifacts)


def test_a_manifest_has_every_number_of_a_threshold(artifacts: Path) -> None:
    loaded = Manifest.load(with_threshold(artifacts, 0.75)).artifact("int8.tflite")
    assert loaded
    assert loaded.threshold == replace(THRESHOLD, least=0.75)
    assert isinstance(loaded.threshold, Threshold)
    text = (artifacts / "manifest.json").read_text().replace('"least": 0.75', '"least": 1e999')
    (artifacts / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError):
        Manifest.load(artifacts)


def test_a_bundle_carries_the_thresholds(artifacts: Path, tmp_path: Path, terminal: Any) -> None:
    with_threshold(artifacts, 1.0)
    bundle = tmp_path / "bars.zip"
    terminal.passes("bundle", artifacts, "--out", bundle, "--file", "int8.tflite", "--images", "6")
    assert "not sure: " in terminal.passes("predict", bundle / "int8.tflite", "--index", "5")
    terminal.passes("verify", bundle)


@pytest.mark.parametrize(
    ("change", "text", "refusal"),
    [
        ({}, "90 %", "is below the threshold 90 %"),
        ({"least": 0.99996}, "99.996 %", "is below the threshold 99.996 %"),  # Not 100 %, as which it would be rounded.
        ({"score": "margin"}, "margin 90 %", "with a margin below 90 %"),
        ({"score": "max-logit", "least": 7.5}, "max-logit 7.5", "with a largest logit below 7.5"),
        ({"score": "energy", "least": 7.5, "most": 20.25}, "energy 7.5 to 20.25", "with an energy outside 7.5 to 20.25"),
    ],
)
def test_a_threshold_says_its_limits_in_words(change: dict[str, Any], text: str, refusal: str) -> None:
    threshold = replace(THRESHOLD, **change)
    assert (threshold.text, threshold.refusal) == (text, refusal)


def test_predict_says_not_sure_and_ends_as_before(artifacts: Path, terminal: Any) -> None:
    file = with_threshold(artifacts, 1.0) / "int8.tflite"
    text = terminal.passes("predict", file, "--index", "5")
    assert re.search(r"not sure: \d at [\d.]+ % is below the threshold 100 %", text)
    assert "predicted" not in text
    (image,) = json.loads(terminal.passes("predict", file, "--index", "5", "--json", "-"))["images"]
    assert image["accepted"] is False
    assert terminal.passes("predict", file, "--index", "5", "-q").rstrip().endswith("\tnot sure")
    with_threshold(artifacts, 0.0)
    assert "predicted" in terminal.passes("predict", file, "--index", "5")
    assert terminal.passes("predict", file, "--index", "5", "-q").rstrip().endswith("\taccepted")

"""Verifying that a file computes here what its reference computes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.bundle.verify import tolerance_of, verify
from edgecnn.benchmarks.show.checks import verification_text
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.export_records import Parity
from edgecnn.edge.manifest import Artifact, Manifest, Quantization
from edgecnn.edge.model.preprocess import Floats


def rows(*first: float) -> Floats:
    """Return probabilities (n, 2) with the given ones for class 0."""
    return np.array([[p, 1 - p] for p in first], np.float32)


REFERENCE = rows(0.9, 0.8, 0.7, 0.6, 0.51)
CANDIDATE = rows(0.9, 0.75, 0.7, 0.7, 0.49)


def test_files_of_other_classes_are_refused_and_named() -> None:
    with pytest.raises(ArtifactError, match=r"a\.onnx.*3 classes.*b\.tflite has 2"):
        verify("a.onnx", [np.ones((1, 3), np.float32)], "b.tflite", [rows(1)], 0.1)


@pytest.mark.parametrize("candidate", [[rows(1)], [rows(1), rows(1)], [rows(1, 1)], [rows(1, 1), rows(1)]])
def test_other_images_than_the_references_are_our_mistake(candidate: list[Floats]) -> None:
    with pytest.raises(ValueError, match=r"same images|shorter|longer"):
        verify("a", candidate, "b", [rows(1, 1), rows(1, 1)], 0.1)


@pytest.mark.parametrize("chunks", [[], [rows()]])
def test_without_images_nothing_is_verified(chunks: list[Floats]) -> None:
    with pytest.raises(ConfigError, match=r"no test images|no images.*a\.onnx"):
        verify("a.onnx", [chunk.reshape(0, 2) for chunk in chunks], "b", [chunk.reshape(0, 2) for chunk in chunks], 0.1)


@pytest.mark.parametrize("tolerance", [-0.1, 1.1, float("nan")])
def test_a_tolerance_out_of_range_is_refused(tolerance: float) -> None:
    with pytest.raises(ConfigError, match=r"tolerance.*0 to 1"):
        verify("a", [rows(1)], "b", [rows(1)], tolerance)


def test_a_difference_above_the_tolerance_does_not_pass_and_names_the_image() -> None:
    result = verify("a.onnx", [CANDIDATE], "b.tflite", [REFERENCE], 0.09)
    assert (result.passed, result.images, result.same_class, result.worst_image) == (False, 5, 4, 3)
    assert result.largest_difference == pytest.approx(0.1)
    assert result.mean_difference == pytest.approx((0.05 + 0.1 + 0.02) / 5, abs=1e-6)
    assert verification_text(result).splitlines() == [
        "FAIL: a.onnx differs from b.tflite by at most 0.1 in any probability, the limit is 0.09.",
        "The same class for 4 of 5 test images (80.00%). The mean difference is 0.034, the largest is on test",
        "  image 3.",
    ]


def test_a_difference_within_the_tolerance_passes() -> None:
    result = verify("a.onnx", [CANDIDATE], "b.tflite", [REFERENCE], 0.1001)
    assert result.passed
    assert all(said in verification_text(result) for said in ("PASS: a.onnx", "b.tflite by at most 0.1 "))
    assert verify("a", [REFERENCE], "b", [REFERENCE], 0).passed


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_chunks_are_as_good_as_the_whole(cut: int) -> None:
    parts = verify("a", [CANDIDATE[:cut], CANDIDATE[cut:]], "b", [REFERENCE[:cut], REFERENCE[cut:]], 0.09)
    whole = verify("a", [CANDIDATE], "b", [REFERENCE], 0.09)
    assert replace(parts, mean_difference=0) == replace(whole, mean_difference=0)
    assert parts.mean_difference == pytest.approx(whole.mean_difference)


def artifact(exported: Path, name: str) -> Artifact:
    found = Manifest.load(exported).artifact(name)
    assert found
    return found


def test_a_tolerance_is_that_of_floats_or_what_the_export_recorded_or_must_be_told(exported: Path) -> None:
    assert tolerance_of(artifact(exported, "float32.onnx")) == tolerance_of(artifact(exported, "model.keras")) == 1e-4
    assert tolerance_of(artifact(exported, "float16.tflite")) == 2e-2
    made = replace(artifact(exported, "int8.tflite"), parity=Parity(60, 59, 0.25))
    of_eight_bits = replace(made, output=replace(made.output, quantization=Quantization((0.5 / 128,), (-128,))))
    assert tolerance_of(of_eight_bits) == 0.25 + 0.5 / 128
    assert tolerance_of(replace(made, output=replace(made.output, quantization=None))) == 0.25 + 1 / 256
    assert tolerance_of(replace(made, parity=Parity(60, 59, 1.0))) == 1
    bare = replace(artifact(exported, "int8.tflite"), precision="unknown", parity=None)
    with pytest.raises(ConfigError, match=r"int8\.tflite has no record.*tolerance"):
        tolerance_of(bare)


def test_outputs_that_do_not_depend_on_the_image_are_never_a_pass() -> None:
    same = rows(0.6, 0.6, 0.6)
    for ours, theirs in ((same, same), (same + np.float32(1e-6), rows(0.6, 0.60001, 0.6)), (same, rows(0.9, 0.5, 0.1))):
        # In chunks of one image, within which nothing varies.
        result = verify("a.onnx", np.split(ours, 3), "b", np.split(theirs, 3), 1.0)
        assert not result.passed
        text = " ".join(verification_text(result).split())
        assert "PASS" not in text
        assert all(said in text for said in ("warning: ", "same for all 3 images"))
    assert verify("a.onnx", np.split(REFERENCE, 5), "b", np.split(REFERENCE, 5), 0.1).passed
    assert verify("a.onnx", [same[:1]], "b", [same[:1]], 0.1).passed

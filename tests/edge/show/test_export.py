"""The text of an export."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.bundle.write_bundle import Bundled
from edgecnn.benchmarks.statistics.sample_size import images_to_decide
from edgecnn.edge.export_records import Beside, Interval, Mended, Parity, Setting, Settings, Tuned
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.show.export import _DECIDE_HALF_A_POINT, export_text

INT8 = ["float32.tflite", "int8.tflite"]


@pytest.fixture
def manifest(exported: Path) -> Manifest:
    return Manifest.load(exported)


def changed(manifest: Manifest, **changes: Any) -> Manifest:
    """Return the manifest with other fields of int8.tflite; with another `path`, with one more file."""
    plain = manifest.artifact("int8.tflite")
    assert plain is not None
    return manifest.with_artifacts(replace(plain, **changes))


def said(manifest: Manifest, folder: Path, files: list[str] = INT8) -> str:
    """Return the text without its line breaks."""
    return " ".join(export_text(manifest, folder, files).split())


MENDED = Mended(("net/conv_1/Relu;net/bias", "net/conv_2/Relu:0", "add", "net/dense/MatMul"), "float32", 0.5, 5, 1000, 1.25)


def test_only_what_was_asked_for_is_listed(manifest: Manifest, exported: Path) -> None:
    text = export_text(manifest, exported, ["float32.tflite"])
    assert "float32.tflite" in text
    assert "60 of 60" in text
    assert "int8" not in text
    assert max(map(len, text.splitlines()[:-1])) <= 100


def test_a_mended_file_says_what_it_costs_and_a_tuned_one_the_file_of_each_ratio(manifest: Manifest, exported: Path) -> None:
    assert "kept in float32" not in said(manifest, exported)
    mended = changed(manifest, size_bytes=1500, mended=MENDED)
    expected = (
        "int8.tflite: 4 operators kept in float32 to lose at most 0.5 points (conv_1/Relu, conv_2/Relu, add and 1 more). "
        "It takes 1.25 times as long as int8.tflite without them, and 1.50 times its bytes."
    )
    assert expected in said(mended, exported)
    assert "kept in float32" not in said(mended, exported, ["int8.onnx"])
    beside = changed(manifest, size_bytes=1500, mended=replace(MENDED, float32_size_bytes=3000, float32_slowdown=0.8))
    assert "It takes 0.80 times as long as float32.tflite, and 0.50 times its bytes; 1.25 times" in said(beside, exported)
    tuned = Tuned("a board", "time", "float32.tflite", Interval(0.86, 0.82, 0.9), 9, 60.0, 0, ())
    added = changed(manifest, path="tuned.tflite", size_bytes=1130, tuned=tuned, mended=MENDED)
    text = said(added, exported, ["tuned.tflite"])
    assert "tuned.tflite: 0.86 (0.82-0.90) of float32.tflite's time on a board" in text
    assert "and 1.13 times int8.tflite's bytes." in text


DEFAULT = Setting(1, None, Interval(1, 1, 1), 26e3, 35e3, "PASS")
TWO = Setting(2, None, Interval(0.66, 0.64, 0.69), 17e3, 175e3, "PASS")
FLOAT16 = Setting(1, "litert-fp16", Interval(0.51, 0.51, 0.51), None, None, "UNJUDGED")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            Settings("a board", "time", (DEFAULT, TWO)),
            'Classifier.load("{}", threads=2) takes 0.66 (0.64-0.69) of its time by default, p50 17.0 instead of 26.0 µs, '
            "p99 175.0 instead of 35.0 µs.",
        ),
        (
            Settings("a board", "time", (DEFAULT, replace(TWO, ratio=Interval(1.2, 1.1, 1.3), p50_ns=31e3, p99_ns=None))),
            "nothing to set in Classifier.load: threads=2 takes 1.20 (1.10-1.30) of its time by default, p50 31.0 instead of "
            "26.0 µs.",
        ),
        (
            Settings("a board", "time", (DEFAULT, replace(TWO, runtime="openvino", verdict="FAIL"))),
            'nothing to set in Classifier.load: threads=2, runtime="openvino" takes 0.66 (0.64-0.69) of its time by default, '
            "p50 17.0 instead of 26.0 µs, p99 175.0 instead of 35.0 µs, and loses accuracy.",
        ),
        (
            Settings("an emulated Cortex-A76", "instructions", (replace(DEFAULT, p50_ns=None, p99_ns=None), FLOAT16)),
            'Classifier.load("{}", runtime="litert-fp16") takes 0.51 (0.51-0.51) of its instructions by default. '
            "Its accuracy was not judged there. Other files may be faster with their default runtime: measure both together. "
            "Threads were not tried: instructions do not say how long several take.",
        ),
        (
            Settings("an emulated Cortex-A53", "instructions", (replace(DEFAULT, p50_ns=None, p99_ns=None),)),
            "no other runtime for it is there. Threads were not tried: instructions do not say how long several take.",
        ),
    ],
    ids=["a gain", "no gain", "less accurate", "instructions", "nothing else"],
)
def test_what_to_set_for_a_file_is_said_with_its_evidence(
    settings: Settings, expected: str, manifest: Manifest, exported: Path
) -> None:
    text = export_text(changed(manifest, settings=settings), exported, INT8)
    wanted = f"int8.tflite: {expected.format(exported / 'int8.tflite')}"
    # Lines are broken at spaces, and in a long path at any character.
    assert wanted.replace(" ", "") in "".join(text.split())


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (
            Interval(0.77, 0.76, 0.78),
            "int8.onnx costs less than int8.tflite on a board, and the least of 2 formats by default: 0.77 (0.76-0.78) of "
            "int8.tflite's time. It needs onnxruntime there.",
        ),
        (
            Interval(0.97, 0.9, 1.0),
            "No format is shown to cost less than int8.tflite on a board: int8.onnx takes 0.97 "
            "(0.90-1.00) of int8.tflite's time.",
        ),
    ],
    ids=["a gain", "no gain"],
)
def test_the_format_that_costs_least_is_named_if_that_is_shown(
    ratio: Interval, expected: str, manifest: Manifest, exported: Path
) -> None:
    compared, named = manifest, ("int8.tflite", "int8.onnx")
    for name, own in zip(named, (Interval(1, 1, 1), ratio), strict=True):
        plain = manifest.artifact(name)
        assert plain
        settings = Settings("a board", "time", (DEFAULT,), Beside("int8.tflite", own))
        compared = compared.with_artifacts(replace(plain, settings=settings))
    assert expected in said(compared, exported, [*named])
    assert "default: 0.77" not in said(compared, exported, ["int8.tflite"])


def test_what_calibration_warns_of_is_shown_with_the_files_that_it_made(manifest: Manifest, exported: Path) -> None:
    assert manifest.provenance.calibration
    calibration = replace(manifest.provenance.calibration, warnings=("few images: give more",))
    warned = replace(manifest, provenance=replace(manifest.provenance, calibration=calibration))
    assert "Calibration: few images: give more" in export_text(warned, exported, INT8).splitlines()
    assert "Calibration" not in said(warned, exported, ["float32.tflite"])
    assert "Calibration" not in said(manifest, exported)


def test_how_right_keras_is_and_on_what_terms_is_shown(manifest: Manifest, exported: Path) -> None:
    assert manifest.reference is not None
    right = manifest.reference.correct
    assert right > 50
    assert (
        f"Keras classifies {right} of 60 test images correctly ({right / 60:.2%}). Pixels go in as 0.00392157 * "
        "pixel; the outputs are probabilities of 0, 1, 2." in said(manifest, exported)
    )
    for doubtful in (True, False, None):
        unsure = replace(manifest, reference=replace(manifest.reference, doubtful=doubtful))
        assert ("Doubtful: this is not shown" in said(unsure, exported)) == bool(doubtful)
    unsure = replace(manifest, reference=replace(manifest.reference, doubtful=True))
    assert "It was trained here and has learnt too little: train it again" in said(unsure, exported)
    elsewhere = replace(unsure, provenance=replace(unsure.provenance, train_config={}))
    assert "Check how the model takes pixels" in said(elsewhere, exported)


def test_copies_of_training_images_are_said(manifest: Manifest, exported: Path) -> None:
    learnt = replace(manifest, dataset=replace(manifest.dataset, learnt=(3, 5)))
    text = said(learnt, exported)
    assert all(part in text for part in ("Doubtful: 2 of 60 test", "exact copies of training images"))


def test_a_file_that_differs_is_said_with_what_to_do_in_a_quoted_folder(manifest: Manifest) -> None:
    expected = "int8.tflite gives another class than Keras for 4 of 60 images: edgecnn diagnose out/int8.tflite shows which"
    for same, shown in ((56, True), (57, False)):
        assert (expected in said(changed(manifest, parity=Parity(60, same, 0.9)), Path("out"))) == shown
    text = said(changed(manifest, parity=Parity(60, 9, 0.9)), Path("o ut"))
    assert text.endswith("Next: edgecnn bench 'o ut'")
    assert "edgecnn diagnose 'o ut/int8.tflite'" in text
    # So few images decide no half a point.
    assert images_to_decide(0, 0, 700, 0.005).images == _DECIDE_HALF_A_POINT
    assert "keep_accuracy" not in text
    assert "An export with keep_accuracy=0.5 keeps such layers in float." in said(
        changed(manifest, parity=Parity(1000, 900, 0.9)), Path("out")
    )
    bundled = Bundled("to/o ut.zip", 1, "0" * 64, ("int8.tflite",), 1, 1, {}).to_text()
    assert "edgecnn verify 'o ut.zip'\n" in bundled
    assert bundled.endswith("edgecnn bench 'o ut.zip'")


def test_outputs_that_do_not_depend_on_the_image_are_said_to_agree_by_nothing(manifest: Manifest, exported: Path) -> None:
    assert "warning" not in said(manifest, exported)
    assert all(item.parity.spread > 0.1 for item in manifest.exported if item.parity and item.parity.spread)
    text = said(changed(manifest, parity=Parity(30, 30, 0.0, 2e-10)), exported)
    assert all(part in text for part in ("warning: Keras's outputs", "for all 30 images", "vary by 2e-10"))

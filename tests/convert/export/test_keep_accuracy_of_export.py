"""Quantized files that must be accurate enough: layers go back to float, and images that did not choose them judge."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.measure.candidates import folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions, Plan
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.show.report import to_text
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.export.keep_accuracy import Judge, JudgedImages
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.pixel_digests import held_out, pixel_digests
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import ConfigError, GateFailed
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from tests.convert.conftest import unchanged
from tests.convert.export.conftest import entry


def judge(passes: Callable[[Floats, Floats, Labels], bool]) -> Judge:
    def objection(*judged: Any) -> str | None:
        return None if passes(*judged) else "it loses too much"

    return Judge(objection, 0.5, lambda model_format, plain, mended: len(mended) / len(plain) / 2)


def is_keras(candidate: Floats, reference: Floats) -> bool:
    """Return whether these are Keras's own answers, except for at most three images."""
    return int((candidate != reference).any(axis=1).sum()) <= 3


def test_layers_go_back_to_float_until_the_judge_is_content(artifacts: Path, idx_folder: Path) -> None:
    judged: list[Floats] = []

    def passes(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        if is_keras(candidate, reference):
            return len(candidate) == 60  # No image is held out for the final judgement.
        assert candidate.shape == reference.shape == (60, 3)
        assert np.array_equal(labels, load_dataset(idx_folder).test.labels)
        judged.append(candidate)
        return len(judged) == 4  # The plain file, two other calibrations, then layers in float.

    timed: list[tuple[int, int]] = []

    def slowdown(model_format: str, plain: bytes, mended: bytes) -> float:
        timed.append((len(plain), len(mended)))
        return 0.94

    manifest = export(
        artifacts / "model.keras",
        load_dataset(idx_folder),
        ExportConfig(("onnx",), ("int8",)),
        judge=replace(judge(passes), slowdown=slowdown),
    )
    artifact = entry(manifest, "int8.onnx")
    assert (artifact.mended.tries, artifact.mended.max_drop_points, artifact.mended.held_out) == (4, 0.5, 0)
    assert len(artifact.mended.layers) >= 2
    ways = [one.way for one in artifact.mended.tried]
    assert ways[:3] == ["plain", "entropy", "percentile"]
    assert ways[-1] == artifact.mended.way == f"{len(artifact.mended.layers)} operators in float32"
    assert [one.passes for one in artifact.mended.tried] == [False] * 3 + [True]
    plain, mended = timed[-1]  # Both files are compared with their metadata, and timed without.
    assert 500 < artifact.mended.plain_size_bytes - plain < 3000
    assert 500 < artifact.size_bytes - mended < 3000
    assert artifact.mended.slowdown == 0.94
    assert mended != plain
    assert np.array_equal(
        Classifier.load(artifacts / "int8.onnx").split_probabilities(load_dataset(idx_folder).test), judged[-1]
    )


def test_a_file_that_is_neither_smaller_nor_faster_than_float32_is_refused(
    artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(saved: float) -> None:
        monkeypatch.setattr("edgecnn.convert.export.accurate._SAVED", saved)  # So small a network saves little anyway.

    asked(0.9)
    dataset, steps = load_dataset(idx_folder), list[str]()

    def export_after(tries: int, ratio: float, precision: str = "int8") -> Manifest:
        count = iter(range(1, 100))

        def passes(candidate: Floats, reference: Floats, labels: Labels) -> bool:
            return len(candidate) == 60 if is_keras(candidate, reference) else next(count) >= tries

        judged = Judge(judge(passes).objection, 0.5, lambda *_: ratio)
        config = ExportConfig(("tflite",), (precision,))
        return export(artifacts / "model.keras", dataset, config, judge=judged, on_step=steps.append)

    with unchanged(artifacts):
        with pytest.raises(GateFailed, match=r"^int4 does not pay"):
            export_after(2, 0.96, "int4")
        with pytest.raises(GateFailed, match=r"^int8 does not pay.*float32\.tflite.*\d+ operators.*loses too much"):
            export_after(9, 0.96)  # After as many without a layer in float; in 16 bits it is no faster either.
    assert any(all(part in step for part in ("int8.tflite: not shown", "it loses too much")) for step in steps)
    # One that is smaller is a gain, however slow: 16 bits before floats that leave nothing of it.
    asked(0.5)
    artifact = entry(export_after(9, 0.96), "int8.tflite")
    assert artifact.mended.precision == "int16"
    assert artifact.mended.float32_slowdown == 0.96
    assert abs(artifact.mended.float32_size_bytes - (artifacts / "float32.tflite").stat().st_size) < 100
    assert artifact.size_bytes < artifact.mended.float32_size_bytes / 2
    assert re.search(r"enough, but takes 0\.96 times as long as float32, and .* bytes", "\n".join(steps))
    artifact = entry(export_after(2, 1.5), "int8.tflite")
    assert artifact.mended.way == "minmax with corrected biases"
    assert artifact.size_bytes < (artifacts / "float32.tflite").stat().st_size


def test_a_file_that_is_good_as_it_comes_is_not_mended(artifacts: Path, idx_folder: Path) -> None:
    before = (artifacts / "int8.onnx").stat().st_size
    config = ExportConfig(("onnx",), ("int8",))
    manifest = export(artifacts / "model.keras", load_dataset(idx_folder), config, judge=judge(lambda *_: True))
    artifact = entry(manifest, "int8.onnx")
    assert artifact.mended is None
    # Names in the graph may include a counter of Keras's models.
    assert abs(artifact.size_bytes - before) < 2000


def test_images_that_could_not_show_so_small_a_loss_are_told_before_anything_is_converted(
    artifacts: Path, idx_folder: Path
) -> None:
    steps: list[str] = []
    with pytest.raises(ConfigError, match=r"not even the float model.*\(it loses too much\)"):
        export(
            artifacts / "model.keras",
            load_dataset(idx_folder),
            ExportConfig(),
            judge=judge(lambda *_: False),
            on_step=steps.append,
        )
    assert steps == ["Keras on 60 test images"]


def test_a_file_with_nothing_quantized_is_no_int8_and_the_earlier_export_stays(
    artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = JudgedImages.judged

    def exact(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        return bool(np.abs(candidate - reference).max() < 1e-5)

    def judged(*given: Any) -> tuple[str | None, float]:
        """Whatever a quantized file answers is wrong."""
        objection, _ = original(*given)
        return objection, 100.0 if objection else 0.0

    monkeypatch.setattr(JudgedImages, "judged", judged)
    for model_format, others in {"tflite": "float16 or dynamic or int16x8", "onnx": "dynamic"}.items():
        config = ExportConfig((model_format,), ("int8",))
        points = r"loses 100\.00 .*and 100\.00.*not.*0\.5:.*"  # The one that is float throughout does not count as the best.
        fix = f"ship float32, use precisions={others}, or allow more"
        with unchanged(artifacts), pytest.raises(GateFailed, match=rf"int8\.{model_format} {points} {fix}"):
            export(artifacts / "model.keras", load_dataset(idx_folder), config, judge=judge(exact))


def test_a_file_whose_layers_were_chosen_must_pass_on_images_that_did_not_choose_them(
    artifacts: Path, idx_folder: Path
) -> None:
    dataset = load_dataset(idx_folder)
    held = held_out(pixel_digests(dataset.test.images(range(60))))
    seen: list[int] = []

    def passes(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        if is_keras(candidate, reference):
            return True
        seen.append(len(labels))
        return len(seen) > 1 and len(labels) != held.sum()

    config = ExportConfig(("tflite",), ("int8",))
    with unchanged(artifacts), pytest.raises(GateFailed, match=rf"int8\.tflite.*not on.* {held.sum()} held out"):
        export(artifacts / "model.keras", dataset, config, judge=judge(passes))
    # All images judge the plain file, which nothing chose; one half chooses, the other half judges once.
    assert (seen[0], {*seen[1:-1]}, seen[-1]) == (60, {(~held).sum()}, held.sum())
    assert len(seen) == 2 + 7  # As it comes and with corrected biases, by four calibrations.

    def content(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        return is_keras(candidate, reference) or len(labels) != 60

    artifact = entry(export(artifacts / "model.keras", dataset, config, judge=judge(content)), "int8.tflite")
    assert artifact.mended.held_out == held.sum()
    # bench judges it on that half too.
    options = BenchOptions(plan=Plan(0, 20, 1, 1))
    candidate_set = folder_candidates(ModelFolder(artifacts), options, {"tflite": (opener_for("tflite"),)}, dataset.test)
    report = benchmark(
        candidate_set, options, load_budgets(None, {"max_drop_points": 100.0}, ()), Policy(), command="", versions={}
    )
    found = {file.name: file.accuracy for file in report.files}
    assert found["int8.tflite"] is not None
    assert (found["int8.tflite"].images, found["int8.tflite"].chose) == (held.sum(), (~held).sum())
    assert found["float32.tflite"] is not None
    assert (found["float32.tflite"].images, found["float32.tflite"].chose) == (60, 0)
    assert "int8.tflite is judged on" in " ".join(to_text(report).split())

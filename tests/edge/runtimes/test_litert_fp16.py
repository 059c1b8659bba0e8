"""LiteRT with float operators in float16: only where the CPU computes in it, and the same file otherwise."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.runtimes import installed, litert, litert_fp16, opener_for
from edgecnn.edge.runtimes.base import Opener

WITH = "processor : 0\nFeatures : fp asimd fphp asimdhp asimddp\n"
WITHOUT = "processor : 0\nFeatures : fp asimd evtstrm crc32\n"


def cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    monkeypatch.setattr(installed, "CPUINFO", path)


def metadata(data: bytes) -> list[tuple[bytes, bytes]]:
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    return [(entry.name, bytes(model.buffers[entry.buffer].data)) for entry in model.metadata or []]


@pytest.mark.parametrize("text", [WITHOUT, "flags : fpu avx512_fp16\n"])
def test_a_cpu_without_such_instructions_is_named_with_what_it_lacks(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu(monkeypatch, tmp_path, text)
    with pytest.raises(MissingDependency, match=r"^litert-fp16 needs .*asimdhp.*: use litert$"):
        opener_for("litert-fp16")


def test_it_needs_instructions_that_are_listed_and_is_never_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "CPUINFO", tmp_path / "none")
    with pytest.raises(MissingDependency, match="asimdhp"):
        opener_for("litert-fp16")
    cpu(monkeypatch, tmp_path, WITH)
    assert opener_for("tflite").open_model is litert.open_model
    assert opener_for("litert-fp16").open_model is litert_fp16.open_model


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8"])
def test_the_file_says_that_it_may_and_keeps_all_else(name: str, exported: Path) -> None:
    data = (exported / f"{name}.tflite").read_bytes()
    allowed = litert_fp16.allow_float16(data)
    hint = (b"reduced_precision_support", b"fp16accfp16")
    # TensorFlow's converter lets float16.tflite keep sums in float32, which LiteRT takes for no.
    others = [entry for entry in metadata(data) if entry[0] != hint[0]]
    assert (len(others) < len(metadata(data))) == (name == "float16")
    assert metadata(allowed) == [*others, hint]
    assert metadata(litert_fp16.allow_float16(allowed)) == metadata(allowed)
    plain, other = litert.open_model(data, 1), litert_fp16.open_model(data, 1)
    assert (other.input_spec, other.output_spec, other.version) == (plain.input_spec, plain.output_spec, plain.version)
    assert other.name == f"{plain.name}-fp16"


@pytest.mark.parametrize("name", ["float32", "dynamic", "int8"])
def test_probabilities_differ_by_what_float16_loses_and_only_on_such_a_cpu(
    name: str, exported: Path, test_split: Split
) -> None:
    path = exported / f"{name}.tflite"
    images = test_split.images(range(60))
    plain = Classifier.load(path).predict(images)
    changed = Classifier.load(path, runtime=Opener(litert_fp16.import_library, litert_fp16.open_model)).predict(images)
    difference = np.abs(changed.probabilities - plain.probabilities).max()
    try:
        opener_for("litert-fp16")
    except MissingDependency:
        assert difference == 0
    else:
        assert (0 < difference < 0.02) == (name != "int8")
        assert (changed.class_indices == plain.class_indices).mean() > 0.95


@pytest.mark.parametrize("cut", [4, 200, 2000])
def test_a_damaged_file_is_refused_with_a_reason(cut: int, exported: Path) -> None:
    data = (exported / "float32.tflite").read_bytes()[:cut]
    with pytest.raises(ArtifactError, match="copy it again"):
        litert_fp16.open_model(data, 1)


def test_a_classifier_takes_the_name_of_a_runtime_that_runs_its_file(exported: Path) -> None:
    image = np.zeros((12, 12, 1), np.uint8)
    assert Classifier.load(exported / "int8.tflite", runtime="litert").predict(image).runtime.startswith("ai-edge-litert 2")
    with pytest.raises(ConfigError, match=r"int8\.tflite: runtime=onnxruntime .*onnx files only"):
        Classifier.load(exported / "int8.tflite", runtime="onnxruntime")
    for unknown in ("coral", ""):
        with pytest.raises(ConfigError, match=f"runtime={unknown} is unknown"):
            Classifier.load(exported / "int8.tflite", runtime=unknown)

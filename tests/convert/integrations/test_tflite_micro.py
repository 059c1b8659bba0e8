"""`edgecnn export --for tflite-micro`: the sources come with the export, after both runtimes ran every test image."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.convert.integrations.micro_records import MicroAgreement, MicroRecord
from edgecnn.convert.integrations.micro_sources import readme
from edgecnn.convert.integrations.tflite_micro import _Measured, _require_bytes, micro_files
from edgecnn.edge.data.splits import ArraySplit, Split
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.files import sha256
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import from_json
from tests.conftest import Terminal

pytest.importorskip("tflite_micro", reason="tflite-micro has packages for x86-64 only")

NAMES = {
    "micro_model.h", "micro_model.cc", "micro_operators.h", "micro_golden.h", "micro_golden.cc", "micro_main.cc",
    "micro_README.md", "micro_measured.json",
}  # fmt: skip
LITERT, REFERENCE = (MicroAgreement(name, 10, 10, 0, 9) for name in ("litert 2", "litert 2, reference kernels"))
RECORD = MicroRecord("int8.tflite", "ab", 2000, "tflite-micro 1", 3000, ("AddConv2D",), 1 / 256, 10, 9, (LITERT, REFERENCE), 3)


def test_an_export_for_it_lists_the_sources_and_what_was_measured(
    terminal: Terminal, artifacts: Path, idx_folder: Path
) -> None:
    terminal.passes("export", artifacts / "model.keras", "--format", "tflite", "--quantize", "int8", "--for", "tflite-micro")
    manifest = Manifest.load(artifacts)
    model = manifest.artifact("int8.tflite")
    assert model is not None
    files = {file.path: file for file in manifest.for_programs if file.program == "tflite-micro"}
    assert files.keys() == NAMES
    for name, file in files.items():
        assert (file.sha256, file.source_sha256) == (sha256((artifacts / name).read_bytes()), model.sha256)
    text = (artifacts / "micro_measured.json").read_text()
    record = from_json(MicroRecord, text, "micro_measured.json")
    litert, reference = record.compared
    assert (record.sha256, record.images, record.golden) == (model.sha256, 60, 8)
    assert (reference.equal_rows, reference.largest_steps) == (60, 0)
    assert litert.same_class == reference.same_class == 60
    assert record.correct == litert.correct > 50
    parts = (f"{record.correct} of 60 test images right, ", "LiteRT's class for 60,", f"arena {record.arena_bytes:,} bytes")
    assert all(part in terminal.err for part in parts)
    assert f"{model.sha256}" in (artifacts / "micro_model.h").read_text()
    assert "namespace edgecnn_bars {" in (artifacts / "micro_model.h").read_text()


def test_a_file_of_uint8_pixels_is_written_too(terminal: Terminal, artifacts: Path) -> None:
    command = ("export", artifacts / "model.keras", "--format", "tflite", "--quantize", "int8", "--for", "tflite-micro")
    terminal.passes(*command, "--io", "uint8")
    record = from_json(MicroRecord, (artifacts / "micro_measured.json").read_text(), "micro_measured.json")
    assert [one.equal_rows for one in record.compared][1] == record.images == 60
    assert "AddQuantize" in record.operators
    assert "using Input = uint8_t;" in (artifacts / "micro_golden.h").read_text()
    assert "inline uint8_t FromPixel(uint8_t pixel, int)" in (artifacts / "micro_model.h").read_text()


def test_an_export_of_floats_alone_names_the_file_that_it_needs(terminal: Terminal, artifacts: Path) -> None:
    line = terminal.fails(
        2, "export", artifacts / "model.keras", "--format", "tflite", "--quantize", "float16", "--for", "tflite-micro"
    )
    assert all(part in line for part in ("--for tflite-micro needs int8.tflite:", "add --quantize int8"))


@pytest.fixture(scope="module")
def model(exported: Path) -> ModelFile:
    return read_model(exported / "int8.tflite")


@pytest.fixture(scope="module")
def whole(model: ModelFile, test_split: Split) -> tuple[dict[str, str], MicroRecord]:
    """The files and the record of all test images."""
    return micro_files(model, test_split, "bars")


def test_what_the_board_differs_in_is_counted(model: ModelFile, whole: tuple[Any, MicroRecord], test_split: Split) -> None:
    labels = test_split.labels.copy()
    labels[:7] = (labels[:7] + 1) % 3  # Seven labels are wrong.
    texts, record = micro_files(model, ArraySplit(test_split.images(range(60)), labels), "bars")
    _, right = whole
    assert record.correct == right.correct - 7
    assert [one.correct for one in record.compared] == [one.correct - 7 for one in right.compared]
    assert f"right on {record.correct} of 60" in texts["micro_README.md"]


def test_a_file_that_takes_floats_or_several_images_is_refused(exported: Path, any_batch: Path, test_split: Split) -> None:
    eight_bits = "its input is float32, and the sources are for 8 bits: export precisions=int8 with io=int8 or uint8"
    for folder, name, said in (
        (exported, "float32.tflite", eight_bits),
        (exported, "int16x8.tflite", "its input is int16"),
        (any_batch, "int8.tflite", "does not take one image at a time: export it with batch=1"),
    ):
        with ModelFolder(folder) as models, pytest.raises(ConversionError, match=said):
            micro_files(models.model(name), test_split, "bars")


def test_a_file_with_one_output_for_two_classes_is_refused(model: ModelFile, test_split: Split) -> None:
    classifier = Classifier.load(model.path)
    classifier.class_names = ("one", "other")
    specs = classifier.runtime.input_spec, replace(classifier.runtime.output_spec, shape=(1, 1))
    with pytest.raises(ConversionError, match="has 1 output for 2 classes"):
        _require_bytes(model, classifier, specs)


def test_the_golden_outputs_are_those_of_tflite_micro_and_few_for_large_images(
    model: ModelFile, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    micro, litert = (np.arange(180).reshape(60, 3).astype(np.int8) + add for add in (0, 1))
    measured = _Measured(4096, micro, litert, litert)
    monkeypatch.setattr("edgecnn.convert.integrations.tflite_micro._measure", lambda *arguments: measured)
    monkeypatch.setattr("edgecnn.convert.integrations.tflite_micro._GOLDEN_BYTES", 144 * 3)
    texts, record = micro_files(model, test_split, "bars")
    assert record.golden == 3
    assert "constexpr int kGoldenVectors = 3;" in texts["micro_golden.h"]
    assert [one.equal_rows for one in record.compared] == [0, 0]
    last = ",".join(map(str, micro[-1]))
    assert f"{{\n        {last}}}}};\n\nconst int kGoldenClasses" in texts["micro_golden.cc"]


@pytest.mark.parametrize(
    ("litert", "said"),
    [
        (LITERT, "Every output is that of litert 2."),
        (
            replace(LITERT, equal_rows=7, largest_steps=14),
            "Every class is that of litert 2, which rounds differently for 3 images.",
        ),
        (replace(LITERT, equal_rows=7, same_class=9), "tflite-micro gives another class than litert 2 for 1 of 10 images."),
    ],
)
def test_the_readme_says_whether_the_classes_are_the_same(litert: MicroAgreement, said: str) -> None:
    text = readme(replace(RECORD, compared=(litert, REFERENCE)), "edgecnn_bars", "image")
    assert f"\n{said}\n" in text
    assert "The arena needs 3,000 bytes" in text


def test_the_chunks_are_put_together_in_order(
    model: ModelFile, whole: tuple[dict[str, str], Any], test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecnn.convert.integrations.tflite_micro._CHUNK", 25)
    assert micro_files(model, test_split, "bars")[0] == whole[0]
    assert np.unique(test_split.labels).size == 3

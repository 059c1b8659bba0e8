"""An export trains int8 files for their integers, and writes what it has trained only where that is shown to be better."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgecnn as ec
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.qat.graph import NotTrainable
from edgecnn.edge.data.splits import Subset
from edgecnn.edge.errors import ConfigError, GateFailed
from edgecnn.edge.export_records import Qat
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.sandbox.unverified import remember_made
from tests.bad_network import BadNetwork
from tests.conftest import Lines, Terminal
from tests.convert.conftest import save_splits
from tests.convert.export.conftest import entry
from tests.convert.qat.conftest import tamed

EPOCHS = 20
CHOICES = 6


@pytest.fixture(scope="module")
def with_val(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of `idx_folder`, 48 of them validation images that no network has seen."""
    drawn = ec.load_dataset(idx_folder, ec.FolderOptions(val_share=0.2))
    assert drawn.val
    path = tmp_path_factory.mktemp("images") / "bars.npz"
    return save_splits(path, train=drawn.train, val=drawn.val, test=drawn.test)


@pytest.fixture(scope="module")
def whole_batches(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of `idx_folder` without the last 48 to train with: a batch of another size would be traced once more."""
    drawn = ec.load_dataset(idx_folder)
    path = tmp_path_factory.mktemp("whole") / "bars.npz"
    return save_splits(path, train=Subset(drawn.train, np.arange(192)), test=drawn.test)


@pytest.fixture(scope="module")
def trained(bad_network: BadNetwork, with_val: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An export with training for integers and thresholds of a network that 8 bits spoil, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    tamed(bad_network).save(folder / "theirs.keras")
    remember_made((folder / "theirs.keras").read_bytes())  # The fixture `made_here` is not yet there.
    found = ec.export(folder / "theirs.keras", with_val, interface="unit", qat=EPOCHS, max_error=60, out=folder / "out")
    return folder / "out", found.to_text()


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_a_file_that_is_shown_to_be_better_is_written_with_its_evidence(trained: tuple[Path, str], name: str) -> None:
    folder, text = trained
    file = entry(Manifest.load(folder), name)
    assert (file.qat.epochs, file.qat.images) == (EPOCHS, 60)
    assert EPOCHS - CHOICES < file.qat.kept_epoch <= EPOCHS
    assert file.qat.correct > file.qat.plain_correct + 10
    assert f"{name} was trained for integers: {file.qat.text}" in " ".join(text.split())
    assert f"{name} was trained for integers" in (folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_the_file_itself_gives_what_its_evidence_says(trained: tuple[Path, str], name: str, with_val: Path) -> None:
    evidence = entry(Manifest.load(trained[0]), name).qat
    found = ec.evaluate(trained[0] / name, data=with_val)
    assert found.files[0].correct == evidence.correct


def test_its_layers_are_compared_with_the_float_file_which_was_not_trained(trained: tuple[Path, str]) -> None:
    found = ec.diagnose(trained[0] / "int8.tflite")
    assert found.layers
    assert f"{trained[0] / 'int8.tflite'} was trained for integers" in " ".join(found.to_text().split())
    assert "was trained for integers" not in " ".join(replace(found, trained=False).to_text().split())


def test_a_threshold_is_corrected_for_the_epochs_among_which_validation_images_chose(trained: tuple[Path, str]) -> None:
    manifest = Manifest.load(trained[0])
    assert {entry(manifest, name).threshold.tests for name in ("float32.tflite", "float32.onnx")} == {1}
    assert {entry(manifest, name).threshold.tests for name in ("int8.tflite", "int8.onnx")} == {CHOICES}


def test_validation_images_that_are_too_few_for_so_many_epochs_are_refused_at_once(
    bad_network: BadNetwork, with_val: Path, tmp_path: Path
) -> None:
    bad_network.model.save(tmp_path / "theirs.keras")
    said = Lines()
    asked: Any = {"qat": EPOCHS, "max_error": 7, "progress": said}  # They could show it if they chose nothing.
    with pytest.raises(GateFailed, match=f"48 validation images, which chose among {CHOICES} "):
        ec.export(tmp_path / "theirs.keras", with_val, interface="unit", out=tmp_path / "out", **asked)
    assert not any("test images" in line for line in said.lines)


def test_an_export_without_training_says_that_what_was_trained_is_gone(
    trained: tuple[Path, str], with_val: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained[0], tmp_path / "again"))
    for formats, named in ((["tflite"], ["int8.tflite"]), (["tflite", "onnx"], ["int8.onnx"])):
        said = Lines()
        ec.export(folder / "model.keras", with_val, formats=formats, progress=said)
        lost = [line.split()[0] for line in said.lines if "is no longer trained for integers" in line]
        assert lost == named


def test_a_file_that_8_bits_do_not_spoil_stays_the_plain_one_and_images_that_the_manifest_alone_knows_compare_nothing(
    exported: Path, idx_folder: Path, tmp_path: Path, terminal: Terminal
) -> None:
    plain, trained = (Path(shutil.copytree(exported, tmp_path / name)) for name in ("plain", "trained"))
    manifest = Manifest.load(exported)
    replace(manifest, dataset=replace(manifest.dataset, learnt=(3, 5, 8))).save(trained)
    typed = ("--data", idx_folder, "--quantize", "int8")
    terminal.passes("export", plain / "model.keras", *typed)
    terminal.passes("export", trained / "model.keras", *typed, "--qat", "1")
    assert "int8.onnx: 100.00 -> 100.00 % of 57 test images by training for integers is no shown gain" in terminal.err
    for name in ("int8.tflite", "int8.onnx"):
        assert (plain / name).read_bytes() == (trained / name).read_bytes()
        assert entry(Manifest.load(plain), name).qat is None
        evidence = entry(Manifest.load(trained), name).qat
        assert (evidence.taken, evidence.images) == (False, 57)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"precisions": ("int16x8",), "formats": ("tflite",)}, "precisions=int8"),
        ({"batch": "dynamic"}, "batch=1"),
        ({"formats": ("ncnn",)}, "ncnn"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_read(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"qat .*{said}"):
        ExportConfig(**settings, qat=2)


def test_a_source_that_is_onnx_is_refused(exported: Path, idx_folder: Path, tmp_path: Path) -> None:
    theirs = shutil.copy(exported / "float32.onnx", tmp_path / "theirs.onnx")
    with pytest.raises(ConfigError, match=r"qat trains the network of a Keras or TFLite model, and .*theirs\.onnx is neither"):
        ec.export(theirs, idx_folder, interface="unit", qat=1, out=tmp_path / "out")


def test_a_network_that_cannot_be_trained_is_refused_before_an_image_is_looked_at(idx_folder: Path, tmp_path: Path) -> None:
    layers = [keras.Input((12, 12, 1)), keras.layers.Conv2D(4, 3), keras.layers.PReLU(), keras.layers.Flatten()]
    keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")]).save(tmp_path / "theirs.keras")
    said = Lines()
    with pytest.raises(NotTrainable, match=r"PRELU: omit qat"):
        ec.export(tmp_path / "theirs.keras", idx_folder, interface="unit", qat=1, out=tmp_path / "out", progress=said)
    assert not any("test images" in line for line in said.lines)


def test_a_tflite_file_from_elsewhere_is_trained_too(
    spoilt: tuple[BadNetwork, bytes], whole_batches: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.tflite"
    theirs.write_bytes(spoilt[1])
    said = Lines()
    ec.export(
        theirs, whole_batches, precisions=["int8", "int4"], interface="unit", qat=EPOCHS, out=tmp_path / "out", progress=said
    )
    int8, int4 = (entry(Manifest.load(tmp_path / "out"), name) for name in ("int8.tflite", "int4.tflite"))
    assert int8.qat.correct > 30
    assert int8.qat.kept_epoch == EPOCHS  # Without validation images.
    assert int8.sha256 != int4.sha256
    assert sum(line.startswith("training for int4, epoch") for line in said.lines) == EPOCHS
    assert any(line.startswith("int4.tflite: ") and "60 test images by training for integers" in line for line in said.lines)


def test_what_was_shown_to_gain_and_is_still_not_accurate_enough_is_not_said_to_gain_too_little() -> None:
    found = Qat(3, 3, 60, 50, 20, taken=False, objection="it loses 9 points")
    assert "33.33 -> 83.33 % of 60 test images is not enough (it loses 9 points)" in found.of("int8.tflite")
    assert "too little gain" in replace(found, objection=None).of("int8.tflite")


def test_where_training_is_not_enough_the_layers_of_the_untrained_network_are_searched(
    bad_network: BadNetwork, whole_batches: Path, tmp_path: Path
) -> None:
    tamed(bad_network).save(tmp_path / "theirs.keras")
    said = Lines()
    # Only in floats is it accurate enough, which the trained network would not be even then.
    with pytest.raises(GateFailed, match=r"does not pay.*float32\.onnx"):
        ec.export(
            tmp_path / "theirs.keras",
            whole_batches,
            formats=["onnx"],
            interface="unit",
            qat=2,
            keep_accuracy=6,
            out=tmp_path / "out",
            progress=said,
        )
    assert any("by training for integers is not enough (accuracy" in line for line in said.lines)

"""What a sweep finds in its folder is taken only if it is what was asked for, and what can't work is said before the hours."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.convert.export.config import ExportConfig, Tuning
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.qat import graph
from edgecnn.convert.qat.graph import NotTrainable
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.records import DecoderLost
from edgecnn.edge.export_records import Mended, Settings
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.result import SILENT
from edgecnn.workflows.fit import for_integers
from edgecnn.workflows.networks import NetworkWork, Training, errors_of_a_sweep
from edgecnn.workflows.sweep import _with_reasons
from tests.conftest import Lines
from tests.convert.export.conftest import Invented, few_floats
from tests.drawings import blank_split

CONFIG = ec.TrainConfig(recipe="notebook", epochs=3, filters=(2, 2, 2), network="cnn")
NAME = "2-2-2"

pytestmark = pytest.mark.usefixtures("one_stage")


@pytest.fixture(scope="module")
def images(idx_folder: Path) -> ec.Dataset:
    return ec.load_dataset(idx_folder, ec.FolderOptions(val_share=0.2))


@pytest.fixture(scope="module")
def trained(one_stage: None, images: ec.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a network was trained for three epochs."""
    out = tmp_path_factory.mktemp("sweep")
    work(images, out).trained(training(images, out))
    return out


@pytest.fixture(scope="module")
def swept(images: ec.Dataset, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `trained` with the network's plain file. Do not write to it."""
    out = Path(shutil.copytree(trained, tmp_path_factory.mktemp("swept") / "out"))
    assert work(images, out).network(training(images, out)).qat is None
    return out


def work(images: ec.Dataset, out: Path, interface: Any = None) -> NetworkWork:
    return NetworkWork(images, ExportConfig(("tflite",), ("int8",)), None, out, interface, SILENT)


def training(images: ec.Dataset, out: Path, **settings: Any) -> Training:
    return Training(resolved(replace(CONFIG, **settings), images.train), out / NAME, "1 of 1")


def test_what_was_trained_with_the_same_settings_is_taken(images: ec.Dataset, trained: Path) -> None:
    here = work(images, trained)
    assert here.is_trained(resolved(CONFIG, images.train), trained / NAME)
    assert not here.is_trained(resolved(replace(CONFIG, epochs=4), images.train), trained / NAME)  # It goes on.
    assert not here.is_trained(resolved(CONFIG, images.train), trained / "2-2-3")


def test_what_was_chosen_is_said_once_or_for_each_network_and_is_in_its_record(images: ec.Dataset, tmp_path: Path) -> None:
    progress = Lines()
    said = progress.lines
    many = replace(images, train=blank_split(counts=(9000, 9000)))
    here = replace(work(many, tmp_path), progress=progress)
    networks: tuple[Any, ...] = ("cnn", "strided", "residual")
    planned = [ec.TrainConfig(network=name, filters=(2, 2, 2), augment="none", class_weights="none") for name in networks]
    configs = [resolved(item, many.train) for item in planned]
    known = _with_reasons(here, planned, configs, {"val_share": "0.2"}, limited=False).chosen
    assert [{*reasons} for reasons in known.values()] == [{"val_share", "batch_size", "epochs", "learning_rate"}] * 3
    assert [line.partition(": Chosen")[0] for line in said] == ["2,2,2; strided 2,2,2", "residual 2,2,2"]  # It needs more.
    said.clear()
    assert _with_reasons(here, planned, configs, {}, limited=True).chosen["2,2,2"].keys() == {"batch_size", "learning_rate"}
    assert len(said) == 1
    assert said[0].startswith("Chosen")
    said.clear()
    stated = [replace(item, epochs=3, batch_size=9, learning_rate=0.01) for item in planned]
    assert not any(
        _with_reasons(here, stated, [resolved(item, many.train) for item in stated], {}, limited=False).chosen.values()
    )
    assert said == []


def test_a_file_is_exported_again_only_if_it_was_trained_otherwise_for_its_integers(
    images: ec.Dataset, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / NAME, tmp_path / NAME)
    progress = Lines()
    for qat, exported in ((2, "exporting int8.tflite"), (2, "exported before"), (None, "exporting int8.tflite")):
        exporting = ExportConfig(("tflite",), ("int8",), qat=qat)
        here = replace(work(images, tmp_path), progress=progress, exporting=exporting)
        found = here.network(training(images, tmp_path))
        assert progress.lines[-1].endswith(exported)
        assert (found.qat.epochs if found.qat else None) == qat
        if found.qat:
            assert (found.qat.compared_on, found.qat.images) == ("validation", found.val_images)
            assert found.val_correct == (found.qat.correct if found.qat.taken else found.qat.plain_correct)


def test_a_file_with_layers_in_float_that_somebody_exported_there_is_not_the_plain_one(
    images: ec.Dataset, swept: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(swept, tmp_path / "out"))
    here, one = work(images, out), training(images, out)
    manifest = Manifest.load(out / NAME)
    plain = manifest.artifact("int8.tflite")
    assert plain
    manifest.with_artifacts(replace(plain, mended=Mended(("conv",), "float32", 0.5, 7, 1000, 1.1))).save(out / NAME)
    here.network(one)
    assert Manifest.load(out / NAME).artifact("int8.tflite") == plain


def test_fit_exports_what_can_not_be_trained_for_integers_without_and_a_sweep_refuses_it(
    images: ec.Dataset, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(cast(Any, graph._KINDS), "SOFTMAX")
    shutil.copytree(trained / NAME, tmp_path / NAME)
    progress = Lines()
    here = replace(work(images, tmp_path), progress=progress)
    one = training(images, tmp_path)
    job: Any = SimpleNamespace(work=here, minutes=60.0)
    ((fits, _),) = for_integers(job, [(here, one)])
    assert fits.exporting.qat
    assert fits.network(one).qat is None
    assert any(line.startswith("1 of 1: exported without") and line.endswith("SOFTMAX") for line in progress.lines)
    fits.network(one)
    assert progress.lines[-1] == "1 of 1: exported before"
    with pytest.raises(NotTrainable, match="SOFTMAX"):
        replace(here, exporting=fits.exporting).network(one)


def test_a_file_of_a_network_that_is_not_tuned_is_trained_for_its_integers_where_it_was_not(
    images: ec.Dataset, swept: Path, tmp_path: Path
) -> None:
    shutil.copytree(swept / NAME, tmp_path / NAME)
    here = work(images, tmp_path)
    one = training(images, tmp_path)
    tuning = Tuning(Invented(few_floats), Judge(lambda *files: "never enough", 0.5, lambda *files: 1.0), 0)
    exporting = replace(here.exporting, qat=1)
    found = replace(here, exporting=exporting, tuning=tuning).network(one)
    assert found.qat
    assert found.qat.epochs == 1


@pytest.mark.usefixtures("module")
def test_what_can_not_be_trained_for_integers_is_found_before_the_first_is_trained(
    images: ec.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(cast(Any, graph._KINDS), "SOFTMAX")
    own: Any = {"networks": ["own_nets:sized"], "arguments": {"width": [2]}, "interface": "raw"}
    with pytest.raises(NotTrainable, match="SOFTMAX"):
        ec.sweep([], images, "out", config=CONFIG, qat=1, **own)
    assert not list(Path().glob("out/*"))


@pytest.mark.parametrize(("other", "said"), [({"epochs": 2}, "epochs=2"), ({"patience": 1}, "patience=1")])
def test_more_epochs_than_asked_for_are_not_taken(other: dict[str, Any], said: str, images: ec.Dataset, trained: Path) -> None:
    record = trained / NAME / "checkpoint" / "checkpoint.json"
    text = record.read_text()
    losses = iter((1.0, 2.0, 3.0))  # With a patience of one, the second epoch would have been the last.
    lines = [
        f"{line.partition(':')[0]}: {next(losses)}," if '"val_loss":' in line else line
        for line in text.splitlines(keepends=False)
    ]
    record.write_text("\n".join(lines))
    try:
        with pytest.raises(ec.ConfigError, match=rf"{NAME} .*with epochs=3,.*{said}: name"):
            work(images, trained).is_trained(resolved(replace(CONFIG, **other), images.train), trained / NAME)
    finally:
        record.write_text(text)


def test_an_interrupted_result_of_another_epoch_is_not_taken(idx_folder: Path, tmp_path: Path) -> None:
    images = ec.load_dataset(idx_folder)
    here, one = work(images, tmp_path), training(images, tmp_path, epochs=2)
    here.trained(one)
    assert here.is_trained(one.config, one.folder)
    record = one.folder / "train.json"
    record.write_text(record.read_text().replace('"epoch": 2', '"epoch": 1'))  # As Ctrl-C keeps the best one.
    assert not here.is_trained(one.config, one.folder)
    assert here.trained(one).epoch == 2


def test_corrected_class_names_are_not_those_of_the_files(images: ec.Dataset, trained: Path) -> None:
    other = replace(images, class_names=("vertical", *images.class_names[1:]))
    with pytest.raises(ec.ConfigError, match=rf"{NAME} .*other class names \({', '.join(images.class_names)}\)"):
        work(other, trained).is_trained(resolved(CONFIG, images.train), trained / NAME)


def test_a_format_whose_layers_are_not_read_has_the_models_multiply_accumulates(
    images: ec.Dataset, swept: Path, tmp_path: Path
) -> None:
    out, other = (Path(shutil.copytree(swept, tmp_path / name)) for name in ("out", "other"))
    expected = work(images, out).network(training(images, out)).macs
    exporting = ExportConfig(("ncnn",), ("int8",))
    here, there = (replace(work(images, folder), exporting=exporting) for folder in (out, other))
    found = [here.network(training(images, out)), there.network(training(images, other)), here.beside(other / NAME)]
    assert [Path(one.file).name for one in found] == ["int8.ncnn"] * 3
    assert [one.macs for one in found] == [expected] * 3


@pytest.mark.parametrize(
    ("machine", "name", "taken"),
    [("this one", "tuned.tflite", True), ("Cortex-A72", "tuned.tflite", False), ("this one", "tuned.onnx", False)],
)
def test_a_file_tuned_for_another_machine_or_of_another_format_is_not_taken(
    machine: str, name: str, taken: bool, images: ec.Dataset, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning: Any = SimpleNamespace(runner=SimpleNamespace(machine="this one"))
    here = replace(work(images, trained), tuning=tuning)
    manifest = Manifest.load(trained / NAME)
    artifact = replace(manifest.source(), path=name, format=Path(name).suffix[1:], settings=Settings(machine, "time", ()))
    monkeypatch.setattr(Manifest, "load", lambda folder: replace(manifest, artifacts=(*manifest.artifacts, artifact)))
    monkeypatch.setattr(NetworkWork, "_has", lambda self, folder, name: True)
    assert here._tuned(trained / NAME) == (name if taken else None)


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("networks", "arguments", "message"),
    [
        (["own_nets:sized"], {"width": [2, 0]}, r"^networks=own_nets:sized fails .* width=0"),
        (["own_nets:missing"], {}, "^networks=own_nets:missing: own_nets has no function missing"),
        (["cnn", "own_nets:binary"], {}, "own_nets:binary gives .* but the images have 3 classes"),
    ],
)
def test_a_network_that_can_not_be_trained_is_found_before_the_first_is_trained(
    networks: list[str], arguments: dict[str, list[int]], message: str, images: ec.Dataset
) -> None:
    sizes = [(2, 2, 2)] if "cnn" in networks else []
    with pytest.raises(ec.ConfigError, match=message):
        ec.sweep(sizes, images, "out", networks=networks, arguments=arguments, config=CONFIG, interface="raw")
    assert not list(Path().glob("out/*"))


def test_a_folder_of_other_settings_is_found_before_the_first_is_trained(images: ec.Dataset, trained: Path) -> None:
    before = set(trained.iterdir())
    with pytest.raises(ec.ConfigError, match=rf"{NAME} .*with seed=0, not 1"):
        ec.sweep([(2, 2, 3), (2, 2, 2)], images, trained, networks=["cnn"], config=replace(CONFIG, seed=1))
    assert set(trained.iterdir()) == before


def test_a_damaged_checkpoint_is_said_to_be_deleted(images: ec.Dataset, trained: Path) -> None:
    checkpoint = next((trained / NAME / "checkpoint").glob("epoch-3.keras"))
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-1] + bytes(np.array([whole[-1] ^ 1], np.uint8)))
    try:
        with pytest.raises(ec.ArtifactError, match=r"epoch-3\.keras is damaged.*delete its folder$"):
            ec.sweep([(2, 2, 2)], images, trained, networks=["cnn"], config=replace(CONFIG, epochs=4))
    finally:
        checkpoint.write_bytes(whole)


def test_a_lost_decoder_is_no_reason_to_resume() -> None:
    with pytest.raises(DecoderLost, match=r"was killed \(SIGKILL\):.* sweep again$"), errors_of_a_sweep():
        raise DecoderLost("was killed (SIGKILL)")

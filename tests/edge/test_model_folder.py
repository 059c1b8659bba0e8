"""A named folder is opened, read and parsed once, and a bundle's unpacked files are removed."""

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge import manifest, model_file, model_folder
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.files import read_bytes
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder, opened


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files read, one entry per read."""
    names: list[str] = []

    def noted(path: Path, *arguments: Any, **options: Any) -> bytes:
        names.append(path.name)
        return read_bytes(path, *arguments, **options)

    monkeypatch.setattr(model_file, "read_bytes", noted)
    monkeypatch.setattr(manifest, "read_bytes", noted)
    return names


def test_what_is_no_model_and_no_folder_with_a_manifest_is_refused(tmp_path: Path) -> None:
    for name in ("absent", "absent.txt"):
        with pytest.raises(ArtifactError, match=name):
            ModelFolder(tmp_path / name)
    with pytest.raises(ArtifactError, match=r"manifest\.json does not exist.*edgecnn train and export"):
        ModelFolder(tmp_path)


def test_a_file_that_is_not_in_the_bundle_is_refused_and_nothing_stays_unpacked(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ConfigError, match=r"bars\.zip has no int8\.onnx.*int8\.tflite, float32\.onnx"):
        ModelFolder(bundle / "int8.onnx")
    assert not list(tmp_path.iterdir())


def test_of_several_files_one_must_be_named_and_an_unlisted_one_has_no_images(
    exported: Path, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"has several files.*int8\.onnx"):
        ModelFolder(exported).model()
    with ModelFolder(bundle) as models, pytest.raises(ConfigError, match=r"has no model\.keras: .*int8\.tflite"):
        models.model("model.keras")
    path = Path(shutil.copy(exported / "int8.tflite", tmp_path))
    with pytest.raises(ConfigError, match="file that edgecnn exported"):
        ModelFolder(path).test_images()


def test_files_without_a_runtime_are_named_with_the_reason(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "is_installed", lambda name: name == "onnx")
    here, skipped = ModelFolder(exported).runnable()
    assert here == ["float32.onnx", "int8.onnx"]
    assert "no runtime for tflite" in skipped["int8.tflite"]
    monkeypatch.setattr(model_folder, "is_installed", lambda name: False)
    with pytest.raises(MissingDependency, match="no runtime for onnx"):
        ModelFolder(exported).runnable()


def test_a_folder_is_parsed_once_and_each_of_its_files_read_once(exported: Path, reads: list[str]) -> None:
    models = ModelFolder(exported)
    for _ in range(3):
        assert [models.model(name).artifact for name in models.names] == list(Manifest.load(exported).artifacts)
    reads[:] = [name for name in reads if name != "manifest.json"]
    assert sorted(reads) == sorted(models.names)
    reads.clear()
    ModelFolder(exported).model("int8.tflite")
    assert reads == ["manifest.json", "int8.tflite"]
    reads.clear()
    ModelFolder(exported / "int8.tflite").model()
    assert sorted(reads) == ["int8.tflite", "manifest.json"]


def test_a_bundle_is_parsed_once_and_a_file_of_it_is_that_file(bundle: Path, reads: list[str], exported: Path) -> None:
    with ModelFolder(bundle) as models:
        assert models.names == ("int8.tflite", "float32.onnx")
        for name in models.names:
            assert models.model(name).manifest is models.manifest
            assert models.shown(name) == f"{bundle}/{name}"
    assert reads.count("manifest.json") == 1
    with ModelFolder(bundle / "int8.tflite") as models:
        assert (models.is_folder, models.names) == (False, ("int8.tflite",))
        assert models.model().data == (exported / "int8.tflite").read_bytes()
        assert models.shown("int8.tflite") == str(bundle / "int8.tflite")
        assert len(models.test_images().labels) == 20


def test_what_was_unpacked_goes_with_the_block_and_with_the_object_but_stays_with_who_opened_it(bundle: Path) -> None:
    with ModelFolder(bundle) as models:
        with opened(models) as same:
            assert same is models
        folder = models.path
        assert folder.is_dir()
    assert not folder.exists()
    with opened(bundle) as models:
        folder = models.path
    assert not folder.exists()
    models = ModelFolder(bundle)
    folder = models.path
    assert folder.is_dir()
    del models
    gc.collect()
    assert not folder.exists()


def test_a_classifier_takes_a_file_of_a_bundle(bundle: Path, exported: Path) -> None:
    image = load_test(bundle).images([0])
    packed, plain = (Classifier.load(path / "int8.tflite").predict(image) for path in (bundle, exported))
    assert packed.probabilities.tolist() == plain.probabilities.tolist()

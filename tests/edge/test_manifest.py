"""The manifest: what it refuses to list, and its order."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest, Preprocessing


@pytest.mark.parametrize("schema", [1, 3])
def test_another_schema_is_told_before_the_fields_that_it_may_have(schema: int, artifacts: Path) -> None:
    path = artifacts / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema, "something": "new"}))
    with pytest.raises(ArtifactError, match=rf"manifest\.json .*schema {schema};.* reads 2"):
        Manifest.load(artifacts)


@pytest.mark.parametrize("name", ["../int8.tflite", "/etc/passwd", "sub/int8.tflite", "int8.tflite/", "", ".", ".."])
@pytest.mark.parametrize("listed", ["artifact", "reference"])
def test_a_name_that_leaves_the_folder_is_refused(listed: str, name: str, artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    reference = manifest.reference
    assert reference is not None
    if listed == "artifact":
        manifest = replace(manifest, artifacts=(*manifest.artifacts, replace(manifest.artifacts[-1], path=name)))
    else:
        manifest = replace(manifest, reference=replace(reference, path=name))
    manifest.save(artifacts)
    with pytest.raises(ArtifactError, match=rf"manifest\.json names '{name}', .*folder"):
        Manifest.load(artifacts)


@pytest.mark.parametrize(("same", "images"), [(2000, 1), (-1, 10), (0, 0)])
def test_an_agreement_that_cannot_be_is_refused(same: int, images: int, artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    last = manifest.artifacts[-1]
    assert last.parity is not None
    replace(manifest, artifacts=(replace(last, parity=replace(last.parity, same_class=same, images=images)),)).save(artifacts)
    with pytest.raises(ArtifactError, match=rf"{last.path}.* {same} of {images} images"):
        Manifest.load(artifacts)


def test_a_manifest_finds_its_files_and_says_what_it_lacks(exported: Path) -> None:
    manifest = Manifest.load(exported)
    with pytest.raises(ArtifactError, match=r"manifest\.json lists no model"):
        replace(manifest, artifacts=manifest.artifacts[1:]).source()
    assert manifest.source().path == "model.keras"
    assert manifest.artifact("other.tflite") is None
    found = manifest.artifact("int8.tflite")
    assert found is not None
    assert (found.format, found.precision, found.path) == ("tflite", "int8", "int8.tflite")


def test_a_manifest_that_lacks_what_a_later_release_added_is_whole(exported: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(exported)
    manifest.save(tmp_path)
    path = tmp_path / "manifest.json"
    text = path.read_text().replace(',\n    "background": "any"', "")
    digest = json.loads(text)["sha256"]
    path.write_text(text.replace(digest, sha256(text.replace(digest, "").encode())))
    assert '"background": "any"' not in path.read_text()
    assert Manifest.load(tmp_path) == manifest
    path.write_text(text.replace(digest, ""))
    with pytest.raises(ArtifactError, match="was altered"):
        Manifest.load(tmp_path)


def test_a_saved_manifest_loads_equal(exported: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(exported)
    preprocessing = Preprocessing(1.0, "crop", "any", (103.939, 116.779, 123.68), (1.0, 2.0, 0.5), "bgr")
    changed = replace(manifest, preprocessing=preprocessing, output="logits", trusted=("my_layers",))
    for saved in (manifest, replace(manifest, reference=None), changed):
        saved.save(tmp_path)
        assert Manifest.load(tmp_path) == saved


def test_artifacts_replace_those_of_their_name_and_keep_a_fixed_order(exported: Path) -> None:
    manifest = Manifest.load(exported)
    new = replace(manifest.artifacts[2], sha256="0" * 64)
    updated = manifest.with_artifacts(new)
    assert updated.artifact(new.path) == new
    assert len(updated.artifacts) == len(manifest.artifacts)
    shuffled = replace(manifest, artifacts=()).with_artifacts(*reversed(manifest.artifacts))
    assert [item.path for item in shuffled.artifacts] == [
        "model.keras",
        "float32.tflite",
        "float16.tflite",
        "dynamic.tflite",
        "int8.tflite",
        "int16x8.tflite",
        "float32.onnx",
        "int8.onnx",
    ]


def test_words_that_this_version_does_not_know_are_refused(artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    words: tuple[dict[str, Any], ...] = ({"fit": "squeeze"}, {"channel_order": "grb"}, {"background": "grey"})
    for changed in words:
        ((name, word),) = changed.items()
        replace(manifest, preprocessing=replace(manifest.preprocessing, **changed)).save(artifacts)
        with pytest.raises(ArtifactError, match=rf'manifest\.json: preprocessing\.{name} .*got "{word}"'):
            Manifest.load(artifacts)
    boxes: Any = "boxes"
    replace(manifest, output=boxes).save(artifacts)
    with pytest.raises(ArtifactError, match=r'manifest\.json: output .*probabilities or logits.*"boxes"'):
        Manifest.load(artifacts)
    replace(manifest, artifacts=(replace(manifest.artifacts[0], precision="int3"),)).save(artifacts)
    with pytest.raises(ArtifactError, match=r"model\.keras is keras int3, unknown"):
        Manifest.load(artifacts)

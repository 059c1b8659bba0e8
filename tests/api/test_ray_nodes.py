"""What `sweep --ray` sends to its nodes, and what it refuses before it looks for any. Real Ray: end_to_end/test_ray.py."""

import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.edge.data.splits import FileSplit, chunks
from edgecnn.edge.errors import ConfigError, MissingDependency
from edgecnn.edge.result import SILENT
from edgecnn.workflows.ray_nodes import _in_memory, _write, ray_nodes
from tests.drawings import write_letters


@pytest.mark.parametrize("kind", ["pictures", "rows of a file"])
def test_a_sent_dataset_has_all_pixels_and_the_record_of_its_files(kind: str, idx_folder: Path, tmp_path: Path) -> None:
    if kind == "pictures":
        found = ec.load_dataset(write_letters(tmp_path / "letters", 12), ec.FolderOptions(val_share=0.2, size=(16, 16)))
        assert isinstance(found.train, FileSplit)
    else:
        found = ec.load_dataset(idx_folder, ec.FolderOptions(val_share=0.2))
    sent = pickle.loads(pickle.dumps(_in_memory(found)))
    assert sent.record() == found.record()
    assert replace(sent, may_be_learnt=True).record() == replace(found, may_be_learnt=True).record()
    assert (sent.describe(), sent.class_names, sent.image_rule) == (found.describe(), found.class_names, found.image_rule)
    for name in ("train", "test", "val"):
        before, after = getattr(found, name), getattr(sent, name)
        np.testing.assert_array_equal(np.concatenate([*chunks(after)]), np.concatenate([*chunks(before)]))
        np.testing.assert_array_equal(after.labels, before.labels)


def test_what_a_node_returns_replaces_an_unfinished_training(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "epoch-1.keras").write_bytes(b"old")
    (tmp_path / "int8.tflite").write_bytes(b"exported before")
    files = {"model.keras": b"m", "train.json": b"t", "checkpoint/epoch-2.keras": b"e", "checkpoint/checkpoint.json": b"c"}
    _write(tmp_path, files | {"logs/1/train/events": b"l"})
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == files | {"logs/1/train/events": b"l", "int8.tflite": b"exported before"}


def test_a_write_that_fails_leaves_a_folder_that_is_not_taken_for_trained(tmp_path: Path) -> None:
    files: dict[str, Any] = {"model.keras": b"m", "train.json": None, "checkpoint/checkpoint.json": b"c"}
    with pytest.raises(TypeError):
        _write(tmp_path, files)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_ray_that_is_not_installed_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingDependency, match=r"Ray is not installed\. On each machine: pip install .*ray"),
        ray_nodes("auto", SILENT),
    ):
        pass


@pytest.mark.parametrize("address", ["ray://a:10001", "local", "a", "a:", "a:port"])
def test_an_address_that_is_no_host_and_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=rf"ray must be auto or HOST:PORT of .*, got {address}$"), ray_nodes(address, SILENT):
        pass


def test_without_an_address_nothing_of_ray_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with ray_nodes(None, SILENT) as nodes:
        assert nodes is None

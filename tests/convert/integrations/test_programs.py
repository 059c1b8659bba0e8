"""A program's files appear with the export that they were made from, or not at all."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.export.program_files import program_file
from edgecnn.convert.integrations import PROGRAMS, Program
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.errors import ConfigError, ConversionError, MissingDependency
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import Package
from edgecnn.edge.manifest import Manifest
from tests.convert.conftest import unchanged

TFLITE = ("tflite",)


@pytest.fixture
def copier(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of a program `copier`, which takes a copy of int8.tflite."""
    module = ModuleType("copier")

    def write(folder: Path, manifest: Manifest, job: Any) -> list[ProgramFile]:
        data = (folder / "int8.tflite").read_bytes()
        (folder / "copy.bin").write_bytes(data)
        return [program_file(folder / "copy.bin", sha256(data), "copier")]

    module.write = write  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "copier", module)
    monkeypatch.setitem(PROGRAMS, "copier", Program("copier", "Copier", "tflite", "int8", "copier"))
    return module


def test_a_program_needs_the_exported_file_that_its_files_belong_to(copier: ModuleType) -> None:
    with pytest.raises(ConfigError, match=r"targets=copier needs int8\.tflite: add formats=tflite"):
        ExportConfig(("onnx",), targets=("copier",))
    with pytest.raises(ConfigError, match=r"targets=copier needs int8\.tflite: add precisions=int8"):
        ExportConfig(TFLITE, ("dynamic",), targets=("copier",))
    assert [program.name for program in ExportConfig(TFLITE, targets=("copier", "ai-edge-litert")).programs()] == ["copier"]


def test_a_package_that_a_program_needs_is_named_before_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    package = Package("tflite-micro", "no_such_module", "micro")
    monkeypatch.setitem(PROGRAMS, "tflite-micro", PROGRAMS["tflite-micro"]._replace(package=package))
    with pytest.raises(MissingDependency, match=r"tflite-micro is not installed: pip.*tflite-micro"):
        ExportConfig(TFLITE, targets=("tflite-micro",))


def test_a_program_that_takes_bytes_gets_no_file_of_floats_which_is_said_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PROGRAMS, "tflite-micro", PROGRAMS["tflite-micro"]._replace(package=None))
    assert ExportConfig(TFLITE, targets=("tflite-micro",), io="uint8").io == "uint8"
    with pytest.raises(ConfigError, match="targets=tflite-micro takes int8 or uint8, not float32: omit io"):
        ExportConfig(TFLITE, targets=("tflite-micro",), io="float32")
    assert ExportConfig(TFLITE).programs() == ()


def test_a_programs_files_are_listed_and_go_when_what_they_were_made_from_does(
    copier: ModuleType, artifacts: Path, idx_folder: Path
) -> None:
    dataset, steps = load_dataset(idx_folder), list[str]()
    export(artifacts / "model.keras", dataset, ExportConfig(TFLITE, targets=("copier",)))
    files = {file.path: file for file in Manifest.load(artifacts).for_programs}
    assert {name: file.program for name, file in files.items()} == {"copy.bin": "copier", "labels.txt": None}
    for name, file in files.items():
        data = (artifacts / name).read_bytes()
        assert (file.sha256, file.size_bytes) == (sha256(data), len(data))
    export(artifacts / "model.keras", dataset, ExportConfig(("onnx",)), on_step=steps.append)
    assert (artifacts / "copy.bin").exists()  # int8.tflite is the same.
    export(artifacts / "model.keras", dataset, ExportConfig(TFLITE, batch="dynamic"), on_step=steps.append)
    assert [file.path for file in Manifest.load(artifacts).for_programs] == ["labels.txt"]
    assert not (artifacts / "copy.bin").exists()
    assert [step for step in steps if "copy.bin" in step]


def test_a_program_that_refuses_the_model_leaves_the_earlier_export_whole(
    copier: ModuleType, artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, manifest: Manifest, job: Any) -> list[ProgramFile]:
        (folder / "half.bin").write_bytes(b"half")
        raise ConversionError("too large: use a smaller model")

    monkeypatch.setattr(copier, "write", refuse)
    with unchanged(artifacts), pytest.raises(ConversionError, match="too large"):
        export(artifacts / "model.keras", load_dataset(idx_folder), ExportConfig(TFLITE, targets=("copier",), batch="dynamic"))

"""The published JSON Schemas: as the dataclasses are, and as commands write.

Those of train, sweep, doctor and selftest, which take long, are where those run.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.measure import other_measurements
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DeviceResult, DeviceResults
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.records import to_json
from tests.schemas import SCHEMAS, require_valid
from tools.json_schemas import SCHEMAS as KINDS
from tools.json_schemas import schema_of

ROOT = Path(__file__).parents[2]
SHORT = ("--launches", "2", "--min-runs", "40", "--min-seconds", "0")
ANY_DROP = ("--max-drop", "100")
COMMANDS = {
    "data": ("data", "{images}"),
    "summary": ("summary", "{folder}/float32.onnx"),
    "summary of a folder": ("summary", "{folder}"),
    "verify": ("verify", "{folder}/int8.tflite"),
    "verify a bundle": ("verify", "{bundle}"),
    "evaluate": ("evaluate", "{folder}/float32.tflite"),
    "evaluate a bundle": ("evaluate", "{bundle}"),
    "predict": ("predict", "{folder}/float32.onnx", "--index", "0"),
    "bench": ("bench", "{folder}", "--runtime", "onnx", *SHORT, *ANY_DROP, "--batch", "2", "--rate", "100", "--profile"),
    "bench of random inputs": ("bench", "copy.tflite", *SHORT, "--max-size-kib", "1000"),
    "compare": ("compare", "{result}", "bench.json", "--force"),  # What `bench` above wrote, of other images.
    "diagnose": ("diagnose", "{folder}/int8.tflite"),
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def places(three_files: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("written")
    return {"folder": three_files, "images": idx_folder, "bundle": home / "bars.zip", "result": home / "result.json"}


def test_the_manifest_is_what_its_schema_says_and_one_with_another_field_is_not(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    for change in ({"colour": "blue"}, {"output": "numbers"}, {"schema": "2"}):
        with pytest.raises(AssertionError):
            require_valid("manifest", json.dumps(manifest | change))
    del manifest["artifacts"]
    with pytest.raises(AssertionError, match="artifacts"):
        require_valid("manifest", json.dumps(manifest))
    require_valid("manifest", (exported / "manifest.json").read_text())
    require_valid("manifest", to_json(Manifest.load(exported)))


@pytest.mark.parametrize("name", KINDS)
def test_a_published_schema_is_that_of_the_dataclasses(name: str) -> None:
    # What it says of each field may be older: make docs writes it again.
    published = json.loads((SCHEMAS / f"{name}.json").read_text())
    message = "python -m tools.json_schemas docs/reference/schemas writes them again"
    assert without_texts(published) == without_texts(schema_of(*KINDS[name])), message


def test_the_program_without_a_folder_says_how_it_is_called() -> None:
    called = subprocess.run([sys.executable, "-m", "tools.json_schemas"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert called.returncode == 1
    assert called.stderr.startswith("python -m tools.json_schemas docs/reference/schemas: ")
    assert called.stdout == ""


def without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_texts(item) for key, item in value.items() if key != "description" or not isinstance(item, str)}
    return [without_texts(item) for item in value] if isinstance(value, list) else value


def test_each_schema_is_published_and_named_on_its_page() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(KINDS)
    page = (SCHEMAS.parent / "schemas.md").read_text()
    for name in KINDS:
        assert f"(schemas/{name}.json)" in page


def test_what_a_command_writes_is_what_its_schema_says(
    places: dict[str, Path], three_files: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_measurements, "_frames", lambda rate, options: 100)
    terminal.passes("bundle", three_files, "--out", places["bundle"], "--images", "20", "--json", "bundle.json")
    require_valid("bundle", Path("bundle.json").read_text())
    terminal.passes("bench", places["bundle"], "--runtime", "onnx", *SHORT, *ANY_DROP, "--json", places["result"])
    require_valid("bench", places["result"].read_text())
    report = read_report(places["result"])
    devices = (DeviceResult("pi-4", "it has no Python", None), DeviceResult("pi-5", None, report))
    require_valid("bench-device", to_json(DeviceResults(1, "edgecnn bench", devices)))
    shutil.copy(three_files / "int8.tflite", "copy.tflite")
    for title, arguments in COMMANDS.items():
        written = Path(f"{title}.json")
        # A busy machine's exit code is 7.
        assert terminal.run(*(item.format(**places) for item in arguments), "--json", written) in (0, 7), terminal.err
        require_valid(title.split()[0], written.read_text())

"""No command sends ONNX Runtime's telemetry; onnxruntime stores events to send in a file in the user's cache."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edgecnn.edge.compatibility.requirements import release_key

# onnxruntime sends nothing where one of these is set, and a test that sees nothing then would show nothing.
SWITCHES = (
    *("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "TRAVIS", "CIRCLECI", "APPVEYOR", "BUILDKITE"),
    *("JENKINS_URL", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
)
SHORT = ("--launches", "2", "--min-runs", "40", "--min-seconds", "0", "--max-drop", "100")
COMMANDS = {
    "export": ("export", "{folder}/model.keras", "--format", "onnx", "--quantize", "int8"),
    "bench": ("bench", "{folder}", "--runtime", "onnx", *SHORT),
    "verify": ("verify", "{folder}/float32.onnx"),
    "evaluate": ("evaluate", "{folder}/int8.onnx"),
    "predict": ("predict", "{folder}/int8.onnx", "--index", "0"),
    "summary": ("summary", "{folder}/int8.onnx"),
    "diagnose": ("diagnose", "{folder}/int8.onnx"),
    "doctor": ("doctor", "{folder}"),
}


def traces(home: Path, *command: str) -> list[Path]:
    """Run Python with its own home, and return the files that onnxruntime left there."""
    kept = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    environment = {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [path for path in home.rglob("*") if "onnxruntime" in path.name]


def test_an_import_without_the_switch_leaves_a_trace(tmp_path: Path) -> None:
    if release_key(version("onnxruntime")) < (1, 29):
        pytest.skip("this onnxruntime has no telemetry")
    assert traces(tmp_path, "-c", "import onnxruntime")


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_command_leaves_none(arguments: tuple[str, ...], artifacts: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert not traces(home, "-m", "edgecnn", *(item.format(folder=artifacts) for item in arguments))

"""No command sends ONNX Runtime's telemetry; onnxruntime stores events to send in a file in the user's cache."""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from edgecnn.__main__ import run
from edgecnn.edge.compatibility.requirements import release_key
from tests.end_to_end.forks import FORKS

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
    "doctor": ("doctor", "{folder}/float32.onnx"),
}


def alone(home: str, *words: str) -> None:
    """Run a command, or without words import onnxruntime, with a home of its own."""
    for name in SWITCHES:
        os.environ.pop(name, None)
    os.environ |= {"HOME": home, "XDG_CACHE_HOME": f"{home}/cache"}
    sys.argv = ["edgecnn", *words]
    run() if words else import_module("onnxruntime")


def traces(home: Path, *words: str) -> list[Path]:
    """Return the files that onnxruntime left in its process's home."""
    process = FORKS.Process(target=alone, args=(str(home), *words))
    process.start()
    process.join()
    assert process.exitcode == 0
    return [path for path in home.rglob("*") if "onnxruntime" in path.name]


def test_an_import_without_the_switch_leaves_a_trace(tmp_path: Path) -> None:
    if release_key(version("onnxruntime")) < (1, 29):
        pytest.skip("this onnxruntime has no telemetry")
    assert traces(tmp_path)


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_command_leaves_none(arguments: tuple[str, ...], artifacts: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert not traces(home, *(item.format(folder=artifacts) for item in arguments))

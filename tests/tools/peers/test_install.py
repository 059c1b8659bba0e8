"""A package that fails to install does not affect the others."""

import re
import tomllib

from tools.peers.install import install
from tools.peers.lineup import PACKAGES, PROJECT_ROOT


def test_one_that_fails_is_kept_with_its_reason_and_the_rest_is_installed() -> None:
    asked = []

    def pip(arguments: list[str]) -> str | None:
        asked.append(arguments)
        return "No matching distribution found for ncnn==1" if arguments[-1] == "ncnn==1" else None

    reasons = install(["openvino==2", "ncnn==1", "pnnx==3", "torch==2"], ["torch"], pip)
    assert reasons == {"ncnn": "No matching distribution found for ncnn==1", "torch": "it was skipped (WITHOUT)"}
    assert asked == [["openvino==2"], ["ncnn==1"], ["--no-deps", "pnnx==3"]]


def test_every_package_of_a_peer_is_in_the_group_with_an_exact_version() -> None:
    groups = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["dependency-groups"]
    pinned = {re.split("==", requirement)[0] for requirement in groups["peers"] if "==" in requirement}
    assert len(pinned) == len(groups["peers"])
    ours = {"LiteRT", "ONNX Runtime"}
    assert {name for runtime, names in PACKAGES.items() if runtime not in ours for name in names} <= pinned

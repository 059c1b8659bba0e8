"""Which options of `edgecnn bench` go to a device: all of them, or a refusal."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.__main__ import main
from edgecnn.benchmarks.gate.gate import Check, Verdict
from edgecnn.benchmarks.remote import devices
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DeviceResult, DeviceResults
from edgecnn.commands.bench import forwarded
from edgecnn.edge.errors import ConfigError
from edgecnn.shell.call import Call
from edgecnn.shell.main import commands

KEPT = Path(__file__).parents[1] / "benchmarks/kept_results/schema-5.json"
HANDLED_HERE = {"--device", "--install", "--budget", "--json", "--verbose"}
OTHER_VALUES = {"--size": "96x96", "--allow": "load"}
IMAGES = {
    "--data", "--size", "--channels", "--fit", "--test-share", "--split-seed", "--test-list", "--keep-together", "--labels",
}  # fmt: skip


def sent_arguments(*arguments: str, from_bundle: bool) -> list[str]:
    """Return what goes to a device of a command line, without running it."""
    seen: list[Call] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "run", lambda call, command: seen.append(call))
        assert main(["bench", *arguments]) == 0
    return forwarded(seen[0], from_bundle)


def options() -> dict[str, list[str]]:
    """Return every option of `bench` with a command line that gives it a value."""
    given = {}
    for parameter in commands()["bench"].load().params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            option = parameter.opts[0]
            given[option] = [option] if parameter.is_flag else [option, OTHER_VALUES.get(option, "1")]
    return given


def test_no_option_is_dropped_silently() -> None:
    found = options()
    assert len(found) > 30
    sent, refused = set(), {}
    for option, arguments in found.items():
        try:
            there = sent_arguments(*arguments, from_bundle=True)
        except ConfigError as error:
            refused[option] = str(error)
            continue
        if there:
            (only,) = there
            assert re.fullmatch(rf"{option}(=(1(\.0)?|load))?", only)
            sent.add(option)
    assert {*found} - sent - {*refused} == HANDLED_HERE
    assert all(re.match(rf"{option} .*: ", told) for option, told in refused.items())  # What is wrong, and what to do.
    assert {"--runtime", "--threads", "--min-seconds", "--launches", "--max-drop", "--allow", "--strict", "--profile"} <= sent
    assert {*refused} >= {"--markdown", "--csv", "--preprocess", "--trust", "--reference", *IMAGES}


def test_images_are_for_making_a_bundle_of_a_folder() -> None:
    for option in IMAGES:
        assert sent_arguments(option, OTHER_VALUES.get(option, "1"), from_bundle=False) == []


def test_values_stay_values_and_defaults_are_left_to_the_device() -> None:
    arguments = ["folder", "--percentile", "95", "--percentile", "99.9", "--max-drop", "-1", "--strict", "--threads", "1,2"]
    sent = sent_arguments(*arguments, from_bundle=True)
    assert sorted(sent) == ["--max-drop=-1.0", "--percentile=95.0", "--percentile=99.9", "--strict", "--threads=1,2"]
    assert sent_arguments("folder", from_bundle=True) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["x.tflite", "--device", "pi"], "--device takes a folder with a manifest, or a bundle"),
        (["--install"], "--install needs --device"),
        (["{folder}", "--device=-oProxyCommand=x"], "is not the name of a device"),
        (["{folder}", "--device", "pi", "--device", "pi"], "--device pi is named 2 times"),
        (["{folder}", "--device", "pi", "--runtime", "keras"], "has no file for keras that a device could run"),
        (["{folder}", "--device", "pi", "--csv", "x.csv"], "--csv does not go with --device"),
        (["{folder}", "--device", "pi", "--max-drop", "-1"], "--max-drop must be 0 to 100"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_connected(
    arguments: list[str], told: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # No ssh.
    assert told in terminal.fails(2, "bench", *(argument.format(folder=exported) for argument in arguments))


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (("PASS", "PASS"), 0),
        (("PASS", "INVALID"), 7),
        (("FAIL", "INVALID"), 3),
        (("PASS", "UNDECIDED"), 3),
        (("PASS", None), 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst_device(
    statuses: tuple[Any, ...], code: int, exported: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    kept = read_report(KEPT)
    results = tuple(
        DeviceResult(
            f"pi{place}",
            None if status else "it is off",
            replace(kept, verdict=Verdict(status, (Check(status, "int8.tflite: x"),))) if status else None,
        )
        for place, status in enumerate(statuses)
    )
    monkeypatch.setattr(devices, "bench_devices", lambda *_, **__: DeviceResults(1, "edgecnn bench", results))
    assert terminal.run("bench", exported, "--device", "pi0", "--device", "pi1") == code
    assert f"of {len(statuses)} devices" in terminal.out


def test_nothing_is_packed_for_devices_that_cannot_be_reached(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'ssh: connect to host pi port 22: Connection refused' >&2; exit 255\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(devices, "write_bundle", lambda *_, **__: pytest.fail("it was packed"))
    line = terminal.fails(1, "bench", exported, "--device", "pi4", "--device", "pi5")
    assert re.search(r"devices without.* 2 of 2", line)
    assert terminal.out.count("it refuses ssh connections") == 2

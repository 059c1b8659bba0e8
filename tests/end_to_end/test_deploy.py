"""`edgecnn deploy` to ssh servers on loopback, with the real edgecnn on both sides: `network` of conftest.py."""

import json
import sys
from pathlib import Path
from typing import Any

EDGECNN = Path(sys.executable).parent / "edgecnn"
REAL = f'#!/bin/sh\nexec {EDGECNN} "$@"\n'
PLACE = ".local/share/edgecnn/current/model.zip"


def test_a_bundle_goes_into_service_an_update_replaces_it_and_a_rollback_brings_it_back(
    network: Any, artifacts: Path, terminal: Any, tmp_path: Path
) -> None:
    device = network.add("pi", edgecnn=REAL)
    written = tmp_path / "deploy.json"
    both = ("--file", "int8.tflite", "--file", "float32.tflite")
    printed = terminal.passes("deploy", artifacts, "--device", "pi", *both, "--json", written)
    assert "bars is in service on pi." in printed
    assert "64 golden vectors agree there" in printed
    (first,) = json.loads(written.read_text())["boards"]
    assert (first["outcome"], first["previous"], [file["file"] for file in first["golden"]["files"]]) == (
        "deployed", None, ["float32.tflite", "int8.tflite"],
    )  # fmt: skip
    terminal.passes("deploy", artifacts, "--device", "pi", "--file", "int8.tflite", "--json", written)
    (second,) = json.loads(written.read_text())["boards"]
    assert (second["outcome"], second["previous"]) == ("deployed", first["sha256"])
    assert second["received_bytes"] < first["received_bytes"] / 4  # Images, golden vectors and the model are there.
    assert terminal.passes("verify", device.home / PLACE)
    assert f"({second['sha256'][:12]})" in terminal.passes("deploy", "--device", "pi", "--status")
    assert "PASS: every file computes here" in terminal.passes("verify", "--device", "pi", "--json", written)
    (checked,) = json.loads(written.read_text())["boards"]
    assert [file["file"] for file in checked["golden"]["files"]] == ["int8.tflite"]
    assert "int8.tflite" in terminal.passes("doctor", "--device", "pi")
    assert "rolled back" in terminal.passes("deploy", "--device", "pi", "--rollback")
    printed = terminal.passes("deploy", "--device", "pi", "--status", "--json", written)
    (board,) = json.loads(written.read_text())["boards"]
    assert [item["sha256"] for item in board["releases"] if not item["withdrawn"]] == [first["sha256"]]


def test_a_damaged_bundle_in_service_is_said_and_a_board_without_one_is_examined_itself(
    network: Any, artifacts: Path, terminal: Any
) -> None:
    device = network.add("pi", edgecnn=REAL)
    assert "Python" in terminal.passes("doctor", "--device", "pi")
    assert "no bundle was deployed there" in terminal.fails(1, "verify", "--device", "pi") + terminal.out
    terminal.passes("deploy", artifacts, "--device", "pi", "--file", "int8.tflite")
    (device.home / PLACE).write_bytes((device.home / PLACE).read_bytes()[:-100])
    terminal.fails(1, "verify", "--device", "pi")
    assert "copy it again" in terminal.out
    assert "--device asks boards" in terminal.fails(2, "verify", artifacts, "--device", "pi")


def test_limits_that_do_not_hold_there_keep_a_bundle_out_and_the_exit_code_says_so(
    network: Any, artifacts: Path, terminal: Any, tmp_path: Path
) -> None:
    device = network.add("pi", edgecnn=REAL)
    limits = tmp_path / "limits.toml"
    limits.write_text("max_p90_ms = 0.000001\n")
    deploy = ("deploy", artifacts, "--device", "pi", "--file", "int8.tflite", "--budget", limits)
    assert terminal.fails(3, *deploy)
    assert not (device.home / PLACE).exists()
    limits.write_text("max_p90_ms = 10000\nmax_drop_points = 100\n")
    assert "deployed" in terminal.passes(*deploy)
    assert (device.home / PLACE).exists()


def test_a_board_that_can_t_be_reached_is_named_and_the_exit_code_says_so(network: Any, artifacts: Path, terminal: Any) -> None:
    network.add("pi", edgecnn=REAL)
    network.add("locked", key="stranger")
    deploy = ("deploy", artifacts, "--file", "int8.tflite", "--device", "locked", "--device", "pi", "--canary")
    assert terminal.fails(1, *deploy)
    assert "locked: failed. it refuses your key" in " ".join(terminal.out.split())
    assert "pi: not tried." in terminal.out
    assert terminal.fails(2, "deploy", artifacts)
    assert terminal.fails(2, "deploy", artifacts, "--device", "pi", "--status")
    assert terminal.fails(2, "deploy", "--device", "pi", "--status", "--rollback")
    for option in ("--watch", "5m"), ("--budget", "limits.toml"):
        assert option[0] in terminal.fails(2, "deploy", "--device", "pi", "--rollback", *option)

"""`edgecnn bench --device` against real ssh servers on loopback: `network` of conftest.py."""

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.machine.host import read_machine
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.remote import Install
from edgecnn.benchmarks.runners.timed import thread_counts
from edgecnn.edge.manifest import Manifest
from tests.end_to_end.test_deploy import EDGECNN, REAL


def test_what_ssh_refuses_is_a_sentence_with_the_command_to_type(network: Any, bundle: Path) -> None:
    stranger, down = network.add("stranger", known=False), network.add("down")
    network.add("locked", key="stranger")
    known = network.known.read_text()
    assert re.search(r"host key is unknown.*ssh stranger", network.failure(bundle, "stranger"))
    assert network.known.read_text() == known
    assert not stranger.cache.exists()
    assert re.search(r"refuses your key.*ssh-copy-id locked.*ssh-add", network.failure(bundle, "locked"))
    down.server.kill()
    down.server.wait()
    assert "it refuses ssh connections" in network.failure(bundle, "down")
    assert "its name is unknown" in network.failure(bundle, "nobody.invalid")


def test_a_changed_host_key_is_refused_with_the_command_that_forgets_it(network: Any, bundle: Path) -> None:
    network.add("pi", known=False)
    port = network.config.read_text().partition("Port ")[2].split()[0]
    network.known.write_text(f"[127.0.0.1]:{port} {(network.folder / 'stranger.pub').read_text()}")
    told = network.failure(bundle, "pi")
    assert "its host key has changed" in told
    command = shlex.split(told.partition("If it was set up again: ")[2])
    subprocess.run(command, check=True, capture_output=True)
    assert network.known.read_text() == ""


def test_a_device_that_fails_does_not_stop_the_others(network: Any, bundle: Path) -> None:
    devices = [network.add("one"), network.add("two", key="stranger"), network.add("three"), network.add("four")]
    (devices[3].home / "reason").write_text("edgecnn: int8.tflite is damaged: copy it again\n")
    found = network.run(bundle, "one", "two", "three", "four")
    assert [device.host for device in found] == ["one", "two", "three", "four"]
    assert [device.error is None for device in found] == [True, False, True, False]
    assert found[3].error == "int8.tflite is damaged: copy it again"
    assert found[0].result
    assert found[0].result == found[2].result


def test_devices_run_side_by_side(network: Any, bundle: Path) -> None:
    homes = [network.add(name).home for name in ("one", "two")]
    # Each waits for the other: run one after another, both would wait for ever.
    for home, other in (homes, homes[::-1]):
        (home / "bin/edgecnn").write_text(
            network.stand_in.format(version=running_version()).replace(
                "echo 'launch",
                f"touch '{home}/here'; n=0\n"
                f"until [ -e '{other}/here' ]; do sleep 0.1; n=$((n + 1)); [ $n = 300 ] && exit 9; done\n"
                "echo 'launch",
            )
        )
    assert [device.error for device in network.run(bundle, "one", "two")] == [None, None]


def test_an_unchanged_bundle_is_not_sent_again_and_a_damaged_copy_is(network: Any, bundle: Path) -> None:
    device = network.add("pi")
    sending = f"pi: sending {bundle.name}, 2.9 MiB"
    for damage, sent in ((None, True), (None, False), (b"x", True), (b"", True)):
        (copy,) = device.cache.rglob("*.zip") if device.cache.exists() else [None]
        if copy and damage is not None:
            copy.write_bytes(damage + copy.read_bytes()[1:] if damage else b"")
        said: list[str] = []
        (done,) = network.run(bundle, "pi", said=said)
        assert done.error is None
        assert (sending in said) == sent
        assert device.files() == ["bundle.zip"]
        assert next(device.cache.rglob("*.zip")).read_bytes() == bundle.read_bytes()


def test_old_bundles_do_not_fill_the_device(network: Any, bundle: Path) -> None:
    device = network.add("pi")
    for number in range(6):
        bundle.write_bytes(b"%d" % number)
        network.run(bundle, "pi")
    assert sorted(path.read_bytes() for path in device.cache.rglob("*.zip")) == [b"2", b"3", b"4", b"5"]


def test_hostile_names_and_options_reach_edgecnn_as_they_are_and_no_shell(network: Any, bundle: Path) -> None:
    device = network.add("pi")
    hostile = [
        "$(touch pwned)", "; touch pwned", "`touch pwned`", "' touch pwned '", '" && touch pwned; "', "a\nb", "--", "-x", "*",
        "~", "ä\u2028", "\\", "!!", "%h",
    ]  # fmt: skip
    for name in ("-oProxyCommand=touch pwned.zip", "; touch pwned;.zip", "a\nb $(touch pwned).zip"):
        named = bundle.rename(bundle.parent / name)
        (done,) = network.run(named, "pi", arguments=tuple(hostile), files={"budget.toml": "$(touch pwned)"})
        assert done.error is None
        bundle = named
    given = (device.home / "arguments").read_text().split("\0")
    assert given == ["bench", str(next(device.cache.rglob("*.zip"))), *hostile, "--json", "-", ""]
    assert (device.home / "budget.toml").read_text() == "$(touch pwned)"
    assert not [*network.folder.rglob("*pwned"), *Path.cwd().glob("pwned*"), *Path.home().glob("pwned*")]


def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(network: Any, bundle: Path) -> None:
    device = network.add("pi")
    device.cache.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(device.cache)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root and the right to mount")
    try:
        told = network.failure(bundle, "pi")
        assert told.startswith("the disk there is full")
        assert [*device.cache.iterdir()] == []
        bundle.write_bytes(b"small")
        assert network.run(bundle, "pi")[0].error is None
    finally:
        subprocess.run(["umount", "--lazy", str(device.cache)], check=True)  # noqa: S607  # As the system has it.


def test_without_edgecnn_or_with_another_version_the_command_to_type_is_named(network: Any, bundle: Path) -> None:
    device = network.add("pi", edgecnn=None)
    mend = "type edgecnn bench a --device b --install"
    assert re.match(rf"edgecnn is not installed.*{mend}$", network.failure(bundle, "pi"))
    program = device.home / "bin/edgecnn"
    program.write_text("#!/bin/sh\necho edgecnn 0.0.1\n")
    program.chmod(0o755)
    told = network.failure(bundle, "pi")
    assert re.search(rf"edgecnn {running_version()}, .*{program} .*0\.0\.1: {mend}$", told)
    program.write_text("#!/nothing\n")
    assert f"{program} is broken" in network.failure(bundle, "pi")
    assert device.files() == []


def wheel(folder: Path, text: str = "") -> Path:
    """Return a wheel of a package named edgecnn, without dependencies and with a script as its program."""
    version = running_version()
    path = folder / f"edgecnn-{version}-py3-none-any.whl"
    info = f"edgecnn-{version}.dist-info"
    extras = "Provides-Extra: tflite\nProvides-Extra: onnx\n"
    members = {
        f"edgecnn-{version}.data/scripts/edgecnn": text.format(version=version),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: edgecnn\nVersion: {version}\n{extras}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)  # With a fixed time: the same content gives the same bytes.
            member.external_attr = 0o100755 << 16
            archive.writestr(member, content)
    return path


def test_install_makes_an_environment_once_and_again_when_edgecnn_changes(network: Any, bundle: Path) -> None:
    device = network.add("pi", edgecnn=None)
    made = wheel(network.folder)
    seen = []
    for text, formats in (
        (network.stand_in, ("onnx",)),
        (network.stand_in, ("onnx",)),
        (network.stand_in, ("tflite",)),
        (network.stand_in + "#", ("onnx",)),
    ):
        wheel(network.folder, text)
        said: list[str] = []
        (done,) = network.run(bundle, "pi", said=said, install=Install(formats, made))
        assert done.error is None
        seen.append(next(line for line in said if "install" in line or "using" in line))
    venv = device.cache / "venv"
    made_with = rf"pi: installing edgecnn {running_version()} with (.+) into {venv} "
    # Files of another bundle stay, unless the edgecnn differs.
    assert [re.findall(made_with, line) for line in seen] == [["onnx"], [], ["onnx, tflite"], ["onnx"]]
    assert re.match(rf"pi: using {venv}, .*edgecnn {running_version()}$", seen[1])
    assert network.run(bundle, "pi")[0].error is None  # Without --install, the environment is found.
    (venv / "edgecnn.json").unlink()  # As after a power cut during installation.
    assert network.failure(bundle, "pi").startswith("edgecnn is not installed there")


def test_an_install_that_fails_says_what_pip_says_and_leaves_no_environment(network: Any, bundle: Path) -> None:
    device = network.add("pi", edgecnn=None)
    told = network.failure(bundle, "pi", install=Install(("tflite",), None))
    assert re.match(r"pip .*install edgecnn.*No matching distribution", told)
    assert not (device.cache / "venv").exists()


def test_without_python3_or_its_venv_the_command_to_type_is_named(network: Any, bundle: Path) -> None:
    device = network.add("pi", edgecnn=None)
    python = device.home / "bin/python3"
    python.write_text("#!/bin/sh\necho 'sh: 1: python3: not found' >&2\nexit 127\n")
    python.chmod(0o755)
    assert re.search(r"no python3: .*apt install python3-venv$", network.failure(bundle, "pi"))
    # Like Debian's python3 without python3-venv: the module ensurepip is missing.
    python.write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -c 'import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        'importlib.util.find_spec = lambda name: None if name == "ensurepip" else find(name)\n'
        'exec(sys.argv[3])\' "$@"\n'
    )
    told = network.failure(bundle, "pi", install=Install(("tflite",), wheel(network.folder)))
    assert re.match(r"python3-venv .*not installed.*apt install python3-venv$", told)


def test_the_command_measures_on_two_devices_and_prints_a_column_for_each(
    network: Any, artifacts: Path, tmp_path: Path
) -> None:
    """The real edgecnn on both sides, with an exported folder and limits in a file."""
    manifest = Manifest.load(artifacts)
    few = ("model.keras", "float32.tflite", "int8.tflite", "int8.onnx")
    replace(manifest, artifacts=tuple(file for file in manifest.artifacts if file.path in few)).save(artifacts)
    for name in ("pi-four", "pi-five"):
        network.add(name, edgecnn=REAL)
    network.add("pi-zero", edgecnn=None)
    budget = tmp_path / "limits.toml"
    budget.write_text('max_drop_points = 100.0\n[files."int8.tflite"]\nmax_size_kib = 0.001\n')
    options = "--min-seconds 0.02 --min-runs 100 --launches 2 --runtime tflite --device pi-four --device pi-five --allow noise"
    outputs = ["--budget", str(budget), "--json", str(tmp_path / "all.json")]
    command = [str(EDGECNN), "bench", str(artifacts), *options.split(), *outputs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert re.search(r"2 of 2 devices.*\(2 FAIL\)", done.stderr)
    heading = next(line for line in done.stdout.splitlines() if line.startswith(" file"))
    assert heading.split() == ["file", "pi-four", "pi-five"]
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    assert "sending bars.zip" in done.stderr
    assert "pi-four: launch 1 of 2" in done.stderr
    found = json.loads((tmp_path / "all.json").read_text())
    assert [device["host"] for device in found["devices"]] == ["pi-four", "pi-five"]
    for device in found["devices"]:
        result = device["result"]
        files = {file["name"]: file for file in result["files"]}
        assert {file["artifact"]["format"] for file in result["files"]} == {"tflite"}
        assert [check["status"] for check in files["int8.tflite"]["verdict"]["checks"]].count("FAIL") == 1
        assert files["float32.tflite"]["verdict"]["status"] == "PASS"
        assert len(files["int8.tflite"]["launches"]) == 2
        assert files["int8.tflite"]["accuracy"]["images"] == 60
    again = subprocess.run([*command, "--device", "pi-zero"], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert re.search(r"devices without.* 1 of 3", again.stderr)
    assert "sending" not in again.stderr
    reason = " ".join(again.stdout.partition("pi-zero: NO RESULT: ")[2].split())
    assert re.match(r"edgecnn .*not installed.*bench.*--device pi-zero --install", reason)


def test_a_file_is_tuned_on_a_board_and_one_that_fails_leaves_the_folder_as_it_was(
    network: Any, artifacts: Path, terminal: Any
) -> None:
    # Short benchmarks: what they find is not what is tested here, and on a busy machine --until-width may take 100 launches.
    brief = 'case "$*" in *--launches=*) brief= ;; bench*) brief="--launches=2 --min-runs=30 --min-seconds=0" ;; esac'
    once = 'for one; do shift; case "$one" in --until-width=*) ;; *) set -- "$@" "$one" ;; esac; done'
    network.add("pi", edgecnn=f'#!/bin/sh\n{brief}\n{once}\nexec {EDGECNN} "$@" $brief\n')
    network.add("bare", edgecnn=None)
    tune = ("export", artifacts / "model.keras", "--format", "tflite", "--tune-limit", "1s", "--tune")
    before = {path.name: path.read_bytes() for path in artifacts.iterdir()}
    assert re.search(
        r"bare: edgecnn is not installed.*edgecnn bench FOLDER --device bare --install.*an export with .*--format tflite",
        terminal.fails(1, *tune, "bare"),
    )
    assert "convert" not in terminal.err  # It is found before anything takes minutes.
    assert {path.name: path.read_bytes() for path in artifacts.iterdir()} == before
    text = terminal.passes(*tune, "pi")
    # Whether it gains on this machine is not what is tested here.
    assert " choices measured, the best so far at " in terminal.err
    assert ("tuned.tflite: not written" in terminal.err) != (artifacts / "tuned.tflite").exists()
    (settings,) = [file.settings for file in Manifest.load(artifacts).exported if file.settings]
    assert [one.threads for one in settings.tried if one.runtime is None] == list(thread_counts(read_machine().cores))
    assert "Classifier.load" in text

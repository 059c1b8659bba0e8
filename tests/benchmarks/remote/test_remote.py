"""The conversation with a device; ssh is a script that runs the same text on this machine.

tests/end_to_end/test_devices.py has real ssh servers.
"""

import errno
import importlib.util
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.remote import calls
from edgecnn.benchmarks.remote.agent import software
from edgecnn.benchmarks.remote.agent.conversation import Failed, os_error
from edgecnn.benchmarks.remote.remote import Install, Job, bench_devices, unreachable
from edgecnn.benchmarks.remote.ssh import Connection
from edgecnn.benchmarks.results.records import DeviceResult
from edgecnn.edge.errors import ConfigError, EdgeCnnError
from edgecnn.edge.runtimes.installed import extras
from tests.benchmarks.board import edgecnn

pytestmark = pytest.mark.workstation("boards are reached from the workstation, with its ssh client")

RESULT = Path(__file__).parents[1] / "kept_results/schema-3.json"


def run(home: Path, said: list[str] | None = None, **more: Any) -> DeviceResult:
    bundle = home.parent / "b.zip"
    bundle.write_bytes(b"bundle")
    lines: list[str] = [] if said is None else said
    (device,) = bench_devices(
        ["pi"], Job(bundle, (), "1.0", "MEND", lambda report: report, **more), "command", lines.append
    ).devices
    return device


def test_what_arrives_changed_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = home.parent / "changed"
    changed.write_bytes(b"BUNDLE")
    send = Connection.send
    monkeypatch.setattr(Connection, "send", lambda self, path: send(self, changed))
    assert "bytes than were sent (SHA-256)" in (run(home).error or "")
    assert [path for path in (home / ".cache/edgecnn").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (lambda text: text[:1000], "the received result is not a result"),
        (lambda text: text.replace('"schema": 3', '"schema": 99'), "the received result has schema 99"),
        (lambda text: text.replace('"baseline": "', '"baseline": "x'), "the received result is damaged"),
    ],
)
def test_a_result_is_checked_before_it_is_believed(home: Path, printed: Callable[[str], str], told: str) -> None:
    (home / "result.json").write_text(printed(RESULT.read_text()))
    device = run(home)
    assert device.result is None
    assert told in (device.error or "")


@pytest.mark.parametrize("code", [0, 3, 7])
def test_a_judged_result_comes_back_whatever_the_judgement(home: Path, code: int) -> None:
    edgecnn(home, f"cat ~/result.json; echo edgecnn: judged >&2; exit {code}")
    device = run(home)
    assert device.error is None
    assert device.result


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_no_result_gives_edgecnn_s_own_reason(home: Path, code: int) -> None:
    edgecnn(home, f"echo 'launch 1 of 2' >&2; echo 'edgecnn: no runtime: pip install it' >&2; exit {code}")
    assert run(home).error == "no runtime: pip install it"
    edgecnn(home, f"exit {code}")
    assert (run(home).error or "").endswith(f"ended there with code {code}")


def test_a_crash_there_is_no_result_though_something_was_printed(home: Path) -> None:
    edgecnn(home, "cat ~/result.json; kill -SEGV $$")
    assert (run(home).error or "").endswith("ended there with code -11")


def test_what_a_device_says_can_t_steer_the_terminal(home: Path) -> None:
    edgecnn(home, r"printf 'a\033]0;title\007b\rc\td\303\244\n' >&2; printf 'edgecnn: \033[2J' >&2; exit 1")
    said: list[str] = []
    device = run(home, said)
    assert r"pi: a\u001b]0;title\u0007b\rc\tdä" in said
    assert device.error == r"\u001b[2J"
    assert all(line.startswith("pi: ") for line in said)


@pytest.mark.parametrize(
    "answer",
    [
        '["ready"]\\n["send", "passwd"]',
        '["ready"]\\n["done", "0", "x", ""]',
        '["ready"]\\n["send", "wheel"]',
        '["ready"]\\n[1]',
    ],
)
def test_an_answer_that_nobody_asked_for_is_refused(home: Path, answer: str) -> None:
    (home / "bin/python3").write_text(f"#!/bin/sh\nprintf '{answer}\\n'; cat >/dev/null\n")
    assert "its answer can't be understood" in (run(home).error or "")


def test_a_device_is_reached_whatever_its_shell_says_first_and_one_without_python_is_not(home: Path) -> None:
    python = home / "bin/python3"
    python.write_text(python.read_text().replace("exec", "echo welcome; printf unended; exec"))
    lines: list[str] = []
    assert unreachable(["pi", "other"], lines.append) == {}
    assert lines == []
    python.write_text("#!/bin/sh\nexit 9\n")
    found = unreachable(["pi", "other"], lines.append)
    assert list(found) == ["pi", "other"]
    assert all("it ended with code 9" in reason for reason in found.values())
    assert sorted(line.split(":")[0] for line in lines) == ["other", "pi"]


def test_a_bundle_here_or_a_cache_there_that_can_t_be_used_is_a_sentence(home: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        bench_devices(["pi"], Job(home / "none.zip", (), "1.0", "MEND", lambda report: report), "command")
    (home / ".cache").write_text("a file")
    assert "Not a directory" in (run(home).error or "")
    assert "on the device: fix" in (run(home).error or "")


def test_what_a_dead_run_left_is_cleared(home: Path) -> None:
    left = home / ".cache/edgecnn/run/part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert run(home).error is None
    assert not left.parent.exists()


def test_temporary_files_of_what_runs_are_gone_after_it(home: Path) -> None:
    edgecnn(home, 'echo x >"${TMPDIR:-.}/unpacked"; pwd >&2; echo "in $TMPDIR" >&2; cat ~/result.json; echo x >here')
    said: list[str] = []
    assert run(home, said).error is None
    assert {f"pi: {home / '.cache/edgecnn/run'}", f"pi: in {home / '.cache/edgecnn/run'}"} <= {*said}
    assert [path.name for path in (home / ".cache/edgecnn").rglob("*") if path.is_file()] == ["bundle.zip"]


def test_no_connection_is_opened_after_the_end(home: Path) -> None:
    ended = calls._Calls()
    ended.end()
    with pytest.raises(EdgeCnnError, match="interrupted"), ended.connected("pi"):
        pass


def test_a_32_bit_board_gets_tflite_runtime_and_no_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*names: str) -> list[str]:
        wanted = {"wheel": None, "extras": {str(bits): extras(names, bits) for bits in (32, 64)}}
        found: list[str] = software.stamp_of({"version": "1.0", "install": wanted})["extras"]
        return found

    assert asked("onnx", "tflite") == asked("onnxruntime", "litert") == ["onnx", "tflite"]
    assert asked("tflite-runtime") == ["tflite-runtime"]
    monkeypatch.setattr(struct, "calcsize", lambda layout: 4)
    assert asked("onnx", "tflite") == asked("tflite-runtime") == ["tflite-runtime"]
    with pytest.raises(Failed, match="not exist for 32-bit systems"):
        asked("onnx")


def test_a_32_bit_board_needs_debian_s_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numpy" else name)
    software._require_venv(64)
    with pytest.raises(Failed, match="sudo apt install python3-numpy"):
        software._require_venv(32)


def test_a_32_bit_board_s_environment_sees_debian_s_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(struct, "calcsize", lambda layout: 4)
    commands: list[list[str]] = []
    monkeypatch.setattr(software, "_check", lambda command, run, problem: commands.append(command))
    monkeypatch.setattr(software, "_version", lambda program, run: "1.0")
    monkeypatch.setattr(software, "tell", lambda *event: None)
    monkeypatch.setattr(software, "_require_venv", lambda bits: None)
    monkeypatch.setattr(software, "ignore_signals", lambda: None)  # It would affect the process of the tests.
    request = {"version": "1.0", "install": {"extras": {"32": ["tflite-runtime"], "64": ["onnx", "tflite"]}, "wheel": None}}
    with pytest.raises(FileNotFoundError):  # The folder of the stamp does not exist.
        software.install(request, tmp_path / "venv", tmp_path, tmp_path)
    assert "--system-site-packages" in commands[0]
    assert commands[1][-1] == "edgecnn[tflite-runtime]==1.0"
    assert "--only-binary=:all:" in commands[1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_says_where(number: int) -> None:
    told = os_error(OSError(number, "x", "/somewhere"))
    assert "disk there is full (/somewhere)" in told


def test_install_sends_a_wheel_only_if_it_is_asked_for(home: Path) -> None:
    """Only requested files are sent, and a device can request only files that the message names."""
    wheel = home.parent / "edgecnn-1.0-py3-none-any.whl"
    wheel.write_bytes(b"no wheel")
    said: list[str] = []
    device = run(home, said, install=Install(("tflite",), wheel))
    assert "pi: sending edgecnn-1.0-py3-none-any.whl, 0.0 MiB" in said
    assert "not install edgecnn there: ERROR: " in (device.error or "")
    assert not (home / ".cache/edgecnn/venv").exists()

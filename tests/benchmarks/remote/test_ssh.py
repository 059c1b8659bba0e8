"""The calls of ssh, and how its messages are reported. tests/end_to_end/test_devices.py has real servers."""

import ast
import subprocess
from pathlib import Path

import pytest

from edgecnn.benchmarks.remote import ssh
from edgecnn.benchmarks.remote.ssh import Connection, check_hosts, explain
from edgecnn.edge.errors import ConfigError, EdgeCnnError, MissingDependency

pytestmark = pytest.mark.workstation("boards are reached from the workstation, with its ssh client")


@pytest.mark.parametrize(
    "host", ["", "-oProxyCommand=x", "$(x)", "`x`", *(f"a{letter}b" for letter in " \n\t;'\"|&>\x1b\u2028")]
)
def test_a_host_that_is_an_option_or_more_than_a_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"not the name of.*device") as refused:
        check_hosts([host])
    assert str(refused.value).isprintable()


def test_no_host_and_a_text_instead_of_a_list_are_refused() -> None:
    with pytest.raises(ConfigError, match="no board is named: add devices"):
        check_hosts([])
    with pytest.raises(ConfigError, match="devices must be a list, got pi"):
        check_hosts("pi")


def test_what_ssh_takes_is_taken_once() -> None:
    with pytest.raises(ConfigError, match="device=pi is named 2 times"):
        check_hosts(["pi", "other", "pi"])
    check_hosts(["pi@raspberrypi.local", "pi4", "ssh://pi@10.0.0.7:2222", "pi@fe80::1%eth0", "pi_5", "käse.example"])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "No ED25519 host key is known for pi and you have requested strict checking.\nHost key verification failed.",
            "its host key is unknown here: type ssh me@pi once, and compare the key",
        ),
        ("Host key verification failed.", "its host key is unknown here: type ssh me@pi once, and compare the key"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n  ssh-keygen -f '/home/me/.ssh/known_hosts' -R 'pi'\n"
            "Host key verification failed.",
            "If it was set up again: ssh-keygen -f '/home/me/.ssh/known_hosts' -R 'pi'",
        ),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", "If it was set up again: ssh-keygen -R pi"),
        ("me@pi: Permission denied (publickey,password).", "it refuses your key: type ssh-copy-id me@pi"),
        ("ssh: Could not resolve hostname pi: Name or service not known", "its name is unknown on this network"),
        ("ssh: connect to host pi port 22: Connection refused", "it refuses ssh connections: switch ssh on there"),
        ("ssh: connect to host pi port 22: Connection timed out", "it does not answer: is it on"),
        ("Timeout, server pi not responding.", "it does not answer: is it on"),
        ("ssh: connect to host pi port 22: No route to host", "it can't be reached: is it on"),
        ("Connection closed by 10.0.0.7 port 22", "the connection broke: try again"),
        (
            "/home/me/.ssh/config: line 1: Bad configuration option: x",
            "ssh could not connect (/home/me/.ssh/config: line 1: Bad",
        ),
    ],
)
def test_ssh_s_own_failure_becomes_a_sentence_with_what_to_do(said: str, told: str) -> None:
    assert told in explain("me@pi", 255, said)


def test_neither_a_signal_nor_what_the_device_says_is_taken_for_ssh_s_failure() -> None:
    assert explain("pi", 255, "Welcome to pi\n", True).startswith("the process there was killed")
    assert explain("pi", 255, "", False) == "ssh could not connect (it printed nothing): try ssh pi"
    # The connection existed before.
    assert explain("pi", 255, "Timeout, server pi not responding.\n", True).startswith("it does not answer")
    told = explain("pi", 1, "Permission denied\nThis account is currently not available.\n")
    assert all(said in told for said in ("with code 1 (This account", "not available.): ", " ssh pi python3 -V"))
    assert explain("pi", 127, "bash: line 1: python3: command not found").startswith("it has no python3")
    assert explain("pi", 127, "fish: Unknown command: python3").startswith("it has no python3")


def _answering(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_ssh_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="apt install openssh-client"):
        Connection("pi")


def test_endless_noise_and_a_line_without_an_end_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(tmp_path, "while echo hello; do :; done", monkeypatch)
    with Connection("pi") as connection, pytest.raises(EdgeCnnError, match="ssh pi true must print"):
        connection.event()
    monkeypatch.setattr(ssh, "_LONGEST_EVENT", 1000)
    _answering(tmp_path, "tr '\\0' '[' </dev/zero", monkeypatch)
    with Connection("pi") as connection, pytest.raises(EdgeCnnError, match="must print nothing"):
        connection.event()


def test_events_are_found_between_what_start_up_files_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["welcome", "[1, [2]]", "[not json", "[]", '{"a": 1}', "[null]", '["ready"]', '["done", 0]']
    _answering(tmp_path, "".join(f"echo '{line}'\n" for line in lines), monkeypatch)
    with Connection("pi") as connection:
        assert connection.event() == ["ready"]
        assert connection.event() == ["done", 0]
        with pytest.raises(EdgeCnnError, match="code 0"):
            connection.event()


def test_the_shell_there_reads_the_same_text_whatever_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(tmp_path, f"for argument; do printf '%s\\n' \"$argument\"; done >{tmp_path}/given; cat >/dev/null", monkeypatch)
    texts = []
    for host, request in (("pi", {}), ("other@host", {"arguments": ["$(x)", "'", "\n"]})):
        with Connection(host) as connection:
            connection.ask(request)
            connection._to.close()
            with pytest.raises(EdgeCnnError):
                connection.event()
        given = (tmp_path / "given").read_text().splitlines()
        assert given[-3:-1] == ["--", host]
        assert "-oBatchMode=yes" in given
        texts.append(given[-1])
    assert texts[0] == texts[1]
    # One line without characters that fish, csh and sh read differently.
    assert not set(texts[0]) & {"\n", "\\", "!", "$", "`"}


def test_the_program_that_goes_to_the_device_is_no_newer_than_python_3_7() -> None:
    for path in ssh._AGENT.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 7))
    compile(ssh._program(), "agent", "exec")
    # The whole must fit into one read of the bootstrap, and start without a package.
    done = subprocess.run(
        ["/bin/sh", "-c", ssh._BOOTSTRAP], input=b"", capture_output=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 1
    assert b"JSONDecodeError" in done.stderr

"""The unit of a board's service, as systemd itself reads it, and the calls of systemctl, to a stand-in."""

import errno
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from edgecnn.benchmarks.remote.agent import deploy, systemctl
from edgecnn.benchmarks.remote.agent.conversation import Failed
from edgecnn.benchmarks.remote.agent.releases import Release, Releases
from edgecnn.benchmarks.remote.agent.systemctl import UNIT
from edgecnn.benchmarks.remote.agent.unit import Service, unit_text

EXAMPLE = Path(__file__).parents[3] / "examples/edgecnn-serve.service"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is a part of systemd")
KINDS = {
    "user": Service("/usr/bin/true", "/m.zip", "/srv", home="/root"),
    "user without a view": Service("/usr/bin/true", "/m.zip", "/srv", home="/root", isolated=False),
    "system": Service("/usr/bin/true", "/m.zip", "/srv", user="root", home="/root"),
    "dynamic": Service("/usr/bin/true", "/m.zip", "/var/lib/x", user=""),
    "odd names": Service(
        "/usr/bin/true", '/m %h $x "q" \\b \'.zip', "/srv/ü [a] %n", ("--allow-host", "${x} ; %"), home='/h %i "'
    ),
}


def of_the_example() -> Service:
    arguments = ("--host", "0.0.0.0", "--port", "8000")  # noqa: S104
    return Service("/opt/edgecnn/venv/bin/edgecnn", "/opt/edgecnn/model", "/var/lib/edgecnn-serve", arguments, user="")


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@needs_systemd
@pytest.mark.parametrize("service", KINDS.values(), ids=KINDS)
def test_systemd_accepts_each_unit_without_a_complaint(service: Service, tmp_path: Path) -> None:
    unit = tmp_path / UNIT
    unit.write_text(unit_text(service, 257))
    checked = analyzed("verify", "--man=no", unit)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    unit.write_text(unit_text(service, 257).replace("WatchdogSec=60", "WatchdogSec=soon"))
    assert "soon" in analyzed("verify", "--man=no", unit).stderr


@needs_systemd
@pytest.mark.parametrize(("kind", "most"), [("user", 20), ("system", 20), ("dynamic", 15), ("user without a view", 65)])
def test_systemd_counts_what_each_unit_leaves_open(kind: str, most: int, tmp_path: Path) -> None:
    unit = tmp_path / UNIT
    unit.write_text(unit_text(KINDS[kind], 257))
    # In tenths of what `systemd-analyze security` prints.
    checked = analyzed("security", "--offline=true", "--no-pager", f"--threshold={most}", unit)
    assert checked.returncode == 0, checked.stdout.splitlines()[-1]
    unit.write_text(unit_text(KINDS[kind], 257).replace("SystemCallFilter=", "#"))
    assert analyzed("security", "--offline=true", "--no-pager", f"--threshold={most}", unit).returncode == 1


@needs_systemd
def test_a_program_in_a_folder_of_any_name_is_found_or_the_name_is_refused(tmp_path: Path) -> None:
    program, unit = tmp_path / "my %h $x; ü" / "edge cnn", tmp_path / UNIT
    program.parent.mkdir()
    program.symlink_to("/usr/bin/true")
    unit.write_text(unit_text(Service(str(program), "/m", "/srv"), 257))
    assert analyzed("verify", "--man=no", unit).stderr == ""
    unit.write_text(unit.read_text().replace("%%h", "%h"))
    assert "is not executable" in analyzed("verify", "--man=no", unit).stderr
    for name in ("/a'b/edgecnn", '/a"b/edgecnn', "/a\\b/edgecnn"):
        with pytest.raises(Failed, match="with which systemd starts no program: rename it"):
            unit_text(Service(name, "/m", "/srv"), 257)


def test_a_program_gets_its_arguments_as_they_are() -> None:
    # systemd 257 as the first process gave a program with these lines the arguments and the folder that are named here.
    service = Service("/my $x/e", 'q "m" %n', "/s \\b [1]", ("${HOME} $$ \\n", ";"))
    lines = unit_text(service, 257).splitlines()
    assert r'ExecStart="/my $x/e" serve "q \"m\" %%n" --state "/s \\b [1]" "$${HOME} $$$$ \\n" ";"' in lines
    assert r'ReadWritePaths="/s \\b [1]"' in lines
    assert r"EnvironmentFile=-/s \\b \[1].env" in lines


@pytest.mark.workstation("the example is in the repository, which a board does not have")
def test_the_example_is_the_unit_of_a_user_that_exists_only_while_it_runs() -> None:
    head, text = EXAMPLE.read_text().split("\n\n", 1)
    assert all(line.startswith("# ") for line in head.splitlines())
    assert text == unit_text(of_the_example(), 257)


def test_what_a_runtime_can_t_do_without_is_not_taken_away() -> None:
    assert "MemoryDenyWriteExecute=yes" in unit_text(KINDS["system"], 257)
    assert "MemoryDenyWriteExecute" not in unit_text(KINDS["system"]._replace(writes_code=True), 257)


def test_an_older_systemd_gets_no_line_that_it_does_not_know() -> None:
    old, new = (unit_text(KINDS["system"], version) for version in (252, 254))
    assert "RestartSteps" not in old
    assert {*new.splitlines()} - {*old.splitlines()} == {"RestartSec=1", "RestartSteps=5", "RestartMaxDelaySec=60"}


@pytest.mark.parametrize("text", ["/a\nExecStartPre=/bin/sh", "/a\x1b", "/a\udcff", "/a\x7f"])
def test_a_path_that_no_unit_can_hold_is_refused_in_a_line(text: str) -> None:
    for service in (
        Service("/e", text, "/s"),
        Service("/e", "/m", text),
        Service(text, "/m", "/s"),
        Service("/e", "/m", "/s", (text,)),
    ):
        with pytest.raises(Failed, match="control character") as refused:
            unit_text(service, 257)
        assert str(refused.value).isprintable()


class Board:
    """Stand-ins for systemctl and the others, which write down how they are called and answer as a test has them answer."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.log = folder / "log"
        self.programs.mkdir()

    def says(self, program: str, script: str) -> None:
        path = self.programs / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>{self.log}\n{script}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    made = Board(tmp_path)
    made.says("systemctl", '[ "$1" = --no-pager ] && echo "systemd 257 (257.9-1)"; exit 0')
    made.says("systemd-run", "exit 0")
    made.says("journalctl", "exit 0")
    made.says("loginctl", "exit 0")
    monkeypatch.setenv("PATH", f"{made.programs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(systemctl, "_BOOTED", tmp_path)
    monkeypatch.setattr(systemctl, "_LINGERING", tmp_path / "linger")
    return made


def own(tmp_path: Path) -> Service:
    return Service("/usr/bin/true", str(tmp_path / "m.zip"), str(tmp_path / "state"))


def test_without_systemd_each_call_says_to_start_the_server_by_hand(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemctl, "_BOOTED", tmp_path / "missing")
    for call in (
        systemctl.version,
        lambda: systemctl.write(own(tmp_path)),
        lambda: systemctl.enable(True),
        lambda: systemctl.restart(False),
        lambda: systemctl.state(True),
        lambda: systemctl.linger("pi"),
    ):
        with pytest.raises(Failed, match="systemd is not running there: start edgecnn serve by hand"):
            call()
    assert board.calls() == []


def test_a_unit_is_written_whole_and_read_by_systemd_once(board: Board, tmp_path: Path) -> None:
    path = systemctl.unit_path(True)
    assert path == tmp_path / "home/.config/systemd/user" / UNIT
    assert systemctl.write(own(tmp_path))
    assert path.read_text() == unit_text(own(tmp_path), 257)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert board.calls()[-1] == "systemctl --user daemon-reload"
    assert not systemctl.write(own(tmp_path))
    assert systemctl.write(own(tmp_path)._replace(writes_code=True))
    assert [path.name for path in path.parent.iterdir()] == [UNIT]
    assert board.calls().count("systemctl --user daemon-reload") == 2


def test_where_users_get_no_view_of_their_own_the_unit_asks_for_none_and_that_is_said(
    board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    systemctl.write(own(tmp_path))
    assert "PrivateUsers=yes" in systemctl.unit_path(True).read_text()
    (asked,) = (call for call in board.calls() if call.startswith("systemd-run "))
    assert "--property=ProtectSystem=strict" in asked
    assert capfd.readouterr().out == ""
    board.says("systemd-run", "exit 1")
    assert systemctl.write(own(tmp_path))
    assert systemctl.unit_path(True).read_text() == unit_text(own(tmp_path)._replace(isolated=False), 257)
    assert "no view of files of their own" in capfd.readouterr().out


def test_a_service_that_does_not_start_is_said_with_its_last_line(board: Board) -> None:
    board.says("systemctl", '[ "$2" = restart ] && { echo "Job for it failed" >&2; exit 1; }; exit 0')
    with pytest.raises(
        Failed, match=r"systemctl restart edgecnn\.service failed there \(Job for it failed\): journalctl --user"
    ):
        systemctl.restart(True)
    board.says("journalctl", "echo 'edgecnn: m.zip is damaged: copy it again'")
    with pytest.raises(Failed, match=r"\(edgecnn: m\.zip is damaged: copy it again\)"):
        systemctl.restart(True)
    assert "systemctl --user reset-failed edgecnn.service" in board.calls()
    (since,) = re.findall(r"--since=@([\d.]+)", board.calls()[-1])
    assert abs(float(since) - time.time()) < 600  # Not what it logged before.


def test_the_state_is_what_systemd_shows(board: Board) -> None:
    shown = {
        "LoadState": "loaded",
        "ActiveState": "failed",
        "Result": "start-limit-hit",
        "NRestarts": "7",
        "UnitFileState": "enabled",
        "MemoryCurrent": "[not set]",
        "StateChangeTimestampMonotonic": "1",
    }
    board.says("systemctl", "\n".join(f"echo '{name}={value}'" for name, value in shown.items()))
    found = systemctl.state(True)
    assert found[:3] == ("failed", "start-limit-hit", 7)
    assert found[4:] == (True, None)
    assert found.since is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.since)
    board.says("systemctl", "echo LoadState=loaded; echo ActiveState=active; echo MemoryCurrent=34; echo NRestarts=0")
    assert systemctl.state(False) == ("active", "", 0, None, False, 34)
    board.says("systemctl", "echo LoadState=not-found")
    with pytest.raises(Failed, match=r"edgecnn\.service is not a service there \(not-found\)"):
        systemctl.state(True)


def test_a_user_s_service_runs_without_a_login_or_the_command_for_it_is_named(board: Board, tmp_path: Path) -> None:
    board.says("loginctl", "echo 'Could not enable linger: Access denied' >&2; exit 1")
    with pytest.raises(Failed, match=r"type there once: sudo loginctl enable-linger pi$"):
        systemctl.linger("pi")
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger/pi").touch()
    systemctl.linger("pi")
    assert board.calls() == ["loginctl enable-linger pi"]


def test_the_system_s_unit_is_root_s_and_read_by_the_system_s_manager(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert systemctl.unit_path(False) == Path("/etc/systemd/system") / UNIT
    path = tmp_path / "system" / UNIT
    monkeypatch.setattr(systemctl, "unit_path", lambda own: path)
    system = own(tmp_path)._replace(user="root", home="/root")
    before = os.umask(0o077)
    try:
        assert systemctl.write(system)
    finally:
        os.umask(before)
    assert (path.read_text(), path.stat().st_mode & 0o777) == (unit_text(system, 257), 0o644)
    assert board.calls()[-1] == "systemctl daemon-reload"
    board.says("systemctl", 'case "$*" in *--version) echo "systemd 257";; *) echo "Access denied" >&2; exit 1;; esac')
    with pytest.raises(Failed, match=r"systemctl daemon-reload failed there \(Access denied\): journalctl --unit"):
        systemctl.write(system._replace(writes_code=True))


def test_a_unit_that_can_t_be_written_takes_the_release_back_and_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = Releases(tmp_path)
    releases.prepare()
    earlier, new = (Release(letter * 64, None, "bars", "1.0", "2026-01-01", kept=True) for letter in "ab")
    for release in (earlier, new):
        releases.folder(release.sha256).mkdir()
        releases.bundle(release).touch()
    releases.switch(earlier, [])

    def refused(*_: object) -> bool:
        raise OSError(errno.EROFS, "Read-only file system", "/etc/systemd/system/edgecnn.service")

    monkeypatch.setattr(deploy, "start", refused)
    monkeypatch.setattr(deploy, "revive", lambda: False)  # No unit of this machine.
    monkeypatch.setattr(deploy, "ignore_signals", lambda: None)  # Not those of the tests.
    request = {"bundle": {"sha256": new.sha256}, "service": {"host": "127.0.0.1"}, "watch": 0}
    transaction = deploy._Transaction(request, releases, tmp_path, tmp_path)
    with pytest.raises(deploy.NotTaken, match=r"no longer: Read-only file system \(/etc/systemd"):
        transaction._go_over(new, None, False)
    assert transaction.done["outcome"] == "taken back"
    current = releases.current()
    assert current is not None
    assert current.sha256 == earlier.sha256

"""`edgecnn deploy` and a stand-in for a board; tests/end_to_end/test_deploy.py has ssh and the real edgecnn."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from edgecnn.benchmarks.bundle.signature import sign
from edgecnn.benchmarks.deploy.boards import MOST_AT_ONCE, Order, deploy_to, rolled_back, statuses
from edgecnn.benchmarks.deploy.options import DeployOptions
from edgecnn.benchmarks.deploy.records import Deployed
from edgecnn.benchmarks.remote import ssh
from edgecnn.benchmarks.remote.agent.receiving import chunks
from edgecnn.benchmarks.remote.ssh import Connection
from edgecnn.edge.result import SILENT
from tests.benchmarks.board import edgecnn
from tests.conftest import Lines

pytestmark = pytest.mark.workstation("boards are reached from the workstation, with its ssh client")

FILE = {
    "file": "int8.tflite", "runtime": "r 1", "made_by": "r 1", "vectors": 32, "bit_exact": 32, "largest_difference": 0.0,
    "worst_vector": 0, "tolerance": 0.1, "passed": True,
}  # fmt: skip
AGREES = json.dumps({"bundle": "b.zip", "made_on": "m", "files": [FILE], "skipped": {}})


@pytest.fixture
def board(home: Path) -> Path:
    """The folder of deployed bundles of a board on which every bundle verifies."""
    (home / "golden.json").write_text(AGREES)
    edgecnn(home, "cat ~/golden.json")
    return home / ".local/share/edgecnn"


def bundle_of(folder: Path, name: str, **members: bytes) -> Path:
    """Return a zip file like a bundle: what has the same content has the same bytes."""
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)
    return path


def deployed(bundle: Path, said: list[str] | None = None, **more: Any) -> Deployed:
    (done,) = deploy_to(["pi"], order(bundle, **more), Lines(said))
    return done


def order(bundle: Path, **more: Any) -> Order:
    return replace(Order(bundle, bundle.stem, "1.0", "MEND", DeployOptions(watch_seconds=0.0)), **more)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def in_service(board: Path) -> bytes:
    return (board / "current/model.zip").read_bytes()


def test_a_bundle_s_folder_is_named_by_its_hash_and_only_what_changed_is_sent(board: Path, tmp_path: Path) -> None:
    images = bytes(range(256)) * 4000
    first = bundle_of(tmp_path, "a", images=images, model=b"1" * 1000)
    done = deployed(first)
    assert (done.outcome, done.sha256, done.previous) == ("deployed", sha256(first), None)
    assert done.received_bytes == first.stat().st_size
    assert done.golden
    assert done.golden.files[0].vectors == 32
    assert (board / "current").resolve() == board / "releases" / sha256(first)
    assert in_service(board) == first.read_bytes()
    second = bundle_of(tmp_path, "b", images=images, model=b"2" * 1000)
    done = deployed(second)
    assert (done.outcome, done.previous) == ("deployed", sha256(first))
    assert 1000 < done.received_bytes < 2000
    assert in_service(board) == second.read_bytes()
    assert deployed(second).outcome == "unchanged"


def test_of_a_bundle_whose_sending_broke_only_the_rest_is_sent(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_of(tmp_path, "a", images=bytes(range(256)) * 8000)
    send, left = Connection.send_part, [3]

    def breaking(connection: Connection, path: Path, offset: int, size: int) -> bool:
        if left[0] == 0:
            connection.end()
            return False
        left[0] -= 1
        return send(connection, path, offset, size)

    monkeypatch.setattr(Connection, "send_part", breaking)
    assert deployed(bundle).outcome == "failed"
    monkeypatch.setattr(Connection, "send_part", send)
    assert not (board / "current").exists()
    done = deployed(bundle)
    first_three = sum(chunk.size for chunk in chunks(bundle)[:3])
    assert done.outcome == "deployed"
    assert bundle.stat().st_size - first_three <= done.received_bytes < bundle.stat().st_size
    assert in_service(board) == bundle.read_bytes()


def test_other_bytes_than_were_sent_never_become_a_release(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_of(tmp_path, "a", model=b"1" * 1000)
    changed = tmp_path / "changed"
    changed.write_bytes(bundle.read_bytes().replace(b"1111", b"1112"))
    send = Connection.send_part
    monkeypatch.setattr(Connection, "send_part", lambda self, path, offset, size: send(self, changed, offset, size))
    assert "other bytes than were sent (SHA-256)" in (deployed(bundle).reason or "")
    assert not (board / "current").exists()
    assert [*(board / "releases").iterdir()] == []


def test_a_bundle_that_does_not_verify_there_changes_nothing(board: Path, tmp_path: Path) -> None:
    home = board.parents[2]
    good, bad = bundle_of(tmp_path, "good", model=b"1"), bundle_of(tmp_path, "bad", model=b"2")
    deployed(good)
    edgecnn(home, "echo 'edgecnn: int8.tflite differs by 0.5 on vector 3: update' >&2; exit 4")
    done = deployed(bad)
    assert (done.outcome, done.reason) == ("refused", "int8.tflite differs by 0.5 on vector 3: update")
    assert in_service(board) == good.read_bytes()
    edgecnn(home, "kill -SEGV $$")
    assert deployed(bad).outcome == "refused"
    assert in_service(board) == good.read_bytes()


@pytest.mark.parametrize(
    "golden",
    ["", "[]", "{}", AGREES.replace("true", "false"), json.dumps({"bundle": "b", "made_on": "m", "files": [], "skipped": {}})],
)
def test_a_board_that_does_not_prove_what_its_files_compute_is_not_believed(board: Path, tmp_path: Path, golden: str) -> None:
    (board.parents[2] / "golden.json").write_text(golden)
    assert deployed(bundle_of(tmp_path, "a", model=b"1")).outcome == "failed"


@pytest.mark.parametrize(
    "answer",
    [
        '["chunks", 99]',
        '["chunks", -1]',
        '["chunks", "0"]',
        '["judge", "x"]',
        '["send", "wheel"]',
        '["done", 0, "{}", ""]',
        '["done", 0, "{\\"outcome\\": \\"deployed\\"}", ""]',
    ],
)
def test_an_answer_of_another_kind_is_no_deployment(board: Path, tmp_path: Path, answer: str) -> None:
    python = board.parents[2] / "bin/python3"
    (board.parents[2] / "answer").write_text(f'["ready"]\n{answer}\n')
    python.write_text("#!/bin/sh\ncat ~/answer; exec cat >/dev/null\n")
    done = deployed(bundle_of(tmp_path, "a", model=b"1"))
    assert (done.outcome, "can't be understood" in (done.reason or "")) == ("failed", True)


def test_a_rollback_brings_back_what_was_in_service_before_and_three_releases_stay(board: Path, tmp_path: Path) -> None:
    bundles = [bundle_of(tmp_path, f"b{number}", model=b"%d" % number) for number in range(5)]
    for bundle in bundles:
        assert deployed(bundle).outcome == "deployed"
    assert {path.name for path in (board / "releases").iterdir()} == {sha256(bundle) for bundle in bundles[2:]}
    for expected in (bundles[3], bundles[2]):
        (done,) = rolled_back(["pi"], SILENT)
        assert (done.outcome, done.sha256) == ("rolled back", sha256(expected))
        assert in_service(board) == expected.read_bytes()
    (done,) = rolled_back(["pi"], SILENT)
    assert (done.outcome, "no earlier release" in (done.reason or "")) == ("failed", True)
    assert in_service(board) == bundles[2].read_bytes()
    (found,) = statuses(["pi"], SILENT).boards
    assert [(item.name, item.withdrawn) for item in found.releases] == [("b4", True), ("b3", True), ("b2", False)]


def test_a_kill_between_the_switch_and_its_record_loses_no_release(board: Path, tmp_path: Path) -> None:
    first, second = bundle_of(tmp_path, "a", model=b"1"), bundle_of(tmp_path, "b", model=b"2")
    deployed(first)
    history = (board / "history.json").read_text()
    deployed(second)
    (board / "history.json").write_text(history)
    (found,) = statuses(["pi"], SILENT).boards
    assert [item.sha256 for item in found.releases] == [sha256(first), sha256(second)]
    (board / "history.json").write_text(history[:20])
    (found,) = statuses(["pi"], SILENT).boards
    assert [item.sha256 for item in found.releases] == [sha256(second)]
    assert deployed(first).outcome == "deployed"


def alter(board: Path, code: str) -> None:
    """Have the board's Python execute some code first."""
    python = board.parents[2] / "bin/python3"
    python.write_text(python.read_text().replace(' "$@"', f" -I -c '{code}; import sys; exec(sys.argv[3])' \"$@\""))


def test_without_room_there_nothing_is_sent(board: Path, tmp_path: Path) -> None:
    alter(board, 'shutil = __import__("shutil"); shutil.disk_usage = lambda path: shutil._ntuple_diskusage(9, 9, 2**20)')
    said: list[str] = []
    done = deployed(bundle_of(tmp_path, "a", model=b"1"), said)
    assert done.outcome == "failed"
    assert "1 MiB free" in (done.reason or "")
    assert not any("sending 0" in line for line in said)


def make_unreachable(home: Path, *hosts: str) -> None:
    """Let the boards of these names be unreachable."""
    ssh = home.parent / "bin/ssh"
    cases = "|".join(f"*' -- {host} '*" for host in hosts)
    ssh.write_text(ssh.read_text().replace("#!/bin/sh\n", f'#!/bin/sh\ncase "$*" in {cases}) exit 9;; esac\n'))


def test_the_canary_s_failure_leaves_the_others_as_they_were(board: Path, tmp_path: Path) -> None:
    make_unreachable(board.parents[2], "one")
    bundle = bundle_of(tmp_path, "a", model=b"1")
    with_canary = order(bundle, options=DeployOptions(watch_seconds=0.0, canary=True))
    found = deploy_to(["one", "two", "three"], with_canary, SILENT)
    assert [item.outcome for item in found] == ["failed", "not tried", "not tried"]
    assert not (board / "current").exists()
    found = deploy_to(["two", "one", "three"], with_canary, SILENT)
    assert [item.outcome for item in found][:2] == ["deployed", "failed"]


def test_after_a_failure_no_further_board_is_begun(board: Path, tmp_path: Path) -> None:
    names = [f"b{number}" for number in range(3 * MOST_AT_ONCE)]
    make_unreachable(board.parents[2], *names[:MOST_AT_ONCE])
    bundle = bundle_of(tmp_path, "a", model=b"1")
    found = deploy_to(names, order(bundle), SILENT)
    assert [item.host for item in found] == names
    assert "failed" in {item.outcome for item in found[:MOST_AT_ONCE]}
    assert {item.outcome for item in found[2 * MOST_AT_ONCE :]} == {"not tried"}


def test_a_budget_is_judged_here_and_its_refusal_changes_nothing(board: Path, tmp_path: Path) -> None:
    home = board.parents[2]
    edgecnn(home, '[ "$1" = bench ] && { cat budget.toml >&2; cat ~/result.json; exit 0; }; cat ~/golden.json')
    seen = []

    def judged(report: Any) -> Any:
        seen.append(report)
        return replace(report, verdict=replace(report.verdict, status="FAIL"))

    bundle = bundle_of(tmp_path, "a", model=b"1")
    done = deployed(bundle, budget="max_p90_ms = 0.001\n", judged=judged)
    assert (done.outcome, len(seen)) == ("refused", 1)
    assert "FAIL there" in (done.reason or "")
    assert not (board / "current").exists()

    def passing(report: Any) -> Any:
        return replace(report, verdict=replace(report.verdict, status="PASS", checks=()))

    assert deployed(bundle, budget="", judged=passing).outcome == "deployed"


def test_a_damaged_release_there_is_sent_again(board: Path, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "a", model=bytes(range(256)) * 100)
    deployed(bundle)
    (board / "current/model.zip").write_bytes(bundle.read_bytes()[:-30])
    assert deployed(bundle).received_bytes > 0
    assert in_service(board) == bundle.read_bytes()


def test_an_empty_home_has_no_status_and_no_rollback(board: Path) -> None:
    (found,) = statuses(["pi"], SILENT).boards
    assert (found.error, found.releases, found.service) == (None, (), None)
    assert not board.exists()
    (done,) = rolled_back(["pi"], SILENT)
    assert done.outcome == "failed"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is a part of OpenSSH")
def test_a_board_with_a_list_of_allowed_signers_takes_nothing_else(board: Path, tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)  # noqa: S607
    allowed = board.parents[2] / ".config/edgecnn/allowed_signers"
    allowed.parent.mkdir(parents=True)
    allowed.write_text(f'ci@example.org namespaces="edgecnn" {(tmp_path / "ours.pub").read_text()}')
    bundle, other = bundle_of(tmp_path, "a", model=b"1"), bundle_of(tmp_path, "b", model=b"2")
    signatures = {key: sign(bundle, tmp_path / key).read_text() for key in ("theirs", "ours")}
    for signature in (None, "", "-----BEGIN SSH SIGNATURE-----", signatures["theirs"]):
        done = deployed(bundle, signature=signature)
        assert (done.outcome, "allowed_signers demands" in (done.reason or "")) == ("refused", True)
    assert deployed(other, signature=signatures["ours"]).outcome == "refused"
    assert not (board / "current").exists()
    done = deployed(bundle, signature=signatures["ours"])
    assert (done.outcome, done.signer) == ("deployed", "ci@example.org")


def test_a_bundle_that_was_killed_before_it_was_kept_is_deployed_again(board: Path, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "a", model=b"1")
    deployed(bundle)
    history = json.loads((board / "history.json").read_text())
    (board / "history.json").write_text(json.dumps([{**history[0], "kept": False}]))
    assert deployed(bundle).outcome == "deployed"
    assert deployed(bundle).outcome == "unchanged"


def test_what_a_board_says_can_t_steer_the_terminal(board: Path, tmp_path: Path) -> None:
    edgecnn(board.parents[2], r"printf 'edgecnn: \033[2J\033]0;title\007 no\r\n' >&2; exit 4")
    said: list[str] = []
    done = deployed(bundle_of(tmp_path, "a", model=b"1"), said)
    assert done.outcome == "refused"
    assert all(text.isprintable() for text in (done.reason or "", *said))


def test_a_board_that_says_nothing_is_given_up(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "SILENT_SECONDS", 1.0)
    bundle = bundle_of(tmp_path, "a", model=b"1")
    edgecnn(board.parents[2], "sleep 1000")
    assert "said nothing" in (deployed(bundle).reason or "")
    assert not (board / "current").exists()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workstation that gives a board up after 1.5 seconds, and boards that say within 0.2 seconds that they still work."""
    monkeypatch.setattr(ssh, "SILENT_SECONDS", 1.5)
    program = ssh._program
    monkeypatch.setattr(ssh, "_program", lambda: program().replace("ALIVE_SECONDS = 60.0", "ALIVE_SECONDS = 0.2"))


def test_a_board_that_still_works_is_waited_for(impatient: None, board: Path, tmp_path: Path) -> None:
    edgecnn(board.parents[2], "sleep 3; cat ~/golden.json")
    assert deployed(bundle_of(tmp_path, "a", model=b"1")).outcome == "deployed"


def test_a_board_that_waits_for_another_run_is_waited_for(impatient: None, board: Path, tmp_path: Path) -> None:
    cache = board.parents[2] / ".cache/edgecnn"
    cache.mkdir(parents=True, exist_ok=True)
    held = os.open(cache, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    end = Timer(4, os.close, (held,))
    end.start()
    said: list[str] = []
    assert deployed(bundle_of(tmp_path, "a", model=b"1"), said).outcome == "deployed"
    assert any("waiting for its end" in text for text in said)
    end.join()


@pytest.mark.parametrize("byte", [0xBC, 0x00, 0xFF])
def test_a_release_whose_directory_is_damaged_keeps_no_other_from_being_received(
    byte: int, board: Path, tmp_path: Path
) -> None:
    deployed(bundle_of(tmp_path, "a", model=b"1" * 1000))
    kept = next((board / "releases").glob("*/model.zip"))
    data = bytearray(kept.read_bytes())
    with zipfile.ZipFile(kept) as archive:
        data[archive.start_dir + 6] = byte  # The version that is needed to read a member.
    kept.write_bytes(data)
    assert deployed(bundle_of(tmp_path, "b", model=b"2" * 1000)).outcome == "deployed"


def test_a_board_that_prints_without_end_and_reads_nothing_is_given_up(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "SILENT_SECONDS", 1.0)
    python = board.parents[2] / "bin/python3"
    bundle = bundle_of(tmp_path, "a", model=b"1")
    for reads in ("exec yes", "cat >/dev/null & exec yes"):
        python.write_text(f"#!/bin/sh\necho '[\"ready\"]'; {reads}\n")
        assert deployed(bundle).outcome == "failed"


def test_two_deployments_at_once_come_one_after_the_other(board: Path, tmp_path: Path) -> None:
    edgecnn(board.parents[2], "sleep 1; cat ~/golden.json")
    bundles = [bundle_of(tmp_path, f"b{number}", model=b"%d" % number) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(deployed, bundles))
    assert [item.outcome for item in found] == ["deployed", "deployed"]
    last = max(found, key=lambda item: item.previous is not None)
    assert in_service(board) == bundles[found.index(last)].read_bytes()


def test_a_clock_of_1970_does_not_matter(board: Path, tmp_path: Path) -> None:
    then = "time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0))"
    alter(board, f"import time; time.time = lambda: 0.0; time.gmtime = lambda now=0: {then}")
    bundles = [bundle_of(tmp_path, f"b{number}", model=b"%d" % number) for number in range(2)]
    for bundle in bundles:
        assert deployed(bundle).outcome == "deployed"
    (done,) = rolled_back(["pi"], SILENT)
    assert (done.outcome, in_service(board)) == ("rolled back", bundles[0].read_bytes())
    (found,) = statuses(["pi"], SILENT).boards
    assert found.releases[-1].since == "1970-01-01T00:00:00Z"

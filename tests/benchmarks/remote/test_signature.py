"""Who signed a bundle, by real keys and OpenSSH's own ssh-keygen: each way in which a signature can be wrong is refused."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edgecnn.benchmarks.bundle.signature import sign, signature_path
from edgecnn.benchmarks.remote.agent import signature
from edgecnn.benchmarks.remote.agent.signature import ALLOWED_SIGNERS, BadSignature, signer
from edgecnn.edge.errors import ConfigError, MissingDependency

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is a part of OpenSSH")


class Board(NamedTuple):
    """A home folder with a list of allowed signers, and a bundle with its signature beside it."""

    home: Path
    bundle: Path
    key: Path

    @property
    def allowed(self) -> Path:
        return self.home / ALLOWED_SIGNERS[0]

    @property
    def signature(self) -> Path:
        return signature_path(self.bundle)

    def allow(self, *lines: str) -> None:
        self.allowed.parent.mkdir(parents=True, exist_ok=True)
        self.allowed.write_text("".join(f"{line}\n" for line in lines))

    def signer(self) -> str | None:
        return signer(self.bundle, self.signature, self.home)


def key(path: Path, passphrase: str = "") -> Path:
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    return path


def public(path: Path) -> str:
    return path.with_name(f"{path.name}.pub").read_text().strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: key(folder / name) for name in ("alice", "mallory")}


@pytest.fixture
def board(keys: dict[str, Path], tmp_path: Path) -> Board:
    """A board that allows alice, who signed its bundle."""
    made = Board(tmp_path / "home", tmp_path / "-model 1.zip", keys["alice"])
    made.bundle.write_bytes(b"PK" + os.urandom(100_000))
    made.allow(f"alice@example.org {public(made.key)}")
    sign(made.bundle, made.key)
    return made


def of_another_file(board: Board) -> None:
    board.bundle.write_bytes(board.bundle.read_bytes() + b"\0")


def truncated(board: Board) -> None:
    board.bundle.write_bytes(board.bundle.read_bytes()[:-1])


def of_another_key(board: Board) -> None:
    sign(board.bundle, board.key.with_name("mallory"))


def for_another_purpose(board: Board) -> None:
    board.signature.unlink()
    command = ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(board.key), str(board.bundle)]
    subprocess.run(command, check=True, capture_output=True)


def allowed_with(option: str) -> Callable[[Board], None]:
    """Return what lets the board allow the key with an option of ssh-keygen's."""
    return lambda board: board.allow(f"alice@example.org {option} {public(board.key)}")


def damaged(board: Board) -> None:
    text = board.signature.read_text()
    board.signature.write_text(text.replace(text.splitlines()[2], text.splitlines()[2][::-1]))


def no_signature(board: Board) -> None:
    board.signature.write_text("signed, honestly\n")


def endless(board: Board) -> None:
    board.signature.write_text("x" * 100_000)


def nobody_is_allowed(board: Board) -> None:
    board.allow()


REFUSED: list[tuple[Callable[[Board], None], str]] = [
    (of_another_file, "incorrect signature"),
    (truncated, "incorrect signature"),
    (of_another_key, "its key is not listed"),
    (for_another_purpose, "namespace"),
    (allowed_with('namespaces="git"'), "namespace"),
    (allowed_with('valid-before="20200101"'), r"\(line 1: key has expired"),
    (allowed_with('valid-after="21000101"'), r"\(line 1: key is not yet valid"),
    (allowed_with("valid-befor=20990101"), r"\(line 1: bad options"),
    (damaged, "sshsig|signature"),
    (no_signature, "missing header|incomplete message"),
    (endless, "is no signature"),
    (nobody_is_allowed, "its key is not listed"),
]


def test_a_bundle_that_an_allowed_signer_signed_is_by_this_signer(board: Board) -> None:
    assert board.signer() == "alice@example.org"
    board.allow(f"mallory {public(board.key.with_name('mallory'))}", f'a@x,b@x namespaces="git,edgecnn" {public(board.key)}')
    assert board.signer() == "a@x"


@pytest.mark.parametrize(("alter", "said"), REFUSED)
def test_any_other_signature_is_refused_in_a_line(alter: Callable[[Board], None], said: str, board: Board) -> None:
    alter(board)
    with pytest.raises(BadSignature, match=said) as refused:
        board.signer()
    assert len(str(refused.value).splitlines()) == 1
    assert board.bundle.name in str(refused.value) or said == "is no signature"


def test_a_missing_signature_is_refused_with_how_to_make_one(board: Board) -> None:
    for missing in (None, board.home / "missing.sig", board.home):
        with pytest.raises(BadSignature, match=r"is not signed, as .*allowed_signers demands: .*bundle --sign KEY"):
            signer(board.bundle, missing, board.home)


def test_without_a_list_any_bundle_is_taken_and_a_list_that_can_t_be_read_refuses_all(board: Board) -> None:
    board.allowed.unlink()
    assert signer(board.bundle, None, board.home) is None
    board.allowed.symlink_to(board.home / "missing")
    with pytest.raises(OSError, match="No such file"):
        board.signer()
    board.allowed.unlink()
    board.allowed.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        board.signer()


def test_a_list_may_be_where_the_models_are_and_the_user_s_own_goes_first(board: Board) -> None:
    second = board.home / ALLOWED_SIGNERS[1]
    second.parent.mkdir(parents=True)
    board.allowed.rename(second)
    assert board.signer() == "alice@example.org"
    nobody_is_allowed(board)
    with pytest.raises(BadSignature, match="not listed"):
        board.signer()


def test_without_ssh_keygen_or_with_an_old_one_nothing_is_taken(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(BadSignature, match="sudo apt install openssh-client"):
        board.signer()
    with pytest.raises(MissingDependency, match="sudo apt install openssh-client"):
        sign(board.bundle, board.key)
    for complaint in ("unknown option -- Y", 'Unsupported operation for -Y: \\"find-principals\\"'):  # 8.0, and 8.1.
        (programs / "ssh-keygen").write_text(f'#!/bin/sh\necho "{complaint}" >&2\nexit 1\n')
        (programs / "ssh-keygen").chmod(0o755)
        with pytest.raises(BadSignature, match=r"8\.2 or later"):
            board.signer()
        with pytest.raises(MissingDependency, match=r"8\.2 or later"):
            sign(board.bundle, board.key)


def test_signing_leaves_the_bundle_as_it_is_and_replaces_an_earlier_signature(board: Board) -> None:
    before = board.bundle.read_bytes()
    board.signature.write_text("an earlier one")
    assert sign(board.bundle, board.key) == board.signature
    assert board.bundle.read_bytes() == before
    assert {path.name for path in board.bundle.parent.iterdir() if path.is_file()} == {board.bundle.name, board.signature.name}
    assert board.signer() == "alice@example.org"


def test_what_is_no_key_or_can_t_sign_is_refused_with_ssh_keygen_s_reason(board: Board, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a key"):
        sign(board.bundle, tmp_path / "missing")
    before = board.signature.read_bytes()
    other = tmp_path / "text"
    other.write_text("no key")
    other.chmod(0o600)
    with pytest.raises(ConfigError, match=r"text did not sign it \(.+\)"):
        sign(board.bundle, other)
    assert board.signature.read_bytes() == before


def test_a_passphrase_is_asked_for_by_ssh_keygen(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded, asking = key(tmp_path / "guarded", "secret"), tmp_path / "ask"
    board.allow(f"guarded@example.org {public(guarded)}")
    monkeypatch.setenv("SSH_ASKPASS", str(asking))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    asking.write_text("#!/bin/sh\necho wrong\n")
    asking.chmod(0o755)
    with pytest.raises(ConfigError, match="incorrect passphrase"):
        sign(board.bundle, guarded)
    asking.write_text("#!/bin/sh\necho secret\n")
    sign(board.bundle, guarded)
    assert board.signer() == "guarded@example.org"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = tmp_path / "agent"
    command = [str(shutil.which("ssh-agent")), "-D", "-a", str(socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield
        process.terminate()


def test_a_public_key_signs_through_the_agent_that_holds_the_private_one(agent: None, board: Board, tmp_path: Path) -> None:
    held = key(tmp_path / "held")
    board.allow(f"held@example.org {public(held)}")
    with pytest.raises(ConfigError, match="did not sign it"):
        sign(board.bundle, held.rename(tmp_path / "away").with_name("held.pub"))
    subprocess.run([str(shutil.which("ssh-add")), "-q", str(tmp_path / "away")], check=True, capture_output=True)
    sign(board.bundle, tmp_path / "held.pub")
    assert board.signer() == "held@example.org"


def test_the_module_that_goes_to_the_device_needs_python_3_7_and_nothing_else() -> None:
    tree = ast.parse(Path(signature.__file__).read_text(), feature_version=(3, 7))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names

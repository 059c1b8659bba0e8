"""Ssh servers on loopback, one per device, each with its own home, PATH and port.

The devices are this machine under other names. They have a stand-in for edgecnn, which prints a stored result at once.
"""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.remote import Job, bench_devices
from edgecnn.benchmarks.results.records import DeviceResult

SSHD = Path("/usr/sbin/sshd")
RESULT = Path(__file__).parents[1] / "benchmarks/kept_results/schema-3.json"

STAND_IN = """#!/bin/sh
if [ "$1" = --version ]; then echo edgecnn {version}; exit; fi
for argument; do printf '%s\\0' "$argument"; done >"$HOME/arguments"
[ -e budget.toml ] && cp budget.toml "$HOME/"
echo 'launch 1 of 1' >&2
if [ -e "$HOME/slow" ]; then touch "$TMPDIR/unpacked"; sleep 1000 & echo $! >"$HOME/sleeper"; wait; fi
if [ -e "$HOME/reason" ]; then cat "$HOME/reason" >&2; exit 4; fi
cat "$HOME/result.json"
"""


@dataclass(frozen=True)
class Device:
    """A device's ssh server.

    Attributes:
        name: Its name in the user's ssh config.
        home: Home of the remote account.
        server: Its process.
    """

    name: str
    home: Path
    server: subprocess.Popen[bytes]

    @property
    def cache(self) -> Path:
        return self.home / ".cache/edgecnn"

    def files(self) -> list[str]:
        """Return the names of the files in the cache."""
        return sorted(path.name for path in self.cache.rglob("*") if path.is_file())


class Network:
    """The user's side: an ssh config, a key, known hosts; devices can be added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.known = folder / "config", folder / "known_hosts"
        self.config.touch()
        self.known.touch()
        self.stand_in = STAND_IN
        self.started: list[subprocess.Popen[Any]] = []
        for name in ("user", "stranger", "host"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
            subprocess.run(keygen, check=True)

    def job(self, bundle: Path, arguments: tuple[str, ...] = (), **more: Any) -> Job:
        """Return the requests to devices."""
        return Job(bundle, arguments, running_version(), "edgecnn bench a --device b --install", lambda report: report, **more)

    def run(self, bundle: Path, *hosts: str, said: list[str] | None = None, **more: Any) -> list[DeviceResult]:
        """Measure on devices; add the lines of progress to `said`."""
        lines: list[str] = [] if said is None else said
        return list(bench_devices(hosts, self.job(bundle, **more), "edgecnn bench", lines.append).devices)

    def failure(self, bundle: Path, host: str, **more: Any) -> str:
        """Measure on a device that fails, and return the reason."""
        (device,) = self.run(bundle, host, **more)
        assert device.result is None
        assert device.error
        return device.error

    def until(self, condition: Callable[[], object], seconds: float = 300) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never came so far"
            time.sleep(0.02)

    def add(self, name: str, edgecnn: str | None = STAND_IN, known: bool = True, key: str = "user") -> Device:
        """Start a device whose server takes the key `user`."""
        home = self.folder / f"home of {name}"
        program = home / "bin/edgecnn"
        program.parent.mkdir(parents=True)
        shutil.copy(RESULT, home / "result.json")
        if edgecnn:
            program.write_text(edgecnn.format(version=running_version()))
            program.chmod(0o755)
        # The interpreter that made this environment: Debian's may lack venv.
        python = Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}"
        (home / "bin/python3").write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
        (home / "bin/python3").chmod(0o755)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        settings = self.folder / f"sshd-{name}"
        # The shell's start-up file prints something, as many do.
        (home / ".bashrc").write_text("echo welcome\nprintf unended\n")
        path = f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        settings.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.folder / 'host'}\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder / 'user.pub'}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f'PermitRootLogin yes\nSetEnv "HOME={home}" "PATH={path}" PIP_NO_INDEX=1\n'
        )
        log = (self.folder / f"sshd-{name}.log").open("wb")
        server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(settings)], stderr=log, start_new_session=True)
        log.close()
        self.started.append(server)
        self.until(lambda: _listens(port))
        with self.config.open("a") as config:
            config.write(
                f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityAgent none\n"
                f"  IdentityFile {self.folder / key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {self.known}\n"
                "  GlobalKnownHostsFile /dev/null\n"
                # Settings that a config may have for interactive use.
                "  RemoteCommand tmux\n  RequestTTY yes\n  LocalForward 1 127.0.0.1:1\n  ExitOnForwardFailure yes\n"
            )
        if known:
            with self.known.open("a") as hosts:
                hosts.write(f"[127.0.0.1]:{port} {(self.folder / 'host.pub').read_text()}")
        return Device(name, home, server)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    if not (SSHD.exists() and shutil.which("ssh") and shutil.which("ssh-keygen")):
        pytest.skip("needs an ssh server and client: apt install openssh-server openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # A server started by root needs it; normally systemd creates it.
    made = Network(tmp_path)
    # ssh reads the user's config from the home in the password file, whatever HOME is.
    wrapper = tmp_path / "bin/ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {shlex.quote(str(made.config))} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A file that the stand-in ignores, large enough to be sent in several pieces."""
    path = tmp_path / "a bundle.zip"
    path.write_bytes(bytes(range(256)) * 12_000)
    return path

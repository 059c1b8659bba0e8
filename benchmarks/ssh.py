"""One connection to a device through the system's OpenSSH, with the user's own config, keys and agent.

What the device's shell gets to read is `_BOOTSTRAP`, whatever host, file or option was named: those travel on standard
input, where no shell looks.
"""

import io
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from edge.errors import ConfigError, EdgeCnnError, MissingDependency

CONNECT_SECONDS = 15
# Without quotes, newlines and `!` of other shells: fish and csh read it as sh does.
_BOOTSTRAP = "exec python3 -I -c 'import json;i=open(0,\"rb\",0);exec(json.loads(i.readline()))'"
_AGENT = Path(__file__).with_name("remote_agent.py")
_OPTIONS = (
    "-T",
    # Nobody is there to type a password or `yes`: several devices would ask at once.
    "-oBatchMode=yes",
    f"-oConnectTimeout={CONNECT_SECONDS}",
    # A board that loses its power must not be waited for until TCP gives up.
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
    # What a config may have for people at a terminal, and would break or outlive this.
    "-oRemoteCommand=none",
    "-oClearAllForwardings=yes",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oControlMaster=no",
    # Whatever a config says: the sentences below are made of these.
    "-oLogLevel=INFO",
)
# As ssh's own valid_hostname, which older releases lack: a ProxyCommand hands the name to a shell.
_UNSAFE = re.compile(r"[\x00-\x20\x7f'`\"$\\;&<>|(){}]")
_SSH_FAILED = 255
_LONGEST_EVENT = 2**28
_MOST_NOISE = 2**20
_CHUNK = 2**20

# What ssh says -> what to tell and do.
_SENTENCES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that was known: set up anew, or not that device. If it was set up anew: {forget}",
    ),
    (
        r"[Hh]ost key verification failed|No \S+ host key is known",
        "its host key is not known here: type ssh {host} once, and compare it",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it refuses your key: type ssh-copy-id {host}, or ssh-add for a key with a passphrase",
    ),
    (r"Could not resolve hostname", "its name is not known on this network: check it, or give an address"),
    (r"Connection refused", "it refuses ssh connections: switch ssh on there (sudo raspi-config, Interface Options)"),
    (r"timed out|not responding", "it does not answer: is it on, and on this network?"),
    (r"No route to host|Host is down|Network is unreachable", "it can't be reached: is it on, and on this network?"),
    (
        r"python3: (command )?not found|python3: No such file|Unknown command:? .?python3",
        "it has no python3: there, type sudo apt install python3-venv",
    ),
    (r"Connection (to \S+ )?(closed|reset)|[Bb]roken pipe|Connection to .* closed", "the connection broke: try again"),
)


def check_hosts(hosts: Sequence[str]) -> None:
    """Refuse what ssh would take for an option, a shell for more than a name, or that is named twice.

    Raises:
        ConfigError: If one is so.
    """
    for host, count in Counter(hosts).items():
        if host.startswith("-") or not host or _UNSAFE.search(host) or not host.isprintable():
            raise ConfigError(f"--device {host!r} is no name of a device: give one as ssh takes it, as pi@raspberrypi.local")
        if count > 1:
            raise ConfigError(f"--device {host} is named {count} times: once is enough")


class Connection:
    """A device that runs `benchmarks.remote_agent`. A context manager: both ends are gone after the block."""

    def __init__(self, host: str) -> None:
        """Start ssh.

        Args:
            host: As ssh takes it; `check_hosts` has seen it.

        Raises:
            MissingDependency: If there is no ssh here.
        """
        self._host = host
        self._answered = False
        ssh = shutil.which("ssh")
        if ssh is None:
            raise MissingDependency("ssh is not installed here: type sudo apt install openssh-client")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # Closed with the connection.
        self._process = subprocess.Popen(
            [ssh, *_OPTIONS, "--", host, _BOOTSTRAP],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # Ctrl-C is for this process, which ends the connection; and ssh must not ask at the terminal.
            start_new_session=True,
        )
        # Writing has no buffer, whose flush at the end would fail; reading needs one for its lines.
        self._to = cast(IO[bytes], self._process.stdin)
        self._from = io.BufferedReader(cast(io.RawIOBase, self._process.stdout))

    def ask(self, request: dict[str, Any]) -> None:
        """Hand over the program and what it is asked."""
        for part in (_AGENT.read_text(encoding="utf-8"), request):
            self._write(json.dumps(part).encode() + b"\n")

    def send(self, path: Path) -> None:
        """Send a file's bytes; if the device does not want them any more, its next event says why."""
        with path.open("rb") as stream:
            while (data := stream.read(_CHUNK)) and self._write(data):
                pass

    def event(self) -> list[Any]:
        """Wait for what the device says next.

        Raises:
            EdgeCnnError: If the connection ended or can't be made; the message is why, in a sentence.
        """
        noise = 0
        while noise < _MOST_NOISE:
            line = self._from.readline(_LONGEST_EVENT)
            if line.endswith(b"\n") and line.startswith(b"["):
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):
                    event = None
                if isinstance(event, list) and event and all(isinstance(part, (str, int)) for part in event):
                    self._answered = True
                    return event
            if not line:
                raise EdgeCnnError(self._why())
            noise += len(line)  # A start-up file of the shell's prints something.
        raise EdgeCnnError(f"it answers with something else: ssh {self._host} true must print nothing")

    def end(self) -> None:
        """Break the connection: what runs on the device ends. May be called from another thread."""
        self._process.kill()  # Not terminate: ssh does not heed that where it was ignored at its start, as by a shell.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._to.close()
        self._process.kill()
        self._process.wait()
        self._from.close()
        self._said.close()

    def _write(self, data: bytes) -> bool:
        view = memoryview(data)
        try:
            while view:
                view = view[self._to.write(view) :]
        except BrokenPipeError:
            return False
        return True

    def _why(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read(_MOST_NOISE).decode(errors="replace")
        return explain(self._host, code, said, self._answered)


def explain(host: str, code: int, said: str, answered: bool = False) -> str:
    """Return why a connection ended, and what to do, in a sentence.

    Args:
        host: As ssh was given it.
        code: ssh's exit code.
        said: Its standard error, which has the device's too, and a banner.
        answered: Whether the device had said anything before.
    """
    for pattern, sentence in _SENTENCES:
        if re.search(pattern, said) and (code == _SSH_FAILED or "python3" in pattern):
            found = re.search(r"ssh-keygen -f .+", said)
            return sentence.format(host=host, forget=found[0].strip() if found else f"ssh-keygen -R {host.rpartition('@')[2]}")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "it says nothing"
    if code == _SSH_FAILED and answered:  # So ssh passes a signal on.
        return "what ran there was killed, as where memory runs out: free some, and try again"
    if code == _SSH_FAILED:
        return f"ssh could not connect ({last}): try ssh {host}"
    return f"it ended with code {code} ({last}): try ssh {host} python3 --version"

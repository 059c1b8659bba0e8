"""One connection to a device through the system's OpenSSH, with the user's own config, keys and agent.

The device's shell reads only `_BOOTSTRAP`, whatever host, file or option was named: those travel on standard
input, where no shell looks.
"""

import io
import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from edgecnn.edge.errors import ConfigError, EdgeCnnError, MissingDependency, field
from edgecnn.edge.sandbox.child import bound_command
from edgecnn.edge.text import last_line

CONNECT_SECONDS = 15
SILENT_SECONDS = 300.0
"""A device that says nothing for so long is given up; what runs there says every minute that it does."""
# Without characters that other shells treat specially: fish and csh read it like sh.
_BOOTSTRAP = "exec python3 -I -c 'import json;i=open(0,\"rb\",0);exec(json.loads(i.readline()))'"
# What it runs to show that it can be reached; the newline ends a line begun by the shell's start-up file.
_GREETING = r"""print('\n["ready"]')"""
_AGENT = Path(__file__).with_name("agent")
_PACKAGE = f"{__package__}.{_AGENT.name}"
_LOADER = Path(__file__).with_name("loader.py")
_OPTIONS = (
    "-T",
    # ssh must not ask for a password or `yes`, since several devices would ask at once.
    "-oBatchMode=yes",
    f"-oConnectTimeout={CONNECT_SECONDS}",
    # If a board loses power, don't wait until TCP gives up.
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
    # Settings for interactive use that would break or outlive this connection.
    "-oRemoteCommand=none",
    "-oClearAllForwardings=yes",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oControlMaster=no",
    # The sentences below depend on these messages, so a config must not change them.
    "-oLogLevel=INFO",
)
# Like ssh's own valid_hostname, which older releases lack: a ProxyCommand passes the name to a shell.
_UNSAFE = re.compile(r"[\x00-\x20\x7f'`\"$\\;&<>|(){}]")
_SSH_FAILED = 255
_LONGEST_EVENT = 2**28
_MOST_NOISE = 2**20
_CHUNK = 2**20

# For each message of ssh, what to report and what to do.
_SENTENCES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key has changed: the device was set up again, or it is another one. If it was set up again: {forget}",
    ),
    (
        r"[Hh]ost key verification failed|No \S+ host key is known",
        "its host key is unknown here: type ssh {host} once, and compare the key",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it refuses your key: type ssh-copy-id {host}, or ssh-add for a key with a passphrase",
    ),
    (r"Could not resolve hostname", "its name is unknown on this network: check it, or give an address"),
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
    """Raise if none is named, ssh would read a name as an option, a shell as more than a name, or a name occurs twice.

    Raises:
        ConfigError: If a name is invalid, or none is named.
    """
    if isinstance(hosts, str):  # Each letter would be one of them.
        raise ConfigError(f"{field('devices')} must be a list, got {hosts}")
    if not hosts:
        raise ConfigError(f"no board is named: add {field('devices')}, for example pi@raspberrypi.local")
    for host, count in Counter(hosts).items():
        if host.startswith("-") or not host or _UNSAFE.search(host) or not host.isprintable():
            raise ConfigError(
                f"{field('device')}={host!r} is not the name of a device: give one as ssh takes it, for example "
                "pi@raspberrypi.local"
            )
        if count > 1:
            raise ConfigError(f"{field('device')}={host} is named {count} times: name it once")


class Connection:
    """A device that runs `edgecnn.benchmarks.remote.agent`, as a context manager: both ends have ended after the block."""

    def __init__(self, host: str) -> None:
        """Start ssh to a host that `check_hosts` has checked.

        Raises:
            MissingDependency: If ssh is not installed here.
        """
        self.host = host
        self._answered = self._is_given_up = False
        ssh = shutil.which("ssh")
        if ssh is None:
            raise MissingDependency("ssh is not installed here: type sudo apt install openssh-client")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # Closed with the connection.
        self._process = subprocess.Popen(
            bound_command([ssh, *_OPTIONS, "--", host, _BOOTSTRAP]),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # Ctrl-C is for this process, which ends the connection; ssh must not ask at the terminal.
            start_new_session=True,
        )
        # Writing is unbuffered, since a flush at the end would fail; reading needs a buffer for lines.
        self._to = cast(IO[bytes], self._process.stdin)
        self._from = io.BufferedReader(cast(io.RawIOBase, self._process.stdout))

    def greet(self) -> None:
        """Wait until the device's python3 answers, and do nothing there.

        Raises:
            EdgeCnnError: As in `event`.
        """
        self._write(json.dumps(_GREETING).encode() + b"\n")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Skip everything before the program's own output. Errors are those of `event`."""
        while self.event() != ["ready"]:
            pass

    def ask(self, request: dict[str, Any]) -> None:
        """Send the program and its request."""
        for part in (_program(), request):
            self._write(json.dumps(part).encode() + b"\n")

    def answer(self, value: Any) -> None:
        """Answer a question of the device."""
        self._write(json.dumps(value).encode() + b"\n")

    def send(self, path: Path) -> None:
        """Send a file's bytes; if the device no longer wants them, its next event says why."""
        with path.open("rb") as stream:
            while (data := stream.read(_CHUNK)) and self._write(data):
                pass

    def send_part(self, path: Path, offset: int, size: int) -> bool:
        """Send some bytes of a file, and return whether the device took them."""
        with path.open("rb") as stream:
            stream.seek(offset)
            return self._write(stream.read(size))

    def event(self) -> list[Any]:
        """Wait for the device's next event.

        Raises:
            EdgeCnnError: If the connection ended or can't be made; the message is the reason in a sentence.
        """
        with self._patience():
            return self._next_event()

    def _next_event(self) -> list[Any]:
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
            noise += len(line)  # The shell's start-up file prints something.
        raise EdgeCnnError(f"it answers with something else: ssh {self.host} true must print nothing")

    def end(self) -> None:
        """Break the connection, which ends the run on the device. It may be called from another thread."""
        self._process.kill()  # Not terminate: ssh ignores that if it was ignored at its start, as by a shell.

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
                with self._patience():  # A device that reads nothing must not keep us either.
                    view = view[self._to.write(view) :]
        except BrokenPipeError:
            return False
        return True

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """End the connection if the device takes too long to say or to take something."""

        def give_up() -> None:
            self._is_given_up = True
            self.end()

        timer = threading.Timer(SILENT_SECONDS, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _why(self) -> str:
        if self._is_given_up:
            return f"it said nothing for {SILENT_SECONDS / 60:g} minutes: is it overloaded?"
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read(_MOST_NOISE).decode(errors="replace")
        return explain(self.host, code, said, self._answered)


def _program() -> str:
    """Return the text that imports the agent there and answers a request."""
    texts = {f"{_PACKAGE}.{path.stem}": path.read_text(encoding="utf-8") for path in sorted(_AGENT.glob("*.py"))}
    texts[_PACKAGE] = texts.pop(f"{_PACKAGE}.__init__")
    above = [_PACKAGE.rsplit(".", count)[0] for count in range(1, _PACKAGE.count(".") + 1)]
    texts |= dict.fromkeys(above, "")
    start = f"load({texts!r}, {[_PACKAGE, *above]!r}, {f'{_PACKAGE}.main'!r}).main()"
    return f"{_LOADER.read_text(encoding='utf-8')}\n{start}"


def explain(host: str, code: int, said: str, answered: bool = False) -> str:
    """Return in one sentence why a connection ended, by ssh's exit code, and what to do.

    `said` is its standard error, which includes the device's, and a banner; `answered`, whether the device had answered before.
    """
    for pattern, sentence in _SENTENCES:
        if re.search(pattern, said) and (code == _SSH_FAILED or "python3" in pattern):
            found = re.search(r"ssh-keygen -f .+", said)
            return sentence.format(host=host, forget=found[0].strip() if found else f"ssh-keygen -R {host.rpartition('@')[2]}")
    last = last_line(said) or "it printed nothing"
    if code == _SSH_FAILED and answered:  # This is how ssh reports a signal.
        return "the process there was killed; memory may have run out: free some, and try again"
    if code == _SSH_FAILED:
        return f"ssh could not connect ({last}): try ssh {host}"
    return f"it ended with code {code} ({last}): try ssh {host} python3 -V"

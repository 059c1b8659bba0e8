"""The agent on the device: it arrives as text over ssh, runs in the device's python3, and ends with the connection.

It is one file, and longer than others, because it is sent as text before edgecnn is there to import. It uses only the
standard library and Python 3.7, so that a board whose Python is too old for edgecnn says so in a sentence. Standard input
carries the request and the files; its end means that the requester is gone, and everything started here ends too.
Standard output carries events, one JSON list per line. All changes are below `~/.cache/edgecnn`:

    files/SHA-256/NAME   files that were sent; the bundles and wheels used last
    venv/                the virtual environment of --install
    run/                 exists during a run: partial files, and the temporary folder of the run
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import selectors
import shutil
import signal
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator  # noqa: UP035  # Python 3.7 and 3.8 can't subscribe to the others.

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_KEPT = 4
_CHUNK = 1 << 20
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>.
_STAMP = "edgecnn.json"
_LOCK_SECONDS = 0.5


class Failed(Exception):
    """A problem that the user can fix; the message is one line."""


class Interrupted(Exception):
    """The requester is gone, or this process got a signal to end."""


def main() -> None:
    """Answer one request."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        sys.stdout.write("\n")  # Output of a shell's start-up files may lack a final newline.
        sys.stdout.flush()
        tell("ready")
        request = json.loads(_line())
        cache = Path.home() / ".cache" / "edgecnn"
        with workplace(cache) as run:
            done = answer(request, cache, run)
        tell("done", *done)  # After all cleaning up, since it ends the connection.
    except Failed as failure:
        _last_words(str(failure))
    except OSError as error:
        _last_words(_os_error(error))
    except Interrupted:
        sys.exit(1)


def answer(request: dict[str, Any], cache: Path, run: Path) -> tuple[int, str, str]:
    """Fetch, install if requested, and run; return the exit code, the output, and the last line of the errors.

    Raises:
        Failed: If it can't be run.
        Interrupted: If the requester is gone.
        OSError: If the disk is full or has another problem.
    """
    program = install(request, cache, run) if request["install"] else find(request, cache, run)
    bundle = fetch("bundle", request["bundle"], cache, run)
    for name, text in request["files"].items():
        (run / name).write_bytes(text.encode())
    said = [""]

    def on_line(line: str) -> None:
        if line.strip():
            said.append(line)
            tell("say", line)

    command = [program, "bench", str(bundle), *request["arguments"], "--json", "-"]
    code, printed = execute(command, run, on_line)
    return code, printed.decode("utf-8", "replace"), said[-1]


@contextmanager
def workplace(cache: Path) -> Iterator[Path]:
    """Yield a folder that belongs to this run only and is deleted after it.

    The lock is a kernel lock on the folder itself: it ends with the process, however that ends, and leaves no file.
    """
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder, run = os.open(str(cache), os.O_RDONLY), cache / "run"
    try:
        _lock(folder)
        shutil.rmtree(str(run), ignore_errors=True)  # Left by a power cut: a live run would hold the lock.
        run.mkdir(mode=0o700)
        try:
            yield run
        finally:
            _ignore_signals()
            shutil.rmtree(str(run), ignore_errors=True)
    finally:
        os.close(folder)


def fetch(kind: str, item: dict[str, Any], cache: Path, run: Path) -> Path:
    """Return the path of a file with the item's hash; it is requested only if it is missing.

    Raises:
        Failed: If the received file has another hash.
        Interrupted: If it ends too early.
        OSError: If it can't be written.
    """
    files = cache / "files"
    place = Path(files / item["sha256"] / item["name"])
    if not (place.is_file() and _sha256(place) == item["sha256"]):
        part = run / "part"
        tell("send", kind)
        with part.open("wb") as stream:
            left = item["size"]
            while left:
                data = os.read(0, min(left, _CHUNK))
                if not data:
                    raise Interrupted
                stream.write(data)
                left -= len(data)
            stream.flush()
            os.fsync(stream.fileno())
        if _sha256(part) != item["sha256"]:
            raise Failed("the device received other bytes than were sent (SHA-256): try again; if that recurs, check its disk")
        place.parent.mkdir(parents=True, exist_ok=True)
        part.replace(place)
    os.utime(str(place.parent))
    latest = sorted(files.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in latest[_KEPT:]:
        shutil.rmtree(str(old), ignore_errors=True)
    return place


def find(request: dict[str, Any], cache: Path, run: Path) -> str:
    """Return an edgecnn of the requested version: on the PATH, or in the virtual environment of an earlier --install.

    Raises:
        Failed: If there is no such edgecnn.
    """
    versions, venv = [], cache / "venv"
    made = str(venv / "bin" / "edgecnn") if _read_stamp(venv) else None  # If incomplete, it might lack a runtime.
    for program in (shutil.which("edgecnn"), made):
        if program and os.access(program, os.X_OK):
            version = _version(program, run)
            if version == request["version"]:
                return program
            versions.append(f"{program} is {version or 'broken'}")
    if versions:
        raise Failed(f"it needs edgecnn {request['version']}, as here; {', '.join(versions)}: type {request['mend']}")
    raise Failed(f"edgecnn is not installed there: type {request['mend']}")


def install(request: dict[str, Any], cache: Path, run: Path) -> str:
    """Create or reuse the virtual environment, and return its edgecnn.

    Raises:
        Failed: If it can't be created; an incomplete one is removed.
    """
    venv, program = cache / "venv", cache / "venv" / "bin" / "edgecnn"
    wanted, extras = request["install"], _extras(request["install"]["extras"])
    bits = 8 * struct.calcsize("P")
    stamp = {"source": (wanted["wheel"] or {}).get("sha256") or request["version"], "python": sys.version, "bits": bits}
    had = _read_stamp(venv)
    same = all(had.get(key) == value for key, value in stamp.items())
    if same:
        extras = sorted({*extras, *had["extras"]})  # Measuring other files must not remove a runtime.
    if same and extras == had["extras"] and _version(str(program), run) == request["version"]:
        tell("say", f"using {venv}, which has edgecnn {request['version']}")
        return str(program)
    _require_venv(bits)
    source = f"edgecnn[{','.join(extras)}]=={request['version']}"
    if wanted["wheel"]:
        source = f"{fetch('wheel', wanted['wheel'], cache, run)}[{','.join(extras)}]"
    tell("say", f"installing edgecnn {request['version']} with {', '.join(extras)} into {venv} (minutes, on a slow board)")
    try:
        shutil.rmtree(str(venv), ignore_errors=True)
        shared = ["--system-site-packages"] if bits == 32 else []  # Debian's numpy, since the index has none for 32-bit boards.
        _check([sys.executable, "-m", "venv", *shared, str(venv)], run, "a virtual environment can't be created there")
        # Only wheels: a board without a compiler would fail after an hour.
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--no-input", "--only-binary=:all:", "--progress-bar=off"]
        _check([*pip, "--disable-pip-version-check", source], run, "pip could not install edgecnn there")
        if _version(str(program), run) != request["version"]:
            raise Failed(f"the edgecnn that was installed there is {_version(str(program), run) or 'broken'}")
        (venv / _STAMP).write_text(json.dumps(dict(stamp, extras=extras)))
    except BaseException:
        _ignore_signals()
        shutil.rmtree(str(venv), ignore_errors=True)
        raise
    return str(program)


def execute(command: list[str], run: Path, on_line: Callable[[str], None]) -> tuple[int, bytes]:
    """Run a command to its end, and return its exit code and output; it dies with this process or with the connection.

    Args:
        command: Program and arguments.
        run: Folder where it runs and has its temporary files.
        on_line: Called with each line of its standard error.

    Raises:
        Interrupted: If the connection ended; then the command, and everything it started, has ended.
    """
    environment = dict(os.environ, TMPDIR=str(run), PYTHONIOENCODING="utf-8", COLUMNS="200")
    libc = ctypes.CDLL(None)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(run),
        env=environment,
        start_new_session=True,
        # If this process were killed, for example for lack of memory, nothing else would end the child.
        preexec_fn=lambda: libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL),
    )
    assert child.stdout  # noqa: S101  # It is a pipe.
    assert child.stderr  # noqa: S101  # As above.
    try:
        printed = _listen(child.stdout.fileno(), child.stderr.fileno(), on_line)
        return child.wait(), printed
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.stdout.close()
        child.stderr.close()


def _listen(stdout: int, stderr: int, on_line: Callable[[str], None]) -> bytes:
    """Return what comes on a child's standard output until both of its pipes end, and hand on the lines of the other."""
    printed, line = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream in (0, stdout, stderr):
            selector.register(stream, selectors.EVENT_READ)
        while len(selector.get_map()) > 1:
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                if not data:
                    if key.fd == 0:
                        raise Interrupted
                    selector.unregister(key.fd)
                elif key.fd == stdout:
                    printed += data
                elif key.fd == stderr:
                    *lines, rest = (line + data).split(b"\n")
                    line = bytearray(rest)
                    for whole in lines:
                        on_line(whole.decode("utf-8", "replace"))
    if line:
        on_line(line.decode("utf-8", "replace"))
    return bytes(printed)


def tell(*event: Any) -> None:
    """Send an event.

    Raises:
        Interrupted: If the requester is gone.
    """
    data = memoryview((json.dumps(event) + "\n").encode())
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        raise Interrupted from None


def _extras(extras: dict[str, list[str]]) -> list[str]:
    """Return the extras that install the files' runtimes on a system with this word size."""
    bits = 8 * struct.calcsize("P")
    found = extras[str(bits)]
    if not found:
        raise Failed(
            f"the runtime of these files does not exist for {bits}-bit systems: export others, or install a 64-bit system"
        )
    return found


def _require_venv(bits: int) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        raise Failed("python3-venv is not installed there: there, type sudo apt install python3-venv")
    if bits == 32 and importlib.util.find_spec("numpy") is None:
        raise Failed(
            "numpy is not installed there, and a 32-bit system needs Debian's: there, type sudo apt install python3-numpy"
        )


def _check(command: list[str], run: Path, problem: str) -> None:
    """Run a step of the installation.

    Raises:
        Failed: If it fails; the message has its reason.
    """
    said: list[str] = []
    code, printed = execute(command, run, said.append)
    if code:
        lines = [line.strip() for line in (*printed.decode("utf-8", "replace").splitlines(), *said) if line.strip()]
        full = [line for line in lines if "No space left on device" in line]
        errors = [line for line in lines if line.startswith("ERROR:")]
        raise Failed(f"{problem}: {[f'exit code {code}', *lines[-1:], *errors[-1:], *full[-1:]][-1]}")


def _version(program: str, run: Path) -> str | None:
    """Return the output of `edgecnn --version`; None if it can't run."""
    try:
        code, printed = execute([program, "--version"], run, lambda line: None)
    except OSError:
        return None
    words = printed.decode("utf-8", "replace").split()
    return words[1] if code == 0 and len(words) == 2 else None


def _read_stamp(venv: Path) -> dict[str, Any]:
    """Return the record that a finished installation wrote; an interrupted one wrote nothing."""
    try:
        return dict(json.loads((venv / _STAMP).read_text()))
    except (OSError, ValueError):
        return {}


def _lock(folder: int) -> None:
    """Wait until no other run holds the folder: two at a time would disturb each other's times."""
    warned = False
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if not warned:
            tell("say", "another edgecnn is measuring there: waiting for its end")
            warned = True
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            if selector.select(_LOCK_SECONDS) and not os.read(0, 1):
                raise Interrupted


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for data in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(data)
    return digest.hexdigest()


def _line() -> bytes:
    """Read the request byte by byte: the bytes after it must stay in the pipe."""
    line = bytearray()
    while not line.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            raise Interrupted
        line += data
    return bytes(line)


def _os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk there is full{where}: free some space below ~/.cache, or remove ~/.cache/edgecnn"
    return f"{error.strerror or error}{where} on the device: fix that there"


def _last_words(text: str) -> None:
    try:
        tell("error", text)
    except Interrupted:
        sys.exit(1)


def _interrupt(number: int, frame: Any) -> None:
    _ignore_signals()
    raise Interrupted


def _ignore_signals() -> None:
    """Ignore signals, so that nothing interrupts the cleaning up."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()

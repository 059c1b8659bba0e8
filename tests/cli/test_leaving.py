"""A signal at any moment, and how a process starts and ends: real processes, real signals."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

# Writes a dot into a pipe for each module imported after the signal handlers are installed.
ENTRY = """
import os, sys
armed = []
def hook(event, arguments):
    if event == "import":
        if arguments[0] == "edgecnn.shell.main":
            armed.append(True)
        if armed:
            os.write({dots}, b".")
sys.addaudithook(hook)
from edgecnn.__main__ import run
run()
"""


@contextmanager
def running(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a command; yield the process, and a descriptor with a dot for each import."""
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-c", ENTRY.format(dots=writer), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writer]) as process:
        os.close(writer)
        try:
            yield process, reader
        finally:
            process.kill()
            os.close(reader)


def wait_for(reader: int, dots: int) -> None:
    while dots:
        read = len(os.read(reader, dots))
        assert read, "the process ended too early"
        dots -= read


@pytest.fixture(scope="module")
def imports(exported: Path) -> int:
    """How many modules `edgecnn evaluate model.keras` imports; TensorFlow's are among them."""
    with running("evaluate", exported / "model.keras") as (process, reader):
        count = 0
        while read := os.read(reader, 1 << 16):
            count += len(read)
        assert process.wait() == 0, process.communicate()
    return count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_while_modules_are_imported_ends_in_one_line(number: signal.Signals, imports: int, exported: Path) -> None:
    shares = (0, 0.01, 0.05, 0.1, 0.2, 0.5) if number == signal.SIGINT else (0, 0.3)
    moments = [1 + int(imports * share) for share in shares]
    said = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    for moment in moments:
        with running("evaluate", exported / "model.keras") as (process, reader):
            wait_for(reader, moment)
            process.send_signal(number)
            _, err = process.communicate()
        assert b"Traceback" not in err, (moment, err)
        assert err.decode().splitlines()[-1] == f"edgecnn: {said}", (moment, err)
        assert process.returncode == 128 + number, (moment, err)


# Stops itself when it writes the first golden outputs, in the middle of its work.
STOPS = """
import os, signal, sys
stopped = []
def hook(event, arguments):
    if event == "open" and "golden.float" in str(arguments[0]) and not stopped:
        stopped.append(True)
        os.kill(os.getpid(), signal.SIGSTOP)
sys.addaudithook(hook)
from edgecnn.__main__ import run
run()
"""


@contextmanager
def bundling(exported: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is stopped while it works in a temporary folder; its TMPDIR is `folder/tmp`."""
    (folder / "tmp").mkdir()
    command = [sys.executable, "-P", "-c", STOPS, "bundle", str(exported), "--out", str(folder / "out" / "bars.zip")]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        ended = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert ended
        assert ended.si_code == os.CLD_STOPPED
        assert list((folder / "tmp").iterdir())
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_in_the_middle_of_the_work_leaves_no_temporary_files(
    number: signal.Signals, exported: Path, tmp_path: Path
) -> None:
    with bundling(exported, tmp_path) as process:
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        process.communicate()
    assert process.returncode == 128 + number
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_what_a_killed_command_left_goes_at_the_next_start(exported: Path, tmp_path: Path) -> None:
    with bundling(exported, tmp_path) as process:
        process.kill()
    assert list((tmp_path / "tmp").iterdir())
    command = [sys.executable, "-P", "-m", "edgecnn", "summary", str(exported / "int8.tflite")]
    subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}, capture_output=True, check=True)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_signal_that_is_ignored_at_the_start_stays_ignored(exported: Path) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running("evaluate", exported / "int8.tflite") as (process, reader):
            wait_for(reader, 1)
            process.send_signal(signal.SIGHUP)
            out, err = process.communicate()
    finally:
        signal.signal(signal.SIGHUP, previous)
    assert process.returncode == 0, err
    assert b"accuracy" in out


def finished(code: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run Python code that calls `run` in a separate process."""
    return subprocess.run([sys.executable, "-P", "-c", code], stderr=subprocess.PIPE, check=False, **options)


AS_COMMAND = "import sys\nfrom edgecnn import __main__ as entry\nsys.argv[1:] = {arguments}\n"


@pytest.mark.parametrize("reader", ["full", "gone"])
def test_a_command_that_nobody_can_be_told_of_works(reader: str, exported: Path, tmp_path: Path) -> None:
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(tmp_path / "picture.png")
    command = [sys.executable, "-m", "edgecnn", "predict", str(exported / "int8.tflite"), str(tmp_path / "picture.png")]
    with unwritable(reader) as stderr:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, check=False)
    assert (done.returncode, bool(done.stdout)) == (0, True)
    with unwritable(reader) as stderr:
        assert subprocess.run([*command, "nowhere.png"], stdout=subprocess.PIPE, stderr=stderr, check=False).returncode == 4


def test_one_signal_ends_a_command_that_waits_for_the_reader_of_its_messages() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    code = AS_COMMAND.format(arguments=[]) + (
        "import os\nfrom edgecnn.shell.console import say\n"
        "def main():\n    os.write(1, b'.')\n    say('progress')\n"
        "entry.main = main\nentry.run()"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, stderr=writer) as process:
        try:
            assert process.stdout
            assert process.stdout.read(1)
            process.terminate()
            assert process.wait(60) == 143
        finally:
            process.kill()
            os.close(reader)
            os.close(writer)


@contextmanager
def unwritable(why: str) -> Iterator[int]:
    """Yield a descriptor that can't be written: a full disk, or a pipe whose reader is gone."""
    if why == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]], ids=" ".join)
def test_a_full_disk_under_standard_output_is_said_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = finished(AS_COMMAND.format(arguments=arguments) + "entry.run()", stdout=full)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(rb"edgecnn: .+ can't be written \(No space left on device\): .+\n", done.stderr)


def test_a_bug_keeps_its_traceback_and_exits_with_1() -> None:
    code = AS_COMMAND.format(arguments=[]) + "entry.main = lambda: {}['lost']\nentry.run()"
    done = finished(code, stdout=subprocess.PIPE)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"KeyError: 'lost'" in done.stderr


WITHOUT_MEMORY = """
import os, resource, tempfile
from pathlib import Path
from edgecnn import __main__ as entry
from edgecnn.edge import files

def starve():
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**23,) * 2)
"""
"""A start of a script; after `starve`, there are only 8 MiB more."""


@pytest.mark.parametrize(
    ("raising", "code"),
    [
        ("raise MemoryError", 2),
        ("try: raise MemoryError\n    finally: raise ValueError('an open writing handle')", 2),
        ("starve(); raise SystemError('error return without exception set')", 2),
        ("raise SystemError('error return without exception set')", 1),
        ("try: raise KeyError('lost')\n    finally: raise ValueError('wrong')", 1),
    ],
)
def test_memory_that_does_not_even_suffice_for_the_message_is_one_line(raising: str, code: int) -> None:
    script = f"{WITHOUT_MEMORY}\ndef main():\n    {raising}\nentry.main = main\nentry.run()"
    done = finished(script, stdout=subprocess.PIPE)
    assert done.returncode == code, done.stderr
    assert bool(re.fullmatch(rb"edgecnn: there is not enough memory.*\n", done.stderr)) is (code == 2)


def test_a_folder_that_could_not_be_deleted_without_memory_is_deleted_at_the_end(tmp_path: Path) -> None:
    script = f"""{WITHOUT_MEMORY}
def no_memory(*given, **named): raise MemoryError

def main():
    with files.temporary_folder() as folder:
        (folder / "part").write_bytes(b"x")
        whole, files.shutil.rmtree = files.shutil.rmtree, no_memory
        try:
            raise MemoryError
        finally:
            entry.atexit.register(setattr, files.shutil, "rmtree", whole)

entry.main = main
entry.run()"""
    done = finished(script, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 2, done.stderr
    assert not list(tmp_path.iterdir())


# How each begins: with what a command does, how it ends, and what it prints to standard output and to standard error.
ENDS = {
    "what was printed and registered is not lost": (
        "def main():\n    atexit.register(print, 'registered')\n    print('printed', end=' ')\n    return 7",
        *(7, b"printed registered\n", b""),
    ),
    # An object in a module is destroyed only when the interpreter ends.
    "nothing is taken apart": (
        "class Heavy:\n    def __del__(self): print('taken apart', flush=True)\nheavy = Heavy()\nmain = lambda: 0",
        *(0, b"", b""),
    ),
    "a signal that Python can only ignore, in a finalizer, is raised again": (
        "class Final:\n    def __del__(self): signal.raise_signal(signal.SIGINT)\n"
        "def main():\n    final = Final()\n    del final\n    while True: pass",
        *(130, b"", b"edgecnn: interrupted\n"),
    ),
    "an object that a signal left half made does not complain": (
        "class main:\n"
        "    def __init__(self):\n        signal.raise_signal(signal.SIGINT)\n        self.made = True\n"
        "    def __del__(self): self.made",
        *(130, b"", b"edgecnn: interrupted\n"),
    ),
    "a signal that a library takes for a failure of its own still ended the command": (
        "def main():\n    try: signal.raise_signal(signal.SIGTERM)\n    except BaseException: return 5",
        *(143, b"", b"edgecnn: stopped by SIGTERM\n"),
    ),
    "a signal at the very end leaves without a word": (
        "atexit.register(signal.raise_signal, signal.SIGINT)\nmain = lambda: 0",
        *(130, b"", b""),
    ),
    "an unwinding that takes longer than native code may is not cut short": (
        "entry._PATIENCE_SECONDS = 0.1\n"
        "def main():\n    try: signal.raise_signal(signal.SIGTERM)\n"
        "    finally:\n        time.sleep(1)\n        print('tidied up')",
        *(143, b"tidied up\n", b"edgecnn: stopped by SIGTERM\n"),
    ),
    # onnx's native module makes its enumerations with Python's enum while it is loaded.
    "a signal while a native module is loaded waits until it is": (
        """
make = enum.EnumType.__call__
def interrupted(*arguments, **named):
    frame = sys._getframe()
    while frame:
        if "onnx_cpp2py_export" in getattr(frame.f_locals.get("self"), "name", "") and frame.f_code.co_name == "exec_module":
            enum.EnumType.__call__ = make
            signal.raise_signal(signal.SIGINT)
            break
        frame = frame.f_back
    return make(*arguments, **named)
enum.EnumType.__call__ = interrupted
def main():
    import onnx
""",
        *(130, b"", b"edgecnn: interrupted\n"),
    ),
}


@pytest.mark.parametrize(("code", "ended", "out", "err"), ENDS.values(), ids=ENDS)
def test_a_process_ends_as_its_command_did(code: str, ended: int, out: bytes, err: bytes) -> None:
    imports = "import atexit, enum, signal, sys, time\nfrom edgecnn import __main__ as entry\n"
    done = finished(f"{imports}{code}\nentry.main = main\nentry.run()", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (ended, out, err)


@pytest.mark.parametrize(
    ("given", "threads"),
    [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3"), ({"OMP_NUM_THREADS": "3"}, "None")],
    ids=["nothing", "OpenBLAS's", "OpenMP's"],
)
def test_numpy_starts_no_threads_of_its_own_unless_the_user_says_so(given: dict[str, str], threads: str) -> None:
    code = "import os\nfrom edgecnn import __main__ as entry\n"
    code += "entry.main = lambda: print(os.environ.get('OPENBLAS_NUM_THREADS')) or 0\nentry.run()"
    others = {name: text for name, text in os.environ.items() if not name.endswith("_NUM_THREADS")}
    said = subprocess.check_output([sys.executable, "-P", "-c", code], env={**others, **given}, text=True)
    assert said == f"{threads}\n"


def test_a_user_who_may_start_no_thread_can_run_what_needs_none() -> None:
    # A limit of processes does not hold for root, as who tests may run.
    refused = 'def refused(*_): raise RuntimeError("can\'t start new thread")\nentry._thread.start_new_thread = refused\n'
    done = finished(AS_COMMAND.format(arguments=["--version"]) + f"{refused}entry.run()", stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")

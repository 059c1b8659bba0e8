"""Files that belong together appear together, whenever the process is killed."""

import errno
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.transaction import COMMITTED, finish, locked, replaced_together

OLD = {"int8.tflite": b"old model", "manifest.json": b"old manifest", "notes.txt": b"mine"}
NEW = {"float32.tflite": b"new float", "int8.tflite": b"new model", "manifest.json": b"new manifest"}

# Replaces files in a new folder in each of its children, which are killed one step later each time, before the step of this
# number that changes anything or makes it durable. It prints how each has ended; the last one has reached the end.
KILLED = """
import os, signal, sys
from pathlib import Path
from edgecnn.edge import transaction
names, steps = {names}, 0
fsync = os.fsync
def step():
    global steps
    steps += 1
    if steps == at:
        os.kill(os.getpid(), signal.SIGKILL)
def hook(event, arguments):
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"):
        step()
    if event == "open" and str(folder) in str(arguments[0]):
        step()
def counted(descriptor):
    step()
    fsync(descriptor)
    step()
for at in range(1, 1000):
    folder = Path(sys.argv[1], str(at))
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"old " + name.encode())
    child = os.fork()
    if not child:
        os.fsync = counted
        sys.addaudithook(hook)
        with transaction.locked(folder), transaction.replaced_together(folder) as new:
            for name in names:
                (new / name).write_bytes(b"new " + name.encode())
                step()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code)
    if code == 0:
        break
"""


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def committed(folder: Path, files: dict[str, bytes]) -> Path:
    """Leave a folder like a process that is killed right after its commit."""
    filled(folder / COMMITTED, files)
    return folder


def test_killed_at_any_step_a_folder_is_wholly_old_or_wholly_new_when_it_is_opened_next(tmp_path: Path) -> None:
    old = {name: b"old " + name.encode() for name in NEW}
    new = {name: b"new " + name.encode() for name in NEW}
    code = KILLED.replace("{names}", repr(tuple(NEW)))
    done = subprocess.run([sys.executable, "-P", "-c", code, tmp_path], capture_output=True, text=True, check=True)
    *killed, last = map(int, done.stdout.split())
    assert (last, {*killed}) == (0, {-signal.SIGKILL}), done.stderr
    seen = []
    for at in range(1, len(killed) + 1):
        finish(tmp_path / str(at))
        found = content(tmp_path / str(at))
        assert found in (old, new), (at, found)
        seen.append(found == new)
    assert content(tmp_path / str(len(killed) + 1)) == new
    # Each step was reached, the commit is one of them, and the new files stay.
    assert len(seen) > 20
    assert seen == sorted(seen)
    assert {False, True} == set(seen)


def test_every_file_and_its_folder_are_on_the_disk_before_they_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def renamed(*arguments: Path) -> None:
        steps.append("commit")
        rename(*arguments)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    with locked(tmp_path), replaced_together(tmp_path) as new:
        filled(new, NEW)
        staging = new.name
    commit = steps.index("commit")
    assert {*steps[:commit]} == {f"sync {name}" for name in (*NEW, staging)}
    assert steps[commit - 1] == f"sync {staging}"
    assert steps[commit + 1 :] == [f"sync {tmp_path.name}"] * 2


def interrupted(folder: Path) -> None:
    with locked(folder), replaced_together(folder) as new:
        filled(new, NEW)
        raise KeyboardInterrupt


def test_a_block_that_raises_replaces_nothing_and_one_that_succeeds_leaves_other_files(tmp_path: Path) -> None:
    folder = filled(tmp_path / "folder", OLD)
    with pytest.raises(KeyboardInterrupt):
        interrupted(folder)
    assert content(folder) == OLD
    (tmp_path / "link").symlink_to(folder)
    with locked(tmp_path / "link"), replaced_together(tmp_path / "link") as new:
        filled(new, NEW)
    assert (tmp_path / "link").is_symlink()
    assert content(folder) == OLD | NEW


def test_a_folder_in_a_files_place_is_refused_before_anything_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "int8.tflite").mkdir()
    with pytest.raises(ConfigError, match=r"int8\.tflite"), locked(tmp_path), replaced_together(tmp_path) as new:
        filled(new, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["int8.tflite"]


def test_two_processes_do_not_write_into_a_folder_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(ConfigError, match=str(tmp_path)), locked(tmp_path):
            pass
        code = (
            f"from pathlib import Path\nfrom edgecnn.edge.transaction import locked\nwith locked(Path({str(tmp_path)!r})): pass"
        )
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
        assert "ConfigError: another edgecnn is writing" in done.stderr
    with locked(tmp_path):
        pass


def test_who_waits_says_so_and_goes_on_when_the_other_ends(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from edgecnn.edge.transaction import locked
with locked(Path({str(tmp_path)!r})):
    print("locked", flush=True)
    input()
"""
    command = [sys.executable, "-P", "-c", code]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == "locked\n"
        said: list[str] = []

        def on_wait(text: str) -> None:
            said.append(text)
            assert other.stdin
            other.stdin.write("\n")
            other.stdin.flush()

        with locked(tmp_path, on_wait):
            pass
    assert len(said) == 1
    assert str(tmp_path) in said[0]


def test_a_folder_that_was_created_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), locked(tmp_path / "new" / "folder"):
        raise ConfigError("no model")
    assert content(tmp_path) == {}
    with locked(tmp_path / "new" / "folder"):
        filled(tmp_path / "new" / "other", OLD)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["other"]
    (tmp_path / "empty").mkdir()
    with locked(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()
    with pytest.raises(ConfigError, match="can't be written"), locked(tmp_path / ("n" * 256)):
        pass


def test_who_waited_for_a_folder_that_was_removed_creates_it_and_holds_its_lock(tmp_path: Path) -> None:
    folder, done = tmp_path / "new", Event()
    with ThreadPoolExecutor(1) as pool:

        def wait() -> None:
            with locked(folder, lambda text: done.set()):
                with pytest.raises(ConfigError, match=str(folder)), locked(folder):
                    pass
                filled(folder, OLD)

        with locked(folder):
            waiting = pool.submit(wait)
            assert done.wait(60)
        waiting.result(60)
    assert content(folder) == OLD


def test_who_can_read_alone_is_told_to_finish_it_as_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **places: int) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    folder = committed(filled(tmp_path / "models", OLD), NEW)
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(ArtifactError, match=rf"{folder}: .+\(Permission denied\).+edgecnn doctor {folder}"):
        finish(folder)
    monkeypatch.undo()
    finish(folder)
    assert content(folder) == OLD | NEW


def test_what_does_not_belong_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = committed(tmp_path / "models", {})
    (folder / COMMITTED / "int8.tflite").symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactError, match=r"int8\.tflite"):
        finish(folder)
    assert not (folder / "int8.tflite").exists()


@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
def test_another_thing_in_the_committed_folders_place_is_refused(kind: str, tmp_path: Path) -> None:
    filled(tmp_path / "mine", OLD)
    (tmp_path / "models").mkdir()
    place = tmp_path / "models" / COMMITTED
    if kind == "link":
        place.symlink_to(tmp_path / "mine")
    elif kind == "file":
        place.write_bytes(b"x")
    else:
        os.mkfifo(place)
    with pytest.raises(ArtifactError, match=COMMITTED):
        finish(tmp_path / "models")
    assert content(tmp_path / "mine") == OLD


def test_a_file_that_was_committed_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    folder = committed(tmp_path / "models", {"int8.tflite": b"new model"})
    (folder / "int8.tflite").symlink_to(tmp_path / "mine")
    finish(folder)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert stat.S_ISREG((folder / "int8.tflite").lstat().st_mode)


def test_several_processes_may_finish_at_a_time(tmp_path: Path) -> None:
    names = [f"{number}.bin" for number in range(200)]
    folder = committed(tmp_path / "models", {name: name.encode() for name in names})
    code = f"from pathlib import Path\nfrom edgecnn.edge.transaction import finish\ninput()\nfinish(Path({str(folder)!r}))"
    command = [sys.executable, "-P", "-c", code]
    processes = [subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    ended = []
    for process in processes:
        assert process.stdin
        with suppress(BrokenPipeError):
            process.stdin.write("\n")
            process.stdin.flush()
    for process in processes:
        ended.append((process.communicate()[1], process.returncode))
    assert ended == [("", 0)] * 3
    assert content(folder) == {name: name.encode() for name in names}


def test_a_folder_without_anything_to_finish_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path, OLD)
    finish(tmp_path)
    finish(tmp_path / "nowhere")
    finish(tmp_path / "notes.txt")
    assert content(tmp_path) == OLD

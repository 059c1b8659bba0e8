"""Files are read once, and written whole or not at all; temporary folders are deleted, even if their process was killed."""

import errno
import os
import resource
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from edgecnn.edge import files
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.files import (
    libraries_folder,
    make_folder,
    read_bytes,
    remove_stale,
    require_writable,
    sha256,
    staged,
    temporary_folder,
    write_bytes,
)


def write_half(path: Path, error: BaseException) -> None:
    with staged(path) as temporary:
        temporary.write_bytes(b"half of the new")
        raise error


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"int8\.tflite does not exist"):
        read_bytes(tmp_path / "int8.tflite")
    (tmp_path / "int8.tflite").touch()
    with pytest.raises(ArtifactError, match=r"int8\.tflite is empty"):
        read_bytes(tmp_path / "int8.tflite")
    for wrong in ("int8.tflit", "int8.tflit/manifest.json", "Int8.tflite"):
        with pytest.raises(ArtifactError, match=rf"{wrong.partition('/')[0]} does not exist, but int8\.tflite does: check"):
            read_bytes(tmp_path / wrong)
    with pytest.raises(ArtifactError, match=r"other\.onnx does not exist: check"):
        read_bytes(tmp_path / "other.onnx")


@pytest.mark.parametrize("below", ["", "file/inside"])
def test_a_folder_or_a_path_below_a_file_is_refused_with_the_reason(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"read \((Is|Not) a directory\)"):
        read_bytes(tmp_path / below)


@pytest.mark.parametrize("error", [ValueError("converter"), KeyboardInterrupt()])
def test_a_block_that_raises_leaves_what_was_there_and_no_temporary_file(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    with pytest.raises(type(error)):
        write_half(path, error)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_at_the_last_moment_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "manifest.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"manifest\.json .*written \(No space left.*folder"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["manifest.json"]


def test_a_path_that_is_a_folder_or_has_too_long_a_name_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match=r"taken .*written \(Is a directory\).*name"):
        write_bytes(tmp_path / "taken", b"new")
    with pytest.raises(ConfigError, match=r"written \(File name too long"):
        write_bytes(tmp_path / ("a" * 256), b"x")
    assert [item.name for item in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/edgecnn", "nowhere", "nowhere/below"])
def test_a_folder_that_cannot_be_written_is_named_before_any_work(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "nowhere").symlink_to(tmp_path / "an unplugged disk")
    ran = False
    with (
        pytest.raises(ConfigError, match=rf"{folder} can't be written \(.+\): choose another folder"),
        staged(tmp_path / folder / "model.keras"),
    ):
        ran = True
    assert not ran
    for check in (require_writable, make_folder):
        with pytest.raises(ConfigError, match=folder):
            check(tmp_path / folder)


def test_the_old_file_is_there_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    with staged(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert (temporary.parent.parent, temporary.name) == (tmp_path, "model.keras")
    assert path.read_bytes() == b"new"
    assert [item.name for item in tmp_path.iterdir()] == ["model.keras"]


def test_missing_folders_are_made_without_a_trace_of_the_check_which_makes_none(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    write_bytes(tmp_path / "c" / "d" / "x.json", b"{}")
    assert read_bytes(tmp_path / "c" / "d" / "x.json") == b"{}"


def test_a_hash_is_sha256_in_hex() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_pipe_that_nobody_reads_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE_SECONDS", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match=r"pipe can't be written"):
        write_bytes(pipe, b"new")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ConfigError, match=r"pipe .*written \(nobody reads it\)"):
        write_bytes(pipe, b"x" * 1_000_000)
    os.close(reader)


def test_a_pipe_whose_reader_comes_late_gets_everything_and_is_not_replaced(tmp_path: Path) -> None:
    pipe, data = tmp_path / "pipe", os.urandom(1_000_000)
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write_bytes, pipe, data)
        assert pipe.read_bytes() == data
        written.result()
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_or_device_is_neither_read_as_a_file_nor_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", Path("/dev/zero")):
        with pytest.raises(ArtifactError, match=f"{path} can't be read"):
            read_bytes(path)
    os.mkfifo(tmp_path / "figure.png")
    with pytest.raises(ConfigError, match=r"figure\.png"), staged(tmp_path / "figure.png"):
        pass
    assert stat.S_ISFIFO((tmp_path / "figure.png").stat().st_mode)
    with pytest.raises(ConfigError, match=r"/dev/full .*written \(No space left.*name"):
        write_bytes(Path("/dev/full"), b"new")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_links_target_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder/target")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder/target").read_bytes() == b"new"


# Creates a temporary folder in the given folder or in TMPDIR, prints it, and waits to be ended.
HOLDER = """
import sys
from pathlib import Path
from edgecnn.edge.files import temporary_folder
with temporary_folder(Path(sys.argv[1]) if sys.argv[1:] else None) as folder:
    (folder / "half.tflite").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def holder(*arguments: str | Path) -> tuple[subprocess.Popen[str], Path]:
    command = [sys.executable, "-P", "-c", HOLDER, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().rstrip("\n"))


@pytest.fixture(params=["TMPDIR", "a folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path | None:
    """Where temporary folders are created: None means TMPDIR."""
    if request.param == "a folder":
        return tmp_path
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return None


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_uses_is_not(place: Path | None, tmp_path: Path) -> None:
    arguments = [place] if place else []
    living, used = holder(*arguments)
    killed, left = holder(*arguments)
    try:
        killed.kill()
        killed.communicate()
        assert left.is_dir()
        remove_stale(place)
        assert list(tmp_path.iterdir()) == [used]
        assert (used / "half.tflite").read_bytes() == b"half"
    finally:
        living.communicate()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["edgecnn-checkout", ".edgecnn-committed", "edgecnn-1", "edgecnn-12-abcdefgh.bak", "tmpabcdefgh"]
)
def test_folders_of_other_names_are_not_touched(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").write_text("mine")
    remove_stale(tmp_path)
    assert (tmp_path / name / "mine").read_text() == "mine"


def test_a_link_or_a_file_of_such_a_name_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"photo")
    (tmp_path / "edgecnn-12-abcdefgh").symlink_to(tmp_path / "mine")
    (tmp_path / "edgecnn-12-12345678").write_bytes(b"mine")
    remove_stale(tmp_path)
    assert (tmp_path / "edgecnn-12-abcdefgh" / "photo.png").read_bytes() == b"photo"
    assert (tmp_path / "edgecnn-12-12345678").read_bytes() == b"mine"


def interrupted(parent: Path) -> None:
    with temporary_folder(parent) as folder:
        remove_stale(parent)
        (folder / "below").mkdir()
        raise KeyboardInterrupt


def test_a_folder_stays_while_this_process_uses_it_and_goes_when_its_block_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_next_write_into_a_folder_deletes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed, _ = holder(tmp_path)
    killed.kill()
    killed.communicate()
    with staged(tmp_path / "result.json") as temporary:
        temporary.write_bytes(b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_temporary_folder_that_cannot_be_made_names_tmpdir_and_none_has_nothing_stale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(ConfigError, match="TMPDIR"), temporary_folder():
        pass
    remove_stale()
    remove_stale(tmp_path / "nowhere")
    make_folder(tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_libraries_write_is_in_a_folder_of_ours_and_our_own_folders_are_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with libraries_folder() as folder, libraries_folder() as inner:
        assert Path(tempfile.mkdtemp()).parent == inner
        assert folder.parent == inner.parent == tmp_path
        with temporary_folder() as own:
            assert own.parent == tmp_path
        remove_stale()
        assert folder.exists()
    assert tempfile.gettempdir() == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("free", range(4))
def test_a_process_that_has_few_file_descriptors_left_leaves_no_folder(free: int, place: Path | None, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(free):
            os.close(taken.pop())
        with suppress(OSError, ConfigError), temporary_folder(place) as folder:
            (folder / "half.tflite").write_bytes(b"half")
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert list(tmp_path.iterdir()) == []

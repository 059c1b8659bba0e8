"""Temporary folders are deleted, even if their process was killed; those of a living process stay."""

import os
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import libraries_folder, make_folder, remove_stale, staged, temporary_folder

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


def test_a_folder_that_is_in_use_in_this_process_stays(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as folder:
        remove_stale(tmp_path)
        assert folder.is_dir()


def interrupted(parent: Path) -> None:
    with temporary_folder(parent) as folder:
        (folder / "below").mkdir()
        raise KeyboardInterrupt


def test_a_folder_goes_when_its_block_raises(tmp_path: Path) -> None:
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


def test_a_temporary_folder_that_cannot_be_made_is_an_error_that_names_tmpdir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(ConfigError, match="TMPDIR"), temporary_folder():
        pass
    remove_stale()


def test_a_folder_that_is_not_there_has_nothing_stale(tmp_path: Path) -> None:
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

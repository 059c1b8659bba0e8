"""The program in examples/, run as a user runs it: in its own process, on an exported file."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.dataset import load_test

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAM = EXAMPLES / "classify.py"
UNIT = EXAMPLES / "edgecnn-classify.service"
LINE = re.compile(r"(\S+)  (\S+)  (\d+\.\d)%  read (\d+\.\d\d) ms  predict (\d+\.\d\d) ms")


@pytest.fixture
def model(exported: Path) -> Path:
    return exported / "int8.tflite"


@pytest.fixture
def frames(idx_folder: Path, tmp_path: Path) -> Path:
    """A folder of six test images as PNG files, two of each class: `bar-3-0.png` is the fourth and shows class 0."""
    folder = tmp_path / "frames"
    folder.mkdir()
    test = load_test(str(idx_folder))
    for index, image in enumerate(test.images(range(6))):
        Image.fromarray(image[..., 0]).save(folder / f"bar-{index}-{test.labels[index]}.png")
    return folder


def run(*arguments: str | Path, modules: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=_environment(modules), check=False)


def fails(code: int, *arguments: str | Path, modules: Path | None = None) -> str:
    """Run the program, which must end with this code, and return its error line."""
    ended = run(*arguments, modules=modules)
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


@contextmanager
def running(command: list[str | Path], modules: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=_environment(modules)) as process:
        too_long = Timer(30, process.kill)  # Then a missing line is read as an empty one.
        too_long.start()
        try:
            yield process
        finally:
            too_long.cancel()
            process.kill()


def next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().rstrip("\n")


def stopped(process: "subprocess.Popen[str]", number: int) -> tuple[list[str], str]:
    """Send a signal that must end the program cleanly, and return its remaining stdout and stderr."""
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.splitlines(), err


def _environment(modules: Path | None) -> dict[str, str]:
    root = str(EXAMPLES.parent)
    return {**os.environ, "PYTHONPATH": root if modules is None else f"{modules}{os.pathsep}{root}"}


def test_a_missing_or_altered_model_and_a_folder_without_images_are_one_line_and_an_exit_code(
    frames: Path, tmp_path: Path, artifacts: Path, model: Path
) -> None:
    assert "no.tflite does not exist" in fails(4, tmp_path / "no.tflite", frames)
    altered = artifacts / "int8.tflite"
    data = bytearray(altered.read_bytes())
    data[len(data) // 2] ^= 1
    altered.write_bytes(data)
    assert "int8.tflite" in fails(4, altered, frames)
    (tmp_path / "notes.txt").write_text("no image")
    assert "has no images" in fails(2, model, tmp_path)
    assert "can't be read (No such file or directory)" in fails(2, model, tmp_path / "none")


def test_neither_folder_nor_camera_and_both_are_refused(model: Path, frames: Path) -> None:
    for arguments in ((model,), (model, frames, "--camera")):
        ended = run(*arguments)
        assert ended.returncode == 2
        assert ended.stderr.endswith("name a folder of images or --camera, one of them\n")


def test_without_pillow_no_frame_is_skipped_but_the_program_ends(model: Path, frames: Path, tmp_path: Path) -> None:
    (tmp_path / "PIL.py").write_text("raise ModuleNotFoundError(\"No module named 'PIL'\", name='PIL')\n")
    assert "pip install 'pillow" in fails(6, model, frames, modules=tmp_path)


def test_each_image_gets_its_label_and_times(model: Path, frames: Path) -> None:
    ended = run(model, frames)
    assert ended.returncode == 0, ended.stderr
    *lines, total, read, predict = ended.stdout.splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    assert all(matches), lines
    names = [match[1] for match in matches if match]
    assert names == sorted(path.name for path in frames.iterdir())
    assert [match[2] for match in matches if match] == [Path(name).stem[-1] for name in names]
    assert total == "6 frames, 0 skipped"
    for what, line, group in (("read", read, 4), ("predict", predict, 5)):
        times = sorted(float(match[group]) for match in matches if match)
        found = re.fullmatch(rf"{what}: median (\S+) ms, largest (\S+) ms of the last 6", line)
        assert found, line
        assert float(found[1]) == pytest.approx((times[2] + times[3]) / 2, abs=0.011)
        assert float(found[2]) == times[-1]


def test_a_broken_image_is_reported_counted_and_skipped_and_a_name_that_is_no_text_is_none(model: Path, frames: Path) -> None:
    whole = (frames / "bar-3-0.png").read_bytes()
    (frames / "bar-3-0.png").write_bytes(whole[: len(whole) // 2])
    (frames / "bar-0-0.png").rename(frames / os.fsdecode(b"bar-\xff.png"))
    ended = run(model, frames)
    assert ended.returncode == 0, ended.stderr
    (complaint,) = ended.stderr.splitlines()
    assert complaint.startswith(f"skipped: {frames / 'bar-3-0.png'} is not an image that can be read")
    assert "bar-3-0" not in ended.stdout
    assert "bar-4-1" in ended.stdout
    assert "5 frames, 1 skipped" in ended.stdout


def test_a_picture_that_may_be_read_wrong_is_answered_with_a_warning(model: Path, frames: Path) -> None:
    Image.fromarray(np.full((40, 40), 128, np.uint8)).save(frames / "bar-9-grey.png")
    ended = run(model, frames)
    assert ended.returncode == 0, ended.stderr
    (warning,) = ended.stderr.splitlines()
    assert warning.startswith(f"warning: {frames / 'bar-9-grey.png'} ")
    assert "border" in warning
    assert "--background" not in warning  # An option that the program does not have.
    assert "bar-9-grey.png  " in ended.stdout
    assert "7 frames, 0 skipped" in ended.stdout


def test_a_reader_that_has_enough_ends_it_without_a_traceback(model: Path, frames: Path) -> None:
    with running([sys.executable, PROGRAM, model, frames, "--watch"]) as process:
        assert next_line(process)
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        shutil.copy(frames / "bar-1-1.png", frames / "later.png")
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


def test_watching_takes_new_and_rewritten_files_when_they_are_whole_and_ctrl_c_ends_it_with_the_summary(
    model: Path, frames: Path
) -> None:
    with running([sys.executable, PROGRAM, model, frames, "--watch"]) as process:
        first = [next_line(process) for _ in range(6)]
        shutil.copy(frames / "bar-1-1.png", frames / "later.png")
        assert next_line(process).startswith("later.png  1  ")
        shutil.copy(frames / "bar-2-2.png", frames / "later.png")
        assert next_line(process).startswith("later.png  2  ")
        with (frames / "slow.png").open("wb", buffering=0) as file:
            for byte in (frames / "bar-1-1.png").read_bytes():
                file.write(bytes([byte]))
                time.sleep(0.004)
        assert next_line(process).startswith("slow.png  1  ")
        rest, err = stopped(process, signal.SIGINT)
    assert [line.split()[0] for line in first] == sorted(path.name for path in frames.glob("bar-*"))
    assert rest[0] == "9 frames, 0 skipped"
    assert len(rest) == 3
    assert err == ""


def test_a_watched_folder_that_disappears_is_one_line_and_an_exit_code(model: Path, frames: Path) -> None:
    with running([sys.executable, PROGRAM, model, frames, "--watch"]) as process:
        next_line(process)
        frames.rename(frames.with_name("elsewhere"))
        _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith(f"classify: {frames} can't be read")


def test_without_picamera2_or_a_camera_it_says_so_in_one_line_with_an_exit_code(model: Path, tmp_path: Path) -> None:
    (tmp_path / "picamera2.py").write_text("raise ModuleNotFoundError(\"No module named 'picamera2'\")\n")
    assert "(No module named 'picamera2'): sudo apt install python3-picamera2, and see docs/how-to/camera.md" in fails(
        6, model, "--camera", modules=tmp_path
    )
    stand_in = """
        class Picamera2:
            def __init__(self):
                raise IndexError("list index out of range")
    """
    (tmp_path / "picamera2.py").write_text(textwrap.dedent(stand_in))
    assert "no camera can be opened" in fails(2, model, "--camera", modules=tmp_path)


def test_the_cameras_pictures_go_the_way_of_files_and_the_camera_is_closed(model: Path, frames: Path, tmp_path: Path) -> None:
    """The module stands in for Debian's python3-picamera2 and behaves like it for these calls, but proves nothing about it."""
    stand_in = f"""
        import time
        from pathlib import Path
        import numpy as np
        from PIL import Image

        class Picamera2:
            def __init__(self):
                self.names = sorted(Path({str(frames)!r}).iterdir())
                self.captured = 0

            def __enter__(self):
                return self

            def __exit__(self, *_):
                Path({str(tmp_path / "closed")!r}).touch()

            def create_video_configuration(self, main):
                return main

            def configure(self, main):
                assert main["format"] == "BGR888"  # What numpy sees as R, G, B.

            def start(self):
                pass

            def capture_array(self):
                time.sleep(0.02)
                self.captured += 1
                return np.asarray(Image.open(self.names[self.captured % 6]).convert("RGB"))
    """
    (tmp_path / "picamera2.py").write_text(textwrap.dedent(stand_in))
    with running([sys.executable, PROGRAM, model, "--camera"], modules=tmp_path) as process:
        lines = [next_line(process) for _ in range(4)]
        rest, err = stopped(process, signal.SIGTERM)
    assert [" ".join(line.split()[:3]) for line in lines] == ["frame 1 1", "frame 2 2", "frame 3 0", "frame 4 1"]
    assert any(" frames, 0 skipped" in line for line in rest)
    assert err == ""
    assert (tmp_path / "closed").exists()


def _unit_here(model: Path, frames: Path) -> str:
    """Return the unit with the paths of a Pi replaced by this test's."""
    here = {
        "/opt/edgecnn/venv/bin/python": sys.executable,
        "/opt/edgecnn/classify.py": PROGRAM,
        "/opt/edgecnn/model/int8.tflite": model,
        "/srv/edgecnn/frames": frames,
    }
    text = UNIT.read_text()
    (command,) = re.findall(r"^ExecStart=.*", text, re.MULTILINE)
    replaced = command
    for there, place in here.items():
        assert there in command
        replaced = replaced.replace(there, str(place))
    return text.replace(command, replaced)


def test_the_unit_starts_the_program_with_arguments_that_it_takes_and_stops_it(model: Path, frames: Path) -> None:
    (command,) = re.findall(r"^ExecStart=(.*)", _unit_here(model, frames), re.MULTILINE)
    with running([*shlex.split(command)]) as process:
        assert LINE.fullmatch(next_line(process))
        rest, err = stopped(process, signal.SIGTERM)
    assert any(" frames, 0 skipped" in line for line in rest)
    assert err == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is a part of systemd")
def test_systemd_accepts_the_unit(model: Path, frames: Path, tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(_unit_here(model, frames))
    analyze = ["systemd-analyze", "verify", "--man=no", str(unit)]
    checked = subprocess.run(analyze, capture_output=True, text=True, timeout=300, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")

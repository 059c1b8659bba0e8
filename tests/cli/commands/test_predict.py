"""`edgecnn predict` with one file, several, folders and standard input."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.dataset import load_test


@pytest.fixture
def bars(idx_folder: Path) -> list[str]:
    """A folder of test images as PNG files, and what is not one; the images' labels, in the order of their names."""
    test = load_test(idx_folder)
    (Path("bars") / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b c.png", "more/d.PNG")):
        Image.fromarray(test.images([number])[0, ..., 0]).save(f"bars/{name}")
    Path("bars/notes.txt").write_text("mine")
    Path("bars/.hidden.png").write_text("none")
    return [str(label) for label in test.labels[:3]]


def test_quiet_is_a_line_for_each_image_with_tabs_between(exported: Path, bars: list[str], terminal: Any) -> None:
    text = terminal.passes("predict", exported / "int8.tflite", "bars", "bars/a.png", "--index", "5", "--quiet")
    rows = [line.split("\t") for line in text.splitlines()]
    names = ["test image 5", "bars/a.png", "bars/b c.png", "bars/more/d.PNG", "bars/a.png"]
    assert [row[0] for row in rows] == names
    assert [row[1] for row in rows[1:]] == [*bars, bars[0]]
    assert all(0.3 < float(row[2]) <= 1 for row in rows)
    assert terminal.err == ""


def test_several_images_are_a_list_in_the_json_whatever_they_are_named_by(
    exported: Path, bars: list[str], terminal: Any
) -> None:
    text = terminal.passes("predict", exported / "int8.tflite", "bars", "--quiet", "--json", "-")
    assert [image["predicted"] for image in json.loads(text)["images"]] == bars
    terminal.passes("predict", exported / "int8.tflite", "bars", "-q", "--json", "all.json")
    assert json.loads(Path("all.json").read_text()) == json.loads(text)


def test_an_image_on_standard_input_is_that_of_its_file(exported: Path, bars: list[str], terminal: Any) -> None:
    command = [sys.executable, "-m", "edgecnn", "predict", str(exported / "int8.tflite"), "-", "--json", "-"]
    done = subprocess.run(command, input=Path("bars/a.png").read_bytes(), capture_output=True, check=True)
    (sent,) = json.loads(done.stdout)["images"]
    (named,) = json.loads(terminal.passes("predict", exported / "int8.tflite", "bars/a.png", "--json", "-"))["images"]
    assert sent.pop("image") == "<stdin>"
    assert named.pop("image") == "bars/a.png"
    assert sent == named
    for data, part in ((b"", b"<stdin> is empty"), (b"a shopping list", b"<stdin> is not an image")):
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        assert (done.returncode, part in done.stderr) == (4, True), done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["empty"], "empty has no image files"),
        (["bars", "--top", "0"], "--top must be at least 1, got 0"),
        (["bars", "--background", "blue"], "--background must be dark or light, got blue"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], part: str, exported: Path, bars: list[str], terminal: Any) -> None:
    Path("empty").mkdir()
    assert part in terminal.fails(2, "predict", exported / "int8.tflite", *arguments)


def test_a_model_that_inverts_nothing_takes_no_background(exported: Path, terminal: Any) -> None:
    Image.new("L", (12, 12), 9).save("a.png")
    Path("alone").mkdir()
    Path("alone/float32.tflite").write_bytes((exported / "float32.tflite").read_bytes())
    command = ("predict", "alone/float32.tflite", "a.png", "--preprocess", "unit")
    assert "omit --background" in terminal.fails(2, *command, "--background", "dark")
    assert "unverified: no manifest.json" in terminal.passes(*command)
    terminal.passes(*command, "--quiet")
    assert terminal.err.startswith("unverified: no manifest.json")


def test_a_border_that_is_neither_light_nor_dark_is_a_warning_that_names_the_option(exported: Path, terminal: Any) -> None:
    pixels = np.full((30, 30), 128, np.uint8)
    pixels[5:25, 12:18] = 20
    Image.fromarray(pixels).save("grey.png")
    text = terminal.passes("predict", exported / "int8.tflite", "grey.png")
    (warning,) = (line for line in terminal.err.splitlines() if line.startswith("warning: "))
    assert "grey.png" in warning
    assert "--background" in warning
    assert ", doubtful" in text
    stated = terminal.passes("predict", exported / "int8.tflite", "grey.png", "--background", "light")
    assert "warning" not in terminal.err
    assert "doubtful" not in stated


def test_a_picture_is_saved_by_pillow_alone_and_that_is_said(exported: Path, bars: list[str], terminal: Any) -> None:
    code = (
        "import sys; sys.modules.update(matplotlib=None, rich=None); from edgecnn.__main__ import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    typed = ["predict", str(exported / "int8.tflite"), "bars", "--save", "new/all.png"]
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "wrote new/all.png" in done.stderr.splitlines()
    with Image.open("new/all.png") as sheet:
        assert sheet.size[0] > 3 * 224

"""`edgecnn predict` with one file, several, folders and standard input."""

import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgecnn as ec
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.manifest import Fitted, Manifest, SplitOff
from tests.edge.inference.thresholds import with_threshold
from tests.schemas import require_valid


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
    assert "(--background)" in warning
    assert ", doubtful" in text
    (answer,) = ec.predict(exported / "int8.tflite", ["grey.png"]).images
    assert answer.doubt
    assert "(background)" in answer.doubt  # Python has a parameter of that name.
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


def huge(side: int) -> bytes:
    """Return a PNG whose header states `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


@pytest.fixture
def broken(bars: list[str]) -> list[str]:
    """Put files that are no pictures among those of `bars`, and return their paths in their order."""
    Image.new("RGB", (90, 90), "teal").save("bars/aa.jpg")
    Path("bars/aa.jpg").write_bytes(Path("bars/aa.jpg").read_bytes()[:300])
    Path("bars/ab.png").write_text("a shopping list")
    Path("bars/c.png").touch()
    Path("bars/more/e.png").write_bytes(huge(2**31 - 1))
    Path("bars/more/f.png").write_bytes(huge(60_000))
    return ["bars/aa.jpg", "bars/ab.png", "bars/c.png", "bars/more/e.png", "bars/more/f.png"]


@pytest.mark.parametrize("quiet", [False, True])
def test_pictures_that_cannot_be_read_are_named_and_counted_and_the_others_are_answered(
    quiet: bool, exported: Path, bars: list[str], broken: list[str], terminal: Any
) -> None:
    line = terminal.fails(4, "predict", exported / "int8.tflite", "bars", "--json", "all.json", *["--quiet"] * quiet)
    assert "5 of 8 images" in line
    assert [terminal.out.count(f"{name}{':' * (not quiet)}") for name in ("a.png", "b c.png", "more/d.PNG")] == [1, 1, 1]
    skipped = [line.split()[1] for line in terminal.err.splitlines() if line.startswith("skipped: ")]
    assert skipped == broken
    found = Path("all.json").read_text()
    require_valid("predict", found)
    assert [image["predicted"] for image in json.loads(found)["images"]] == bars
    assert [picture["image"] for picture in json.loads(found)["unread"]] == broken
    assert all(picture["image"] in picture["problem"] for picture in json.loads(found)["unread"])


def test_a_single_picture_that_cannot_be_read_is_its_own_error(exported: Path, broken: list[str], terminal: Any) -> None:
    assert "bars/ab.png is not an image" in terminal.fails(4, "predict", exported / "int8.tflite", "bars/ab.png")
    line = terminal.fails(4, "predict", exported / "int8.tflite", *broken[:2], "--json", "all.json")
    assert "none of the 2 pictures" in line
    assert broken[0] in line
    assert not Path("all.json").exists()


@pytest.fixture
def by_class(idx_folder: Path) -> Path:
    """A folder of test images by class, one of them in the folder of another class, and a folder that is no class."""
    test = load_test(idx_folder)
    for number in range(12):
        label = test.labels[number] if number else (test.labels[0] + 1) % 3
        path = Path("by_class", "odd" if number == 11 else str(label), f"{number:02}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(test.images([number])[0, ..., 0]).save(path)
    return Path("by_class")


def test_labels_name_the_classes_of_a_model_that_has_numbers(exported: Path, idx_folder: Path, terminal: Any) -> None:
    Image.fromarray(load_test(idx_folder).images([0])[0, ..., 0]).save("bar.png")
    Path("names.txt").write_text("one\ntwo\nthree\n")
    command = ("predict", exported / "int8.tflite", "bar.png", "-q")
    number = terminal.passes(*command).split("\t")[1]
    assert terminal.passes(*command, "--labels", "names.txt").split("\t")[1] == ("one", "two", "three")[int(number)]
    Path("names.txt").write_text("one\ntwo\n")
    assert "3 classes, not 2 names" in terminal.fails(2, *command, "--labels", "names.txt")


def test_a_folder_of_class_folders_prints_accuracy_and_confusions(
    exported: Path, by_class: Path, idx_folder: Path, terminal: Any
) -> None:
    label = int(load_test(idx_folder).labels[0])
    wrong, right = str((label + 1) % 3), str(label)
    confusions = [{"label": wrong, "predicted": right, "images": 1}]
    counted = {"images": 11, "correct": 10, "confusions": confusions, "accepted": None, "accepted_wrong": 0, "doubt": None}
    text = terminal.passes("predict", exported / "int8.tflite", by_class)
    assert "accuracy 0.9091: 10 of 11 images" in text
    assert [wrong, right, "1"] in [line.split() for line in text.splitlines()]
    terminal.passes("predict", exported / "int8.tflite", by_class, "-q", "--json", "all.json")
    assert "accuracy 0.9091: 10 of 11 images" in terminal.err
    found = json.loads(Path("all.json").read_text())
    assert found["accuracy"] == counted
    assert sum(image["label"] is None for image in found["images"]) == 1


def test_of_a_models_own_folder_the_accuracy_is_no_test_result_but_for_its_test_part(
    artifacts: Path, by_class: Path, terminal: Any
) -> None:
    own, manifest = by_class.resolve(), Manifest.load(artifacts)

    def doubt(pictures: Path, source: Path, split_off: SplitOff | None) -> str | None:
        dataset = replace(manifest.dataset, source=str(source), fitted=Fitted((12, 12, 1), "letterbox"), split_off=split_off)
        replace(manifest, dataset=dataset).save(artifacts)
        text = terminal.passes("predict", artifacts / "int8.tflite", pictures, "--json", "-")
        plain = terminal.passes("predict", artifacts / "int8.tflite", pictures)
        found: str | None = json.loads(text)["accuracy"]["doubt"]
        assert ("Doubtful:" in plain) is bool(found)
        return found

    drawn, every = SplitOff(0.2, 0), SplitOff(1.0, 0)
    assert str(own) in (doubt(by_class, own, drawn) or "")
    assert doubt(by_class, own, every) is None  # All of it is test images.
    assert doubt(by_class, own.with_name("elsewhere"), drawn) is None
    (own.parent / "whole").mkdir()
    test = by_class.rename("whole/test")
    assert doubt(test, own.parent / "whole", None) is None
    assert doubt(test, own.parent / "whole", drawn)
    (artifacts / "manifest.json").unlink()
    text = terminal.passes("predict", artifacts / "int8.tflite", test, "--preprocess", "unit", "-q", "--json", "-")
    assert "never saw" in json.loads(text)["accuracy"]["doubt"]


@pytest.mark.parametrize("half", [False, True])
def test_the_accuracy_of_a_file_with_a_threshold_says_what_it_accepts(
    half: bool, artifacts: Path, by_class: Path, terminal: Any
) -> None:
    command = ("predict", artifacts / "int8.tflite", by_class)
    answers = json.loads(terminal.passes(*command, "--json", "-"))["images"]
    shares = sorted(max(answer["probabilities"].values()) for answer in answers)
    with_threshold(artifacts, shares[6] if half else 0.0)
    found = json.loads(terminal.passes(*command, "--json", "-"))
    known = [answer for answer in found["images"] if answer["label"] and answer["accepted"]]
    wrong = sum(answer["label"] != answer["predicted"] for answer in known)
    assert (found["accuracy"]["accepted"], found["accuracy"]["accepted_wrong"]) == (len(known), wrong)
    assert (0 < len(known) < 11) if half else ((len(known), wrong) == (11, 1))
    text = " ".join(terminal.passes(*command).split())
    assert f"images of a known class; {len(known)} are accepted by the threshold, {wrong} of them wrong" in text


def test_folders_that_are_no_classes_count_nothing(exported: Path, bars: list[str], terminal: Any) -> None:
    found = json.loads(terminal.passes("predict", exported / "int8.tflite", "bars", "--json", "-"))
    assert found["accuracy"] is None
    assert "accuracy" not in terminal.passes("predict", exported / "int8.tflite", "bars")


@pytest.mark.parametrize("typed", [["bars/a.png"], ["bars/a.png", "bars/b c.png"], ["bars"], ["missing.JPG"]])
def test_pictures_without_a_model_are_told_what_to_type(typed: list[str], bars: list[str], terminal: Any) -> None:
    line = terminal.fails(2, "predict", *typed)
    assert f"edgecnn predict MODEL.tflite {typed[0]}" in line

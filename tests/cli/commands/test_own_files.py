"""Commands on a user's own images, model trained elsewhere, and files without a manifest."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.convert import diagnose as diagnosing
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from tests.cli.always_right import SHORT
from tests.cli.commands.own_things import photos, save_linear

pytestmark = pytest.mark.usefixtures("made_here")


@pytest.fixture
def bare(exported: Path) -> str:
    """Files without a manifest: `float32.tflite` and `int8.onnx`."""
    Path("elsewhere").mkdir()
    for name in ("float32.tflite", "int8.onnx"):
        shutil.copy(exported / name, "elsewhere")
    return "elsewhere"


def source(exported: Path) -> str:
    """The images with which the files were exported."""
    return Manifest.load(exported).dataset.source


def test_data_says_what_is_in_a_folder_and_draws_it(terminal: Any) -> None:
    photos("pets")
    shutil.copy("pets/train/cat/0.png", "pets/test/cat/same.png")
    text = terminal.passes("data", "pets", "--save", "sheet.png", "--json", "found.json")
    assert "\npets: 8 training images and 5 test images in 2 classes\n" in text
    assert "train/cat/0.png = test/cat/same.png" in text
    assert text.startswith("PROBLEM: ")
    assert json.loads(Path("found.json").read_text())["classes"][0] == {"name": "cat", "train": 4, "test": 3, "val": None}
    with Image.open("sheet.png") as sheet:
        assert sheet.size[0] > 4 * 64


def test_data_draws_what_a_variation_does(terminal: Any) -> None:
    photos("pets")
    sheets = []
    for augment in ((), ("--augment", "photo"), ("--augment", "digit")):
        terminal.passes("data", "pets", "--save", "sheet.png", *augment)
        sheets.append(Path("sheet.png").read_bytes())
    assert len(set(sheets)) == 3


def test_data_refuses_what_is_none_and_labels_that_are_not_the_folders(terminal: Any) -> None:
    line = terminal.fails(2, "data", "nowhere")
    assert "nowhere is not a folder" in line
    assert line.endswith(" SOURCE")  # It has no option --data, which other commands have.
    photos("pets")
    assert re.search(r"sheet\.jpg is not a \.png.*--save", terminal.fails(2, "data", "pets", "--save", "sheet.jpg"))
    Path("names.txt").write_text("cat\nhound\n")
    assert "dog is not among names.txt" in terminal.fails(2, "data", "pets", "--labels", "names.txt")


def test_a_picture_does_not_replace_an_image_that_is_read(exported: Path, terminal: Any) -> None:
    photos("pets")
    image = Path("pets/train/cat/0.png")
    before = image.read_bytes()
    assert "is one of the images" in terminal.fails(2, "data", "pets", "--save", image)
    assert "or is an input" in terminal.fails(2, "predict", exported / "int8.tflite", image, "--save", image)
    assert image.read_bytes() == before


@pytest.mark.parametrize("name", ["float32.tflite", "int8.tflite", "int8.onnx", "model.keras"])
def test_verify_passes_what_computes_as_keras_did(name: str, exported: Path, terminal: Any) -> None:
    text = terminal.passes("verify", exported / name, "--json", "-")
    assert json.loads(text)["passed"]


def test_verify_has_the_limit_that_is_given_and_takes_only_the_images_of_the_stored_outputs(
    exported: Path, terminal: Any
) -> None:
    assert "differs from" in terminal.fails(4, "verify", exported / "int8.tflite", "--tolerance", "1e-9")
    images, labels = np.zeros((6, 12, 12), np.uint8), np.arange(6) % 3
    np.savez("other.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert "test images" in terminal.fails(2, "verify", exported / "int8.tflite", "--data", "other.npz")


def test_verify_of_a_bare_file_needs_a_reference(bare: str, idx_folder: Path, terminal: Any) -> None:
    said = ("--data", idx_folder, "--preprocess", "unit")
    line = terminal.fails(2, "verify", f"{bare}/float32.tflite", *said)
    assert re.search(r"no manifest\.json.*--reference$", line)
    reference = ("--reference", f"{bare}/int8.onnx")
    text = terminal.passes("verify", f"{bare}/float32.tflite", *reference, *said, "--tolerance", "0.2")
    assert "unverified: no manifest.json beside it" in text
    line = terminal.fails(4, "verify", f"{bare}/float32.tflite", *reference, *said)
    assert "the limit is" in line


def test_diagnose_tells_the_layers_of_a_file_and_draws_them(exported: Path, terminal: Any) -> None:
    text = terminal.passes(
        "diagnose", exported / "int8.tflite", "--count", "20", "--save", "layers.png", "--json", "layers.json"
    )
    layers = json.loads(Path("layers.json").read_text())["layers"]
    rows = [line for line in text.splitlines() if "%" in line]
    assert [layer["operator"] in row for layer, row in zip(layers, rows, strict=True)] == [True] * len(layers)
    assert Path("layers.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert max(map(len, rows)) <= 100


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("model.keras", (), "are not two exported files of one format"),
        ("int8.tflite", ("--float", "float32.onnx"), "are not two exported files of one format"),
        ("int8.tflite", ("--count", "0"), "--count must be at least 1, got 0"),
        ("int8.tflite", ("--save", "layers.gif"), "layers.gif is not a .png name"),
    ],
)
def test_diagnose_refuses_what_are_no_two_files_of_a_format(
    name: str, options: tuple[str, ...], part: str, exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported)
    assert part in terminal.fails(2, "diagnose", name, *options)


def test_layers_that_can_not_be_read_are_not_compared(exported: Path, by_name: Path, terminal: Any) -> None:
    assert "layers of .mnn files" in terminal.fails(2, "diagnose", by_name / "int8.mnn")
    message = terminal.fails(2, "export", exported / "model.keras", "--format", "mnn", "--keep-accuracy", "0.5")
    assert "--keep-accuracy compares layers" in message
    assert "layers of .ncnn files" in terminal.fails(2, "summary", by_name / "int8.ncnn")


def test_files_from_elsewhere_are_measured_for_their_latency_alone(bare: str, terminal: Any) -> None:
    text = terminal.passes("bench", f"{bare}/float32.tflite", f"{bare}/int8.onnx", *SHORT, "--json", "result.json")
    assert text.startswith("UNJUDGED: ")
    assert "random" in text
    assert "Accuracy compared" not in text
    record = json.loads(Path("result.json").read_text())
    assert [file["accuracy"] for file in record["files"]] == [None, None]
    line = terminal.fails(2, "bench", f"{bare}/int8.onnx", "--preprocess", "unit")
    assert re.search(r"--preprocess needs labelled images.*--data.*omit", line)
    assert "bench takes one folder" in terminal.fails(2, "bench", bare, bare)


def test_files_from_elsewhere_are_judged_beside_one_of_them(bare: str, idx_folder: Path, terminal: Any) -> None:
    said = ("--data", idx_folder, "--preprocess", "unit", "--max-drop", "100", *SHORT, "--json", "result.json")
    # The reference may be the last of the files, or none of them.
    for files in ((f"{bare}/int8.onnx", f"{bare}/float32.tflite"), (f"{bare}/int8.onnx",)):
        text = terminal.passes("bench", *files, "--reference", f"{bare}/float32.tflite", *said)
        assert "Accuracy compared with float32.tflite" in text
    assert "Unverified: float32.tflite" in text
    record = json.loads(Path("result.json").read_text())
    assert [file["accuracy"]["images"] for file in record["files"]] == [60, 60]
    assert "--preprocess unit (pixel / 255)" in terminal.fails(2, "bench", f"{bare}/int8.onnx", "--data", idx_folder)


def test_a_model_trained_elsewhere_is_exported_once_all_is_said(idx_folder: Path, terminal: Any) -> None:
    model = save_linear("own.keras", 12)
    line = terminal.fails(2, "export", "own.keras", "--preprocess", "unit")
    assert re.search(r"own\.keras .*it was trained on.*--data$", line)
    # Nothing in it shows how it takes pixels: labelled images may suggest a scheme, as a question.
    asked = terminal.fails(2, "export", "own.keras", "--data", idx_folder)
    assert re.search(r"own\.keras: how it takes pixels is not known.*of 60 labelled images .*--(preprocess|scale)", asked)
    assert not Path("artifacts").exists()
    Path("names.txt").write_text("low\nmiddle\nhigh\n")
    text = terminal.passes("export", "own.keras", "--data", idx_folder, "--preprocess", "tf", "--labels", "names.txt")
    assert "are assumed to be" not in terminal.err
    assert text.splitlines()[-1] == "Exported to artifacts/own. Next: edgecnn bench artifacts/own"
    manifest = Manifest.load(Path("artifacts/own"))
    assert manifest.class_names == ("low", "middle", "high")
    assert (manifest.preprocessing.scale, manifest.preprocessing.mean) == (1 / 127.5, (1.0,))
    # From here on the manifest has everything.
    found = json.loads(terminal.passes("evaluate", "artifacts/own/float32.onnx", "--json", "-"))["files"][0]
    test = load_test(idx_folder)
    expected = np.asarray(model(test.images(range(60)) / 127.5 - 1)).argmax(axis=1)
    assert found["correct"] == int((expected == test.labels).sum())
    assert "omit" in terminal.fails(2, "evaluate", "artifacts/own/float32.onnx", "--preprocess", "unit")


def test_a_drawing_model_from_elsewhere_keeps_the_rule_for_digits(idx_folder: Path, terminal: Any) -> None:
    save_linear("own.keras", 12)
    terminal.passes("export", "own.keras", "--data", idx_folder, "--preprocess", "unit", "--quantize", "float32")
    found = Manifest.load(Path("artifacts/own")).preprocessing
    assert (found.fit, found.background) == ("letterbox", "dark")
    said = ("--preprocess", "unit", "--fit", "digit", "--out", "digits", "--quantize", "float32")
    terminal.passes("export", "own.keras", "--data", idx_folder, *said)
    found = Manifest.load(Path("digits")).preprocessing
    assert (found.fit, found.background) == ("digit", "dark")


def test_a_manifest_and_a_bare_file_are_compared(exported: Path, bare: str, terminal: Any) -> None:
    both = (exported / "float32.tflite", f"{bare}/float32.tflite")
    for first, second in (both, both[::-1]):
        text = terminal.passes("verify", first, "--reference", second, "--preprocess", "unit", "--data", source(exported))
        assert "by at most 0 in" in " ".join(text.split())
        command = ("bench", first, second, "--preprocess", "unit", "--data", source(exported), "--max-drop", "100", *SHORT)
        terminal.passes(*command, "--json", "result.json")
        files = json.loads(Path("result.json").read_text())["files"]
        assert [file["accuracy"]["same_class"] for file in files] == [60, 60]
    assert "omit --preprocess" in terminal.fails(2, "verify", both[0], "--reference", both[0], "--preprocess", "unit")
    assert "omit --preprocess" in terminal.fails(2, "bench", exported, "--preprocess", "unit")
    assert "omit --preprocess" in terminal.fails(2, "bench", exported, "--signature", "serve")


def test_verify_takes_files_of_one_model(exported: Path, idx_folder: Path, terminal: Any) -> None:
    save_linear("small.keras", 8)
    said = ("--preprocess", "unit", "--data", idx_folder)
    line = terminal.fails(2, "verify", exported / "int8.tflite", "--reference", "small.keras", *said)
    assert re.search(r"small\.keras .*\(8, 8, 1\)", line)


def test_a_folder_of_which_only_a_share_is_measured_is_told(bare: str, terminal: Any) -> None:
    for label in "012":
        (Path("digits") / label).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(np.full((12, 12), 40 * number, np.uint8)).save(f"digits/{label}/{number}.png")
    command = ("evaluate", f"{bare}/float32.tflite", "--data", "digits", "--preprocess", "unit")
    text = terminal.passes(*command)
    assert "of 3 images" in text
    doubt = r"Doubtful: .* 20% of each class of digits.*\btest/.*--test-list FILE.*--test-share 1"
    assert len(re.findall(doubt, " ".join(text.split()))) == 1
    assert "outputs are assumed to be" not in text  # They are numbers on both sides.
    text = terminal.passes(*command, "--test-share", "1", "--json", "-")
    (found,) = json.loads(text)["files"]
    assert (found["images"], found["dataset"]["test_share"], found["dataset"]["may_be_learnt"]) == (15, 1.0, False)
    Path("test.txt").write_text("".join(f"{label}/{number}.png\n" for label in "012" for number in range(3)))
    text = terminal.passes(*command, "--test-list", "test.txt")
    assert "of 9 test images" in text
    assert "may have learned" not in text


def test_an_order_of_classes_that_nobody_said_is_told(bare: str, terminal: Any) -> None:
    for label in ("ant", "bee", "cat"):
        (Path("pets/test") / label).mkdir(parents=True)
        Image.fromarray(np.full((12, 12), 90, np.uint8)).save(f"pets/test/{label}/0.png")
    Path("names.txt").write_text("cat\nbee\nant\n")
    command = (f"{bare}/float32.tflite", "--data", "pets", "--preprocess", "unit")
    told = "The outputs are assumed to be the classes ant, bee, cat, in this order. Give --labels to change it."
    assert told in terminal.passes("evaluate", *command).splitlines()
    assert told in terminal.passes("bench", *command, *SHORT, "--json", "named.json").splitlines()
    assert json.loads(Path("named.json").read_text())["class_names"] == ["ant", "bee", "cat"]
    terminal.passes("report", "named.json", "--html", "named.html", "--data", "pets")
    assert "by number only" not in terminal.err
    assert "are assumed to be" not in terminal.passes("evaluate", *command, "--labels", "names.txt")
    doubt = "Doubtful: accuracy can't be judged: float32.tflite, the reference, is right on"
    assert doubt in " ".join(terminal.passes("bench", *command, *SHORT).split())
    shutil.copy(f"{bare}/float32.tflite", "theirs.tflite")
    shutil.copytree("pets/test", "pets/train")
    terminal.run("export", "theirs.tflite", *command[1:], "--quantize", "int8")
    assert told in " ".join(terminal.err.split())
    record = json.loads(terminal.passes("evaluate", *command, "--json", "-"))["files"][0]
    assert record["interface"]["preprocessing"]["scale"] == 1 / 255


def test_diagnose_looks_at_images_from_all_over(exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def note(float32: bytes, quantized: bytes, model_format: str, inputs: Any) -> Any:
        asked.append(inputs)
        raise ConfigError("enough")

    monkeypatch.setattr(diagnosing, "diagnose", note)
    terminal.fails(2, "diagnose", exported / "int8.tflite", "--count", "3")
    test = load_test(source(exported))
    assert np.array_equal(asked[0], Classifier.load(exported / "float32.tflite").inputs(test.images([0, 29, 59])))


def test_a_file_that_is_not_there_is_no_folder(terminal: Any) -> None:
    assert "nowhere.tflite does not exist" in terminal.fails(4, "bench", "nowhere.tflite")

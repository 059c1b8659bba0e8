"""The command line, through `main`: exit codes, the one line that says what is wrong, and what goes where."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.times import Times
from commands import bench, evaluate
from commands import train as train_command
from convert.dataset import load_test
from convert.train import train as train_model
from edge.files import sha256
from edge.manifest import Manifest

COMMANDS = (
    "data", "train", "evaluate", "predict", "export", "bundle", "verify", "summary", "bench", "diagnose", "doctor",
    "compare", "selftest", "report",
)  # fmt: skip
# A benchmark that takes no time.
SHORT = ("--launches", "2", "--min-runs", "4", "--min-seconds", "0")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def always_right(folder: Path, idx_folder: Path) -> Path:
    """Give the folder's manifest images with one label changed, and a reference that has every label right."""
    data = folder.parent / "relabelled"
    shutil.copytree(idx_folder, data)
    path = data / "t10k-labels-idx1-ubyte.gz"
    plain = bytearray(gzip.decompress(path.read_bytes()))
    plain[8] = (plain[8] + 1) % 3
    path.write_bytes(gzip.compress(plain))
    test = load_test(data)
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3, dtype=np.float32)[test.labels])
    (folder / "reference.npy").write_bytes(buffer.getvalue())
    manifest = Manifest.load(folder)
    assert manifest.reference
    replace(
        manifest,
        dataset=replace(manifest.dataset, source=str(data), test_sha256=test.sha256),
        reference=replace(manifest.reference, sha256=sha256(buffer.getvalue()), test_sha256=test.sha256),
    ).save(folder)
    return data


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--fast"], "No such option: --fast"),
        (["fly"], "No such command 'fly'"),
        (["evaluate"], "Missing argument 'FILE'"),
        (["evaluate", "x.tflite", "--fast"], "No such option: --fast"),
        (["evaluate", "x.tflite", "--threads", "many"], "Invalid value for '--threads'"),
        (["predict", "x.tflite"], "nothing to predict: name image files, or test images with --index 47"),
        (["export", "--quantize", "int4"], "--quantize int4 is unknown: use float32, float16, dynamic, int8, int16x8"),
        (["export", "--format", "coreml"], "--format coreml is unknown: use tflite or onnx"),
        (["export", "--quantize", "float16"], "onnx has no float16 (it has float32, int8): use --format tflite alone"),
        (["export", "--format", "onnx", "--quantize", "int16x8"], "onnx has no int16x8 (it has float32, int8): choose another"),
        (["bench", "--runtime", "torch"], "--runtime torch is unknown: use keras, tflite, onnx"),
        (["train", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["train", "--data", "nowhere"], "nowhere is not a folder, an .npz file or one of mnist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options_exit_with_2_and_say_which(arguments: list[str], part: str, terminal: Any) -> None:
    assert part in terminal.fails(2, *arguments)
    assert terminal.out == ""


@pytest.mark.parametrize("command", ["evaluate", "bench"])
def test_a_data_folder_that_is_none_exits_with_2(command: str, exported: Path, terminal: Any) -> None:
    target = exported / "int8.tflite" if command == "evaluate" else exported
    assert "nowhere is not a folder, an .npz file or one of" in terminal.fails(2, command, target, "--data", "nowhere")


@pytest.mark.parametrize("index", [-1, 60])
def test_an_index_out_of_range_exits_with_2(index: int, exported: Path, terminal: Any) -> None:
    line = terminal.fails(2, "predict", exported / "int8.tflite", "--index", str(index))
    assert line == f"edgecnn: --index {index} is out of range: the test images are 0 to 59"


def test_an_out_folder_that_is_a_file_exits_with_2(idx_folder: Path, terminal: Any) -> None:
    Path("taken").write_text("mine")
    line = terminal.fails(2, "train", "--data", idx_folder, "--out", "taken")
    assert line == "edgecnn: taken can't be written (File exists): choose another folder"
    assert Path("taken").read_text() == "mine"


@pytest.mark.parametrize("option", ["--json", "--save"])
def test_a_result_that_cannot_be_written_exits_with_2(option: str, exported: Path, terminal: Any) -> None:
    Path("taken").write_text("mine")
    line = terminal.fails(2, "predict", exported / "int8.tflite", "--index", "0", option, "taken/result.png")
    assert "taken can't be written" in line


def test_benchmarking_other_images_than_the_models_exits_with_2(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    data = always_right(artifacts, idx_folder)
    assert "these are not the model's test images (bars" in terminal.fails(2, "bench", artifacts, "--data", idx_folder)
    shutil.rmtree(data)
    line = terminal.fails(2, "bench", artifacts)
    assert "are not here: name their folder with --data" in line


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--max-drop", "101"], "max_drop_points must be 0 to 100, got 101.0"),
        (["--max-p90-ms", "0"], "max_p90_ms must be above 0, got 0.0"),
        (["--threads", "1,x"], "--threads must be a number, or several as 1,2,4, got 1,x"),
        (["--sustained", "soon"], "'soon' is no duration: write 90s, 10m or 1h"),
        (["--allow", "dust"], "--allow dust is unknown: use noise, or one of governor, temperature, throttled"),
        (["--launches", "0"], "--launches must be 1 to 100, got 0"),
        (["--min-runs", "0"], "--min-runs must be 1 to 10000000, got 0"),
        (["--min-seconds", "-1"], "--min-seconds must be 0 to 86400, got -1.0"),
        (["--percentile", "100"], "--percentile must be above 0 and below 100, got 100.0"),
        (["--budget", "limits.toml"], "limits.toml: max_drop is unknown: use max_drop_points, min_agreement_percent"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bench_refuses_what_cannot_be_before_it_measures(
    arguments: list[str], part: str, exported: Path, terminal: Any
) -> None:
    Path("limits.toml").write_text("max_drop = 0.5")
    assert part in terminal.fails(2, "bench", exported, *arguments)
    assert terminal.err.count("\n") == 1


def test_a_file_outside_the_budget_exits_with_3_after_the_table(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    limit = ("bench", artifacts, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--max-size-kib", "40")
    line = terminal.fails(3, *limit)
    assert line == "edgecnn: 1 of 2 files are not within the budget: see the reasons above"
    assert terminal.out.splitlines()[-1].startswith("FAIL: float32.onnx: size is ")
    assert terminal.fails(3, *limit, "--json", "-")
    assert json.loads(terminal.out)["verdict"]["status"] == "FAIL"


def test_too_few_images_to_decide_exit_with_3(exported: Path, terminal: Any) -> None:
    assert "2 of 2 files are not within the budget" in terminal.fails(3, "bench", exported, "--runtime", "onnx", *SHORT)
    assert "UNDECIDED: float32.onnx: accuracy 100.00%" in terminal.out
    assert "60 images do not decide, about 740 images like these would decide" in " ".join(terminal.out.split())


def test_a_measurement_that_must_not_be_used_exits_with_7(exported: Path, terminal: Any) -> None:
    # Four runs are too few for a p90.
    command = ("bench", exported, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--max-p90-ms", "1000", "--allow", "noise")
    line = terminal.fails(7, *command)
    assert line == "edgecnn: the measurement must not be judged: see the reasons above"
    assert "INVALID: float32.onnx: p90 can't be judged: it needs 64 runs" in terminal.out


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("missing.tflite", "missing.tflite does not exist: check the path"),
        ("empty.tflite", "empty.tflite is empty: export or copy it again"),
        ("text.tflite", "text.tflite is not a TFLite file"),
        ("text.keras", "text.keras is not a Keras 3 file"),
        ("text.onnx", "can't load the ONNX model"),
        ("text.txt", "text.txt is not a .keras, .tflite or .onnx file: name one"),
    ],
)
def test_a_file_that_is_no_model_exits_with_4(name: str, part: str, terminal: Any) -> None:
    if name != "missing.tflite":
        Path(name).write_text("" if name.startswith("empty") else "just some text")
    assert part in terminal.fails(4, "evaluate", name)
    assert terminal.out == ""


@pytest.mark.parametrize("command", ["evaluate", "bench", "export"])
def test_an_altered_file_exits_with_4(command: str, artifacts: Path, terminal: Any) -> None:
    name = "model.keras" if command == "export" else "int8.tflite"
    data = bytearray((artifacts / name).read_bytes())
    data[len(data) // 2] ^= 1
    (artifacts / name).write_bytes(data)
    target = artifacts if command == "bench" else artifacts / name
    line = terminal.fails(4, command, target, *(["--runtime", "tflite"] if command == "bench" else []))
    assert f"{name} is not the file that manifest.json lists" in line


def test_a_folder_without_a_manifest_exits_with_4(terminal: Any) -> None:
    assert "nowhere/manifest.json does not exist" in terminal.fails(4, "bench", "nowhere")


def test_truncated_images_exit_with_4(exported: Path, idx_folder: Path, tmp_path: Path, terminal: Any) -> None:
    data = tmp_path / "cut"
    shutil.copytree(idx_folder, data)
    path = data / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    line = terminal.fails(4, "evaluate", exported / "int8.tflite", "--data", data)
    assert "t10k-images-idx3-ubyte.gz is truncated: 8655 bytes, its header says 8656" in line


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_a_result_does_not_replace_a_model_or_a_manifest(option: str, artifacts: Path, terminal: Any) -> None:
    before = (artifacts / "manifest.json").read_bytes()
    line = terminal.fails(2, "bench", artifacts, option, artifacts / "manifest.json")
    assert "manifest.json has a model's or a manifest's name: write to another file" in line
    assert (artifacts / "manifest.json").read_bytes() == before


def test_bench_measures_what_is_installed_and_says_what_is_not(
    exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "is_installed", lambda name: name == "onnx")
    text = terminal.passes("bench", exported, *SHORT, "--max-drop", "100")
    assert "keras files were not measured: their runtime is not installed." in text
    assert "tflite files were not measured: their runtime is not installed." in text
    assert "int8.onnx" in text
    assert "int8.tflite" not in text


def test_a_runtime_that_is_named_and_not_installed_exits_with_6_before_anything_runs(
    exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(bench, "is_installed", lambda name: name != "onnx")
    line = terminal.fails(6, "bench", exported, "--runtime", "onnx")
    assert line == "edgecnn: ONNX Runtime is not installed: pip install 'edgecnn[onnx]'"
    assert terminal.err.count("\n") == 1


def test_ctrl_c_exits_with_130_exits_with_6_and_says_what_to_install(
    exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = terminal.fails(6, "evaluate", exported / "float32.onnx")
    assert line == "edgecnn: ONNX Runtime is not installed: pip install 'edgecnn[onnx]'"


def test_ctrl_c_exits_with_130(exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "test_images", interrupt)
    assert terminal.run("evaluate", exported / "int8.tflite") == 130
    assert terminal.err.endswith("edgecnn: interrupted\n")
    assert terminal.out == ""
    assert "Traceback" not in terminal.err


def test_an_exception_that_nobody_expected_keeps_its_traceback(
    exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("our bug")

    monkeypatch.setattr(evaluate, "test_images", fail)
    with pytest.raises(ZeroDivisionError, match="our bug"):
        terminal.run("evaluate", exported / "int8.tflite")


def test_test_images_of_another_shape_are_refused_and_both_shapes_named(exported: Path, terminal: Any, tmp_path: Path) -> None:
    shutil.copy(exported / "int8.tflite", tmp_path / "copy.tflite")
    for command in (("evaluate",), ("predict", "--index", "0")):
        bare = (*command, tmp_path / "copy.tflite", "--preprocess", "unit")
        assert "does not say what its images are: name them with --data" in terminal.fails(2, *bare)
        line = terminal.fails(2, *bare, "--data", "mnist")
        assert "takes images of (12, 12, 1), these are (28, 28, 1): name others with --data" in line


@pytest.mark.parametrize("command", ["evaluate", "bench"])
def test_threads_out_of_range_exit_with_2(command: str, exported: Path, terminal: Any) -> None:
    file, options = (exported / "int8.tflite", ()) if command == "evaluate" else (exported, ("--runtime", "tflite"))
    line = terminal.fails(2, command, file, *options, "--threads", "65")
    assert line == "edgecnn: --threads must be 1 to 64, got 65"


def test_an_altered_manifest_exits_with_4(artifacts: Path, terminal: Any) -> None:
    path = artifacts / "manifest.json"
    path.write_text(path.read_text().replace('"class_names": ["0", "1"', '"class_names": ["1", "0"'))
    line = terminal.fails(4, "predict", artifacts / "int8.tflite", "--index", "0")
    assert "manifest.json was altered" in line


def test_a_full_standard_output_exits_with_2(exported: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "edgecnn", "evaluate", str(exported / "int8.tflite")]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == [
        "edgecnn: standard output can't be written (No space left on device): send it elsewhere"
    ]


def test_a_terminal_without_block_characters_gets_question_marks(exported: Path) -> None:
    command = [sys.executable, "-m", "edgecnn", "predict", str(exported / "int8.tflite"), "--index", "0"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "predicted" in done.stdout
    assert "?" in done.stdout


def test_output_files_are_refused_before_the_work(exported: Path, terminal: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    line = terminal.fails(2, "bench", exported, "--json", "taken")
    assert line == "edgecnn: taken is a folder: name a file"


def test_save_writes_png_only(exported: Path, terminal: Any) -> None:
    line = terminal.fails(2, "predict", exported / "int8.tflite", "--index", "0", "--save", "digit.xyz")
    assert line == "edgecnn: digit.xyz is not a .png name: --save writes PNG"


def test_an_interrupted_training_says_how_to_go_on_and_exits_with_130(
    idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_command, "train_model", lambda *given: replace(train_model(*given), interrupted=True))
    command = ("train", "--data", idx_folder, "--epochs", "1", "--batch-size", "60", "--out", "out")
    assert terminal.run(*command) == 130
    assert "Interrupted: out/model.keras holds epoch 1 of 1" in terminal.err
    assert "--resume" in terminal.err
    assert terminal.out.startswith("out/model.keras: accuracy ")
    assert "Next: edgecnn export out/model.keras" in terminal.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help_has_an_example(command: str, terminal: Any) -> None:
    assert f"Example: edgecnn {command} " in terminal.passes(command, "--help")


def test_help_names_every_command(terminal: Any) -> None:
    text = terminal.passes("--help")
    assert all(command in text for command in COMMANDS)


def test_every_format_has_the_same_accuracy(exported: Path, terminal: Any) -> None:
    names = ("model.keras", "float32.tflite", "float32.onnx")
    found = [json.loads(terminal.passes("evaluate", exported / name, "--json", "-")) for name in names]
    assert [result["runtime"].split()[0] for result in found] == ["keras", "ai-edge-litert", "onnxruntime"]
    assert {(result["images"], result["correct"], result["unverified"]) for result in found} == {
        (60, found[0]["correct"], None)
    }
    assert found[0]["accuracy"] > 0.9


def test_json_goes_to_a_file_beside_the_text(exported: Path, terminal: Any) -> None:
    text = terminal.passes("evaluate", exported / "int8.tflite", "--json", "new/result.json")
    record = json.loads(Path("new/result.json").read_text())
    assert f"accuracy {record['accuracy']:.4f} ({record['correct']} of 60 test images)" in text
    assert "unverified" not in text


def test_bench_measures_the_asked_runtime_and_writes_json(exported: Path, terminal: Any) -> None:
    Path("limits.toml").write_text('max_drop_points = 100\nmax_size_kib = 1\n[files."int8.onnx"]\nmax_size_kib = 60\n')
    outputs = ("--json", "new/report.json", "--markdown", "new/report.md", "--csv", "new/report.csv")
    command = ("bench", exported, "--runtime", "onnx", *SHORT, "--budget", "limits.toml", "--max-size-kib", "100", *outputs)
    text = terminal.passes(*command)
    record = json.loads(Path("new/report.json").read_text())
    assert [file["artifact"]["path"] for file in record["files"]] == ["float32.onnx", "int8.onnx"]
    assert record["command"] == " ".join(["edgecnn", *map(str, command)])
    assert terminal.err.splitlines() == [
        "launch 1 of 2",
        "launch 2 of 2",
        "classifying 60 test images",
    ]
    passed = "PASS: every file is within 100.00 points of the float Keras model (95 %), and within its other limits."
    assert " ".join(text.split()).endswith(passed)
    assert Path("new/report.md").read_text().startswith("# edgecnn bench\n\n**PASS: every file")
    assert Path("new/report.csv").read_text().startswith("file,runtime,threads,size_bytes")
    # The result says it all again.
    assert terminal.passes("report", "new/report.json") == text
    terminal.passes("report", "new/report.json", "--markdown", "again.md", "--csv", "again.csv")
    assert Path("again.md").read_bytes() == Path("new/report.md").read_bytes()
    assert Path("again.csv").read_bytes() == Path("new/report.csv").read_bytes()
    terminal.passes("report", "new/report.json", "--html", "new/report.html")
    assert terminal.err == "wrote new/report.html\n"
    assert Path("new/report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_result_of_images_that_are_gone_is_still_shown(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    data = always_right(artifacts, idx_folder)
    terminal.passes("bench", artifacts, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--json", "result.json")
    shutil.rmtree(data)
    terminal.passes("report", "result.json", "--html", "report.html")
    assert "flipped images are shown by number only: " in terminal.err
    assert "are not the model's test images" in terminal.fails(
        2, "report", "result.json", "--html", "other.html", "--data", idx_folder
    )
    assert not Path("other.html").exists()


def test_compare_tells_a_regression_with_exit_code_3(exported: Path, terminal: Any) -> None:
    for name in ("old.json", "new.json"):
        terminal.passes("bench", exported, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--json", name)
    text = terminal.passes("compare", "old.json", "new.json", "--json", "comparison.json")
    assert "old.json and new.json" in text
    assert len(json.loads(Path("comparison.json").read_text())["changes"]) == 2
    # Ten times as long, whatever the noise of this machine.
    record = json.loads(Path("new.json").read_text())
    for measured in record["files"]:
        for launch in measured["launches"]:
            for item in launch["rounds"]:
                times = Times(**item["measured"]).unpack()
                item["measured"] = {"count": len(times), "packed": Times.pack(times * 1000).packed}
    Path("new.json").write_text(json.dumps(record))
    slow = ("compare", "old.json", "new.json", "--max-slowdown", "5", "--allow", "noise")
    line = terminal.fails(3, *slow)
    assert line == "edgecnn: not shown to be within 5 % of the old time: float32.onnx (FAIL), int8.onnx (FAIL)"
    assert "worse" in terminal.out
    assert "nowhere.json does not exist" in terminal.fails(4, "compare", "old.json", "nowhere.json")


def test_selftest_prints_the_noise_floor(exported: Path, terminal: Any) -> None:
    command = ("selftest", exported / "int8.onnx", "--trials", "4", "--launches", "2", "--min-runs", "40", "--min-seconds", "0")
    # On a machine that is busy with other tests the intervals may be wrong, which is exit code 7.
    assert terminal.run(*command, "--json", "-") in (0, 7), terminal.err
    record = json.loads(terminal.out)
    assert (record["file"], len(record["side_by_side"]["ratios"])) == ("int8.onnx", 4)
    assert "trial 4 of 4" in terminal.err


def test_selftest_of_a_file_that_nothing_vouches_for_exits_with_2(exported: Path, terminal: Any) -> None:
    shutil.copy(exported / "int8.tflite", "copy.tflite")
    assert "selftest needs a file that edgecnn exported" in terminal.fails(2, "selftest", "copy.tflite")


def test_export_writes_files_and_says_what_is_next(artifacts: Path, terminal: Any) -> None:
    (artifacts / "float16.tflite").unlink()
    text = terminal.passes("export", artifacts / "model.keras", "--format", "tflite", "--quantize", "float16")
    assert (artifacts / "float16.tflite").stat().st_size > 0
    assert text.splitlines()[-1] == f"Exported to {artifacts}. Next: edgecnn bench {artifacts}"


def test_predict_names_a_test_images_label_and_draws_it(exported: Path, terminal: Any) -> None:
    text = terminal.passes("predict", exported / "int8.tflite", "--index", "4", "--index", "2", "--save", "new/digits.png")
    assert text.index("test image 4: label 1, predicted ") < text.index("test image 2: label 2, predicted ")
    assert Path("new/digits.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "█" in text


def test_predict_takes_an_image_file(exported: Path, idx_folder: Path, terminal: Any) -> None:
    Image.fromarray(load_test(idx_folder).images([5])[0, ..., 0]).save("bar.png")
    of_file, of_index = (
        json.loads(terminal.passes("predict", exported / "int8.tflite", *image, "--json", "-"))["images"][0]
        for image in (["bar.png"], ["--index", "5"])
    )
    assert (of_file["image"], of_file["label"], of_index["label"]) == ("bar.png", None, "2")
    assert of_file["probabilities"] == of_index["probabilities"]
    assert sum(of_file["probabilities"].values()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("command", [["evaluate"], ["predict", "--index", "0"]], ids=["evaluate", "predict"])
def test_a_file_copied_out_of_its_folder_is_said_to_be_unverified(
    command: list[str], exported: Path, idx_folder: Path, terminal: Any
) -> None:
    shutil.copy(exported / "int8.tflite", "copy.tflite")
    line = terminal.fails(2, command[0], "copy.tflite", *command[1:], "--data", idx_folder)
    assert line.startswith("edgecnn: copy.tflite")
    assert "--preprocess unit (pixel / 255)" in line
    text = terminal.passes(command[0], "copy.tflite", *command[1:], "--data", idx_folder, "--preprocess", "unit")
    assert "\nunverified: no manifest.json beside it; pixels go in as 0.00392157 * pixel" in text


def test_too_little_memory_is_one_line(exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(evaluate, "test_images", fail)
    line = terminal.fails(2, "evaluate", exported / "int8.tflite")
    assert line == "edgecnn: there is not enough memory (Unable to allocate 1 TiB): give a smaller --size or --batch-size"


def test_what_tensorflow_calls_exhausted_is_memory(idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class ResourceExhaustedError(Exception):
        pass

    def fail(*_: Any) -> None:
        raise ResourceExhaustedError("OOM when allocating tensor")

    monkeypatch.setattr(train_command, "train_model", fail)
    assert "not enough memory (OOM when allocating tensor)" in terminal.fails(2, "train", "--data", idx_folder, "--out", "out")


def test_doctor_runs_a_folders_files_and_says_what_is_wrong(artifacts: Path, terminal: Any) -> None:
    terminal.passes("doctor", artifacts, "--json", "found.json")
    findings = {finding["name"]: finding["status"] for finding in json.loads(Path("found.json").read_text())["findings"]}
    assert {findings[name] for name in ("float32.tflite", "int8.tflite", "int8.onnx")} <= {"ok", "warning"}
    shutil.copy(artifacts / "int8.tflite", "cut.tflite")
    Path("cut.tflite").write_bytes(Path("cut.tflite").read_bytes()[:3000])
    line = terminal.fails(4, "doctor", "cut.tflite")
    assert line == "edgecnn: problems were found: 1, each with its fix above"
    assert "cut.tflite" in terminal.out

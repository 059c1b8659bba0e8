"""Wrong options and verdicts: exit codes, and one line that says what is wrong."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.convert.training import train as training
from edgecnn.convert.training.records import TrainingRun
from tests.cli.always_right import SHORT, always_right

COMMANDS = (
    "data", "train", "sweep", "fit", "evaluate", "predict", "export", "bundle", "verify", "summary", "bench", "diagnose",
    "doctor", "compare", "selftest", "report", "serve", "deploy",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--fast"], "No such option: --fast"),
        (["fly"], "No such command 'fly'"),
        (["evaluate"], "Missing argument 'FILE'"),
        (["evaluate", "x.tflite", "--fast"], "No such option: --fast"),
        (["evaluate", "x.tflite", "--threads", "many"], "Invalid value for '--threads'"),
        (
            ["export", "--keep-accuracy", "--data", "photos"],
            "'--keep-accuracy': a value is missing before --data. (see edgecnn export",
        ),
        (["compare", "old", "--no-such"], "No such option: --no-such"),
        (["compare", "old", "new", "--floor", "--force"], "--floor': a value is missing before --force."),
        (["compare", "new", "old", "--max-slowdown", "-1"], "--max-slowdown must be"),
        (["data", "data", "--labels", "--no-keep-together"], "--labels': a value is missing before --no-keep-together."),
        (["export", "--keep-accuracy"], "'--keep-accuracy' requires an argument. (see edgecnn export"),
        (["predict", "x.tflite"], "nothing to predict: name image files, or test images with --index 47"),
        (["predict", "x.tflite", "--index", "0", "--save", "x.xyz"], "x.xyz is not a .png name: --save writes PNG"),
        (["bench", "x.tflite", "--json", "."], ". is a folder: name a file"),
        (
            ["export", "x.keras", "--keep-accuracy", "0"],
            "--keep-accuracy must be above 0 and at most 100 percentage points, got 0",
        ),
        (["export", "--quantize", "int2"], "--quantize must be float32, float16, dynamic, int8, int4 or int16x8, got int2"),
        (["export", "--format", "coreml"], "--format must be tflite, onnx, ncnn, mnn or executorch, got coreml"),
        (["export", "--tune-runtime", "openvino"], "--tune-runtime says how to tune: add --tune here"),
        (["export", "--tune-limit", "10s"], "--tune-limit says how to tune: add --tune here"),
        (["export", "--tune-seed", "3"], "--tune-seed says how to tune: add --tune here"),
        (["export", "--tune", "here", "--tune-seed", "-1"], "--tune-seed must be at least 0, got -1"),
        (["export", "--tune", "/"], "--tune / names no machine: use here, a host, or cortex-a53"),
        (["export", "--tune", "here", "--tune-runtime", "keras"], "--tune-runtime keras is unknown: use litert, litert-fp16"),
        (["export", "--tune", "here", "--tune-runtime", "coral"], "--tune-runtime coral is unknown: use litert, litert-fp16"),
        (
            ["export", "--format", "tflite", "--tune", "here", "--tune-runtime", "onnxruntime"],
            "--tune-runtime onnxruntime runs onnx files: add --format onnx",
        ),
        (
            ["bench", "--runtime", "torch"],
            "--runtime torch is unknown: use litert, litert-fp16, tflite-runtime, onnxruntime, openvino, ncnn, mnn, ",
        ),
        (["data", "mnist", "--augment", "photo"], "--augment is drawn into a picture: name its file with --save"),
        (["data", "mnist", "--augment", "none", "--save", "x.png"], "--augment must be photo, photo-mirror or digit, got none"),
        (["train", "--augment", "flip"], "--augment must be photo, photo-mirror, digit or none, got flip"),
        (["summary", ""], "TARGET is an empty text"),
        (["train", "--out", ""], "--out is an empty text"),
        (["bench", "x.tflite", "--json", ""], "--json is an empty text"),
        (["train", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["train", "--data", "nowhere"], "nowhere is not a folder, an .npz file or one of mnist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options_exit_with_2_and_say_which(arguments: list[str], part: str, terminal: Any) -> None:
    assert part in terminal.fails(2, *arguments)
    assert terminal.out == ""


@pytest.mark.parametrize("index", [-1, 60])
def test_an_index_out_of_range_exits_with_2(index: int, exported: Path, terminal: Any) -> None:
    line = terminal.fails(2, "predict", exported / "int8.tflite", "--index", str(index))
    assert re.search(rf"--index {index} .*range.*\b0 to 59$", line)


def test_an_out_folder_that_is_a_file_exits_with_2(idx_folder: Path, terminal: Any) -> None:
    Path("taken").write_text("mine")
    line = terminal.fails(2, "train", "--data", idx_folder, "--out", "taken")
    assert re.search(r"taken can't be.*\(Not a directory\)", line)
    assert Path("taken").read_text() == "mine"


@pytest.mark.parametrize("option", ["--json", "--save"])
def test_a_result_that_cannot_be_written_exits_with_2(option: str, exported: Path, terminal: Any) -> None:
    Path("taken").write_text("mine")
    line = terminal.fails(2, "predict", exported / "int8.tflite", "--index", "0", option, "taken/result.png")
    assert "taken can't be written" in line


def test_benchmarking_other_images_than_the_models_exits_with_2(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    data = always_right(artifacts, idx_folder)
    assert "the model's test images (bars" in terminal.fails(2, "bench", artifacts, "--data", idx_folder)
    shutil.rmtree(data)
    line = terminal.fails(2, "bench", artifacts)
    assert re.search(r"are not here.*--data", line)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--max-p90-ms", "0"], "--max-p90-ms must be above 0, got 0.0"),
        (["--threads", "1,x"], "--threads must be written like 1,2,4, got 1,x"),
        (["--sustained", "soon"], "--sustained must be written like 90s, 10m or 1h, got soon"),
        (["--allow", "dust"], "--allow must be noise, governor, temperature, throttled"),
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


@pytest.mark.parametrize(
    ("targets", "limited"),
    [
        (("{folder}", "--runtime", "onnx"), "int8.tflite"),
        (("{folder}", "--runtime", "onnxruntime"), "model.keras"),
        (("{folder}", "--runtime", "tflite"), "int8.tflit"),
        (("{folder}/float32.onnx", "{folder}/int8.onnx"), "int8.tflite"),
        (("{folder}", "--runtime", "onnx", "--device", "nowhere"), "int8.tflite"),
        (("{folder}", "--device", "nowhere"), "model.keras"),
        (("bundle.zip",), "model.keras"),
        (("bundle.zip", "--runtime", "tflite", "--device", "nowhere"), "int8.onnx"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_limit_of_a_file_that_is_not_measured_is_an_error(
    targets: tuple[str, ...], limited: str, exported: Path, terminal: Any
) -> None:
    Path("limits.toml").write_text(f'[files."{limited}"]\nmin_accuracy_percent = 1')
    if targets[0] == "bundle.zip":
        terminal.passes("bundle", exported, "--out", "bundle.zip")
    given = [target.format(folder=exported) for target in targets]
    line = terminal.fails(2, "bench", *given, "--budget", "limits.toml")
    assert f'limits.toml: [files."{limited}"] names no measured' in line


def test_a_file_outside_the_budget_exits_with_3_and_says_so_first(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    limit = ("bench", artifacts, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--max-size-kib", "40")
    line = terminal.fails(3, *limit, "--json", "result.json")
    assert re.match(r"edgecnn: 1 of 2.*\(1 FAIL\)", line)
    assert terminal.out.startswith("FAIL: float32.onnx: size is ")
    assert json.loads(Path("result.json").read_text())["verdict"]["status"] == "FAIL"


def test_too_few_images_to_decide_exit_with_3(exported: Path, terminal: Any) -> None:
    line = terminal.fails(3, "bench", exported, "--runtime", "onnx", *SHORT)
    assert re.search(r"2 of 2.*\(2 UNDECIDED\)", line)
    assert "did not pass" not in line
    assert terminal.out.startswith("UNDECIDED: 60 images show every file within ")
    assert "UNDECIDED: float32.onnx, int8.onnx: accuracy 100.00%" in terminal.out
    assert re.search(r"about 740 images.*decide.*\b80 %", " ".join(terminal.out.split()))


def test_a_measurement_that_must_not_be_used_exits_with_7(exported: Path, terminal: Any) -> None:
    # Four runs are too few for a p90.
    command = ("bench", exported, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--max-p90-ms", "1000", "--allow", "noise")
    line = terminal.fails(7, *command)
    assert "measurement is too noisy" in line
    assert re.search(r"INVALID: float32\.onnx, int8\.onnx: p90.*\b64 runs", terminal.out)


@pytest.mark.parametrize("planned", [1, 2])
def test_an_interrupted_training_says_how_to_go_on_and_exits_with_130(
    planned: int, idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = training.train

    def interrupted(run: TrainingRun) -> Any:
        result = train(run)
        assert result
        return replace(result, interrupted=True, config=replace(result.config, epochs=planned))

    monkeypatch.setattr(training, "train", interrupted)
    command = ("train", "--data", idx_folder, "--epochs", "1", "--batch-size", "60", "--out", "out")
    assert terminal.run(*command) == 130
    assert re.search(r"Interrupted: out/model\.keras.*epoch 1 of 1", terminal.err)
    # While the last epoch was saved: nothing is left to resume.
    assert ("--resume" in terminal.err, "The training is complete." in terminal.err) == (planned == 2, planned == 1)
    assert terminal.out.startswith("out/model.keras: accuracy ")
    assert "Next: edgecnn export out/model.keras" in terminal.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help_has_an_example_and_shows_defaults_in_one_way(
    command: str, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = terminal.passes(command, "--help")
    assert f"Example: edgecnn {command} " in shown
    text = " ".join(shown.split())
    assert not re.search(r"Default: |\[default: \(", text)
    assert f"Usage: edgecnn {command} [OPTIONS]" in text
    assert "{" not in text
    assert terminal.passes(command, "-h") == shown
    monkeypatch.setenv("COLUMNS", "60")
    assert [line for line in terminal.passes(command, "--help").splitlines() if len(line) > 60] == []


def test_help_has_a_line_for_every_command_and_the_image_options_in_full_where_they_matter(terminal: Any) -> None:
    shown = terminal.passes("--help")
    assert shown.startswith("Usage: edgecnn [OPTIONS]")
    assert terminal.passes("-h") == shown
    _, _, text = shown.partition("Commands")
    assert sorted(re.findall(r"^  ([a-z]+) +[A-Z]", text, re.M)) == sorted(COMMANDS)
    assert "--split-seed" in terminal.passes("data", "--help")
    text = terminal.passes("bench", "--help")
    assert len(re.findall(r"^  --(?:data|size|channels|fit|preprocess|scale|mean) ", text, re.M)) == 2
    others = "Also --size, --channels, --fit, --test-share, --split-seed, --test-list, --keep-together, --labels"
    assert f"{others}: see edgecnn data --help" in " ".join(text.split())

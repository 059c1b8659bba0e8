"""Output and files of the commands."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import edgecnn
from edgecnn.benchmarks.compare.selftest import SelfTest
from edgecnn.benchmarks.results.records import DeviceResults
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.records import from_json
from tests.cli.always_right import SHORT, always_right
from tests.schemas import require_valid

KEPT = Path(__file__).parents[2] / "benchmarks/kept_results/schema-5.json"


def test_every_format_has_the_same_accuracy(exported: Path, terminal: Any) -> None:
    names = ("model.keras", "float32.tflite", "float32.onnx")
    found = [json.loads(terminal.passes("evaluate", exported / name, "--json", "-"))["files"][0] for name in names]
    assert [result["runtime"].split()[0] for result in found] == ["keras", "ai-edge-litert", "onnxruntime"]
    assert {(result["images"], result["correct"], result["unverified"]) for result in found} == {
        (60, found[0]["correct"], None)
    }
    assert found[0]["accuracy"] > 0.9


@pytest.mark.parametrize("command", ["evaluate", "summary"])
def test_the_json_of_one_file_has_the_shape_of_a_folder_s_as_in_python(command: str, exported: Path, terminal: Any) -> None:
    call = getattr(edgecnn, command)
    for target in (exported / "int8.tflite", exported):
        written = json.loads(terminal.passes(command, target, "--json", "-"))
        assert written == json.loads(call(target).to_json())
        assert {Path(file["file"]).suffix for file in written["files"]} >= {".tflite"}
        assert terminal.passes(command, target).rstrip("\n") == call(target).to_text()


def test_json_goes_to_a_file_beside_the_text(exported: Path, terminal: Any) -> None:
    text = terminal.passes("evaluate", exported / "int8.tflite", "--json", "new/result.json")
    (record,) = json.loads(Path("new/result.json").read_text())["files"]
    assert f"accuracy {record['accuracy']:.4f} ({record['correct']} of 60 test images)" in " ".join(text.split())
    assert "unverified" not in text


def test_bench_measures_the_asked_runtime_and_writes_json(exported: Path, terminal: Any) -> None:
    Path("limits.toml").write_text('max_drop_points = 100\nmax_size_kib = 1\n[files."int8.onnx"]\nmax_size_kib = 60\n')
    outputs = ("--json", "new/report.json", "--markdown", "new/report.md", "--csv", "new/report.csv")
    command = ("bench", exported, "--runtime", "onnx", *SHORT, "--budget", "limits.toml", "--max-size-kib", "100", *outputs)
    text = terminal.passes(*command)
    record = json.loads(Path("new/report.json").read_text())
    assert [file["artifact"]["path"] for file in record["files"]] == ["float32.onnx", "int8.onnx"]
    assert record["command"] == " ".join(["edgecnn", *map(str, command)])
    lines = terminal.err.splitlines()
    assert lines.pop(1).startswith("estimate: about ")
    # A file that gains nothing is profiled, to say why; whether int8 gains depends on the CPU.
    assert [line for line in lines if "profiling" not in line] == [
        "launch 1 of 2",
        "launch 2 of 2",
        "classifying 60 test images",
    ]
    assert re.match(r"PASS: .*\b100\.00 points.*Keras.*\b95 %.*other.*\b100\.00 %", " ".join(text.split("\n\n")[0].split()))
    assert Path("new/report.md").read_text().startswith("# edgecnn bench\n\n**PASS: ")
    assert Path("new/report.csv").read_text().startswith("file,runtime,threads,size_bytes")
    # The result repeats it all.
    assert terminal.passes("report", "new/report.json") == text
    terminal.passes("report", "new/report.json", "--markdown", "again.md", "--csv", "again.csv")
    assert Path("again.md").read_bytes() == Path("new/report.md").read_bytes()
    assert Path("again.csv").read_bytes() == Path("new/report.csv").read_bytes()
    terminal.passes("report", "new/report.json", "--html", "new/report.html")
    assert terminal.err == "wrote new/report.html\n"
    assert Path("new/report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_wish_is_kept_in_the_result_and_report_takes_another(exported: Path, terminal: Any) -> None:
    text = terminal.passes(
        "bench", exported, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--prefer", "size", "--json", "a.json"
    )
    assert json.loads(Path("a.json").read_text())["prefer"] == "size"
    assert "Ship int8.onnx: " in text
    assert "smallest of 2 files that pass." in " ".join(text.split())
    kept = json.loads((exported / "bench.json").read_text())
    assert kept["prefer"] == "size"
    other = " ".join(terminal.passes("report", "a.json", "--prefer", "accuracy").split())
    assert other.split("Ship ")[1].split(":")[0] == edgecnn.read_report("a.json").choice("accuracy").file
    terminal.passes("report", "a.json", "--prefer", "accuracy", "--markdown", "a.md")
    assert "not shown to be" in Path("a.md").read_text()
    boards = json.dumps({"schema": 1, "command": "", "devices": [{"host": "pi", "error": None, "result": kept}]})
    Path("boards.json").write_text(boards)
    found = edgecnn.read_results("boards.json", prefer="speed")
    assert isinstance(found, DeviceResults)
    assert [device.result.prefer for device in found.devices if device.result] == ["speed"]
    assert "--prefer" in terminal.fails(2, "bench", exported, "--prefer", "colour")


def test_a_result_of_images_that_are_gone_is_still_shown(artifacts: Path, idx_folder: Path, terminal: Any) -> None:
    data = always_right(artifacts, idx_folder)
    terminal.passes("bench", artifacts, "--runtime", "onnx", *SHORT, "--max-drop", "100", "--json", "result.json")
    shutil.rmtree(data)
    terminal.passes("report", "result.json", "--html", "report.html")
    assert "images are listed by number" in terminal.err
    line = terminal.fails(2, "report", "result.json", "--html", "other.html", "--data", idx_folder)
    assert "not the model's test images" in line
    assert not Path("other.html").exists()


def kept_results(old_ns: int, new_ns: int, noise: tuple[str, ...] = ()) -> None:
    """Write old.json and new.json, whose launches took about so long each and hardly differ."""
    record = json.loads(KEPT.read_text())
    record["noise"] = [{"name": name, "file": None, "text": f"{name} it was"} for name in noise]
    for name, least_ns in (("old.json", old_ns), ("new.json", new_ns)):
        for launch in (launch for measured in record["files"] for launch in measured["launches"]):
            for place, item in enumerate(launch["rounds"]):
                item["measured"] = {"count": 1, "packed": Times.pack([least_ns + place]).packed}
        Path(name).write_text(json.dumps(record))


def test_compare_tells_a_regression_with_exit_code_3(terminal: Any) -> None:
    kept_results(1_000, 10_000)
    text = terminal.passes("compare", "old.json", "new.json", "--json", "comparison.json")
    assert "old.json and new.json" in text
    assert len(json.loads(Path("comparison.json").read_text())["changes"]) == 2
    line = terminal.fails(3, "compare", "old.json", "new.json", "--max-slowdown", "5", "--allow", "noise")
    assert re.search(r"within 5 %.*float32\.tflite \(FAIL\).*int8\.tflite \(FAIL\)$", line)
    assert "worse" in terminal.out
    for side, name in (("--old", "old.json"), ("--new", "new.json")):
        line = terminal.fails(2, "compare", "old.json", "new.json", side, name)
        assert re.search(rf"{name} and {name} .*same benchmark", line)
    Path("copy.json").write_text(json.dumps(json.loads(Path("old.json").read_text()), indent=3, sort_keys=True))
    judged = ("--max-slowdown", "5", "--allow", "noise")
    for names in (("old.json", "copy.json"), ("copy.json", "old.json"), ("old.json", "new.json", "--new", "copy.json")):
        assert "are the same benchmark" in terminal.fails(2, "compare", *names, *judged)
        assert terminal.out == ""
    assert "old.json" in terminal.fails(4, "compare", "new.json", "new.json", "--floor", "old.json")
    assert "nowhere.json does not exist" in terminal.fails(4, "compare", "old.json", "nowhere.json")


def test_a_comparison_of_noisy_results_that_is_to_be_judged_exits_with_7(terminal: Any) -> None:
    kept_results(8_004, 8_003, ("drift",))
    assert "unstable" in terminal.passes("compare", "old.json", "new.json")
    assert "too noisy" in terminal.fails(7, "compare", "old.json", "new.json", "--max-slowdown", "5")
    assert "INVALID" in terminal.out
    assert "PASS" in terminal.passes("compare", "old.json", "new.json", "--max-slowdown", "5", "--allow", "drift")


def test_selftest_prints_the_noise_floor(exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("selftest", exported / "int8.onnx", "--trials", "4", "--launches", "2", "--min-runs", "40", "--min-seconds", "0")
    assert terminal.run(*command, "--json", "-") in (0, 7), terminal.err
    require_valid("selftest", terminal.out)
    record = json.loads(terminal.out)
    assert (record["file"], len(record["side_by_side"]["ratios"])) == ("int8.onnx", 4)
    assert "trial 4 of 4" in terminal.err
    # Whether the intervals hold depends on what else the machine does.
    result = from_json(SelfTest, terminal.out, "selftest")
    monkeypatch.setattr("edgecnn.benchmarks.compare.selftest.selftest", lambda *_: result)
    for holds, code in ((True, 0), (False, 7)):
        monkeypatch.setattr(SelfTest, "holds", holds)
        assert terminal.run(*command) == code


def test_selftest_of_a_file_that_nothing_vouches_for_exits_with_2(exported: Path, terminal: Any) -> None:
    shutil.copy(exported / "int8.tflite", "copy.tflite")
    assert "a file that edgecnn exported" in terminal.fails(2, "selftest", "copy.tflite")


def test_export_writes_files_and_says_what_is_next(artifacts: Path, terminal: Any) -> None:
    (artifacts / "float16.tflite").unlink()
    text = terminal.passes("export", artifacts / "model.keras", "--format", "tflite", "--quantize", "float16")
    assert (artifacts / "float16.tflite").stat().st_size > 0
    assert re.search(rf"Exported to {artifacts}\..*edgecnn bench {artifacts}$", " ".join(text.split()))


def test_predict_names_a_test_images_label_and_draws_it(exported: Path, terminal: Any) -> None:
    text = terminal.passes("predict", exported / "int8.tflite", "--index", "4", "--index", "2", "--save", "new/digits.png")
    assert text.index("image 4: label 1, predicted ") < text.index("image 2: label 2, predicted ")
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
    assert re.search(r"^unverified: .*manifest\.json.*\b0\.00392157 \* pixel", text, re.M)


def test_doctor_runs_a_folders_files_and_says_what_is_wrong(
    three_files: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.passes("doctor", three_files, "--json", "found.json")
    require_valid("doctor", Path("found.json").read_text())
    findings = {finding["name"]: finding["status"] for finding in json.loads(Path("found.json").read_text())["findings"]}
    assert {findings[name] for name in ("float32.tflite", "int8.tflite", "float32.onnx")} <= {"ok", "warning"}
    shutil.copy(three_files / "int8.tflite", "cut.tflite")
    Path("cut.tflite").write_bytes(Path("cut.tflite").read_bytes()[:3000])
    # Without the other runtimes, which take long to import.
    monkeypatch.setattr("edgecnn.edge.formats.find_spec", lambda name: find_spec(name) if name == "ai_edge_litert" else None)
    line = terminal.fails(4, "doctor", "cut.tflite")
    assert "problems found: 1," in line
    assert "cut.tflite" in terminal.out

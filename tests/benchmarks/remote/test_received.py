"""Boards that lie: a fake ssh whose edgecnn prints an altered result of the files that it was sent."""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.__main__ import main
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.received import sent
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.option import declared, option_of
from edgecnn.edge.records import to_value

pytestmark = pytest.mark.workstation("boards are reached from a workstation, by a stand-in for its ssh client")

LIMITS = {"max_drop_points": 60.0, "max_p90_ms": 1000.0}
GIVEN = ("--max-drop", "60", "--max-p90-ms", "1000", "--allow", "noise")

Result = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bars.zip"
    ec.bundle(exported, path, files=["float32.tflite", "int8.tflite", "int8.onnx"])
    return path


@pytest.fixture(scope="module")
def honest(bundle: Path) -> str:
    """What an honest board prints."""
    plan = ec.PlanOptions(launches=2, min_runs=200, min_seconds=0)
    report = ec.bench(bundle, limits=LIMITS, options=ec.BenchOptions(plan=plan), allow=["noise"])
    assert report.verdict.status == "PASS"
    return report.to_json()


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Result], None]:
    """Let the board print a result."""
    home = tmp_path / "home"
    home.mkdir()
    program = tmp_path / "bin/edgecnn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ $1 = --version ] && echo edgecnn {running_version()} && exit\ncat "{home}/result.json"\n')
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(f'#!/bin/sh\nfor last; do :; done\nHOME="{home}" PATH="{program.parent}:$PATH" exec sh -c "$last"\n')
    for path in (program, ssh):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")

    def prints(result: Result) -> None:
        (home / "result.json").write_text(json.dumps(result))

    return prints


def asked(bundle: Path, tmp_path: Path, *options: str) -> tuple[int, Result]:
    """Run `bench --device` and return its exit code and what it says of the board."""
    code = main(["bench", str(bundle), "--device", "pi", "--json", str(tmp_path / "all.json"), *options])
    (device,) = json.loads((tmp_path / "all.json").read_text())["devices"]
    return code, device


def named(result: Result, name: str = "int8.tflite") -> Any:
    return next(file for file in result["files"] if file["name"] == name)


def times(result: Result, nanoseconds: int) -> None:
    for launch in named(result)["launches"]:
        for item in launch["rounds"]:
            item["measured"] = to_value(Times.pack([nanoseconds] * item["measured"]["count"]))


def another_hash(result: Result) -> None:
    for file in result["files"]:
        file["artifact"]["sha256"] = "0" * 64


def another_size(result: Result) -> None:
    named(result)["artifact"]["size_bytes"] = 1


def another_file(result: Result) -> None:
    result["files"].append(
        {**named(result), "name": "better.tflite", "artifact": {**named(result)["artifact"], "path": "better.tflite"}}
    )


def another_name(result: Result) -> None:
    names = ("float32.tflite", "int8.tflite")
    for file, name in zip([named(result, name) for name in names], names[::-1], strict=True):
        file["name"] = name


def the_same_twice(result: Result) -> None:
    result["files"].append({**named(result), "name": "int8.tflite again"})


def a_file_less(result: Result) -> None:
    result["files"].remove(named(result))
    result["baseline"] = result["files"][0]["name"]


def a_format_less(result: Result) -> None:
    result["files"].remove(named(result, "int8.onnx"))
    result["baseline"] = result["files"][0]["name"]


def more_threads(result: Result) -> None:
    named(result)["threads"] = 4


def another_runtime(result: Result) -> None:
    named(result)["runtime"] = "onnxruntime 1.32.0"


def less_than_no_memory(result: Result) -> None:
    named(result)["launches"][0]["peak_memory_bytes"] = -1


def an_interval_without_its_estimate(result: Result) -> None:
    named(result)["accuracy"]["brier_increase"] = {"estimate": 1.9, "low": -5.0, "high": -5.0}


def a_probability_above_1(result: Result) -> None:
    named(result)["accuracy"]["largest_confidence_change"] = 1e308


def a_thousand_images_a_run(result: Result) -> None:
    named(result)["images_per_run"] = 1000


def damaged_warm_up(result: Result) -> None:
    named(result)["launches"][0]["rounds"][0]["warm_up"] = {"count": 5, "packed": ""}


def damaged_response(result: Result) -> None:
    whole = to_value(Times.pack([1000] * 5))
    paced = {"rate": 100.0, "frames": 5, "dropped": 0, "missed": 0, "response": {"count": 5, "packed": ""}, "busy": whole}
    named(result)["paced"] = paced


def another_limit(result: Result) -> None:
    named(result)["budget"]["max_drop_points"] = 100.0


def no_limit(result: Result) -> None:
    named(result)["budget"]["max_p90_ms"] = None


def other_images(result: Result) -> None:
    result["dataset"]["test_sha256"] = "0" * 64


def random_inputs(result: Result) -> None:
    result["dataset"] = None
    result["class_names"] = []
    for file in result["files"]:
        file["accuracy"] = None


def other_classes(result: Result) -> None:
    result["class_names"] = result["class_names"][::-1]


def more_labels(result: Result) -> None:
    accuracy = named(result)["accuracy"]
    accuracy["images"] += 1
    accuracy["correct"] += 1
    accuracy["confusion"][0][2] += 1


def more_copies(result: Result) -> None:
    named(result)["accuracy"]["copies"] += 1


def fewer_lost(result: Result) -> None:
    accuracy = named(result)["accuracy"]
    accuracy["correct"] -= 1
    accuracy["lost"] += 1


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (another_hash, "float32.tflite is another file"),
        (another_size, "int8.tflite is another file"),
        (another_file, "better.tflite is another file"),
        (another_name, "is another file"),
        (the_same_twice, "a file is in it twice"),
        (a_file_less, "int8.tflite is missing"),
        (a_format_less, "int8.onnx is missing"),
        (more_threads, "int8.tflite was not asked for"),
        (another_runtime, "int8.tflite was run by onnxruntime"),
        (less_than_no_memory, "a launch of no memory"),
        (an_interval_without_its_estimate, "a Brier score that rises by 1.9 (-5 to -5)"),
        (a_probability_above_1, "a probability outside of 0 to 1"),
        (a_thousand_images_a_run, "int8.tflite took 1000 images at a time"),
        (damaged_warm_up, "raw times are damaged"),
        (damaged_response, "raw times are damaged"),
        (another_limit, "int8.tflite was judged by other limits"),
        (no_limit, "int8.tflite was judged by other limits"),
        (other_images, "other test images"),
        (random_inputs, "other test images"),
        (other_classes, "other classes"),
        (more_labels, "int8.tflite was judged on other images"),
        (more_copies, "int8.tflite was judged on other images"),
        (fewer_lost, "int8.tflite was judged on other images"),
    ],
)
def test_a_result_of_something_else_than_was_sent_is_none(
    lie: Callable[[Result], None],
    told: str,
    bundle: Path,
    honest: str,
    board: Callable[[Result], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = json.loads(honest)
    lie(result)
    board(result)
    code, device = asked(bundle, tmp_path, *GIVEN)
    assert (code, device["result"]) == (1, None)
    assert told in device["error"]
    assert "limits: 0 of 1 device." in capsys.readouterr().out


def test_an_honest_result_passes_and_one_without_a_runtime_says_so(
    bundle: Path, honest: str, board: Callable[[Result], None], tmp_path: Path
) -> None:
    result = json.loads(honest)
    board(result)
    code, device = asked(bundle, tmp_path, *GIVEN)
    assert (code, device["error"]) == (0, None)
    assert device["result"]["files"] == result["files"]
    a_format_less(result)
    result["notes"].append("onnx files were not measured: their runtime is not installed.")
    board(result)
    assert asked(bundle, tmp_path, *GIVEN)[0] == 0
    (tmp_path / "limits.toml").write_text('[files."int8.onnx"]\nmax_drop_points = 60')
    code, device = asked(bundle, tmp_path, *GIVEN, "--budget", str(tmp_path / "limits.toml"))
    assert (code, device["result"]) == (1, None)
    assert '[files."int8.onnx"] names no measured file' in device["error"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--launches=3", "2 launches of 3"),
        ("--min-runs=100000", "runs of 100000"),
        ("--percentile=99.9", "no p99.9"),
        ("--rate=100", "no 100 images a second"),
        ("--batch=8", "no batches of 8"),
        ("--sustained=10s", "no sustained run"),
        ("--profile", "no profile"),
    ],
)
def test_what_was_asked_for_and_is_not_there_is_no_result(
    option: str, told: str, bundle: Path, honest: str, board: Callable[[Result], None], tmp_path: Path
) -> None:
    board(json.loads(honest))
    code, device = asked(bundle, tmp_path, *GIVEN, option)
    assert (code, device["result"]) == (1, None)
    assert told in device["error"]
    assert asked(bundle, tmp_path, *GIVEN, "--launches=2", "--min-runs=200")[0] == 0


def test_times_beyond_the_limit_fail_whatever_the_board_says(
    bundle: Path, honest: str, board: Callable[[Result], None], tmp_path: Path
) -> None:
    result = json.loads(honest)
    times(result, 2 * 10**9)
    board(result)
    code, device = asked(bundle, tmp_path, *GIVEN)
    assert code == 3
    assert device["result"]["verdict"]["status"] == named(device["result"])["verdict"]["status"] == "FAIL"
    assert any("board says PASS" in note and note.endswith("figures are FAIL.") for note in device["result"]["notes"])
    assert {item["value_ns"] for item in named(device["result"])["latency"]["percentiles"]} == {2 * 10**9, None}


def test_a_file_that_is_always_wrong_fails_whatever_the_board_says(
    bundle: Path, honest: str, board: Callable[[Result], None], test_split: Split, tmp_path: Path, exported: Path
) -> None:
    labels, stored = np.asarray(test_split.labels), np.load(exported / "reference.npy")
    wrong = compare(np.eye(3, dtype=np.float32)[(labels + 1) % 3], stored, labels)
    result = json.loads(honest)
    named(result)["accuracy"] = to_value(wrong)
    board(result)
    code, device = asked(bundle, tmp_path, *GIVEN)
    assert (code, named(device["result"])["verdict"]["status"]) == (3, "FAIL")
    # The interval alone is altered: the counts give another one.
    named(result)["accuracy"]["drop"] = {"estimate": 0.0, "low": -0.01, "high": 0.01}
    board(result)
    code, device = asked(bundle, tmp_path, *GIVEN)
    assert (code, named(device["result"])["verdict"]["status"]) == (3, "FAIL")
    assert named(device["result"])["accuracy"]["drop"] == to_value(wrong.drop)


def test_noise_that_a_board_leaves_out_is_found_in_its_state(
    bundle: Path, honest: str, board: Callable[[Result], None], tmp_path: Path
) -> None:
    result = json.loads(honest)
    result["before"]["on_battery"] = True
    result["noise"] = result["allowed"] = []
    board(result)
    code, device = asked(bundle, tmp_path, "--max-drop", "60", "--max-p90-ms", "1000", "--strict")
    assert (code, device["result"]["verdict"]["status"]) == (7, "INVALID")
    assert "battery" in {item["name"] for item in device["result"]["noise"]}


def test_every_limit_is_read_from_the_arguments_as_the_command_line_writes_it(bundle: Path) -> None:
    names = [item.name for item in fields(ec.Budget)]
    of = sent(bundle, [f"{option_of(name, declared(ec.Budget)[name][1])}={place}" for place, name in enumerate(names)])
    assert of.limits == {name: float(place) for place, name in enumerate(names)}


@pytest.mark.parametrize("argument", ["--threads=two", "--max-drop=x", "--max-drop"])
def test_an_argument_without_a_valid_value_is_refused_before_it_is_sent(argument: str, bundle: Path) -> None:
    with pytest.raises(ConfigError, match=argument.partition("=")[0]):
        sent(bundle, [argument])

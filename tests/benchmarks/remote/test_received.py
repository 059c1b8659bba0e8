"""Boards that lie: a fake ssh whose edgecnn prints an altered result of the files that it was sent."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.__main__ import main
from edgecnn.benchmarks.gate.tally import Tally, compare
from edgecnn.benchmarks.remote import devices
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.received import Sent, _recounted, judged_here, sent
from edgecnn.benchmarks.remote.remote import Job
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DEVICES_SCHEMA, DeviceResult, DeviceResults
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError, EdgeCnnError, spelling
from edgecnn.edge.option import declared, option_of
from edgecnn.edge.records import to_value
from edgecnn.shell.main import commands

pytestmark = pytest.mark.workstation("boards are reached from a workstation, by a stand-in for its ssh client")

LIMITS = {"max_drop_points": 60.0, "max_p90_ms": 1000.0}
GIVEN = ("--max-drop", "60", "--max-p90-ms", "1000", "--allow", "noise")
ARGUMENTS = ("--max-drop=60", "--max-p90-ms=1000", "--allow=noise")
NAMED = ("tflite", "litert-fp16", "onnx")

Result = dict[str, Any]
Lie = Callable[[Result], None]
WHOLE, DAMAGED = to_value(Times.pack([1000] * 5)), {"count": 5, "packed": ""}


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


@pytest.fixture(scope="module")
def asked_for(bundle: Path) -> Sent:
    return sent(bundle, ARGUMENTS)


def test_whoever_asks_is_told_how_to_install_edgecnn_there(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mends: list[str] = []

    def measured(hosts: Sequence[str], job: Job, command: str, say: object) -> DeviceResults:
        mends.append(job.mend)
        return DeviceResults(DEVICES_SCHEMA, command, tuple(DeviceResult(host, "off", None) for host in hosts))

    monkeypatch.setattr(devices, "unreachable", lambda hosts, say: {})
    monkeypatch.setattr(devices, "bench_bundle", measured)
    assert ec.bench_devices(bundle, ["pi"]).command == f"edgecnn.bench_devices({str(bundle)!r}, ['pi'])"
    with spelling(commands()["bench"].spelled):
        ec.bench_devices(bundle, ["pi"], command="edgecnn bench bars.zip --device pi")
    assert mends == [
        f"edgecnn.bench_devices({str(bundle)!r}, ['pi'], install=True)",
        "edgecnn bench bars.zip --device pi --install",
    ]


def test_a_bundle_is_measured_on_its_own_images_or_refused(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="brings its own test images: omit data"):
        ec.bench_devices(bundle, ["pi"], data="elsewhere")
    with pytest.raises(ConfigError, match="size applies only to a folder of images"):
        ec.bench_devices(bundle, ["pi"], images=ec.FolderOptions(size=(8, 8)))


def judged(result: Result, of: Sent, folder: Path) -> ec.Report:
    """Return a board's result as it is judged here."""
    (folder / "sent.json").write_text(json.dumps(result))
    return judged_here(read_report(folder / "sent.json"), of)


@pytest.fixture
def board(home: Path) -> Callable[[Result], None]:
    """Let the board print a result."""
    program = home / "bin/edgecnn"
    program.write_text(program.read_text().replace("echo edgecnn 1.0", f"echo edgecnn {running_version()}"))

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


def changed(path: str, value: Any, file: str | None = "int8.tflite") -> Lie:
    """Return what sets one value of a file's result, or of the whole result."""
    *parts, last = path.split(".")

    def lie(result: Result) -> None:
        place: Any = named(result, file) if file else result
        for part in parts:
            place = place[int(part) if part.isdigit() else part]
        place[last] = value

    return lie


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


def a_file_less(result: Result, name: str = "int8.tflite") -> None:
    result["files"].remove(named(result, name))
    result["baseline"] = result["files"][0]["name"]


a_format_less = partial(a_file_less, name="int8.onnx")


def random_inputs(result: Result) -> None:
    result["dataset"] = None
    result["class_names"] = []
    for file in result["files"]:
        file["accuracy"] = None


def other_classes(result: Result) -> None:
    result["class_names"] = result["class_names"][::-1]


def more_labels(result: Result) -> None:
    accuracy = named(result)["accuracy"]
    for name in ("images", "correct", "reference_correct", "same_class"):
        accuracy[name] += 1
    accuracy["confusion"][0][2] += 1


def more_copies(result: Result) -> None:
    named(result)["accuracy"]["copies"] += 1


def fewer_lost(result: Result) -> None:
    accuracy = named(result)["accuracy"]
    accuracy["correct"] -= 1
    accuracy["lost"] += 1


def an_impossible_percentile(result: Result) -> None:
    for file in result["files"]:
        file["latency"]["percentiles"][0]["percent"] = 250.0


def test_which_file_counts_first_is_what_was_asked_for_here(bundle: Path, honest: str, tmp_path: Path) -> None:
    result = json.loads(honest) | {"prefer": "size"}
    assert judged(result, sent(bundle, ARGUMENTS), tmp_path).prefer == "accuracy"
    assert judged(result, sent(bundle, (*ARGUMENTS, "--prefer=speed")), tmp_path).prefer == "speed"


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (changed("files.0.artifact.sha256", "0" * 64, None), "float32.tflite is another file"),
        (changed("artifact.size_bytes", 1), "int8.tflite is another file"),
        (another_file, "better.tflite is another file"),
        (another_name, "is another file"),
        (the_same_twice, "a file is in it twice"),
        (a_file_less, "int8.tflite is missing"),
        (a_format_less, "int8.onnx is missing"),
        (changed("threads", 4), "int8.tflite was not asked for"),
        (changed("runtime", "onnxruntime 1.32.0"), "int8.tflite was run by onnxruntime"),
        (changed("launches.0.peak_memory_bytes", -1), "a launch of no memory"),
        (
            changed("accuracy.brier_increase", {"estimate": 1.9, "low": -5.0, "high": -5.0}),
            "a Brier score that rises by 1.9 (-5 to -5)",
        ),
        (changed("accuracy.largest_confidence_change", 1e308), "a probability outside of 0 to 1"),
        (changed("images_per_run", 1000), "int8.tflite took 1000 images at a time"),
        (changed("launches.0.rounds.0.warm_up", DAMAGED), "raw times are damaged"),
        (
            changed("paced", {"rate": 100.0, "frames": 5, "dropped": 0, "missed": 0, "response": DAMAGED, "busy": WHOLE}),
            "raw times are damaged",
        ),
        (changed("budget.max_drop_points", 100.0), "int8.tflite was judged by other limits"),
        (changed("budget.max_p90_ms", None), "int8.tflite was judged by other limits"),
        (changed("dataset.test_sha256", "0" * 64, None), "other test images"),
        (random_inputs, "other test images"),
        (other_classes, "other classes"),
        (more_labels, "int8.tflite was judged on other images"),
        (more_copies, "int8.tflite was judged on other images"),
        (fewer_lost, "int8.tflite: counts of right answers that its images contradict"),
        (an_impossible_percentile, "a percentile outside of 0 to 100"),
    ],
)
def test_a_result_of_something_else_than_was_sent_is_none(
    lie: Lie, told: str, asked_for: Sent, honest: str, tmp_path: Path
) -> None:
    result = json.loads(honest)
    lie(result)
    with pytest.raises(EdgeCnnError, match=re.escape(told)):
        judged(result, asked_for, tmp_path)


def test_the_classes_of_the_images_that_changed_are_those_that_were_sent(asked_for: Sent, honest: str, tmp_path: Path) -> None:
    classes = len(asked_for.manifest.class_names)
    place = int(np.flatnonzero(asked_for.every & (asked_for.labels == asked_for.reference))[0])
    candidate, at = asked_for.reference.copy(), np.flatnonzero(asked_for.every)
    candidate[place] = (candidate[place] + 1) % classes
    one_hot, tally = np.eye(classes, dtype=np.float32), Tally(classes)
    tally.add(one_hot[candidate[at]], one_hot[asked_for.reference[at]], asked_for.labels[at], at)
    copies = len(asked_for.labels) - len(at) - asked_for.learnt
    stated = tally.accuracy(copies, 0, asked_for.conflicting, asked_for.learnt, asked_for.all_learnt)
    (tmp_path / "honest.json").write_text(honest)
    file = next(item for item in read_report(tmp_path / "honest.json").files if item.name == "int8.tflite")
    assert _recounted(replace(file, accuracy=stated), asked_for).flips == stated.flips
    (flip,) = stated.flips
    other = (flip.label + 2) % classes
    lie = replace(stated, flips=(replace(flip, label=other, reference=other),))
    with pytest.raises(EdgeCnnError, match=r"int8\.tflite was judged on other images"):
        _recounted(replace(file, accuracy=lie), asked_for)


def test_a_board_that_lies_has_no_result(
    bundle: Path, honest: str, board: Callable[[Result], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage = changed("launches.0.rounds.0.warm_up", DAMAGED)
    for lie, told in ((more_labels, "int8.tflite was judged on other images"), (damage, "raw times are damaged")):
        result = json.loads(honest)
        lie(result)
        board(result)
        code, device = asked(bundle, tmp_path, *GIVEN)
        assert (code, device["result"]) == (1, None)
        assert told in device["error"]
        assert "limits: 0 of 1 device." in capsys.readouterr().out


def test_an_honest_result_passes_and_one_without_a_runtime_says_so(
    bundle: Path, honest: str, asked_for: Sent, board: Callable[[Result], None], tmp_path: Path
) -> None:
    result = json.loads(honest)
    board(result)
    code, device = asked(bundle, tmp_path, *GIVEN)
    assert (code, device["error"]) == (0, None)
    assert device["result"]["files"] == result["files"]
    a_format_less(result)
    result["notes"].append("onnx files were not measured: their runtime is not installed.")
    with pytest.raises(EdgeCnnError, match=r"int8\.onnx is missing"):  # A sentence is no reason.
        judged(result, asked_for, tmp_path)
    for lacking in ({"runtime": "onnxruntime"}, {"runtime": "openvino", "file": "int8.onnx"}, {"runtime": "onnx"}):
        result["unmeasured"] = [{"reason": "it is not installed", **lacking}]
        assert judged(result, asked_for, tmp_path).verdict.status == "PASS"
    result["unmeasured"] = [{"reason": "it is not installed", "runtime": "ncnn"}]
    with pytest.raises(EdgeCnnError, match=r"int8\.onnx is missing"):
        judged(result, asked_for, tmp_path)
    limits = tmp_path / "limits.toml"
    limits.write_text('[files."int8.onnx"]\nmax_drop_points = 60')
    result["unmeasured"] = [{"reason": "it is not installed", "runtime": "onnx"}]
    with pytest.raises(EdgeCnnError, match=r'files\."int8\.onnx"\] names no measured file'):
        judged(result, replace(asked_for, budget=limits), tmp_path)


def test_of_two_runtimes_of_a_format_one_that_lacks_excuses_no_file_that_the_other_runs(
    bundle: Path, honest: str, tmp_path: Path
) -> None:
    result = json.loads(honest)
    a_file_less(result)
    result["unmeasured"] = [{"reason": "it is not installed", "runtime": "litert-fp16"}]
    with pytest.raises(EdgeCnnError, match=r"int8\.tflite is missing"):
        judged(result, sent(bundle, [*ARGUMENTS, *(f"--runtime={name}" for name in NAMED)]), tmp_path)


def test_a_runtime_that_was_named_may_have_run_a_file_beside_the_default_one(
    bundle: Path, honest: str, asked_for: Sent, tmp_path: Path
) -> None:
    result = json.loads(honest)
    half = json.loads(json.dumps(named(result)))
    half |= {"name": "int8.tflite litert-fp16", "runtime": "ai-edge-litert-fp16 2.3.0"}
    result["files"].append(half)
    of = sent(bundle, [*ARGUMENTS, *(f"--runtime={name}" for name in NAMED)])
    assert judged(result, of, tmp_path).files[-1].runtime_name == "ai-edge-litert-fp16"
    with pytest.raises(EdgeCnnError, match=r"litert-fp16 was run by ai-edge-litert-fp16"):
        judged(result, asked_for, tmp_path)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--launches=3", "2 launches of 3"),
        ("--min-runs=100000", "runs of 100000"),
        ("--percentile=99.9", "no p99.9"),
        ("--rate=100", "no 100 images a second"),
        ("--batch=8", "no batches of 8"),
        ("--sustained=10.0", "no sustained run"),
        ("--profile", "no profile"),
    ],
)
def test_what_was_asked_for_and_is_not_there_is_no_result(
    option: str, told: str, bundle: Path, honest: str, tmp_path: Path
) -> None:
    with pytest.raises(EdgeCnnError, match=re.escape(told)):
        judged(json.loads(honest), sent(bundle, [*ARGUMENTS, option]), tmp_path)


def test_what_was_asked_for_and_is_there_is_a_result(bundle: Path, honest: str, tmp_path: Path) -> None:
    of = sent(bundle, [*ARGUMENTS, "--launches=2", "--min-runs=200"])
    assert judged(json.loads(honest), of, tmp_path).verdict.status == "PASS"


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

import gzip
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.onnx_text import onnx_bytes
from tools.faults.bases import CLASSES, SIDE, parts
from tools.faults.files import Desk, Try
from tools.faults.judge import OF_FILES, Column, Expected, judge
from tools.faults.kinds import Kind
from tools.faults.lay import Laid
from tools.faults.mend import mend_bundle, sha256, signed, vouched
from tools.faults.mutators.arrays import NPY, NPZ, members, saved, zipped
from tools.faults.mutators.images import IDX, PNG
from tools.faults.mutators.plain import BYTES, Mutator, altered
from tools.faults.mutators.text import FIELDS, JSON
from tools.faults.pool import Answer, Lane, run_script
from tools.faults.table import Log, Outcome
from tools.faults.truth import wrong_bundle, wrong_verdict

# A command line that fails on demand.
PLANTED = """
import os, signal, sys

def main(arguments):
    what = arguments[0]
    if what == "raise":
        raise IndexError("planted")
    if what == "print-traceback":
        print("Traceback (most recent call last)", file=sys.stderr)
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        signal.pause()
    if what == "escape":
        print("class \\x1b[31m")
    if what == "grow":
        kept = bytearray(1600 * 2**20)
        kept[::4096] = bytes([1]) * len(kept[::4096])
    if what in ("refuse", "two"):
        print("loading", file=sys.stderr)
        print("edgecnn: a.tflite is damaged: copy it again", file=sys.stderr)
        if what == "two":
            print("edgecnn: once more", file=sys.stderr)
        return 4
    if what == "leave":
        open(os.path.join(os.environ["TMPDIR"], "left"), "w").close()
    if what == "silent":
        return 4
    print("accuracy 0.9" + ("; unverified: no manifest" if what == "marked" else ""))
    return 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""

_EXPECTED = Expected(frozenset({0, 4}), marked=True)


def column(lane: Lane, what: str, folder: Path, expected: Expected = _EXPECTED) -> Column:
    return judge(lane.run([what], folder), expected)[0]


def test_what_is_planted_is_counted_in_its_column_and_a_crash_hides_nothing(lane: Lane, tmp_path: Path) -> None:
    planted = {
        "raise": Column.TRACEBACK,
        "print-traceback": Column.TRACEBACK,
        "crash": Column.CRASH,
        "refuse": Column.REFUSED,
        "grow": Column.CRASH,
        "marked": Column.ACCEPTED,
        "escape": Column.CODE,
        "two": Column.CODE,
        "silent": Column.CODE,
        "unmarked": Column.VERDICT,
    }
    assert {what: column(lane, what, tmp_path) for what in planted} == planted


def test_a_planted_hang_is_counted_and_its_process_ended(tmp_path: Path, lane: Lane) -> None:
    lane.run(["marked"], tmp_path)  # The process has started: the limit is only for the command.
    lane.hang_seconds = 0.5
    assert column(lane, "hang", tmp_path) is Column.HANG
    lane.hang_seconds = 60
    assert column(lane, "refuse", tmp_path) is Column.REFUSED


def test_a_refusal_with_a_code_that_does_not_fit_is_counted(lane: Lane, tmp_path: Path) -> None:
    assert column(lane, "marked", tmp_path, Expected(frozenset({4}))) is Column.CODE
    assert column(lane, "refuse", tmp_path, Expected(frozenset({2}))) is Column.CODE


def test_a_process_of_its_own_is_judged_as_a_worker_is(lane: Lane, tmp_path: Path) -> None:
    for what, counted in (
        ("raise", Column.TRACEBACK), ("crash", Column.CRASH), ("refuse", Column.REFUSED), ("marked", Column.ACCEPTED),
    ):  # fmt: skip
        assert judge(run_script([what], tmp_path, tmp_path, 60), _EXPECTED)[0] is counted
    assert run_script(["hang"], tmp_path, tmp_path, 1).hung


@pytest.mark.parametrize(("command", "counted"), [("marked", Column.ACCEPTED), ("leave", Column.CODE)])
def test_a_file_left_in_tmpdir_is_found_after_an_accepted_file_too(
    lane: Lane, tmp_path: Path, command: str, counted: Column
) -> None:
    kind = Kind("planted", 1, lambda *arguments: Laid("digit.png", "none"), (command,), frozenset({0}))
    desk = Desk(tmp_path, tmp_path / "desk", 1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tools.faults.files.KINDS", [kind])
            outcome = desk.try_file(Try(kind, 0))
    finally:
        desk.close()
    assert outcome.column is counted, outcome.reason


def bar_weights() -> NDArray[np.float32]:
    pixels, labels = parts()["train"]
    means = np.stack([pixels[labels == label].mean(axis=0).ravel() for label in range(CLASSES)], axis=1) / 255
    weights: NDArray[np.float32] = (means - means.mean(axis=1, keepdims=True)).astype(np.float32)
    return weights


def bars_model() -> bytes:
    """An ONNX file that distinguishes the bars: one dense layer with the class means as weights."""
    ends = f"(float[1, {SIDE}, {SIDE}, 1] image) => (float[1, {CLASSES}] classes)"
    nodes = "flat = Reshape (image, shape) logits = MatMul (flat, weights) classes = Softmax (logits)"
    return onnx_bytes(f"{ends} {{{nodes}}}", shape=[-1, SIDE * SIDE], weights=bar_weights())


@pytest.fixture(scope="module")
def reference() -> Any:
    """What the model computes, found by numpy: float32 (n, classes)."""
    weights = bar_weights()
    test = parts()["test"][0]
    logits = test.reshape(len(test), -1).astype(np.float32) / 255 @ weights
    rows = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def folder_with(folder: Path, rows: Any, correct: int) -> Path:
    """Write the parts of a model folder that `truth` reads."""
    folder.mkdir(exist_ok=True)
    (folder / "float32.onnx").write_bytes(bars_model())
    (folder / "reference.npy").write_bytes(saved(rows))
    record = {
        "class_names": ["none", "one", "two", "three"],
        "output": "probabilities",
        "preprocessing": {"scale": 1 / 255, "mean": [0.0], "std": [1.0]},
        "reference": {"path": "reference.npy", "images": len(rows), "correct": correct},
    }
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder


def test_a_pass_beside_a_wrong_reference_is_found(tmp_path: Path, reference: Any) -> None:
    labels = parts()["test"][1]
    correct = int((reference.argmax(axis=1) == labels).sum())
    assert correct > len(labels) / 2
    nan = reference.copy()
    nan[3] = np.nan
    for rows in (np.roll(reference, 1, axis=1), nan, reference * 3, reference[:-1], reference.astype(np.float64)):
        folder = folder_with(tmp_path / "m", rows, correct)
        assert wrong_verdict(folder, "float32.onnx", "verify", "PASS", tmp_path)
        assert wrong_verdict(folder, "float32.onnx", "bench", "PASS: every file", tmp_path)
    moved = reference.copy()
    moved[0] = moved[0, ::-1]
    moved_correct = int((moved.argmax(axis=1) == labels).sum())
    assert wrong_verdict(folder_with(tmp_path / "m", moved, moved_correct), "float32.onnx", "verify", "PASS", tmp_path)


def test_a_pass_beside_the_right_reference_is_right(tmp_path: Path, reference: Any) -> None:
    labels = parts()["test"][1]
    correct = int((reference.argmax(axis=1) == labels).sum())
    folder = folder_with(tmp_path / "m", reference, correct)
    for command, out in (
        ("verify", "PASS"),
        ("bench", "PASS: every file"),
        ("evaluate", f"accuracy {correct / len(labels):.4f}"),
    ):
        assert wrong_verdict(folder, "float32.onnx", command, out, tmp_path) == ""
    assert wrong_verdict(folder, "float32.onnx", "evaluate", "accuracy 0.1234", tmp_path)


def test_a_bundle_whose_vectors_were_altered_must_not_verify(tmp_path: Path) -> None:
    golden = np.random.default_rng(0).random((32, CLASSES)).astype(np.float32)
    files = {"golden.images.npy": saved(golden), "golden.int8.tflite.npy": saved(golden)}
    (tmp_path / "m.zip").write_bytes(zipped(files))
    (tmp_path / "altered.zip").write_bytes(zipped({**files, "golden.int8.tflite.npy": saved(golden[::-1])}))
    for command in ("verify m.zip", "verify m.zip/int8.tflite"):
        assert wrong_bundle(tmp_path / "m.zip", tmp_path / "altered.zip", command.split(), "PASS")
    assert not wrong_bundle(tmp_path / "m.zip", tmp_path / "altered.zip", ["verify", "m.zip/int8.onnx"], "PASS")
    assert not wrong_bundle(tmp_path / "m.zip", tmp_path / "m.zip", ["verify", "m.zip"], "PASS")


def test_mended_hashes_are_those_that_edgecnn_checks(exported: Path, tmp_path: Path) -> None:
    manifest = (exported / "manifest.json").read_bytes()
    altered_reference = saved(np.zeros(3, np.float32))
    mended = json.loads(vouched(manifest, "reference.npy", altered_reference))
    assert mended["reference"]["sha256"] == sha256(altered_reference)
    own = mended["sha256"]
    text = signed(mended).decode()
    assert own == sha256(text.replace(own, "").encode())
    files = {"manifest.json": manifest, "reference.npy": b"1", "bundle.json": b'{"members": {}}'}
    repacked = members(mend_bundle(zipped(files), "reference.npy", altered_reference))
    labels = json.dumps(
        {**json.loads(manifest), "for_programs": [{"path": "labels.txt", "sha256": "", "size_bytes": 0}]}
    ).encode()
    (listed,) = json.loads(vouched(labels, "labels.txt", b"none\n"))["for_programs"]
    assert (listed["sha256"], listed["size_bytes"]) == (sha256(b"none\n"), 5)
    assert json.loads(repacked["bundle.json"])["members"]["manifest.json"]["sha256"] == sha256(repacked["manifest.json"])


@pytest.mark.parametrize("mutators", [BYTES, JSON, FIELDS, NPY, NPZ, IDX, PNG])
def test_every_alteration_changes_the_file_and_a_seed_repeats_it(mutators: tuple[Mutator, ...]) -> None:
    data = _example(mutators)
    for number in range(40):
        first, second = (altered(data, np.random.default_rng([1, number]), mutators) for _ in range(2))
        assert first == second
        assert first[0] != data


def test_an_archive_does_not_depend_on_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = zipped({"a": b"1"})
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert zipped({"a": b"1"}) == made


def _example(mutators: tuple[Mutator, ...]) -> bytes:
    array = np.random.default_rng(0).random((20, CLASSES)).astype(np.float32)
    if mutators is NPY:
        return saved(array)
    if mutators is NPZ:
        return zipped({"x_test.npy": saved(array), "y_test.npy": saved(array)})
    if mutators is IDX:
        return gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde", mtime=0)
    if mutators is PNG:
        file = io.BytesIO()
        Image.fromarray(parts()["test"][0][0]).save(file, "PNG")
        return file.getvalue()
    return json.dumps(
        {"schema": 2, "names": ["a", "b"], "deep": {"value": 0.5, "count": 7}, "path": "x.tflite"}, indent=1
    ).encode()


def test_the_table_sums_its_rows_and_an_answer_without_a_code_is_never_right() -> None:
    log = Log("files", OF_FILES, lambda line: None)
    for kind, column in (("a", Column.REFUSED), ("a", Column.VERDICT), ("b", Column.HANG)):
        log.add(Outcome(kind, column, "", "", ""))
    assert (log.tried, len(log.findings)) == (3, 2)
    assert log.markdown().splitlines()[-1].replace(" ", "") == "|all|3|1|0|0|0|1|0|1|0|"
    assert judge(Answer(None, died=-9), _EXPECTED)[0] is Column.CRASH
    assert judge(Answer(None, hung=True), _EXPECTED)[0] is Column.HANG

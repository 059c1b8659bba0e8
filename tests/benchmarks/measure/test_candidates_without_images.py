"""Files without labelled images: any one tensor is timed, on random inputs, and nothing is judged unasked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNJUDGED
from edgecnn.benchmarks.measure.candidates import file_candidates
from edgecnn.benchmarks.show.report import to_text
from edgecnn.benchmarks.timing.latency import RANDOM_REGION
from edgecnn.edge.errors import ArtifactError
from tests.benchmarks.measure.onnx_files import (
    OPTIONS,
    PLAN,
    bare,
    classifier,
    run,
    write,
)


def test_a_file_that_does_not_run_on_random_inputs_is_an_error_that_names_it(tmp_path: Path) -> None:
    # Any int32 is no index into a table of ten.
    nodes = "rows = Gather (table, words) out = Cast <to = 6> (rows)"
    text = f"(int32[1, 5] words) => (int32[1, 5, 4] out) {{{nodes}}}"
    file = write(tmp_path / "words.onnx", text, table=np.zeros((10, 4), np.float32))
    with pytest.raises(ArtifactError, match=r"words\.onnx: onnxruntime can't.*random inputs \(.*Gather"):
        file_candidates(bare(file), OPTIONS)


def test_without_images_a_benchmark_is_of_latency_alone_and_passes_nothing_unasked(tmp_path: Path) -> None:
    report = run(file_candidates(bare(classifier(tmp_path / "a.onnx")), OPTIONS))
    (file,) = report.files
    assert (file.accuracy, report.dataset, report.class_names, report.timed_region) == (None, None, (), RANDOM_REGION)
    assert (file.verdict.status, report.verdict.status, file.latency.runs >= 100) == (UNJUDGED, UNJUDGED, True)
    text = " ".join(to_text(report).split())
    assert all(said in text for said in ("Inputs are random numbers", "a.onnx (1, 3, 6, 5)."))
    assert text.startswith("UNJUDGED: nothing was judged: set")
    assert PASS not in text


def test_a_limit_that_is_set_is_judged_without_images(tmp_path: Path) -> None:
    candidate_set = file_candidates(bare(classifier(tmp_path / "a.onnx")), OPTIONS)
    enough = replace(OPTIONS, plan=replace(PLAN, min_runs=64 * PLAN.launches))
    passed = run(candidate_set, enough, limits={"max_size_kib": 100.0, "max_p90_ms": 1000.0})
    assert (passed.verdict.status, len(passed.verdict.checks)) == (PASS, 2)
    assert to_text(passed).startswith("PASS: every file is within its limits.\n")
    assert run(candidate_set, limits={"max_size_kib": 0.1}).verdict.status == FAIL


@pytest.mark.parametrize(
    ("takes", "dtype"),
    [
        ((1, 20, 13), "float"),
        (("n", 64), "int8"),
        ((5,), "double"),
        ((1, 2, 3, 4, 5), "uint8"),
        ((1, 6, 5, 3), "float"),
    ],
    ids=["audio", "free batch", "no batch", "five axes", "autoencoder"],
)
def test_any_one_tensor_is_timed_whatever_it_means(takes: tuple[int | str, ...], dtype: str, tmp_path: Path) -> None:
    kind = f"{dtype}[{', '.join(map(str, takes))}]"
    file = write(tmp_path / "copy.onnx", f"({kind} x) => ({kind} y) {{y = Identity (x)}}")
    report = run(file_candidates(bare(file), OPTIONS), replace(OPTIONS, batch=3))
    artifact, throughput = report.files[0].artifact, report.files[0].throughput
    assert artifact.input.shape == artifact.output.shape == tuple(None if size == "n" else size for size in takes)
    assert (artifact.format, artifact.precision, artifact.size_bytes) == ("onnx", "unknown", file.stat().st_size)
    assert throughput
    assert (throughput.batch, throughput.one_by_one) == (3, "n" not in takes)

"""Which settings a runner tries, and what a report says of them."""

from dataclasses import replace

import pytest

from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.runners.timed import named_runtimes, settings_of, thread_counts


@pytest.mark.parametrize(
    ("cores", "threads"),
    [
        (1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (4, (1, 2, 4)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8)),
        (96, (1, 2, 4, 8, 16, 32, 64)),
    ],
)  # fmt: skip
def test_threads_double_up_to_the_number_of_cores_that_a_runtime_takes(cores: int, threads: tuple[int, ...]) -> None:
    assert thread_counts(cores) == threads


def test_runtimes_that_need_a_name_are_tried_with_the_files_of_their_format() -> None:
    assert named_runtimes("tflite") == ("litert-fp16", "openvino")
    assert "openvino" in named_runtimes("onnx")
    assert named_runtimes("keras") == ()


def test_every_row_of_a_report_is_a_setting_beside_the_first(measured: Report) -> None:
    first, second, _ = measured.files
    rows = (
        # A file's name is no runtime's.
        replace(first, name="openvino litert-fp16 x1"),
        replace(second, name="a x2", artifact=first.artifact, runtime="ai-edge-litert-fp16 2.3.0", threads=2),
    )
    default, other = settings_of(replace(measured, files=rows))
    assert (default.threads, default.runtime, default.ratio.estimate) == (1, None, 1.0)
    assert (other.threads, other.runtime, other.verdict) == (2, "litert-fp16", second.verdict.status)
    assert other.ratio.low < other.ratio.estimate < other.ratio.high
    (p50,) = [found.value_ns for found in first.latency.percentiles if found.percent == 50]
    assert default.p50_ns == p50
    # A p99 needs 662 runs; three launches of 400 have them.
    assert default.p99_ns is not None
    assert p50 is not None
    assert default.p99_ns > p50


def test_a_row_of_one_launch_is_no_evidence(measured: Report) -> None:
    first, second, _ = measured.files
    once = tuple(replace(file, launches=file.launches[:1]) for file in (first, second))
    with pytest.raises(ValueError, match="several launches"):
        settings_of(replace(measured, files=once))

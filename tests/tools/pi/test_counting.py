"""Reading the marks that a counted program prints."""

import pytest

from edgecnn.benchmarks.emulator.counting import Stretch, stretches_of, why_ended


def marks(*counts: tuple[int, int]) -> str:
    return "".join(f"instructions {label} {total}\n" for label, total in counts)


def test_a_stretch_is_what_is_between_its_marks_less_what_marking_costs_in_the_median_of_repetitions() -> None:
    text = marks((0, 100), (0, 130), (1, 200), (1, 1230))
    assert stretches_of(text) == [Stretch(1000, 0)]
    text = marks((0, 0), (0, 0), (1, 0), (1, 10), (1, 20), (1, 32), (1, 40), (1, 90))
    assert stretches_of(text) == [Stretch(12, 40)]
    text = "hello\n" + marks((0, 0), (0, 0), (2, 5), (2, 7)) + "instructions for use\n" + marks((1, 8), (1, 9))
    assert stretches_of(text) == [Stretch(1, 0), Stretch(2, 0)]


def test_a_stretch_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        stretches_of(marks((0, 0), (0, 0), (1, 5)))


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (-11, "loading\n", "SIGSEGV"),
        (1, "warning: old\ninstructions 0 17\nint8.onnx: openvino can't load it\n\n", "int8.onnx: openvino can't load it"),
        (3, "instructions 0 17\n", "exit code 3"),
    ],
)
def test_why_a_program_failed_is_its_signal_or_its_last_line(code: int, text: str, reason: str) -> None:
    assert why_ended(code, text) == reason

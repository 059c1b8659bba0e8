"""Text from outside: control characters are shown, and a name stays on one line."""

import json

import pytest

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.text import counted, duration_text, has_controls, last_line, printable, printable_lines, shortened

HOSTILE = (
    "\x1b[2J", "\r", "\x07", "\x08", "\x7f", "\x9b31m", "\u202e", "\u2066", "\u200f", "\u2028", "\ufeff", "\ud800",
    "\U000e0041",
)  # fmt: skip


@pytest.mark.parametrize("hostile", [*HOSTILE, "\n", "\t", "\0"])
def test_what_steers_a_terminal_is_shown_as_json_writes_it(hostile: str) -> None:
    shown = printable(f"cat{hostile}dog")
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == f"cat{hostile}dog"
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["bär", "Grüße, Κόσμε", "日本語", "می‌خواهم", "👩‍🔬", "non breaking", "µs ± 2 %", 'a "b" \\c'])
def test_letters_of_any_language_stay(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_block_keeps_its_lines_and_nothing_else(hostile: str) -> None:
    shown = printable_lines(f"one\n{hostile}two\n")
    assert shown.count("\n") == 2
    assert shown.replace("\n", "").isprintable()


def test_an_error_is_one_line_whatever_name_it_quotes() -> None:
    error = ArtifactError("a\nPASS: all is well\x1b[2J.tflite is damaged: copy it again")
    assert str(error).isprintable()


@pytest.mark.parametrize("text", ["\n", "\x1b", "\x85", "\x7f"])
def test_a_name_with_controls_is_told(text: str) -> None:
    assert has_controls(f"cat{text}")
    assert not has_controls("cat and dog")


def test_a_long_message_ends_between_two_words_and_one_thing_is_singular() -> None:
    text = "the tensor of the convolution\n  has another shape than its filter"
    assert shortened(text, 200) == "the tensor of the convolution has another shape than its filter"
    for width in range(12, 60):
        short = shortened(text, width)
        assert len(short) <= width
        assert short.endswith(" ...")
        assert set(short.removesuffix(" ...").split()) <= set(text.split())
    assert len(shortened("x" * 300, 40)) <= 40
    assert (counted(1, "input"), counted(["a", "b"], "input"), counted(0, "label")) == ("1 input", "2 inputs", "0 labels")
    assert [counted(2, noun) for noun in ("class", "launch", "batch", "epoch")] == [
        "2 classes",
        "2 launches",
        "2 batches",
        "2 epochs",
    ]


@pytest.mark.parametrize(
    ("text", "last"), [("", ""), ("\n \n", ""), ("one", "one"), ("warning\n  error: no room \n\n", "error: no room")]
)
def test_a_program_s_last_words_are_its_last_line_with_text(text: str, last: str) -> None:
    assert last_line(text) == last


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (0.052, "0.052 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (89, "89 s"),
        (90, "1.5 min"),
        (5399, "90 min"),
        (36_000, "10 h"),
    ],
)
def test_a_duration_has_two_digits(value: float, text: str) -> None:
    assert duration_text(value) == text

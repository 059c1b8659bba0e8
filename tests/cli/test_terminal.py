"""How wide a terminal's text is, and what is coloured there."""

import io
import os
import re
from pathlib import Path

import pytest

from edgecnn.shell.console import coloured, columns, emit, has_colours, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(("has", "given"), [(80, 80), (100, 100), (120, 120), (200, 120), (20, 40)])
def test_text_is_as_wide_as_the_terminal_and_no_wider_than_can_be_read(
    has: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(has))
    assert columns(Terminal()) == given


def test_a_terminal_that_has_no_size_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((0, 0)))
    assert columns(Terminal()) == 80


def test_a_pipe_or_a_file_has_100_columns_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    closed = io.StringIO()
    closed.close()
    assert [columns(stream) for stream in (io.StringIO(), closed, None)] == [100, 100, 100]


@pytest.mark.parametrize(
    ("names", "in_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colours_are_for_terminals_and_the_user_decides(
    names: dict[str, str], in_terminal: bool, in_pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert (has_colours(Terminal()), has_colours(io.StringIO())) == (in_terminal, in_pipe)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("PASS: every file", "32"),
        (" int8.tflite  99.1  FAIL", "31"),
        ("pi: UNDECIDED. A CPU", "33"),
        ("pi: NO RESULT: gone", "31"),
        ("UNJUDGED: nothing", "33"),
        ("INVALID: too noisy", "33"),
        ("problem  onnxruntime", "31"),
        ("warning: it is slow", "33"),
    ],
)
def test_a_verdict_has_its_colour_and_no_character_is_lost(text: str, colour: str) -> None:
    assert f"\x1b[{colour}m" in coloured(text)
    assert re.sub(r"\x1b\[\d+m", "", coloured(text)) == text


@pytest.mark.parametrize("text", ["PASS.tflite", "models/FAIL", "BYPASS", "a-PASS", "it is no problem", "my warning: x"])
def test_what_is_no_verdict_keeps_its_colour(text: str) -> None:
    assert coloured(text) == text


class Found:
    def to_text(self, width: int, verbose: bool = False) -> str:
        return f"PASS {width} {verbose} \x1b[2J"

    def to_json(self) -> str:
        return '{"status": "PASS"}'


def test_a_result_gets_the_terminals_width_and_its_json_no_colour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    emit(Found(), tmp_path / "found.json", verbose=True)
    assert screen.getvalue() == "\x1b[32mPASS\x1b[0m 80 True \\u001b[2J\n"
    screen.truncate(0)
    screen.seek(0)
    emit(Found(), Path("-"))
    assert screen.getvalue() == '{"status": "PASS"}\n'
    assert (tmp_path / "found.json").read_text() == '{"status": "PASS"}'


def test_a_warning_on_standard_error_is_coloured_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say("warning: it is slow")
    assert capsys.readouterr().err == "warning: it is slow\n"
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    say("warning: it is slow")
    assert screen.getvalue() == "\x1b[33mwarning\x1b[0m: it is slow\n"

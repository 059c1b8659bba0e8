"""What a terminal, a pipe and a file get: width, colours, progress; and which files may be written."""

import io
import os
import re
import sys
from pathlib import Path

import pytest

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.result import Progress
from edgecnn.shell.console import Shown, check_writable, coloured, columns, emit, has_colours, say

ESTIMATE = "estimate: about 4.7 min, 3 launches of 2 rounds"


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


@pytest.mark.parametrize(("wish", "given"), [(None, 100), ("60", 60), ("80", 80), ("wide", 100)])
def test_a_pipe_or_a_file_has_100_columns_or_as_many_as_the_user_wishes(
    wish: str | None, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wish:
        monkeypatch.setenv("COLUMNS", wish)
    closed = io.StringIO()
    closed.close()
    assert [columns(stream) for stream in (io.StringIO(), closed, None)] == [given] * 3


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


@pytest.mark.parametrize(
    ("outputs", "inputs", "message"),
    [
        (("-",), (), "- is only for --json"),
        ((".",), (), r"\. is a folder: name a file"),
        (("manifest.json",), (), "manifest.json has a model's or a manifest's name"),
        (("new/int8.TFLITE",), (), "int8.TFLITE has a model's or a manifest's name"),
        (("a.json", "./a.json"), (), r"a\.json is named twice"),
        (("a.json",), ("x/../a.json",), r"a\.json is named twice"),
        (("file",), ("file/pi4",), "file is named twice, or is an input"),
        (("file/a.json",), (), r"file can't be written"),
    ],
)
def test_what_must_not_be_written_is_refused(outputs: tuple[str, ...], inputs: tuple[str, ...], message: str) -> None:
    Path("file").write_text("")
    with pytest.raises(ConfigError, match=message):
        check_writable([*map(Path, outputs)], [*map(Path, inputs)])


def test_folders_of_outputs_may_be_missing_and_are_not_made_before_the_work(tmp_path: Path) -> None:
    check_writable([tmp_path / "a/one.json", tmp_path / "b/two.csv", Path("/dev/null")])
    assert list(tmp_path.iterdir()) == []


def test_progress_without_a_standard_error_does_not_get_into_the_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("loading")
    assert capsys.readouterr().out == ""


def report(progress: Progress) -> None:
    progress.step(0, 2, "launch 1 of 3", "opening a")
    progress.say(ESTIMATE)
    progress.step(2, 6, "launch 1 of 3", "round 1 of 2, about 4 min left")
    progress.step(3, 6, "launch 1 of 3", "round 2 of 2, about 3 min left")
    progress.step(4, 6, "launch 2 of 3", "opening a, about 3 min left")


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal of 120 columns."""
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_lines_hold_the_estimate_and_each_launch_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Shown(measuring=True) as progress:
        report(progress)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["launch 1 of 3", ESTIMATE, "launch 2 of 3"]


def test_a_training_in_a_sweep_has_a_line_for_each_epoch_and_not_for_each_batch(capsys: pytest.CaptureFixture[str]) -> None:
    with Shown(measuring=True) as progress:
        for epoch, loss in ((1, 0.9), (1, 0.8), (2, 0.7), (2, 0.6)):
            progress.step(1, 4, f"epoch {epoch}/2", f"loss {loss:.4f}  accuracy 0.9000")
    assert capsys.readouterr().err.splitlines() == ["epoch 1/2", "epoch 2/2"]


def test_where_nothing_is_measured_and_nobody_watches_steps_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Shown() as progress:
        progress.step(1, 2, "classifying")
        progress.say("wrote sheet.png")
    assert capsys.readouterr().err == "wrote sheet.png\n"


def test_on_a_terminal_lines_stay_and_the_bar_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with Shown(measuring=True) as progress:
        report(progress)
    text = terminal.getvalue()
    assert "estimate: about 4.7 min" in text
    assert "about 3 min left" in text
    assert text.index("1 of 3: opening a") < text.index("estimate") < text.rindex("about 3 min left")
    assert text.endswith("\x1b[2K")  # The bar's line is cleared.


def test_a_bar_shows_a_name_that_rich_would_take_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with Shown() as progress:
        progress.step(0, 1, "launch 1 of 2 [/red]\x1b[2J", "it")
    assert "[/red]\\u001b[2J: it" in terminal.getvalue()


LONG = "edgecnn: artifacts/mnist/int8.tflite " + "is not the file that its manifest lists, " * 4 + "copy it again"


@pytest.mark.parametrize("wish", [None, "60"])
def test_a_message_wraps_at_words_in_a_terminal_and_stays_one_line_in_a_pipe_without_a_width(
    wish: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((60, 24)))
    if wish:
        monkeypatch.setenv("COLUMNS", wish)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stderr", stream)
        say(f"{LONG}\n  short   one")
    lines = re.sub("\x1b.*?m", "", terminal.getvalue()).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines[:-1]).split()) == LONG
    assert lines[-1] == "  short   one"
    assert pipe.getvalue().splitlines() == (lines if wish else [LONG, "  short   one"])

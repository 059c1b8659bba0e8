"""Messages while a command works, without and with a terminal."""

import io
import sys

import pytest

from edgecnn.edge.progress import Progress
from edgecnn.shell.progress import shown

ESTIMATE = "estimate: about 4.7 min, 3 launches of 2 rounds"


def report(progress: Progress) -> None:
    progress.step(0, 2, "launch 1 of 3", "opening a")
    progress.say(ESTIMATE)
    progress.step(2, 6, "launch 1 of 3", "round 1 of 2, about 4 min left")
    progress.step(3, 6, "launch 1 of 3", "round 2 of 2, about 3 min left")
    progress.step(4, 6, "launch 2 of 3", "opening a, about 3 min left")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal of 120 columns."""
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_lines_hold_the_estimate_and_each_launch_once(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(measuring=True) as progress:
        report(progress)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["launch 1 of 3", ESTIMATE, "launch 2 of 3"]


def test_a_training_in_a_sweep_has_a_line_for_each_epoch_and_not_for_each_batch(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(measuring=True) as progress:
        for epoch, loss in ((1, 0.9), (1, 0.8), (2, 0.7), (2, 0.6)):
            progress.step(1, 4, f"epoch {epoch}/2", f"loss {loss:.4f}  accuracy 0.9000")
    assert capsys.readouterr().err.splitlines() == ["epoch 1/2", "epoch 2/2"]


def test_where_nothing_is_measured_and_nobody_watches_steps_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with shown() as progress:
        progress.step(1, 2, "classifying")
        progress.say("wrote sheet.png")
    assert capsys.readouterr().err == "wrote sheet.png\n"


def test_on_a_terminal_lines_stay_and_the_bar_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with shown(measuring=True) as progress:
        report(progress)
    text = terminal.getvalue()
    assert "estimate: about 4.7 min" in text
    assert "about 3 min left" in text
    assert text.index("1 of 3: opening a") < text.index("estimate") < text.rindex("about 3 min left")
    assert text.endswith("\x1b[2K")  # The bar's line is cleared.


def test_a_bar_shows_a_name_that_rich_would_take_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with shown() as progress:
        progress.step(0, 1, "launch 1 of 2 [/red]\x1b[2J", "it")
    assert "[/red]\\u001b[2J: it" in terminal.getvalue()

"""Progress on standard error: lines that stay and, on a terminal, a bar."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from edgecnn.edge.text import printable
from edgecnn.shell.console import say

_REDRAW_SECONDS = 0.1


@contextmanager
def shown(measuring: bool = False, quiet: bool = False) -> Iterator["Shown"]:
    """Yield a display of progress until the block ends.

    Args:
        measuring: Whether times are measured, by work that estimates its own duration: without a terminal, a line for each part
            replaces the bar.
        quiet: Show nothing.
    """
    progress = Shown(measuring, quiet)
    try:
        yield progress
    finally:
        progress.hide()


class Shown:
    """A `Progress` on standard error. Nothing is drawn between two calls, when only the measured process may work."""

    def __init__(self, measuring: bool, quiet: bool = False) -> None:
        self._measuring = measuring
        self._quiet = quiet
        self._watched = not quiet and bool(sys.stderr and sys.stderr.isatty())
        self._bar: Any = None
        self._drawn = 0.0
        self._part = ""

    def say(self, text: str) -> None:
        """Print a line, or several."""
        self.hide()
        if not self._quiet:
            say(text)

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        """Draw the bar; for a measurement without a terminal, print each part once."""
        if self._watched:
            self._draw(done, total, f"{text}: {detail}" if detail else text)
        elif self._measuring and text != self._part:
            self._part = text
            say(printable(text))

    def hide(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _draw(self, done: int, total: int, text: str) -> None:
        if self._bar is None:
            self._bar = self._new_bar()
            self._bar.start()
        (task,) = self._bar.task_ids
        self._bar.update(task, completed=done, total=total, description=printable(text))
        if done >= total:
            self.hide()
        elif time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self._bar.refresh()
            self._drawn = time.monotonic()

    def _new_bar(self) -> Any:
        # Imported late, since the import takes longer than a prediction.
        rich, console = import_module("rich.progress"), import_module("rich.console").Console(stderr=True)
        columns = [rich.TextColumn("{task.description}", markup=False), rich.BarColumn(), rich.MofNCompleteColumn()]
        columns += [] if self._measuring else [rich.TimeRemainingColumn()]
        bar = rich.Progress(*columns, console=console, transient=True, auto_refresh=False)
        bar.add_task("")
        return bar

"""How long work reports its progress."""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of long work. The command line shows it on standard error; `SILENT` shows nothing."""

    def say(self, text: str) -> None:
        """Receive a line to keep."""

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        """Receive how many of `total` steps are done, a name for the current part, and what changes from step to step of it."""


class Silent:
    """Progress that shows nothing."""

    def __repr__(self) -> str:
        return "SILENT"

    def say(self, text: str) -> None:
        """Do nothing."""

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        """Do nothing."""


SILENT: Progress = Silent()

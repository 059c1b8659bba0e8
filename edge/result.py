"""What long work reports: its progress, and a result that prints as text and returns plain values."""

from typing import Any, Protocol

from edgecnn.edge.records import to_json, to_value
from edgecnn.edge.show import rendered
from edgecnn.edge.text import WIDTH, printable_lines


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


class Result:
    """A result. Subclasses, except `ModelFolder`, are frozen dataclasses with `repr=False`; their fields are the JSON."""

    def to_text(self, width: int = WIDTH) -> str:
        """Return it as the command line prints it, in `width` columns except where a path or a command stays whole."""
        text: str = rendered(self, "to_text", width)
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as dicts, lists, numbers and text."""
        value: dict[str, Any] = to_value(self)
        return value

    def to_json(self) -> str:
        """Return the fields as the JSON that the command line writes."""
        return to_json(self)

    def __repr__(self) -> str:
        first = next((line for line in self.to_text().splitlines() if line.strip()), "")
        return f"<{type(self).__name__} {first.strip()}>"

    def _repr_html_(self) -> str:
        from html import escape  # noqa: PLC0415 - A device need not wait for this import.

        # The pages that nbconvert makes give a bare <pre> the font of their text, in which no columns line up.
        style = "font-family: monospace; white-space: pre; overflow-x: auto; line-height: 1.25"
        return f'<pre style="{style}">{escape(printable_lines(self.to_text()))}</pre>'

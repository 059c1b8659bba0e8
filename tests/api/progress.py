"""A stand-in for the console that several tests read."""

from edgecnn.edge.result import Silent


class Lines(Silent):
    """Progress that keeps its lines, in a list of the test's own if it has one."""

    def __init__(self, lines: list[str] | None = None) -> None:
        self.lines: list[str] = [] if lines is None else lines

    def say(self, text: str) -> None:
        self.lines.append(text)

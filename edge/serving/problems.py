"""The error that a client gets when its request can't be answered."""

from edgecnn.edge.text import printable


class Problem(Exception):
    """A request that gets an error instead of an answer.

    Attributes:
        status: HTTP status.
        text: One line for a person; it names no path of this machine.
        headers: Further headers of the response.
    """

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, printable(text), headers or {}

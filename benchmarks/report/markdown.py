"""Makes text from outside safe in Markdown."""

import re
from collections.abc import Sequence

from edgecnn.edge.text import printable

_MARKUP = re.compile(r"[\\`*_\[\]<>|~]")


def escaped(text: str) -> str:
    """Return text in which nothing is markup."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))


def table_row(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(map(escaped, cells)) + " |"

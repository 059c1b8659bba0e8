"""Renders every table: for a terminal, in Markdown, HTML and CSV."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import NamedTuple, TypeVar
from unicodedata import combining, east_asian_width

from edgecnn.edge.text import WIDTH, paragraph, printable, printable_lines

Item = TypeVar("Item")

_MARKUP = re.compile(r"[\\`*_\[\]<>|~]")
_PART_OF_NAME = re.compile(r"(?<=[/_])(?=\w)")
_MARGIN, _GAP = " ", "  "
# A folded column of text keeps at least this much of the terminal's width.
_LEAST = 12
# A column is left out before the names of files are folded to less than this. On a page, longer cells are folded.
_READABLE = 24
# A spreadsheet would compute a text that begins so.
_FORMULA = ("=", "+", "-", "@")


class TextTable(NamedTuple):
    r"""A table of text. Text in it can't steer a terminal.

    Attributes:
        headings: One for each column; `\n` breaks one.
        rows: Rows with a cell for each heading.
        title: What it is about; may be empty.
        less: Headings of columns that a narrow terminal may leave out, the first one first.
        align: `<` for a column of text, `>` for one of figures. Columns that it does not reach are figures.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    less: Sequence[str] = ()
    align: str = "<"

    @classmethod
    def of(
        cls,
        items: Iterable[Item],
        columns: Mapping[str, Callable[[Item], str]],
        title: str = "",
        less: Sequence[str] = (),
        align: str = "<",
    ) -> "TextTable":
        """Return a table with a row for each item, and for each heading what its function says of the item."""
        return cls(tuple(columns), [tuple(cell(item) for cell in columns.values()) for item in items], title, less, align)

    @property
    def sides(self) -> str:
        """`align` of every column."""
        return self.align.ljust(len(self.headings), ">")


def escaped(text: str) -> str:
    """Return text in which nothing is markup of Markdown."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))


def table_row(cells: Sequence[str]) -> str:
    """Return a row of a table in Markdown."""
    return "| " + " | ".join(map(escaped, cells)) + " |"


def table_markdown(table: TextTable) -> list[str]:
    """Return the lines of a table in Markdown, without its title."""
    heads = table_row([heading.replace("\n", " ") for heading in table.headings])
    sides = "".join("---|" if side == "<" else "---:|" for side in table.sides)
    return [heads, f"|{sides}", *map(table_row, table.rows)]


def table_html(table: TextTable, looks: Mapping[int, Callable[[str], str]] | None = None, css: str = "grid") -> str:
    """Return a table for a page, in a box that scrolls; its title is for screen readers.

    Args:
        table: The table; the first cell of a row is the row's heading.
        looks: Functions that turn the cells of some columns, by their places from 0, into HTML. Other cells are escaped.
        css: Classes of the table.
    """
    looks, top = looks or {}, ""
    for heading, side in zip(table.headings, table.sides, strict=True):
        parts = heading.split("\n")
        top += f'<th scope="col"{_css(max(map(len, parts)), side)}>{"<br>".join(map(escape, parts))}</th>'
    lines = [f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">', f'<table class="{css}">']
    lines += [f"<thead><tr>{top}</tr></thead>"] if any(table.headings) else []
    lines.append("<tbody>")
    for name, *others in table.rows:
        cells = [f"<td{_css(0, table.sides[at])}>{looks.get(at, escape)(cell)}</td>" for at, cell in enumerate(others, 1)]
        lines.append(f'<tr><th scope="row"{_css(len(name))}>{_breakable(name)}</th>{"".join(cells)}</tr>')
    return "\n".join([*lines, "</tbody>", "</table>", "</div>"])


def _breakable(name: str) -> str:
    """Return a name as HTML; one that may be folded is folded behind a `/` or `_`, not inside a word."""
    return _PART_OF_NAME.sub("<wbr>", escape(name)) if len(name) > _READABLE else escape(name)


def _css(letters: int, side: str = "") -> str:
    """Return the classes of a cell of so many letters, which is folded if they are many."""
    names = [name for name, applies in (("long", letters > _READABLE), ("text", side == "<")) if applies]
    return f' class="{" ".join(names)}"' if names else ""


def table_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return CSV of rows, at least one, by the names of their columns: numbers stay plain, and no text is a formula."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _csv_cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def table_text(table: TextTable, width: int = WIDTH) -> str:
    """Return a table for a terminal, with its title above and a line under its headings.

    Where the table would be too wide, the columns that matter less are left out, and named below it. Then text is folded; a
    figure never is. Columns that still don't fit follow in a further table, which repeats the first one.
    """
    headings, rows, sides, hidden = _without(table, width)
    heads = [printable_lines(heading).split("\n") for heading in headings]
    body = [[printable(cell) for cell in row] for row in rows]
    widths = _widths(headings, rows)
    texts = [at for at, side in enumerate(sides) if side == "<" and widths[at] > _LEAST]
    folded = [_LEAST if at in texts else space for at, space in enumerate(widths)]
    # If even that does not fit, names are folded less and the table is cut.
    least = _LEAST if _total_width(folded) <= width else width // 3
    while _total_width(widths) > width and any(widths[at] > least for at in texts):
        widths[max(texts, key=widths.__getitem__)] -= 1
    # At least two columns of a table that is still too wide.
    shown = next((count for count in range(len(widths), 2, -1) if _total_width(widths[:count]) <= width), 2)
    blank = [""] * max(map(len, heads))
    top = zip(*([*blank, *head][-len(blank) :] for head in heads), strict=True)
    below = [line for row in body for line in zip_longest(*map(_folded, row, widths), fillvalue="")]
    lines = [_line(cells[:shown], sides, widths) for cells in (*top, *below)]
    lines.insert(len(blank), _MARGIN + "─" * (_total_width(widths[:shown]) - len(_MARGIN)))
    if shown < len(widths):
        rest = [0, *range(shown, len(widths))]
        head, *others = ([row[at] for at in rest] for row in (headings, *rows))
        lines += ["", table_text(TextTable(head, others, align="".join(sides[at] for at in rest)), width)]
    if hidden:
        lines.append(f"{_MARGIN}(too narrow for: {', '.join(hidden)})")
    return "\n".join([paragraph(table.title, width), *lines] if table.title else lines)


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide each column is that nothing folds."""
    cells = (
        [*printable_lines(heading).split("\n"), *(printable(row[at]) for row in rows)] for at, heading in enumerate(headings)
    )
    return [max(map(_columns, column)) for column in cells]


def _without(table: TextTable, width: int) -> tuple[Sequence[str], Sequence[Sequence[str]], str, list[str]]:
    """Leave out as many columns of `less` as the others need to fit, and return the rest with the headings that are gone."""
    headings, rows, sides, hidden = table.headings, table.rows, table.sides, list[str]()
    for name in table.less:
        spaces = zip(_widths(headings, rows), sides, strict=True)
        if _total_width([min(space, _READABLE) if side == "<" else space for space, side in spaces]) <= width:
            break
        at = headings.index(name)
        sides = sides[:at] + sides[at + 1 :]
        headings, *rows = ([*cells[:at], *cells[at + 1 :]] for cells in (headings, *rows))
        hidden.append(" ".join(name.split()))
    return headings, rows, sides, hidden


def _columns(line: str) -> int:
    """Return the width of a line in terminal columns: two for a Chinese character, none for a combining accent."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in line)


def _total_width(widths: Sequence[int]) -> int:
    return len(_MARGIN) + sum(widths) + len(_GAP) * (len(widths) - 1)


def _line(cells: Sequence[str], sides: str, widths: Sequence[int]) -> str:
    padded = []
    for cell, side, width in zip(cells, sides, widths, strict=False):
        space = " " * (width - _columns(cell))
        padded.append(cell + space if side == "<" else space + cell)
    return (_MARGIN + _GAP.join(padded)).rstrip()


def _folded(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` columns: between words, else behind a `/` or `_` of a layer's name or the `=`
    before a version, else anywhere.
    """
    lines = []
    while _columns(text) > width:
        end = next(count for count in range(len(text), 0, -1) if _columns(text[:count]) <= width)
        ends = (text.rfind(" ", 1, end + 1), *(text.rfind(mark, 0, end) + 1 for mark in ("/", "_", "=")), end)
        end = next(place for place in ends if place > 0)
        lines.append(text[:end])
        text = text[end:].lstrip()
    return [*lines, text]

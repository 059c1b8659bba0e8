"""Tables on a page and as text: figures stay whole, text is folded, columns that don't fit follow below."""

import pytest

from edgecnn.edge.show.table import TextTable, table_csv, table_html, table_text


def test_text_is_on_the_left_figures_on_the_right_and_headings_end_on_one_line() -> None:
    text = table_text(
        TextTable(("file", "size\nbytes", "by"), [("int8.tflite", "41,000", "x"), ("a", "1", "long")], align="<><")
    )
    assert text.splitlines() == [
        "                size",
        " file          bytes  by",
        " ─────────────────────────",
        " int8.tflite  41,000  x",
        " a                 1  long",
    ]


def test_a_table_without_rows_is_its_headings() -> None:
    assert table_text(TextTable(("file", "KiB"), [])).splitlines() == [" file  KiB", " ─────────"]


@pytest.mark.parametrize("name", ["a/" * 100, "some words " * 20, "日本語" * 40])
def test_long_text_is_folded_and_figures_stay_whole(name: str) -> None:
    lines = table_text(
        TextTable(("layer", "type", "MACs"), [(name, "CONV_2D", "123,456,789")], align="<<"), width=40
    ).splitlines()
    assert all(len(line) + sum(ord(char) > 0x3000 for char in line) <= 40 for line in lines)
    assert lines[2].endswith("  CONV_2D  123,456,789")
    assert "".join(line[:19].strip() for line in [lines[2].split("  CONV")[0], *lines[3:]]).replace(" ", "") == name.replace(
        " ", ""
    )


def test_a_version_is_not_broken_in_its_middle() -> None:
    rows = [("tensorflow-lite>=2.10.0", "1")]
    lines = table_text(TextTable(("oldest runtime", "n"), rows, align="<>"), width=26).splitlines()
    assert [line.split() for line in lines[2:]] == [["tensorflow-lite>=", "1"], ["2.10.0"]]


def test_a_table_of_more_figures_than_fit_goes_on_below_with_its_names() -> None:
    headings = ("file", *(f"column {number}" for number in range(7)))
    row = ("int8.tflite", *(f"{number * 111:,}" for number in range(7)))
    first, second, third = table_text(TextTable(headings, [row, row]), width=50).split("\n\n")
    assert first.splitlines()[0] == " file         column 0  column 1  column 2"
    assert second.splitlines()[2] == " int8.tflite       333       444       555"
    assert third.splitlines()[0] == " file         column 6"


def test_a_cell_steers_no_terminal_and_its_width_is_what_is_seen() -> None:
    lines = table_text(TextTable(("file", "\x1b[2J"), [("a\nb", "\x1b[31m")])).splitlines()
    assert lines[0].endswith(r"\u001b[2J")
    assert lines[2] == r" a\nb  \u001b[31m"
    lines = table_text(TextTable(("class", "n"), [("cafe\u0301", "1"), ("猫", "2"), ("cats", "3")])).splitlines()
    assert lines[2:] == [" cafe\u0301   1", " 猫     2", " cats   3"]


def test_a_figure_that_is_wider_than_the_terminal_stays_whole() -> None:
    assert (
        table_text(TextTable(("file", "bytes"), [("int8.tflite", "9" * 60)]), width=40).splitlines()[2]
        == f" int8.tflite  {'9' * 60}"
    )


def test_columns_that_matter_less_are_left_out_and_named_before_the_table_is_cut() -> None:
    headings, row = ("file", "gate", "right\n%", "lost", "gained"), ("int8.tflite", "PASS", "99.15", "12", "11")
    text = table_text(TextTable(headings, [row], less=("gained", "lost")), width=34)
    assert text.splitlines()[1:] == [
        " file         gate      %  lost",
        " ──────────────────────────────",
        " int8.tflite  PASS  99.15    12",
        " (too narrow for: gained)",
    ]
    assert "narrow" not in table_text(TextTable(headings, [row], less=("gained", "lost")), width=80)
    both = table_text(TextTable(headings, [row], less=("gained", "lost")), width=26)
    assert both.splitlines()[-1] == " (too narrow for: gained, lost)"
    assert both.splitlines()[-2] == " int8.tflite  PASS  99.15"


def test_a_long_name_is_folded_before_more_columns_than_needed_are_left_out() -> None:
    text = table_text(TextTable(("file", "gate", "lost"), [("long/" * 20, "PASS", "1")], less=("lost",)), width=50)
    assert "lost" in text.splitlines()[0]
    assert max(map(len, text.splitlines())) <= 50


def test_on_a_page_every_text_is_escaped_but_what_a_look_makes_and_sides_and_long_cells_have_their_class() -> None:
    table = TextTable(("<file>", "size\nbytes", "by & by"), [("a<b" * 9, "41,000", "<x>")], '"title"', align="<><")
    plain = table_html(table)
    assert 'aria-label="&quot;title&quot;"' in plain
    assert '<th scope="col" class="text">&lt;file&gt;</th><th scope="col">size<br>bytes</th>' in plain
    assert f'<th scope="row" class="long">{"a&lt;b" * 9}</th><td>41,000</td><td class="text">&lt;x&gt;</td>' in plain
    looked = table_html(table, {2: lambda cell: f"<b>{len(cell)}</b>"}, "plain")
    assert '<table class="plain">' in looked
    assert '<td class="text"><b>3</b></td>' in looked
    assert "<thead>" not in table_html(TextTable(("", ""), [("a", "b")]))


def test_on_a_page_a_layers_name_is_folded_between_its_parts() -> None:
    page = table_html(TextTable(("op", "share"), [("image/channels_first_of_<all>", "1"), ("conv2d_1", "2")]))
    assert ">image/<wbr>channels_<wbr>first_<wbr>of_&lt;all&gt;</th>" in page
    assert ">conv2d_1</th>" in page


def test_in_csv_numbers_stay_plain_and_no_text_is_a_formula() -> None:
    rows = [{"file": "=1+1", "drop": -0.25, "p99": None}, {"file": "a\nb", "drop": 1000, "p99": 1}]
    assert table_csv(rows) == "file,drop,p99\n'=1+1,-0.25,\na\\nb,1000,1\n"


def test_a_layers_name_is_cut_at_a_slash_and_never_inside_a_word() -> None:
    name = "sequential_1/batch_normalization_1/batchnorm/mul_1"
    for width in range(40, 80):
        lines = table_text(TextTable(("layer", "type", "MACs"), [(name, "CONV_2D", "123,456")], align="<<"), width).splitlines()
        pieces = [lines[2].split()[0], *(line.strip() for line in lines[3:])]
        assert "".join(pieces) == name
        assert all(piece.endswith(("/", "_")) for piece in pieces[:-1]), pieces
        assert all(len(line) <= width for line in lines)
    assert table_text(TextTable(("layer", "MACs"), [("conv/relu_of_one/add", "1")]), 20).splitlines()[2].split()[0] == "conv/"

"""What keeps the page readable on a phone, in the dark and on paper, as far as it can be seen without a browser."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgecnn.benchmarks.show.html import to_html
from tests.benchmarks.show.pages import Page, accuracy, file_result, pictures, report, rich

# Of a page that is 400 pixels wide, a figure has so many.
PHONE = 358


class Nesting(HTMLParser):
    """Where each table of a page is."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append(self.open[-1])
        if tag in ("div", "section"):
            self.open.append(dict(attributes).get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("div", "section"):
            self.open.pop()


@pytest.fixture(scope="module")
def html() -> str:
    return to_html(report(rich(file_result("int8.tflite", of=accuracy(flips=30))), rich(file_result("float32.onnx"))), None)


def test_every_table_scrolls_where_it_is_too_wide_and_shows_that_it_does(html: str) -> None:
    tables = Nesting(html).tables
    assert len(tables) == 16
    assert set(tables) == {"scroll"}
    scroll = html[html.index(".scroll {") :].split("}")[0]
    assert "overflow-x: auto" in scroll
    assert "var(--edge)" in scroll  # The shadow on the side where there is more.
    assert "background-attachment: local, local, scroll, scroll" in scroll


def test_the_gate_is_next_to_the_files_name(html: str) -> None:
    assert Page(html[html.index("Accuracy compared with") :]).text.split("file ")[1].startswith("gate right")


def test_text_in_figures_is_as_large_as_that_of_the_page(html: str) -> None:
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(figures) == 6
    for figure in figures:
        (width,) = re.findall(r'viewBox="0 0 ([\d.]+) [\d.]+"', figure)
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", figure)]
        assert sizes
        assert min(sizes) * PHONE / float(width) >= 11


def test_pointing_at_a_figure_or_a_confusion_shows_the_values(html: str) -> None:
    titles = re.findall(r'<circle class="hover"[^>]*><title>([^<]*)</title>', html)
    for start in ("int8.tflite: 50 % of runs took at most 5", "int8.tflite, round 4: 5", "float32.onnx: 97.50 % right, p50 5"):
        assert any(title.startswith(start) for title in titles), start
    assert 'title="10 of dog taken for owl"' in html
    assert 'title="57 of cat right"' in html


def test_a_place_to_point_at_lies_in_its_figure(html: str) -> None:
    for figure in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure)[0])
        places = re.findall(r'<circle class="hover" cx="([\d.]+)" cy="([\d.]+)"', figure)
        assert places
        assert all(0 < float(x) < width and 0 < float(y) < height for x, y in places)


def test_files_that_make_the_same_mistakes_share_one_matrix_and_others_do_not() -> None:
    other = file_result("c.tflite", of=accuracy(flips=9))
    made = report(file_result("a.tflite"), file_result("b.tflite", "FAIL"), other)
    html = to_html(made, pictures())
    assert html.count('<table class="confusion') == 2
    text = Page(html[html.index('id="mistakes"') :]).text
    assert "a.tflite ✓ PASS The same for b.tflite ✗ FAIL : every image gets the same class." in text
    assert "c.tflite ✓ PASS Confusion matrix" in text


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("edgecnn bench artifacts/mnist --json r.json", "edgecnn bench artifacts/mnist --json r.json"),
        ("edgecnn bench /home/anna/mnist --data=/home/anna/my-photos", "edgecnn bench mnist --data=my-photos"),
        ("edgecnn bench '/home/anna/my models/a.tflite' --rate 30", "edgecnn bench a.tflite --rate 30"),
        ("a quote ' without its end", "a quote &#39; without its end"),
    ],
)
def test_the_command_to_repeat_names_no_folder_of_the_machine(command: str, shown: str) -> None:
    made = replace(report(file_result("int8.tflite")), command=command, folder="/home/anna/mnist")
    html = to_html(made, None)
    assert f"<pre>{shown}</pre>" in html
    assert "anna" not in html.replace(command, "")


def test_paper_has_the_light_colours_and_everything_that_is_folded_away(html: str) -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in html
    assert "(prefers-color-scheme: dark)" not in html.replace("screen and (prefers-color-scheme: dark)", "")
    paper = html[html.index("@media print") :]
    assert "details::details-content { content-visibility: visible" in paper


def test_where_many_images_changed_their_class_the_first_are_shown_and_the_others_folded_away() -> None:
    html = to_html(report(file_result("int8.tflite", of=accuracy(flips=70))), pictures())
    assert html[html.index('id="mistakes"') : html.index("<summary>48 more")].count("<img") == 12

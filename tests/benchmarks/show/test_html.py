"""The page: what is on it, and what can not get out of a result into it."""

import re
from dataclasses import replace

import matplotlib as mpl
import pytest

from edgecnn.benchmarks.gate.gate import Status
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.records import Paced
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.tables import grids
from edgecnn.benchmarks.timing.profile import OpTime
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.manifest import DatasetRecord
from tests.benchmarks.show.pages import Page, accuracy, file_result, pictures, report, rich

pytestmark = pytest.mark.workstation("reports are made on the workstation")

EVIL = '<script>alert("1")</script>'
MATH = "$x_{"


def test_names_from_the_result_can_not_become_markup() -> None:
    evil = rich(file_result(f"{EVIL}{MATH}.tflite"))
    assert evil.profile is not None
    evil = replace(evil, profile=replace(evil.profile, ops=(OpTime(EVIL, 1.0, 1.0),), caveat=EVIL), runtime=EVIL)
    made = report(evil, class_names=(EVIL, MATH, "owl"), noise=(Noise("load", None, EVIL),))
    made = replace(
        made,
        command=f"</pre>{EVIL}",
        folder=EVIL,
        versions={EVIL: EVIL},
        timed_region=EVIL,
        allowed=(EVIL,),
        dataset=DatasetRecord(EVIL, EVIL, EVIL, EVIL),
        machine=replace(made.machine, board=EVIL, cpu=EVIL),
    )
    for images in (None, pictures()):
        html = to_html(made, images)
        page = Page(html)
        assert "<script" not in html.lower()
        assert not page.all("script")
        assert page.text.count(EVIL) > 15
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_a_dollar_in_a_name_stays_a_dollar_in_figures() -> None:
    html = to_html(report(file_result("$x_{.tflite"), file_result("a$b$c.tflite")), None)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", html)
    assert "$x_{.tflite" in texts
    assert "a$b$c.tflite" in texts


def test_names_that_xml_or_a_font_can_not_hold_do_no_harm() -> None:
    html = to_html(report(file_result("a\x00b\nc.tflite"), file_result("\u72ac\ud800.tflite"), file_result("l" * 300)), None)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", html)
    assert "a\ufffdb\ufffdc.tflite" in texts
    assert "\u72ac\ufffd.tflite" in texts
    assert "l" * 39 + "…" in texts
    html.encode()


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    html = to_html(report(rich(file_result("int8.tflite"))), pictures())
    page = Page(html)
    policy = next(of["content"] for of in page.all("meta") if of.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    named = set(re.findall(r"\w+://[^\s\"'<]*", html))
    assert named <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}


def test_every_reference_inside_a_figure_is_to_its_own() -> None:
    html = to_html(report(rich(file_result("int8.tflite")), rich(file_result("int8.onnx"))), None)
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(figures) == 6
    ids = [set(re.findall(r'\bid="([^"]+)"', figure)) for figure in figures]
    assert len(set.union(*ids)) == sum(map(len, ids))
    for figure, own in zip(figures, ids, strict=True):
        assert own >= set(re.findall(r'(?:url\(|xlink:href=")#([^")]+)', figure)) != set()


def test_the_same_report_gives_the_same_bytes_whatever_the_users_settings() -> None:
    made, images = report(rich(file_result("int8.tflite")), file_result("float32.onnx")), pictures()
    before = to_html(made, images)
    with mpl.rc_context({"axes.linewidth": 9, "font.size": 20, "svg.fonttype": "path"}):
        assert to_html(made, images) == before


@pytest.mark.parametrize("status", ["FAIL", "INVALID", "UNDECIDED", "PASS"])
def test_the_verdict_is_a_word_with_every_checks_sentence_the_worst_first(status: Status) -> None:
    made = report(file_result("float32.tflite"), file_result("int8.tflite", status))
    html = to_html(made, None)
    banner = html[html.index('id="verdict"') : html.index('id="picks"')]
    text = Page(banner).text
    assert f"{status} " in text.split(".")[0]
    places = [text.index(f"{name}: its drop was looked at") for name in ("int8.tflite", "float32.tflite")]
    assert (places == sorted(places)) == (status != "PASS")


def test_where_every_file_failed_the_page_says_why_there_is_no_pick() -> None:
    page = Page(to_html(report(file_result("model.keras"), file_result("int8.tflite", "FAIL")), None))
    assert not page.all("section", "pick")
    assert re.search(r"No file [^.]*chosen[^.]*PASS or UNDECIDED", page.text)


def cards(html: str) -> list[str]:
    """Return the text of each recommended file's card."""
    return [Page(card.split("</section>")[0]).text for card in html.split('<section class="card pick">')[1:]]


def test_the_picks_have_their_files_figures() -> None:
    right = file_result("float32.tflite", microseconds=80, of=accuracy(flips=0))
    html = to_html(report(right, file_result("int8.tflite", microseconds=20, of=accuracy(flips=30))), None)
    accurate, fastest = cards(html)
    assert accurate.startswith("Most accurate, balanced float32.tflite right 100.00 % 200 of 200")
    assert fastest.startswith("Fastest int8.tflite right 84.50 % 169 of 200 drop")
    assert 20 < float(fastest.split("p50")[1].split("µs")[0]) < 22
    assert "more accurate than" not in accurate


def test_a_file_that_is_best_at_everything_is_shown_once_and_named_beside_the_verdict() -> None:
    html = to_html(report(file_result("int8.tflite"), file_result("float32.tflite", microseconds=90)), None)
    (card,) = cards(html)
    assert card.startswith("Most accurate, balanced, fastest int8.tflite")
    assert "Ship int8.tflite: " in Page(html[html.index('id="verdict"') : html.index('id="picks"')]).text


def test_files_that_the_images_or_launches_do_not_tell_apart_are_named() -> None:
    same = file_result("a.tflite", of=accuracy(flips=0)), file_result("b.tflite", of=accuracy(flips=4))
    (card,) = cards(to_html(report(*same), None))
    assert "more accurate than b.tflite." in card
    assert "faster than b.tflite." in card


def test_noise_is_told_before_the_picks_that_rest_on_it() -> None:
    right = file_result("float32.tflite", of=accuracy(flips=0))
    noisy = report(right, file_result("int8.tflite", microseconds=20), noise=(Noise("load", None, "others were busy"),))
    html = to_html(noisy, None)
    alert = html[html.index('id="noise"') : html.index('id="picks"')]
    assert Page(alert).text.count("These times are unstable") == 1
    assert "others were busy (load)" in Page(alert).text
    accurate, fastest = cards(html)
    assert "unstable" not in accurate.split("Balanced.")[0]
    assert "choice rests on unstable times" in accurate.split("Balanced.")[1]
    assert "choice rests on unstable times" in fastest
    quiet = to_html(replace(noisy, noise=()), None)
    assert 'id="noise"' not in quiet
    assert "unstable" not in Page(quiet).text


def test_noise_of_a_file_that_can_not_be_picked_leaves_the_picks_alone() -> None:
    files = file_result("model.keras"), file_result("int8.tflite")
    html = to_html(report(*files, noise=(Noise("drift", "model.keras", "it drifted"),)), None)
    assert "it drifted" in html
    assert "unstable times" not in html


def test_every_cell_of_every_table_is_on_the_page() -> None:
    made = report(rich(file_result("int8.tflite")), rich(file_result("float32.onnx")), file_result("model.keras"))
    page = Page(to_html(made, None))
    tables = grids(made)
    assert len(tables) == 7
    for grid in tables:
        for row in grid.rows:
            assert " ".join(" ".join(row).replace("PASS", "✓ PASS").split()) in page.text
    assert "* the file takes a fixed number of images" in page.text
    assert "needs N this percentile needs" in page.text


def test_a_single_launch_has_no_interval_and_says_so() -> None:
    page = Page(to_html(report(file_result("a.tflite", launched=1), file_result("b.tflite", launched=1)), None))
    assert "one launch, no bounds" in page.text
    assert "faster than b.tflite" in page.text
    assert "1 process opened each file." in page.text


def test_options_that_were_not_given_leave_no_empty_sections() -> None:
    html = to_html(report(file_result("int8.tflite")), None)
    assert html.count("<svg") == 4
    assert 'id="more"' not in html
    assert "#more" not in html
    html = to_html(report(rich(file_result("int8.tflite"))), None)
    assert html.count("<svg") == 6
    assert 'href="#more"' in html


def test_a_paced_run_whose_frames_were_all_dropped_is_not_drawn() -> None:
    dropped = replace(file_result("int8.tflite"), paced=Paced(30.0, 3, 3, 3, Times.pack([]), Times.pack([])))
    made = report(dropped)
    with pytest.MonkeyPatch.context() as patch:  # The table's own answer to it is tables.py's.
        patch.setattr("edgecnn.benchmarks.show.html.grids", lambda _: ())
        assert to_html(made, None).count("<svg") == 4


def test_profile_bars_are_as_long_as_their_shares() -> None:
    page = Page(to_html(report(rich(file_result("int8.tflite"))), None))
    assert [of["style"] for of in page.all("span", "bar")] == ["width: 100.0%", "width: 50.0%"]
    assert "it rounds" in page.text

"""The page: what is on it, what can not get out of a result into it, and what keeps it readable on a phone and on paper."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgecnn.benchmarks.gate.gate import Status, Verdict
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.pareto import pareto_points
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.remarks import ship_line
from edgecnn.benchmarks.show.tables import grids
from edgecnn.edge.data.splits import ArraySplit, Indices
from edgecnn.edge.model.preprocess import Images
from tests.benchmarks.show.pages import Page, accuracy, file_result, pictures, report, rich

pytestmark = [pytest.mark.workstation("reports are made on the workstation"), pytest.mark.usefixtures("no_figures")]


@pytest.mark.parametrize("status", ["FAIL", "INVALID", "UNDECIDED", "PASS"])
def test_the_verdict_is_a_word_with_every_checks_sentence_the_worst_first(status: Status) -> None:
    made = report(file_result("float32.tflite"), file_result("int8.tflite", status))
    html = to_html(made, None)
    banner = html[html.index('id="verdict"') : html.index('id="picks"')]
    text = Page(banner).text
    assert f"{status} " in text.split(".")[0]
    places = [text.index(f"the drop of {name} was looked at") for name in ("int8.tflite", "float32.tflite")]
    assert (places == sorted(places)) == (status != "PASS")


def cards(html: str) -> list[str]:
    """Return the text of the card of the file to ship, if there is one."""
    return [Page(card.split("</section>")[0]).text for card in html.split('<section class="card pick">')[1:]]


def test_where_every_file_failed_the_page_says_so_with_the_closest() -> None:
    html = to_html(report(file_result("model.keras"), file_result("int8.tflite", "FAIL")), None)
    assert "Ship none: no file passes. The closest is int8.tflite" in Page(html).text
    assert cards(html)[0].startswith("int8.tflite right ")
    random = replace(report(replace(file_result("int8.tflite"), accuracy=None)), dataset=None)
    assert not cards(to_html(random, None))


def test_the_page_has_the_line_of_the_text_the_files_figures_and_why_no_other() -> None:
    right = file_result("float32.tflite", microseconds=80, of=accuracy(flips=0))
    made = report(right, file_result("int8.tflite", microseconds=20, of=accuracy(flips=30)))
    html = to_html(made, None)
    assert ship_line(made) in Page(html[html.index('id="verdict"') : html.index('id="picks"')]).text
    (card,) = cards(html)
    assert card.startswith("float32.tflite right 100.00 % 200 of 200 drop")
    assert 80 < float(card.split("p50")[1].split("µs")[0]) < 88
    others = Page(html[html.index("The other files") : html.index('id="tables"')]).text
    assert "int8.tflite right on" in others
    assert "less of the images than float32.tflite (95 %)" in others


def test_noise_is_told_before_the_file_to_ship() -> None:
    right = file_result("float32.tflite", of=accuracy(flips=0))
    noisy = report(right, file_result("int8.tflite", microseconds=20), noise=(Noise("load", None, "others were busy"),))
    html = to_html(noisy, None)
    alert = html[html.index('id="noise"') : html.index('id="picks"')]
    assert Page(alert).text.count("These times are unstable") == 1
    assert "others were busy (load)" in Page(alert).text
    quiet = to_html(replace(noisy, noise=()), None)
    assert 'id="noise"' not in quiet
    assert "unstable" not in Page(quiet).text


def test_noise_of_a_file_that_can_not_be_shipped_leaves_the_choice_alone() -> None:
    files = file_result("model.keras"), file_result("int8.tflite")
    html = to_html(report(*files, noise=(Noise("drift", "model.keras", "it drifted"),)), None)
    assert "it drifted" in html
    assert "(unstable)" not in html


def test_only_exported_files_that_did_not_fail_can_be_picked() -> None:
    files = [
        file_result("model.keras"),
        file_result("float32.tflite"),
        file_result("int8.tflite", "FAIL"),
        file_result("int8.onnx", "INVALID"),
        file_result("float32.onnx", "UNDECIDED"),
        replace(file_result("without-a-limit.onnx"), verdict=Verdict("UNJUDGED", ())),
    ]
    names = [file.name for file in pareto_points(report(*files))]
    assert names == ["float32.tflite", "float32.onnx", "without-a-limit.onnx"]
    # Where the reference is worth nothing, so is every figure beside it.
    assert not pareto_points(report(*files, file_result("beside-a-guess.onnx", "UNJUDGED")))


def test_a_single_launch_has_no_interval_and_says_so() -> None:
    page = Page(to_html(report(file_result("a.tflite", launched=1), file_result("b.tflite", launched=1)), None))
    assert "one launch, no bounds" in page.text
    assert "One launch does not show whether it takes over 15 % longer than b.tflite." in page.text
    assert "1 process opened each file." in page.text


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


def test_every_table_is_on_the_page_whole_and_scrolls_where_it_is_too_wide() -> None:
    first = rich(file_result("int8.tflite", of=accuracy(flips=30)))
    made = report(first, rich(file_result("float32.onnx")), file_result("model.keras"))
    html = to_html(made, None)
    page, nesting, tables = Page(html), Nesting(html).tables, grids(made)
    assert len(tables) == 7
    for grid in tables:
        for row in grid.rows:
            assert " ".join(" ".join(row).replace("PASS", "✓ PASS").split()) in page.text
    assert "* the file takes a fixed number of images" in page.text
    assert "needs N this percentile needs" in page.text
    # The gate is next to the file's name.
    assert Page(html[html.index("Accuracy compared with") :]).text.split("file ")[1].startswith("gate right")
    assert [of["style"] for of in page.all("span", "bar")] == ["width: 100.0%", "width: 50.0%"] * 2
    assert "it rounds" in page.text
    assert len(nesting) == 17
    assert set(nesting) == {"scroll"}
    scroll = html[html.index(".scroll {") :].split("}")[0]
    assert "overflow-x: auto" in scroll
    assert "var(--edge)" in scroll  # The shadow on the side where there is more.
    assert "background-attachment: local, local, scroll, scroll" in scroll
    # Paper has the light colours, and everything that is folded away.
    assert "@media screen and (prefers-color-scheme: dark)" in html
    assert "(prefers-color-scheme: dark)" not in html.replace("screen and (prefers-color-scheme: dark)", "")
    assert "details::details-content { content-visibility: visible" in html[html.index("@media print") :]


def test_files_that_make_the_same_mistakes_share_one_matrix_and_others_do_not() -> None:
    other = file_result("c.tflite", of=accuracy(flips=9))
    made = report(file_result("a.tflite"), file_result("b.tflite", "FAIL"), other)
    html = to_html(made, pictures())
    assert html.count('<table class="confusion') == 2
    text = Page(html[html.index('id="mistakes"') :]).text
    assert "a.tflite ✓ PASS The same for b.tflite ✗ FAIL : every image gets the same class." in text
    assert "c.tflite ✓ PASS Confusion matrix" in text


def test_where_many_images_changed_their_class_the_first_are_shown_and_the_others_folded_away() -> None:
    html = to_html(report(file_result("int8.tflite", of=accuracy(flips=70))), pictures())
    assert html[html.index('id="mistakes"') : html.index("<summary>48 more")].count("<img") == 12


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


def test_the_machines_worst_state_during_the_run_is_told() -> None:
    page = Page(to_html(report(file_result("int8.tflite")), None))
    for row in (
        "temperature 50 °C 71 °C 60 °C",
        "clock 1,500 MHz 600 MHz 1,500 MHz",
        "throttled no throttled, throttled during the run no",
        "on battery no no no",
        "load, mean of the last minute 0.50 0.50 not reported",
        "C library not reported",
        "edgecnn bench artifacts/animals --json r.json",
        "A call that does nothing takes 0.08 µs",
        "other processes used 0.02 cores",
        "ab" * 32,
        "runtime-of-tflite 1.0",
    ):
        assert row in page.text


def test_another_reference_is_called_by_its_name_and_not_keras() -> None:
    made = replace(report(file_result("a.tflite"), file_result("b.tflite")), reference="a.tflite", unmeasured=())
    for images in (None, pictures()):
        page = Page(to_html(made, images))
        assert "Accuracy compared with a.tflite" in page.text
        assert "differs from that of a.tflite" in page.text
        assert "Keras" not in page.text.replace("(Keras, FAIL or INVALID)", "")


def test_hundreds_of_classes_make_a_page_of_ordinary_size() -> None:
    names = tuple(f"kind {k}" for k in range(300))
    many = accuracy(flips=900, images=3000, classes=300)
    few = len(to_html(report(file_result("int8.tflite", of=accuracy(flips=60, classes=25)), class_names=names[:25]), None))
    html = to_html(report(file_result("int8.tflite", of=many), class_names=names), None)
    assert len(html) < few + 5_000
    assert len(re.findall(r"<li>kind \d+ taken for kind", html)) == 20
    assert "20 classes that moved most" in html


def test_only_the_images_that_are_shown_are_read() -> None:
    asked: list[int] = []

    class Counted(ArraySplit):
        def images(self, indices: Indices) -> Images:
            asked.extend(int(index) for index in indices)
            return super().images(indices)

    of = accuracy(flips=100)
    split = pictures()
    html = to_html(report(file_result("int8.tflite", of=of)), Counted(split.array, split.labels))
    shown = [int(number) for number in re.findall(r'alt="Test image (\d+)"', html)]
    assert (len(shown), asked) == (60, shown)


def test_a_result_without_accuracy_has_a_page_of_latency_alone() -> None:
    files = tuple(
        replace(rich(file_result(name)), accuracy=None, verdict=Verdict("UNJUDGED", ())) for name in ("a.tflite", "b.onnx")
    )
    made = replace(report(*files, class_names=()), dataset=None)
    html = to_html(made, None)
    page = Page(html)
    assert html.count("<svg") == 5
    for part in (
        "UNJUDGED No limit was set, so nothing was judged.",
        "Random inputs on Board 5",
        "Latency of one run on random inputs",
        "Latency only: no labelled images were given.",
        "No file is named to ship: accuracy was not measured",
    ):
        assert part in page.text
    for part in ("Mistakes", "Brier", "test images of", "Accuracy", "Keras"):
        assert part not in page.text.replace("keras files were not measured", "")
    assert {str(of["href"])[1:] for of in page.all("a")} <= {str(of["id"]) for _, of in page.tags if "id" in of}
    with pytest.raises(ValueError, match=r"\b0 test images, got 200"):
        to_html(made, pictures())


def test_the_module_loads_without_what_draws() -> None:
    heavy = "[name for name in ('jinja2', 'matplotlib', 'PIL') if name in sys.modules]"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, edgecnn.benchmarks.show.html; print({heavy})"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"

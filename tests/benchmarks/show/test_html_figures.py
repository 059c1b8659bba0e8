"""The figures of a page, and that nothing of a result becomes markup in it."""

import re
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.records import FileResult, Paced
from edgecnn.benchmarks.show import plots
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.plots import _ecdf
from edgecnn.benchmarks.timing.profile import OpTime
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.export_records import Interval
from edgecnn.edge.manifest import DatasetRecord
from tests.benchmarks.show.pages import Page, accuracy, file_result, launches, pictures, report, rich

pytestmark = pytest.mark.workstation("reports are made on the workstation")

EVIL = '<script>alert("1")</script>'
MATH = "$x_{"
# Of a page that is 400 pixels wide, a figure has so many.
PHONE = 358
MADE = report(rich(file_result("int8.tflite", of=accuracy(flips=30))), rich(file_result("float32.onnx")))


@pytest.fixture(scope="module")
def html() -> str:
    return to_html(MADE, pictures())


@pytest.fixture(scope="module")
def plain() -> str:
    return to_html(report(file_result("int8.tflite")), None)


def test_names_from_the_result_can_not_become_markup(request: pytest.FixtureRequest) -> None:
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
        request.getfixturevalue("no_figures")  # They are the same.
        page = Page(html)
        assert "<script" not in html.lower()
        assert not page.all("script")
        assert page.text.count(EVIL) > 15
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_names_that_xml_a_font_or_mathematics_would_take_for_something_else_stay_names() -> None:
    names = ("$x_{.tflite", "a$b$c.tflite", "a\x00b\nc.tflite", "\u72ac\ud800.tflite", "l" * 300)
    html = to_html(report(*map(file_result, names)), None)
    shown = {"$x_{.tflite", "a$b$c.tflite", "a\ufffdb\ufffdc.tflite", "\u72ac\ufffd.tflite", "l" * 39 + "…"}
    assert shown <= set(re.findall(r"<text[^>]*>([^<]*)</text>", html))
    html.encode()


def test_the_page_asks_for_nothing_and_runs_nothing(html: str) -> None:
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


def test_every_reference_inside_a_figure_is_to_its_own(html: str) -> None:
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(figures) == 6
    ids = [set(re.findall(r'\bid="([^"]+)"', figure)) for figure in figures]
    assert len(set.union(*ids)) == sum(map(len, ids))
    for figure, own in zip(figures, ids, strict=True):
        assert own >= set(re.findall(r'(?:url\(|xlink:href=")#([^")]+)', figure)) != set()


def test_the_same_report_gives_the_same_bytes_whatever_the_users_settings(html: str) -> None:
    with mpl.rc_context({"axes.linewidth": 9, "font.size": 20, "svg.fonttype": "path"}):
        assert to_html(MADE, pictures()) == html


def test_options_that_were_not_given_leave_no_empty_sections(html: str, plain: str) -> None:
    assert (plain.count("<svg"), html.count("<svg")) == (4, 6)
    assert 'href="#more"' in html
    assert 'id="more"' not in plain
    assert "#more" not in plain


@pytest.mark.usefixtures("no_figures")
def test_a_paced_run_whose_frames_were_all_dropped_is_not_drawn() -> None:
    dropped = replace(file_result("int8.tflite"), paced=Paced(30.0, 3, 3, 3, Times.pack([]), Times.pack([])))
    made = report(dropped)
    with pytest.MonkeyPatch.context() as patch:  # The table's own answer to it is tables.py's.
        patch.setattr("edgecnn.benchmarks.show.html.grids", lambda _: ())
        assert to_html(made, None).count("<svg") == 4


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


def tradeoff(*files: FileResult) -> str:
    return plots.tradeoff(report(*files), [file.name for file in files], ())


def test_files_of_nearly_the_same_time_still_have_ticks() -> None:
    figure = tradeoff(file_result("a.tflite", microseconds=131), file_result("b.tflite", microseconds=132))
    ticks = [text for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure) if re.fullmatch(r"1[34]\d(\.\d+)?", text)]
    assert len(ticks) >= 2


def test_many_runs_do_not_make_a_large_page() -> None:
    few, many = (report(replace(file_result("int8.tflite"), launches=launches(2, runs=runs))) for runs in (500, 5_000))
    small, large = (sum(len(draw(made)) for draw in (plots.distribution, plots.slowest, plots.rounds)) for made in (few, many))
    assert large < small + 40_000


def test_a_single_run_has_figures_too() -> None:
    once = tuple(replace(launch, rounds=launch.rounds[:1]) for launch in launches(1, runs=1))
    made = report(replace(file_result("int8.tflite"), launches=once))
    for draw in (plots.distribution, plots.slowest, plots.rounds):
        assert "int8.tflite" in draw(made)


def test_figures_draw_their_slowest_run_however_many_there_are() -> None:
    times = np.random.default_rng(1).integers(1_000, 2_000, 100_000)
    times[500] = 1_000_000
    shown, shares = _ecdf(times, np.full(len(times), 1 / len(times)))
    assert len(shown) <= 800
    assert (shown[-1], shares[-1]) == (1_000_000, 1)
    assert shares[-2] == 1 - 1e-5
    for time, share in zip(shown[::50], shares[::50], strict=True):
        assert (times < time).mean() <= share <= (times <= time).mean() + 1e-9


def test_the_drops_interval_is_drawn_around_the_accuracy() -> None:
    def bar(low: float, high: float) -> tuple[float, float]:
        """Return how far the error bar reaches above and below its marker."""
        of = replace(accuracy(flips=0), drop=Interval(0.0, low, high))
        figure = tradeoff(file_result("int8.tflite", of=of))
        (ends,) = re.findall(r'd="M [\d.]+ ([\d.]+) \nL [\d.]+ ([\d.]+) \n" [^>]*stroke: var\(--series-0\)', figure)
        uses = re.findall(r'y="([\d.]+)" style="fill: var\(--series-0\)[^"]*opacity', figure)
        assert len(uses) == 1
        at, (below, above) = float(uses[0]), sorted(map(float, ends), reverse=True)
        return at - above, below - at

    above, below = bar(-0.01, 0.04)
    assert below == pytest.approx(4 * above, rel=0.01)


def test_a_tuned_file_is_drawn_by_its_drop_and_the_page_says_so(plain: str, request: pytest.FixtureRequest) -> None:
    drop = Interval(0.02, 0.01, 0.03)
    tuned = replace(accuracy(images=100), correct=100, reference_correct=100, drop=drop, chose=100)
    files = [file_result("tuned.tflite", of=tuned), file_result("int8.tflite", of=accuracy())]
    assert "tuned.tflite: 97.00 % right" in tradeoff(*files)  # The reference's 99.00 % of all images less 2.
    request.getfixturevalue("no_figures")
    assert "drop on held-out images: tuned.tflite." in Page(to_html(report(*files), None)).text
    assert "held-out images: " not in Page(plain).text


@pytest.mark.parametrize(
    ("package", "installed"),
    [("jinja2", r"'jinja2>=\S+ 'matplotlib"), ("matplotlib", r"'jinja2>=\S+ 'matplotlib"), ("PIL", "'pillow>=")],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report(file_result("int8.tflite"))
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)

    class Missing:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(MissingDependency, match=f"pip install {installed}"):
        to_html(made, pictures())

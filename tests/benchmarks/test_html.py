"""The page: what is on it, and what can not get out of a result into it."""

import base64
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy import Accuracy, compare
from benchmarks.gate import Budget, Check, Verdict, join
from benchmarks.host import Machine, State
from benchmarks.html import to_html
from benchmarks.intervals import Interval
from benchmarks.latency import TIMED_REGION, Plan
from benchmarks.noise import Load, Noise
from benchmarks.pareto import candidates
from benchmarks.plots import _ecdf
from benchmarks.profile import OpTime, Profile
from benchmarks.results import SCHEMA, FileResult, Launch, Paced, Report, Round, Throughput, Window
from benchmarks.summary import summarize
from benchmarks.tables import grids
from benchmarks.times import Times
from edge.errors import MissingDependency
from edge.manifest import Artifact, DatasetRecord, TensorSpec
from edge.preprocess import Images
from edge.splits import ArraySplit, Indices

EVIL = '<script>alert("1")</script>'
MATH = "$x_{"


def accuracy(flips: int = 4, images: int = 200, classes: int = 3) -> Accuracy:
    """Return a comparison: the last `flips` images are lost; if any, image 0 is gained and 1 wrong in another way."""
    labels = np.arange(images) % classes
    reference, candidate = labels.copy(), labels.copy()
    if flips:
        reference[:2] = 2
        candidate[1] = 0
        candidate[-flips:] = (labels[-flips:] + 1) % classes
    sure = [np.eye(classes, dtype=np.float32)[chosen] * 0.5 + np.float32(0.5 / classes) for chosen in (candidate, reference)]
    return compare(sure[0], sure[1], labels)


def launches(count: int = 2, microseconds: float = 50, runs: int = 20) -> tuple[Launch, ...]:
    rng = np.random.default_rng(7)

    def a_round() -> Round:
        times = (1000 * microseconds * (1 + rng.random(runs) / 10)).astype(np.int64)
        return Round(Times.pack([90_000]), Times.pack(times), 1_000_000, None)

    return tuple(
        Launch(1_000_000, 2_000_000, Times.pack([120_000]), True, (a_round(), a_round()), 50 * 2**20, 40 * 2**20)
        for _ in range(count)
    )


def file_result(
    name: str, status: str = "PASS", microseconds: float = 50, of: Accuracy | None = None, launched: int = 2
) -> FileResult:
    spec = TensorSpec("image", (1, 4, 4, 1), "float32")
    stem, _, model_format = name.rpartition(".")
    artifact = Artifact(model_format, stem, name, 40_000, "ab" * 32, None, spec, spec, None, None)
    taken = launches(launched, microseconds)
    return FileResult(
        name=name,
        artifact=artifact,
        runtime=f"runtime-of-{model_format} 1.0",
        threads=1,
        launches=taken,
        latency=summarize(taken, launches(launched, 20), (50, 90, 99)),
        accuracy=of or accuracy(),
        throughput=None,
        paced=None,
        sustained=(),
        profile=None,
        profile_problem=None,
        budget=Budget(),
        verdict=Verdict(status, (Check(status, f"{name}: its drop was looked at"),)),
    )


def report(*files: FileResult, class_names: tuple[str, ...] = ("cat", "dog", "owl"), noise: tuple[Noise, ...] = ()) -> Report:
    state = State("2026-01-02T03:04:05Z", 0.5, ("ondemand",), 1_500_000, 50.0, 85.0, 0, False)
    return Report(
        schema=SCHEMA,
        command="edgecnn bench artifacts/animals --json r.json",
        versions={"edgecnn": "0.1.0"},
        folder="artifacts/animals",
        dataset=DatasetRecord("animals", "/data/animals", "c" * 64, "d" * 64),
        class_names=class_names,
        plan=Plan(launches=len(files[0].launches), rounds=2),
        timed_region=TIMED_REGION,
        empty_call=Times.pack([70, 80, 90]),
        machine=Machine("aarch64", "Board 5", "Cortex-A76", 4, None, "Linux 6", "3.11.2", None),
        before=state,
        during=(replace(state, temperature_celsius=71.0, clock_khz=600_000, throttled=0x40004), state),
        after=replace(state, load=None, temperature_celsius=60.0),
        load=Load(3.0, 0.02, 0.0),
        extras_load=Load(1.0, 0.01, 0.0),
        baseline=files[0].name,
        notes=("keras files were not measured: their runtime is not installed.",),
        noise=noise,
        allowed=(),
        files=files,
        verdict=join(tuple(file.verdict for file in files)),
    )


def rich(file: FileResult) -> FileResult:
    """Add what options add."""
    return replace(
        file,
        throughput=Throughput(8, True, Times.pack([400_000]), 20_000.0),
        paced=Paced(30.0, 3, 1, 1, Times.pack([300_000, 400_000]), Times.pack([200_000, 210_000])),
        sustained=tuple(Window(float(k), 100, 50_000 + k, 60_000, 90_000, 50.0 + k, 1_500_000) for k in (1, 2, 3)),
        profile=Profile(10, 30.0, "a profiler", "it rounds", (OpTime("Conv", 20.0, 2 / 3), OpTime("Gemm", 10.0, 1 / 3))),
    )


class Page(HTMLParser):
    """What a page has, as a browser would read it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, of_class: str = "") -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and (not of_class or of_class in (attributes.get("class") or "").split())
        ]


def pictures(count: int = 200, side: int = 4, channels: int = 1) -> ArraySplit:
    images = np.random.default_rng(3).integers(0, 256, (count, side, side, channels)).astype(np.uint8)
    return ArraySplit(images, np.zeros(count, np.int64))


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
    assert "l" * 25 + "…" in texts
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
def test_the_verdict_is_a_word_with_every_checks_sentence_the_worst_first(status: str) -> None:
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
    assert "No file can be picked: none of the exported files is PASS or UNDECIDED." in page.text


def test_the_picks_have_their_files_figures() -> None:
    right = file_result("float32.tflite", microseconds=80, of=accuracy(flips=0))
    html = to_html(report(right, file_result("int8.tflite", microseconds=20, of=accuracy(flips=30))), None)
    cards = [Page(card).text for card in html.split('<section class="card pick">')[1:4]]
    assert cards[0].startswith("Most accurate float32.tflite right 100.00 % 200 of 200")
    assert cards[2].startswith("Fastest int8.tflite right 84.50 % 169 of 200 drop")
    assert 20 < float(cards[2].split("p50")[1].split("µs")[0]) < 22
    assert "do not tell it from" not in cards[0]


def test_files_that_the_images_or_launches_do_not_tell_apart_are_named() -> None:
    same = file_result("a.tflite", of=accuracy(flips=0)), file_result("b.tflite", of=accuracy(flips=4))
    html = to_html(report(*same), None)
    cards = [Page(card).text for card in html.split('<section class="card pick">')[1:4]]
    assert "These images do not tell it from b.tflite." in cards[0]
    assert "These launches do not tell it from b.tflite." in cards[2]


def test_noise_is_told_before_the_picks_that_rest_on_it() -> None:
    right = file_result("float32.tflite", of=accuracy(flips=0))
    noisy = report(right, file_result("int8.tflite", microseconds=20), noise=(Noise("load", None, "others were busy"),))
    html = to_html(noisy, None)
    alert = html[html.index('id="noise"') : html.index('id="picks"')]
    assert Page(alert).text.count("These times are unstable") == 1
    assert "others were busy (load)" in Page(alert).text
    cards = [Page(card).text for card in html.split('<section class="card pick">')[1:4]]
    assert ["rests on unstable times" in card for card in cards] == [False, True, True]
    quiet = to_html(replace(noisy, noise=()), None)
    assert 'id="noise"' not in quiet
    assert "unstable" not in Page(quiet).text


def test_noise_of_a_file_that_can_not_be_picked_leaves_the_picks_alone() -> None:
    files = file_result("model.keras"), file_result("int8.tflite")
    html = to_html(report(*files, noise=(Noise("drift", "model.keras", "it drifted"),)), None)
    assert "it drifted" in html
    assert "rests on unstable times" not in html


def test_every_cell_of_every_table_is_on_the_page() -> None:
    made = report(rich(file_result("int8.tflite")), rich(file_result("float32.onnx")), file_result("model.keras"))
    page = Page(to_html(made, None))
    tables = grids(made)
    assert len(tables) == 7
    for grid in tables:
        for row in grid.rows:
            assert " ".join(" ".join(row).replace("PASS", "✓ PASS").split()) in page.text
    assert "* the file takes a fixed number of images" in page.text
    assert "needs n so many runs" in page.text


def test_a_single_launch_has_no_interval_and_says_so() -> None:
    page = Page(to_html(report(file_result("a.tflite", launched=1), file_result("b.tflite", launched=1)), None))
    assert "one launch, no interval" in page.text
    assert "These launches do not tell it from" in page.text
    assert "opened by 1 process," in page.text


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
        patch.setattr("benchmarks.html.grids", lambda _: ())
        assert to_html(made, None).count("<svg") == 4


def test_profile_bars_are_as_long_as_their_shares() -> None:
    page = Page(to_html(report(rich(file_result("int8.tflite"))), None))
    assert [of["style"] for of in page.all("span", "bar")] == ["width: 100.0%", "width: 50.0%"]
    assert "it rounds" in page.text


def test_confusions_are_shaded_off_the_diagonal_only() -> None:
    html = to_html(report(file_result("int8.tflite", of=accuracy(flips=30))), None)
    table = html[html.index('<table class="confusion') :]
    page = Page(table[: table.index("</table>")])
    cells = page.all("td")
    assert [index for index, cell in enumerate(cells) if cell.get("class") == "right"] == [0, 4, 8]
    shaded = [index for index, cell in enumerate(cells) if "style" in cell]
    assert shaded == [1, 3, 5, 6]  # One image at 3, ten at each of the others.
    depths = [float(str(cells[index]["style"])[-5:-1]) for index in shaded]
    assert depths[1] < min(depths[0], *depths[2:]) <= max(depths) == 0.65


def test_many_classes_are_a_list_of_the_most_frequent_confusions() -> None:
    many = accuracy(flips=60, classes=25)
    html = to_html(report(file_result("int8.tflite", of=many), class_names=tuple(f"kind {k}" for k in range(25))), None)
    assert '<table class="confusion' not in html
    listed = re.findall(r"<li>(kind \d+) taken for (kind \d+): (\d+) of (\d+)</li>", html)
    assert len(listed) == 20
    counts = [int(count) for _, _, count, _ in listed]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == max(count for row, column, count in many.confusion if row != column)
    assert "the 20 classes that moved most" in html
    table = html[html.index('class="grid recall"') :].split("</table>")[0]
    shown = re.findall(r'<th scope="row">(kind \d+)</th>', table)
    moved = [abs(of.correct - of.reference_correct) for of in many.classes]  # Each class has eight images.
    assert len(shown) == 20
    assert set(shown) >= {f"kind {k}" for k in range(25) if moved[k] > sorted(moved)[5]}
    assert shown == sorted(shown, key=lambda name: int(name.split()[1]))


def test_a_confusion_is_of_so_many_images_of_its_true_class() -> None:
    many = accuracy(flips=60, images=205, classes=25)
    html = to_html(report(file_result("int8.tflite", of=many), class_names=tuple(f"kind {k}" for k in range(25))), None)
    listed = re.findall(r"<li>kind (\d+) taken for kind \d+: \d+ of (\d+)</li>", html)
    assert {images for _, images in listed} == {"8", "9"}
    assert all(int(images) == many.classes[int(label)].images for label, images in listed)


def test_a_class_without_images_has_no_recall() -> None:
    of = accuracy(flips=0)
    empty = replace(of, classes=(*of.classes, replace(of.classes[0], images=0, correct=0, reference_correct=0)))
    html = to_html(report(file_result("int8.tflite", of=empty), class_names=("cat", "dog", "owl", "yak")), None)
    assert html[html.index('class="grid recall"') :].split("</table>")[0].count("<tr>") == 4


def test_flips_are_pictures_where_there_are_images() -> None:
    html = to_html(report(file_result("int8.tflite")), pictures())
    assert len(Page(html).all("img")) == 6
    assert "--data" not in html
    assert Page(html).text.count("lost #19") == 4
    assert "gained #0, is cat Keras owl (67 %) → cat (67 %)" in Page(html).text
    kinds = [of["class"] for of in Page(html).all("span", "kind")]
    assert kinds == ["kind lost"] * 4 + ["kind both-wrong", "kind gained"]


def test_flips_are_a_table_that_says_how_to_see_them_where_there_are_none() -> None:
    page = Page(to_html(report(file_result("int8.tflite")), None))
    assert not page.all("img")
    assert "make this page with --data DIR" in page.text
    assert "#0 gained cat owl 67 cat 67" in page.text
    assert "#199 lost dog dog 67 owl 67" in page.text


def test_pictures_show_their_own_images_pixel_by_pixel() -> None:
    for channels in (1, 3):
        images = pictures(channels=channels)
        page = Page(to_html(report(file_result("int8.tflite")), images))
        for of in page.all("img"):
            number = int(str(of["alt"]).split()[-1])
            data = base64.b64decode(str(of["src"]).partition(",")[2])
            shown = np.asarray(Image.open(io.BytesIO(data)))
            np.testing.assert_array_equal(shown.reshape(images.shape), images.array[number])


def test_large_photos_are_made_small() -> None:
    small, large = (len(to_html(report(file_result("int8.tflite")), pictures(side=side, channels=3))) for side in (96, 300))
    assert large < 1.1 * small


def test_more_than_sixty_flips_are_counted() -> None:
    html = to_html(report(file_result("int8.tflite", of=accuracy(flips=70))), pictures())
    assert len(Page(html).all("img")) == 60
    assert "and 12 more." in Page(html).text


def test_a_file_without_flips_says_none() -> None:
    html = to_html(report(file_result("float32.tflite", of=accuracy(flips=0))), pictures())
    assert "Images with another class than Keras gives them: 0 None." in Page(html).text
    assert not Page(html).all("img")


def test_what_was_not_measured_is_said() -> None:
    made = report(replace(file_result("int8.tflite"), profile_problem="no profiler <here>"))
    html = to_html(made, None)
    assert "keras files were not measured: their runtime is not installed." in html
    assert "By op: not measured: no profiler &lt;here&gt;" in html


def test_other_images_than_the_measured_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="the 200 test images, got 199"):
        to_html(report(file_result("int8.tflite")), pictures(199))


def test_the_machines_worst_state_during_the_run_is_told() -> None:
    page = Page(to_html(report(file_result("int8.tflite")), None))
    for row in (
        "temperature 50 °C 71 °C 60 °C",
        "clock 1,500 MHz 600 MHz 1,500 MHz",
        "throttled no throttled, throttled during the run no",
        "on battery no no no",
        "load, mean of the last minute 0.50 0.50 not told",
        "C library not told",
        "edgecnn bench artifacts/animals --json r.json",
        "A call that does nothing takes 0.08 µs",
        "Other processes used 0.02 cores",
        "ab" * 32,
        "runtime-of-tflite 1.0",
    ):
        assert row in page.text


def test_files_of_nearly_the_same_time_still_have_ticks() -> None:
    html = to_html(report(file_result("a.tflite", microseconds=131), file_result("b.tflite", microseconds=132)), None)
    tradeoff = html[html.index('aria-label="Accuracy against time') :].split("</svg>")[0]
    ticks = [text for text in re.findall(r"<text[^>]*>([^<]*)</text>", tradeoff) if re.fullmatch(r"1[34]\d(\.\d+)?", text)]
    assert len(ticks) >= 2


def test_a_million_runs_do_not_make_a_large_page() -> None:
    few, many = (replace(file_result("int8.tflite"), launches=launches(2, runs=runs)) for runs in (500, 50_000))
    small, large = (to_html(report(file), None) for file in (few, many))
    assert len(large) < len(small) + 40_000


def test_figures_draw_their_slowest_run_however_many_there_are() -> None:
    times = np.random.default_rng(1).integers(1_000, 2_000, 100_000)
    times[500] = 1_000_000
    shown, shares = _ecdf(times)
    assert len(shown) <= 800
    assert (shown[-1], shares[-1]) == (1_000_000, 1)
    assert shares[-2] == 1 - 1e-5
    for time, share in zip(shown[::50], shares[::50], strict=True):
        assert (times < time).mean() <= share <= (times <= time).mean() + 1e-9


@pytest.mark.parametrize("package", ["jinja2", "matplotlib", "PIL"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = report(file_result("int8.tflite"))
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)

    class Missing:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(MissingDependency, match=r"pip install 'edgecnn\[report\]'"):
        to_html(made, pictures())


def test_the_module_loads_without_what_draws() -> None:
    heavy = "[name for name in ('jinja2', 'matplotlib', 'PIL') if name in sys.modules]"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, benchmarks.html; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_drops_interval_is_drawn_around_the_accuracy() -> None:
    def bar(low: float, high: float) -> tuple[float, float]:
        """Return how far the error bar reaches above and below its marker."""
        of = replace(accuracy(flips=0), drop=Interval(0.0, low, high))
        html = to_html(report(file_result("int8.tflite", of=of)), None)
        figure = html[html.index('aria-label="Accuracy against time') :].split("</svg>")[0]
        (ends,) = re.findall(r'd="M [\d.]+ ([\d.]+) \nL [\d.]+ ([\d.]+) \n" [^>]*stroke: var\(--series-0\)', figure)
        uses = re.findall(r'y="([\d.]+)" style="fill: var\(--series-0\)[^"]*opacity', figure)
        assert len(uses) == 1
        at, (below, above) = float(uses[0]), sorted(map(float, ends), reverse=True)
        return at - above, below - at

    above, below = bar(-0.01, 0.04)
    assert below == pytest.approx(4 * above, rel=0.01)


def test_only_exported_files_that_did_not_fail_can_be_picked() -> None:
    files = [
        file_result("model.keras"),
        file_result("float32.tflite"),
        file_result("int8.tflite", "FAIL"),
        file_result("int8.onnx", "INVALID"),
        file_result("float32.onnx", "UNDECIDED"),
        file_result("from-elsewhere.onnx", "UNJUDGED"),
    ]
    names = [file.name for file in candidates(report(*files))]
    assert names == ["float32.tflite", "float32.onnx", "from-elsewhere.onnx"]


def test_a_result_without_accuracy_has_a_page_of_latency_alone() -> None:
    files = tuple(
        replace(rich(file_result(name)), accuracy=None, verdict=Verdict("UNJUDGED", ())) for name in ("a.tflite", "b.onnx")
    )
    made = replace(report(*files, class_names=()), dataset=None)
    html = to_html(made, None)
    page = Page(html)
    assert html.count("<svg") == 5
    for part in (
        "UNJUDGED Nothing was judged: set a limit, such as --max-p90-ms.",
        "Random inputs on Board 5",
        "Latency of one run on random inputs",
        "Latency only: no labelled images were given.",
        "No file is picked: accuracy was not measured",
    ):
        assert part in page.text
    for part in ("Mistakes", "McNemar", "test images of", "Accuracy", "Keras"):
        assert part not in page.text.replace("keras files were not measured", "")
    assert {str(of["href"])[1:] for of in page.all("a")} <= {str(of["id"]) for _, of in page.tags if "id" in of}
    with pytest.raises(ValueError, match="the 0 test images, got 200"):
        to_html(made, pictures())


def test_another_reference_is_called_by_its_name_and_not_keras() -> None:
    made = replace(report(file_result("a.tflite"), file_result("b.tflite")), reference="a.tflite", notes=())
    for images in (None, pictures()):
        page = Page(to_html(made, images))
        assert "Accuracy beside a.tflite" in page.text
        assert "Images with another class than a.tflite gives them" in page.text
        assert "Keras" not in page.text.replace("not to be picked (Keras, FAIL or INVALID)", "")


def test_hundreds_of_classes_make_a_page_of_ordinary_size() -> None:
    names = tuple(f"kind {k}" for k in range(300))
    many = accuracy(flips=900, images=3000, classes=300)
    few = len(to_html(report(file_result("int8.tflite", of=accuracy(flips=60, classes=25)), class_names=names[:25]), None))
    html = to_html(report(file_result("int8.tflite", of=many), class_names=names), None)
    assert len(html) < few + 5_000
    assert len(re.findall(r"<li>kind \d+ taken for kind \d+", html)) == 20
    assert "the 20 classes that moved most" in html


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

"""What the page does with a machine, a result or an installation as it should not be."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edgecnn.benchmarks.gate.gate import Verdict
from edgecnn.benchmarks.results.pareto import pareto_points
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.plots import _ecdf
from edgecnn.edge.data.splits import ArraySplit, Indices
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.export_records import Interval
from edgecnn.edge.model.preprocess import Images
from tests.benchmarks.show.pages import Page, accuracy, file_result, launches, pictures, report, rich

pytestmark = pytest.mark.workstation("reports are made on the workstation")


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
    shown, shares = _ecdf(times, np.full(len(times), 1 / len(times)))
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
    with pytest.raises(MissingDependency, match=r"pip install 'jinja2>=\S+ 'matplotlib"):
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


def test_a_tuned_file_is_drawn_by_its_drop_and_the_page_says_so() -> None:
    drop = Interval(0.02, 0.01, 0.03)
    tuned = replace(accuracy(images=100), correct=100, reference_correct=100, drop=drop, chose=100)
    files = [file_result("tuned.tflite", of=tuned), file_result("int8.tflite", of=accuracy())]
    html = to_html(report(*files), None)
    assert "tuned.tflite: 97.00 % right" in html  # The reference's 99.00 % of all images less 2.
    assert "drop on held-out images: tuned.tflite." in Page(html).text
    assert "held-out images: " not in Page(to_html(report(files[1]), None)).text


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
        "No file is chosen: accuracy was not measured",
    ):
        assert part in page.text
    for part in ("Mistakes", "Brier", "test images of", "Accuracy", "Keras"):
        assert part not in page.text.replace("keras files were not measured", "")
    assert {str(of["href"])[1:] for of in page.all("a")} <= {str(of["id"]) for _, of in page.tags if "id" in of}
    with pytest.raises(ValueError, match=r"\b0 test images, got 200"):
        to_html(made, pictures())


def test_another_reference_is_called_by_its_name_and_not_keras() -> None:
    made = replace(report(file_result("a.tflite"), file_result("b.tflite")), reference="a.tflite", notes=())
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

"""The page in Debian's Chromium, without a network."""

import json
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.__main__ import main
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.benchmarks.measure import other_measurements
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.tables import grids
from edgecnn.edge.data.splits import ArraySplit

IMAGES, CLASSES = 60, 3
# They run in a copy of the page whose policy lets them; what the page asks for or breaks is collected from its start.
WATCH = """<script>
window.seen = [];
addEventListener("error", event => seen.push("error: " + (event.message || event.target.outerHTML)), true);
addEventListener("securitypolicyviolation", event => seen.push("refused: " + event.violatedDirective + " " + event.blockedURI));
</script>"""
MEASURE = """<script>
addEventListener("load", () => {
  const all = (query, what) => Array.from(document.querySelectorAll(query), what);
  const right = element => element.getBoundingClientRect().right;
  parent.postMessage(JSON.stringify({
    seen: window.seen,
    requests: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith("data:")),
    width: innerWidth,
    scrollWidth: document.documentElement.scrollWidth,
    furthest: Math.max(...all("main *", element => element.closest(".scroll, svg") ? 0 : right(element))),
    images: all("img", image => image.naturalWidth),
    figures: all("svg", figure => [figure.getBoundingClientRect().width, figure.getBoundingClientRect().height]),
    rows: all("main table", table => table.tBodies[0].rows.length),
  }), "*");
});
</script>"""
FRAME = """<!DOCTYPE html><body>
<script>addEventListener("message", event => document.body.setAttribute("data-measured", event.data))</script>
<iframe src="page.html" style="border: 0; width: {width}px; height: 900px"></iframe></body>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if not found:
        pytest.skip("Debian's chromium is not installed: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def report(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A real result with every option, of one file with a long name, and two that disagree with Keras."""
    result = tmp_path_factory.mktemp("result") / "result.json"
    short = ["--launches", "2", "--min-runs", "100", "--min-seconds", "0", "--batch", "4", "--rate", "50", "--sustained", "1s"]
    arguments = [str(exported), "--runtime", "onnx", "--data", str(idx_folder), "--json", str(result), "--profile", *short]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other_measurements, "_frames", lambda rate, options: 100)
        assert main(["bench", *arguments]) in (0, 3)  # 60 images may not decide.
    read = read_report(result)
    rng = np.random.default_rng(1)
    reference, candidate = rng.dirichlet(np.ones(CLASSES), (2, IMAGES)).astype(np.float32)
    accuracy = compare(candidate, reference, rng.integers(0, CLASSES, IMAGES))
    assert accuracy.flips
    first, *others = (replace(file, accuracy=accuracy) for file in read.files)
    long = "a-long-name-without-a-space-" * 9
    return replace(read, files=(replace(first, name=long), *others), class_names=("cat", "owl" * 40, "dog"))


def measure(chromium: str, html: str, width: int, folder: Path) -> dict[str, Any]:
    """Open a page in a frame so wide; Chromium's own window is never as narrow as a phone's."""
    copy = html.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
    assert copy != html
    (folder / "page.html").write_text(copy.replace("<head>", f"<head>{WATCH}").replace("</head>", f"{MEASURE}</head>"))
    (folder / "frame.html").write_text(FRAME.format(width=width))
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-quic"]
    command += ["--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={folder / 'profile'}", "--window-size=1600,1000", "--virtual-time-budget=5000"]
    command += ["--dump-dom", (folder / "frame.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    _, marker, rest = done.stdout.partition('data-measured="')
    assert marker, done.stdout[-2000:] + done.stderr[-2000:]
    measured: dict[str, Any] = json.loads(unescape(rest.partition('"')[0]))
    return measured


def test_the_measuring_sees_what_it_looks_for(chromium: str, tmp_path: Path) -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    bad = (
        f'<html><head><meta http-equiv="Content-Security-Policy" content="{policy}"></head><body><main>'
        "<p style='width: 700px'>wide</p><img src='missing.png'><img src='https://example.org/x.png'>"
        "<table><tr><td>1</table></main></body></html>"
    )
    measured = measure(chromium, bad, 390, tmp_path)
    assert "https://example.org/x.png" in measured["requests"]
    for start in ("refused: img-src file", "refused: img-src https://example.org", "error: <img src="):
        assert any(line.startswith(start) for line in measured["seen"]), measured["seen"]
    assert measured["width"] == 390 < 700 <= measured["furthest"] <= measured["scrollWidth"]
    # The files make the same mistakes, which are shown once.
    assert measured["images"] == [0, 0]
    assert measured["rows"] == [1]


@pytest.fixture(scope="module")
def pages(report: Report) -> dict[bool, str]:
    """The page with the test images, and without: its figures take long to draw."""
    images = np.random.default_rng(2).integers(0, 256, (IMAGES, 12, 12, 1)).astype(np.uint8)
    test = ArraySplit(images, np.zeros(IMAGES, np.int64))
    return {True: to_html(report, test), False: to_html(report, None)}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("pictures", [True, False], ids=["pictures", "tables"])
def test_the_page_is_whole_at_every_width_and_loads_nothing(
    chromium: str, report: Report, pages: dict[bool, str], width: int, pictures: bool, tmp_path: Path
) -> None:
    measured = measure(chromium, pages[pictures], width, tmp_path)
    assert (measured["seen"], measured["requests"]) == ([], [])
    assert measured["width"] == width
    assert max(measured["scrollWidth"], measured["furthest"]) <= width
    assert report.files[0].accuracy
    files, flips = len(report.files), len(report.files[0].accuracy.flips)
    # The files make the same mistakes, which are shown once.
    assert measured["images"] == ([12] * flips if pictures else [])
    assert len(measured["figures"]) == 6
    for across, down in measured["figures"]:
        assert width / 3 < across < width
        assert across / 2 < down < across
    tables = grids(report)
    by_file = [len(grid.rows) for grid in tables if grid.headings[0] == "file"]
    by_op = [len(grid.rows) for grid in tables if grid.headings[0] == "op"]
    mistakes = [CLASSES, CLASSES] if pictures else [CLASSES, CLASSES, flips]
    not_chosen = len(report.choice().others)
    assert measured["rows"] == [not_chosen, *by_file, *mistakes, *by_op, 8, 7, files + 1]

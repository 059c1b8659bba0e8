"""A page without a server of ours, in Chromium: the model that it runs answers as it does in Python, of the same pixels."""

import base64
import functools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edgecnn.edge.data.digit import Polarity
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import sha256
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest, Preprocessing, TensorSpec
from edgecnn.edge.model.preprocess import scores, to_probabilities, top_logits
from edgecnn.edge.model.threshold import ScoreName
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.export_page import WebRuntime, write_page
from tests.digit_photos.photo import photo as photographed
from tests.drawings import drawings
from tests.edge.data.test_digit import BARS, DIGITS, FRAME, form_cell, in_frame, in_pencil, small_scan
from tests.edge.inference.thresholds import with_threshold
from tests.edge.serving.stand_in import TWO
from tests.onnx_text import onnx_bytes

pytestmark = pytest.mark.workstation("needs a browser")

if TYPE_CHECKING:
    from tests.edge.serving.browser import Browser, Points

IMAGES = 300
LEAST = 0.95  # Probability from which the files accept an answer.
FILES = ("float32.onnx", "int8.onnx")
SIZES = ((280, 280), (101, 333), (640, 480), (28, 28), (57, 40), (5, 400))
# Awaits what a module of the page returns; arguments are JSON, and the last one is Selenium's callback.
CLASSIFY = """
const [names, done] = arguments;
(async () => {
  const { classify } = await import("./classify.js");
  const answers = [];
  for (const name of names) {
    const blob = new File([await (await fetch(name)).blob()], name);
    const picture = (await classify([blob], { top: 3, pixels: true })).pictures[0];
    answers.push({ ...picture, seen: btoa(String.fromCharCode(...picture.seen.pixels)) });
  }
  return answers;
})().then(done, (error) => done(error.message));
"""
FIT = """
const [names, shape, rule, done] = arguments;
(async () => {
  const { fittedPicture } = await import("./fit.js");
  const fitted = [];
  for (const name of names) {
    const { picture, doubt, box } = await fittedPicture(await (await fetch(name)).blob(), shape, rule, name);
    fitted.push([btoa(Array.from(picture.pixels, (pixel) => String.fromCharCode(pixel)).join("")), doubt, box]);
  }
  return fitted;
})().then(done, (error) => done(error.message));
"""


# Scores of rows of raw outputs and probabilities.
SCORES = """
const [raw, probabilities, kind, done] = arguments;
import("./numbers.js").then(
  ({ scoreOf }) => done(raw.map((row, i) => scoreOf(row, probabilities[i], kind))), (error) => done(error.message));
"""


class Handler(SimpleHTTPRequestHandler):
    """What `python -m http.server` runs, with files that tests change."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def awaited(page: "Browser", script: str, *arguments: object) -> Any:
    found = page.driver.execute_async_script(script, *arguments)
    assert not isinstance(found, str), found
    return found


def bytes_of(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8)


@pytest.fixture(scope="module")
def site(exported: Path, onnxruntime_web: WebRuntime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written folder; pictures for tests may be put into it."""
    folder = shutil.copytree(exported, tmp_path_factory.mktemp("models") / "bars")
    with ModelFolder(with_threshold(folder, LEAST)) as models:
        written = write_page(models, tmp_path_factory.mktemp("site") / "page", onnxruntime_web)
    assert written.models == FILES
    return Path(written.path)


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as where:
        yield where


@pytest.fixture
def page(browser: "Browser", address: str) -> "Browser":
    """The page, with its model loaded."""
    browser.size(1280, 900)
    browser.open(address)
    browser.wait(lambda: not browser.script("return document.querySelector('#page').hidden"), "the page has loaded its model")
    browser.driver.set_script_timeout(120)
    return browser


def stroke(size: tuple[int, int], points: "Points", paper: int, ink: int, noisy: bool = False) -> Image.Image:
    picture = Image.new("L", size, paper)
    line = [(x * size[0], y * size[1]) for x, y in points]
    ImageDraw.Draw(picture).line(line, fill=ink, width=max(2, min(size) // 15), joint="curve")
    if not noisy:
        return picture
    lamp = np.linspace(-30, 30, size[0]) + np.random.default_rng(0).normal(0, 8, size[::-1])
    return Image.fromarray((np.asarray(picture) + lamp).clip(0, 255).astype(np.uint8))


def photo(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    return Image.fromarray(np.stack([255 * x, 255 * y, 127 + 120 * np.sin(9 * x + 5 * y)], axis=2).astype(np.uint8))


def test_three_hundred_test_images_have_the_classes_and_pixels_of_python(page: "Browser", site: Path, exported: Path) -> None:
    images, _ = drawings(IMAGES, seed=9)
    names = [f"test-{index}.png" for index in range(IMAGES)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(site / name)
    found = awaited(page, CLASSIFY, names)
    seen = np.stack([bytes_of(picture["seen"]) for picture in found]).reshape(images.shape)
    assert np.array_equal(seen, images)
    for place, file in enumerate(FILES):
        python = Classifier.load(exported / file).predict(images[..., np.newaxis])
        answers = [picture["answers"][place] for picture in found]
        assert {answer["file"] for answer in answers} == {file}
        assert [answer["top"][0]["label"] for answer in answers] == list(python.labels)
        ours = np.array([answer["probability"] for answer in answers])
        surest = python.probabilities.max(axis=1)
        assert np.abs(ours - surest).max() < 1e-5
        assert [answer["accepted"] for answer in answers] == (ours >= LEAST).tolist()
        assert 0 < (surest >= LEAST).sum() < IMAGES
    assert len({answer["label"] for answer in answers}) == 3
    assert [picture["answers"][0]["agrees"] for picture in found] == [None] * IMAGES
    assert {picture["answers"][1]["agrees"] for picture in found} <= {True, False}
    assert page.complaints() == []


def test_scores_are_those_of_python(page: "Browser") -> None:
    logits = np.array([[2.5, -1.0, 0.25], [-3.0, -2.0, -9.0], [0.0, 18.5, -2.0]], np.float32)
    spec = TensorSpec("out", (None, 3), "float32")
    probabilities = to_probabilities(logits, spec, "logits")
    for kind in get_args(ScoreName):
        expected = scores(kind, probabilities, top_logits(logits, spec))
        found = awaited(page, SCORES, logits.tolist(), probabilities.tolist(), kind)
        assert np.abs(np.array(found) - expected).max() < 1e-5
        assert kind == "energy" or found == expected.tolist()  # What a threshold of equal scores needs.


def test_a_drawn_digit_is_fitted_to_the_very_pixels(page: "Browser", site: Path) -> None:
    inks = ((255, 0, False, "png"), (0, 255, False, "png"), (180, 40, True, "png"), (180, 40, True, "jpg"))
    pictures = {
        f"{width}x{height}-{paper}.{suffix}": stroke((width, height), TWO, paper, ink, noisy)
        for width, height in SIZES
        for paper, ink, noisy, suffix in inks
    }
    pictures["large.jpg"] = stroke((3001, 2003), TWO, *inks[3][:3])
    pictures["sheet.png"] = Image.new("L", (640, 480), 30)
    pictures["sheet.png"].paste(stroke((300, 400), TWO, 220, 40), (170, 40))
    pictures["both.png"] = stroke((200, 200), TWO, 128, 40)
    ImageDraw.Draw(pictures["both.png"]).rectangle((150, 150, 180, 180), fill=225)
    transparent = Image.new("RGBA", (90, 60), (0, 0, 0, 0))
    ImageDraw.Draw(transparent).line([(30, 10), (50, 50)], fill=(0, 0, 0, 255), width=6)
    pictures["transparent.png"] = transparent
    pictures["cut.png"] = Image.new("L", (700, 408), 225)
    ImageDraw.Draw(pictures["cut.png"]).text((350, 300), "2", 30, ImageFont.load_default(300), "mm", stroke_width=20)
    pictures["pieces.png"] = Image.new("L", (600, 600), 225)
    for points in ([(200, 200), (380, 180), (390, 300), (220, 370), (330, 400)], [(330, 468), (340, 600)]):
        ImageDraw.Draw(pictures["pieces.png"]).line(points, 30, 30, "curve")
    pictures |= {
        "pencil.png": in_pencil(),
        "cell.png": form_cell(),
        "frame.png": in_frame(*FRAME),
        "bars.png": in_frame(*BARS),
        "scan.png": small_scan(),
    }
    for path in DIGITS.rglob("*(2).png"):  # A thin pen.
        pictures[path.name] = Image.open(path).convert("L")
    for seed in range(3):  # Printed lines, shadows and a table, as PNG: browsers and Pillow decode a JPEG differently.
        pictures[f"photo-{seed}.png"] = Image.open(BytesIO(photographed(seed).jpeg)).convert("L").resize((400, 300))
    for seed in (10025, 10305):  # The paper in a 0 looks more like a digit; thick printed lines.
        pictures[f"photo-{seed}.png"] = Image.open(BytesIO(photographed(seed, mnist=True).jpeg)).convert("L")
    dark, light = (Preprocessing(1 / 255, "digit", background) for background in ("dark", "light"))
    compare(page, site, pictures, {(28, 28, 1): dark, (56, 56, 1): light})


def test_a_photo_is_fitted_to_the_very_pixels(page: "Browser", site: Path) -> None:
    sizes = ((480, 640), (333, 100), (96, 96), (50, 77), (40, 60))
    pictures = {f"{height}x{width}.png": photo(height, width) for height, width in sizes}
    pictures["grey.png"] = photo(300, 200).convert("L")
    pictures["palette.gif"] = photo(90, 120).quantize(64)
    pictures["small.jpg"] = photo(60, 90)
    rules = {
        (96, 96, 3): Preprocessing(1 / 255, "letterbox", "any"),
        (64, 48, 3): Preprocessing(1 / 255, "crop", "any"),
        (40, 60, 3): Preprocessing(1 / 255, "stretch", "dark"),
        (33, 47, 1): Preprocessing(1 / 255, "letterbox", "light"),
    }
    compare(page, site, pictures, rules)


def compare(
    page: "Browser", site: Path, pictures: dict[str, Image.Image], rules: dict[tuple[int, int, int], Preprocessing]
) -> None:
    """Check that the browser fits pictures to each shape as Python does, and doubts what Python doubts."""
    for name, picture in pictures.items():
        if name.endswith("jpg"):
            exif = Image.Exif()
            exif[0x0112] = 6  # The camera was turned.
            picture.save(site / name, exif=exif, quality=95)
        else:
            picture.save(site / name)
    for shape, rule in rules.items():
        found = awaited(page, FIT, list(pictures), list(shape), {"fit": rule.fit, "background": rule.background})
        for name, (pixels, doubt, box) in zip(pictures, found, strict=True):
            doubts, boxes = list[str](), list[tuple[float, ...]]()
            polarity = Polarity(on_doubt=doubts.append, on_box=boxes.append, can_be_stated=False)
            expected = read_image(site / name, shape, rule, polarity, name)
            differences = np.abs(bytes_of(pixels).reshape(shape).astype(int) - expected)
            assert differences.max() == 0, f"{name}, {rule}: {differences.max()}, mean {differences.mean()}"
            assert doubt == (doubts[0] if doubts else None), (name, rule)
            assert box == (list(boxes[0]) if boxes else None), (name, rule)
    assert page.complaints() == []


def test_a_large_jpeg_is_fitted_nearly_as_in_python_where_it_is_decoded_smaller(page: "Browser", site: Path) -> None:
    photo(1080, 1920).save(site / "large.jpg", quality=95)
    rule = Preprocessing(1 / 255, "letterbox", "any")
    ((pixels, _, _),) = awaited(page, FIT, ["large.jpg"], [96, 96, 3], {"fit": "letterbox", "background": "any"})
    expected = read_image(site / "large.jpg", (96, 96, 3), rule)
    assert np.abs(bytes_of(pixels).reshape(expected.shape).astype(int) - expected).mean() < 1


def test_a_drawing_on_the_page_is_answered_by_every_file(page: "Browser") -> None:
    page.find("#tab-draw").click()
    page.draw(((0.15, 0.25), (0.85, 0.25)))
    page.wait(lambda: page.text("#files-said"), "both files answer")
    label, other = (cell.text for cell in page.driver.find_elements("css selector", "#rows td.label"))
    assert label == other
    sure = not page.text("#probability").startswith("Not sure")
    assert label in (("0", "1", "2") if sure else ("not sure (0)", "not sure (1)", "not sure (2)"))
    assert page.text("#label") == (label if sure else "?")
    assert page.text("#skipped") == ""
    assert page.text("#time-server") != "–"
    assert page.complaints() == []


def test_nothing_is_asked_of_another_address(page: "Browser", address: str) -> None:
    asked = page.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert any(name.endswith(".wasm") for name in asked)
    assert [name for name in asked if not name.startswith(address)] == []
    refused = page.script("return fetch('https://example.org/').then(() => 'sent', () => 'refused')")
    assert refused == "refused"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Image.new("L", (100, 80), 200), "mine.png shows nothing on its background"),
        (Image.fromarray(np.pad(np.zeros((90, 90), np.uint8), 3, constant_values=255)), "mine.png has no ink on even paper"),
        (None, "mine.png is not an image that this browser can read"),
    ],
)
def test_what_it_can_not_read_is_said(page: "Browser", site: Path, content: Image.Image | None, said: str) -> None:
    rule = Preprocessing(1 / 255, "digit", "dark")
    (site / "mine.png").write_text("no picture") if content is None else content.save(site / "mine.png")
    with pytest.raises(ArtifactError):
        read_image(site / "mine.png", (28, 28, 1), rule)
    assert said in page.driver.execute_async_script(FIT, ["mine.png"], [28, 28, 1], {"fit": "digit", "background": "dark"})


def test_an_altered_model_is_refused(browser: "Browser", address: str, site: Path) -> None:
    whole = (site / "int8.onnx").read_bytes()
    try:
        (site / "int8.onnx").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        browser.open(address)
        browser.wait_text("#start", "int8.onnx is not the file that was exported: copy the whole folder again.")
    finally:
        (site / "int8.onnx").write_bytes(whole)


def colour_model(folder: Path) -> None:
    """Make float32.onnx one of four logits of colour images, channels first and blue first, with a mean for each channel."""
    rng = np.random.default_rng(3)
    weights = rng.normal(0, 0.02, (3 * 8 * 6, 4)).astype(np.float32)
    text = "(float[1, 3, 8, 6] image) => (float[1, 4] scores) {row = Reshape (image, flat) scores = MatMul (row, weights)}"
    data = onnx_bytes(text, opset=13, weights=weights, flat=[1, -1])
    (folder / "float32.onnx").write_bytes(data)
    manifest = Manifest.load(folder)
    artifact = manifest.artifact("float32.onnx")
    assert artifact is not None
    image, scores = (TensorSpec(name, shape, "float32") for name, shape in (("image", (1, 3, 8, 6)), ("scores", (1, 4))))
    listed = replace(artifact, size_bytes=len(data), sha256=sha256(data), input=image, output=scores)
    rule = Preprocessing(1 / 255, "stretch", "any", (0.1, 0.2, 0.3), (0.5, 0.25, 0.125), "bgr")
    kept = (manifest.source(), listed)
    replace(manifest, class_names=("a", "b", "c", "d"), preprocessing=rule, output="logits", artifacts=kept).save(folder)


def test_channels_first_blue_first_and_logits_are_read_as_in_python(
    browser: "Browser", artifacts: Path, onnxruntime_web: WebRuntime, tmp_path: Path
) -> None:
    colour_model(artifacts)
    with ModelFolder(artifacts) as models:
        write_page(models, tmp_path / "page", onnxruntime_web)
    pixels = np.random.default_rng(4).integers(0, 256, (20, 8, 6, 3)).astype(np.uint8)
    names = [f"{index}.png" for index in range(20)]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(tmp_path / "page" / name)
    with served(tmp_path / "page") as address:
        browser.open(address)
        browser.driver.set_script_timeout(60)
        found = awaited(browser, CLASSIFY, names)
    python = Classifier.load(artifacts / "float32.onnx").predict(pixels)
    assert len(set(python.labels)) > 1
    answers = [picture["answers"][0] for picture in found]
    assert [answer["label"] for answer in answers] == list(python.labels)
    ours = np.array([answer["probability"] for answer in answers])
    assert np.abs(ours - python.probabilities.max(axis=1)).max() < 1e-6

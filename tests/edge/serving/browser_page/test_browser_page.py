"""A page without a server of ours, in Chromium: the model that it runs answers as it does in Python, of the same pixels."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edgecnn.edge.data.digit import Polarity
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Background, Fit, Preprocessing
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.browser_page.export_page import write_page
from edgecnn.edge.serving.browser_page.onnxruntime_web import WebRuntime
from tests.drawings import drawings
from tests.edge.serving.browser_page.static_page import CLASSIFY, FIT, awaited, bytes_of, served

pytestmark = pytest.mark.workstation("needs a browser")

if TYPE_CHECKING:
    from tests.edge.serving.browser import Browser, Points

IMAGES = 1000
FILES = ("float32.onnx", "int8.onnx")
TWO = ((0.3, 0.35), (0.35, 0.22), (0.5, 0.16), (0.66, 0.24), (0.68, 0.4), (0.52, 0.62), (0.3, 0.82), (0.5, 0.8), (0.74, 0.82))
SIZES = ((280, 280), (101, 333), (640, 480), (28, 28), (57, 40), (3001, 2003), (5, 400))


@pytest.fixture(scope="module")
def site(exported: Path, onnxruntime_web: WebRuntime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written folder; pictures for tests may be put into it."""
    with ModelFolder(exported) as models:
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


def test_a_thousand_test_images_have_the_classes_and_pixels_of_python(page: "Browser", site: Path, exported: Path) -> None:
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
        assert np.abs(ours - python.probabilities.max(axis=1)).max() < 1e-5
    assert len({answer["label"] for answer in answers}) == 3
    assert [picture["answers"][0]["agrees"] for picture in found] == [None] * IMAGES
    assert {picture["answers"][1]["agrees"] for picture in found} <= {True, False}
    assert page.complaints() == []


@pytest.mark.parametrize(("side", "background"), [(28, "dark"), (56, "light")])
def test_a_drawn_digit_is_fitted_to_the_very_pixels(page: "Browser", site: Path, side: int, background: Background) -> None:
    inks = ((255, 0, False, "png"), (0, 255, False, "png"), (180, 40, True, "png"), (180, 40, True, "jpg"))
    pictures = {
        f"{width}x{height}-{paper}.{suffix}": stroke((width, height), TWO, paper, ink, noisy)
        for width, height in SIZES
        for paper, ink, noisy, suffix in inks
    }
    pictures["sheet.png"] = Image.new("L", (640, 480), 30)
    pictures["sheet.png"].paste(stroke((300, 400), TWO, 220, 40), (170, 40))
    pictures["both.png"] = stroke((200, 200), TWO, 128, 40)
    ImageDraw.Draw(pictures["both.png"]).rectangle((150, 150, 180, 180), fill=225)
    transparent = Image.new("RGBA", (90, 60), (0, 0, 0, 0))
    ImageDraw.Draw(transparent).line([(30, 10), (50, 50)], fill=(0, 0, 0, 255), width=6)
    pictures["transparent.png"] = transparent
    compare(page, site, pictures, (side, side, 1), Preprocessing(1 / 255, "digit", background))


@pytest.mark.parametrize(
    ("shape", "fit", "background"),
    [
        ((96, 96, 3), "letterbox", "any"),
        ((64, 48, 3), "crop", "any"),
        ((40, 60, 3), "stretch", "dark"),
        ((33, 47, 1), "letterbox", "light"),
    ],
)
def test_a_photo_is_fitted_to_the_very_pixels(
    page: "Browser", site: Path, shape: tuple[int, int, int], fit: Fit, background: Background
) -> None:
    sizes = ((480, 640), (333, 100), (96, 96), (50, 77), (40, 60))
    pictures = {f"{height}x{width}.png": photo(height, width) for height, width in sizes}
    pictures["grey.png"] = photo(300, 200).convert("L")
    pictures["palette.gif"] = photo(90, 120).quantize(64)
    pictures["small.jpg"] = photo(60, 90)
    compare(page, site, pictures, shape, Preprocessing(1 / 255, fit, background))


def compare(
    page: "Browser", site: Path, pictures: dict[str, Image.Image], shape: tuple[int, int, int], rule: Preprocessing
) -> None:
    """Check that the browser fits pictures as Python does, and doubts what Python doubts."""
    for name, picture in pictures.items():
        if name.endswith("jpg"):
            exif = Image.Exif()
            exif[0x0112] = 6  # The camera was turned.
            picture.save(site / name, exif=exif, quality=95)
        else:
            picture.save(site / name)
    wanted = {"fit": rule.fit, "background": rule.background}
    found = awaited(page, FIT, list(pictures), list(shape), wanted)
    for name, (pixels, doubt) in zip(pictures, found, strict=True):
        doubts: list[str] = []
        expected = read_image(site / name, shape, rule, Polarity(on_doubt=doubts.append), name)
        differences = np.abs(bytes_of(pixels).reshape(shape).astype(int) - expected)
        assert differences.max() == 0, f"{name}: {differences.max()}, mean {differences.mean()}"
        assert doubt == (doubts[0] if doubts else None), name
    assert page.complaints() == []


def test_a_large_jpeg_is_fitted_nearly_as_in_python_where_it_is_decoded_smaller(page: "Browser", site: Path) -> None:
    photo(1080, 1920).save(site / "large.jpg", quality=95)
    rule = Preprocessing(1 / 255, "letterbox", "any")
    ((pixels, _),) = awaited(page, FIT, ["large.jpg"], [96, 96, 3], {"fit": "letterbox", "background": "any"})
    expected = read_image(site / "large.jpg", (96, 96, 3), rule)
    assert np.abs(bytes_of(pixels).reshape(expected.shape).astype(int) - expected).mean() < 1


def test_a_drawing_on_the_page_is_answered_by_every_file(page: "Browser") -> None:
    page.find("#tab-draw").click()
    page.draw(((0.15, 0.25), (0.85, 0.25)))
    page.wait(lambda: page.text("#files-said"), "both files answer")
    assert page.text("#label") in ("0", "1", "2")
    assert [cell.text for cell in page.driver.find_elements("css selector", "#rows td.label")] == [page.text("#label")] * 2
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
        (Image.fromarray(np.pad(np.zeros((90, 90), np.uint8), 3, constant_values=255)), "mine.png has no even background"),
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

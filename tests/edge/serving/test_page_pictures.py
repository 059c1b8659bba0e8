"""The page of `edgecnn serve` in Chromium: pictures, the camera, the table of files, any width, and any name."""

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from tests.edge.serving.browser import Browser
from tests.edge.serving.stand_in import TWO, Asked, Json, Reply, StandIn, classified, file, model, picture

pytestmark = pytest.mark.workstation("needs a browser")

HOSTILE = "<img src=x onerror=alert(1)>"
LONG = "a" * 60 + " " + "great white shark, man-eater, " * 4
# A file that the page makes itself, as one that was copied or dragged.
BRING = """
const [event, names] = arguments, data = new DataTransfer();
for (const name of names) data.items.add(new File(["picture " + name], name, {type: "image/png"}));
const target = document.querySelector("#answer");
const given = event === "paste" ? {clipboardData: data} : {dataTransfer: data};
const made = event === "paste" ? new ClipboardEvent(event, {...given, bubbles: true, cancelable: true})
                               : new DragEvent(event, {...given, bubbles: true, cancelable: true});
target.dispatchEvent(made);
"""


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 7), shade, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def photos(**changes: object) -> Json:
    """A model of photos with many classes, long names, and an unverified file."""
    doubtful = file("int8.tflite", doubts=["calibrated on 3 images"])
    files = [file("float32.tflite"), doubtful, file(f"{LONG[:70]}.onnx", unverified="no manifest lists it")]
    names = [LONG, "tabby cat", "motor scooter", HOSTILE, *(f"class {i}" for i in range(996))]
    return model(name=LONG[:60], class_names=names, shape=[32, 24, 3], draws=False, files=files, **changes)


def opened(browser: Browser, server: StandIn) -> Browser:
    browser.size(1000, 900)
    browser.open(server.address)
    browser.wait(lambda: browser.find("#page").is_displayed(), "the model is shown")
    return browser


def cells(browser: Browser, column: str) -> list[str]:
    found: list[str] = browser.script(
        "return [...document.querySelectorAll(`#rows td.${arguments[0]}`)].map(cell => cell.textContent)", column
    )
    return found


def items(browser: Browser) -> list[str]:
    found: list[str] = browser.script("return [...document.querySelectorAll('#pictures .what')].map(what => what.innerText)")
    return found


def by_name(server: StandIn, labels: dict[str, str], doubts: dict[str, str] | None = None) -> None:
    """Let the server answer by a picture's name, and doubt some; other pictures are refused."""

    def reply(asked: Asked) -> Reply | None:
        if asked.path != "/api/classify":
            return None
        for name, label in labels.items():
            if f'filename="{name}"'.encode() in asked.body:
                return classified(picture(server.model, label, doubt=(doubts or {}).get(name)))
        return Reply({"error": "bad.png is no picture."}, 422)

    server.script = reply


def test_several_pictures_are_answered_one_by_one(browser: Browser, stand_in: StandIn, tmp_path: Path) -> None:
    opened(browser, stand_in)
    by_name(stand_in, {"one.png": "1", "two.png": "2"}, {"two.png": "two.png shows a faint digit"})
    paths = [tmp_path / name for name in ("one.png", "bad.png", "two.png")]
    for shade, path in enumerate(paths):
        path.write_bytes(png(100 * shade))
    browser.find("#choose").send_keys("\n".join(map(str, paths)))
    browser.wait_text("#pictures-said", "2 pictures classified, 1 failed.")
    assert items(browser) == [
        "one.png\n1, 99.3\u00a0%",
        "bad.png\n✗ bad.png is no picture.",
        "two.png\n2, 99.3\u00a0% ⚠ doubtful",
    ]
    assert browser.text("#label") == "1"
    buttons = browser.driver.find_elements("css selector", "#pictures button")
    buttons[2].click()
    assert browser.text("#label") == "2"
    buttons[1].click()
    assert (browser.text("#label"), browser.text("#message")) == ("?", "bad.png is no picture.")
    assert png(0) in stand_in.drawings()[0].body
    browser.find("#pictures-clear").click()
    assert (items(browser), browser.text("#label")) == ([], "?")
    assert not browser.find("#message").is_displayed()


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_pictures_can_be_pasted_and_dropped_anywhere_unless_they_are_too_large(
    browser: Browser, stand_in: StandIn, event: str
) -> None:
    stand_in.model["limits"]["body_bytes"] = 16
    opened(browser, stand_in)
    by_name(stand_in, {"one.png": "1"})
    browser.script(BRING, event, ["one.png"])
    browser.wait_text("#pictures-said", "1 picture classified.")
    assert browser.find("#panel-pictures").is_displayed()
    assert browser.text("#label") == "1"
    browser.script(BRING, event, ["large.png"])
    browser.wait_text("#message", "large.png has 17\u00a0bytes; the limit is 16\u00a0bytes.")
    assert len(stand_in.drawings()) == 1


def test_the_table_says_in_words_which_files_agree(browser: Browser, stand_in: StandIn) -> None:
    stand_in.replies("/api/classify", classified(picture(stand_in.model, "2", {"int8.onnx": "7"})))
    opened(browser, stand_in).draw(TWO)
    browser.wait_text("#agreement", "≠ 1 file differs from float32.tflite")
    assert cells(browser, "label") == ["2", "2", "2", "7"]
    assert cells(browser, "agreement") == ["reference", "✓ agrees", "✓ agrees", "≠ differs"]
    assert cells(browser, "inference") == ["45.2\u00a0µs"] * 4
    browser.find("[value='int8.onnx']").click()
    assert (browser.text("#label"), browser.text("#answer-file")) == ("7", "int8.onnx")
    browser.find("#bars-all").click()
    titles = browser.script("return [...document.querySelectorAll('#bars h4')].map(title => title.textContent)")
    assert titles == ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
    assert browser.text("#time-server") == "512\u00a0µs"
    assert browser.text("#time-trip").endswith("ms")


def test_files_without_a_reference_are_compared_with_each_other_and_unmeasured_ones_are_said_to_be(
    browser: Browser, stand_in: StandIn
) -> None:
    stand_in.model["reference"] = stand_in.model["verdict"] = None
    opened(browser, stand_in).draw(TWO)
    browser.wait_text("#agreement", "✓ All 4 files say so")
    assert cells(browser, "agreement") == ["no reference"] * 4
    assert "not been measured" in browser.text("#verdict-text")
    assert not browser.find("#pill").is_displayed()


def test_a_model_of_photos_begins_with_pictures_and_what_is_outdated_skipped_or_unverified_is_said(
    browser: Browser, stand_in: StandIn
) -> None:
    stand_in.model = photos(skipped={"float32.ncnn": "no runtime for ncnn"})
    stand_in.model["verdict"]["current"] = False
    opened(browser, stand_in)
    assert browser.text("#pill") == "✓ PASS, outdated"
    assert browser.text("#verdict-old") == "Outdated: files have changed since. Run edgecnn bench again."
    assert "Ship int8.tflite" in browser.text("#verdict-text")
    assert browser.text("#skipped li") == "float32.ncnn no runtime for ncnn"
    marks = browser.script("return [...document.querySelectorAll('#rows .mark')].map(mark => mark.textContent)")
    assert marks == ["⚠ calibrated on 3 images", "⚠ unverified"]
    assert "unverified: no manifest lists it" in browser.text("#about")
    assert browser.find("#drop").is_displayed()
    tabs = browser.script("return [...document.querySelectorAll('[role=tab]:not([hidden])')].map(tab => tab.textContent)")
    assert tabs == ["Pictures", "Draw"]
    browser.find("#tab-draw").click()
    assert browser.find("#not-drawn").is_displayed()


def test_a_camera_that_fails_says_why_and_one_is_live_until_its_tab_is_left(browser: Browser, stand_in: StandIn) -> None:
    left = threading.Event()

    def frames() -> Iterator[Json]:
        jpeg = io.BytesIO()
        Image.new("RGB", (16, 12)).save(jpeg, "jpeg")
        small = base64.b64encode(jpeg.getvalue()).decode()
        try:
            for index in range(10_000):
                rate = {"frame": index, "dropped": 2, "frames_per_second": 29.9, "total_us": 900.0}
                yield {**picture(stand_in.model, str(index // 20 % 10)), **rate, "jpeg": small}
                threading.Event().wait(0.01)
        finally:
            left.set()

    stand_in.model["camera"] = "picamera2"
    stand_in.replies("/api/camera", Reply(None, lines=iter([{"error": "The camera was unplugged."}])))
    opened(browser, stand_in)
    browser.find("#tab-camera").click()
    browser.wait_text("#message", "The camera was unplugged.")
    assert browser.text("#camera-switch") == "Start"
    stand_in.script = lambda asked: Reply(None, lines=frames()) if asked.path == "/api/camera" else None
    browser.find("#camera-switch").click()
    browser.wait_text("#label", "2")
    assert browser.text("#rate") == "29.9 frames/s, 2 dropped"
    assert browser.script("return document.querySelector('#frame').naturalWidth") == 16
    assert stand_in.asked[-1].query["file"] == ["int8.tflite"]
    browser.find("#tab-draw").click()
    assert left.wait(10)
    assert browser.text("#label") == "?"


def test_names_and_labels_are_text(browser: Browser, stand_in: StandIn) -> None:
    hostile = file(HOSTILE, runtime=HOSTILE, precision=HOSTILE, unverified=HOSTILE, doubts=[HOSTILE])
    stand_in.model = photos(skipped={HOSTILE: HOSTILE}, preprocessing=HOSTILE)
    stand_in.model.update(name=HOSTILE, files=[hostile, file("int8.tflite")], reference=HOSTILE)
    stand_in.model["verdict"].update(text=HOSTILE, machine=HOSTILE, measured=HOSTILE, status=HOSTILE, files={HOSTILE: HOSTILE})
    said = picture(stand_in.model, HOSTILE, {"int8.tflite": "tabby cat"}, doubt=HOSTILE)
    stand_in.replies("/api/classify", classified(said))
    opened(browser, stand_in)
    browser.script(BRING, "paste", [HOSTILE])
    browser.wait_text("#label", HOSTILE)
    browser.find("#bars-all").click()
    for place in ("name", "label", "doubt", "verdict-text", "skipped", "rows", "bars", "about", "pictures", "agreement"):
        assert HOSTILE in browser.text(f"#{place}"), place
    assert browser.script("return document.querySelectorAll('img[src=x], [onerror]').length") == 0
    assert browser.complaints() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_window_or_comes_from_outside(browser: Browser, stand_in: StandIn, dark: bool) -> None:
    stand_in.model = photos(camera="picamera2", skipped={LONG[:60]: LONG})
    opened(browser, stand_in)
    browser.script(BRING, "paste", ["one.png", f"{LONG[:60]}.png"])
    browser.wait_text("#pictures-said", "2 pictures classified.")
    browser.script(
        "document.querySelectorAll('details').forEach(each => each.open = true); document.querySelector('#bars-all').click()"
    )
    for width in (320, 390, 540, 720, 768, 1000, 1280, 1560, 1920):
        browser.size(width, 900, dark)
        for tab in ("#tab-pictures", "#tab-draw"):
            browser.find(tab).click()
            wide = browser.script(
                "return [...document.querySelectorAll('body *')].filter(each => !each.closest('.unseen, thead, dialog')"
                " && each.getBoundingClientRect().right > innerWidth + .5).map(each => each.outerHTML.slice(0, 90))"
            )
            assert wide == [], (width, tab)
            assert browser.script("return document.documentElement.scrollWidth") <= width
    outside = browser.script("return performance.getEntriesByType('resource').map(each => each.name)")
    assert all(name.startswith(("blob:", stand_in.address)) for name in outside)
    assert browser.complaints() == []


def test_every_control_has_a_name_and_tabs_follow_the_arrows(browser: Browser, stand_in: StandIn) -> None:
    stand_in.model["camera"] = "picamera2"
    opened(browser, stand_in).draw(TWO)
    browser.wait_text("#label", "2")
    browser.command("Accessibility.enable")
    controls = {"button", "checkbox", "radio", "slider", "tab", "tabpanel", "application"}
    roles = controls | {"image", "table", "list", "region", "textbox"}
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert {node["role"]["value"] for node in found} >= roles - {"textbox", "region"}
    assert [node for node in found if not node["name"]["value"]] == []
    paper = next(node for node in found if node["role"]["value"] == "application")
    assert "Space lowers or lifts it." in paper["description"]["value"]
    browser.script("document.querySelector('#tab-draw').focus()")
    browser.keys(Keys.ARROW_RIGHT)
    assert browser.find("#panel-pictures").is_displayed()
    browser.keys(Keys.END, Keys.ARROW_RIGHT)
    assert browser.find("#panel-draw").is_displayed()
    assert browser.script("return document.activeElement.id") == "tab-draw"


def test_the_page_shows_what_the_chosen_file_got(browser: Browser, stand_in: StandIn) -> None:
    found = picture(stand_in.model, "2")
    found["answers"][2]["seen"] = {"height": 1, "width": 2, "channels": 1, "pixels": "CWM="}
    stand_in.replies("/api/classify", classified(found))
    opened(browser, stand_in).draw(TWO)
    browser.wait_text("#label", "2")
    size = "return [document.querySelector('#seen').width, document.querySelector('#seen').height]"
    assert browser.script(size) == [28, 28]
    browser.find("[value='float32.onnx']").click()
    assert browser.script(size) == [2, 1]
    pixels = "return [...document.querySelector('#seen').getContext('2d').getImageData(0, 0, 2, 1).data]"
    assert browser.script(pixels) == [9, 9, 9, 255, 99, 99, 99, 255]

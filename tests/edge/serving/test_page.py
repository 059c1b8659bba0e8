"""The page of `edgecnn serve` in Chromium: drawing, and what it does when the server is slow, busy, wrong or away."""

import io
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from selenium.webdriver.common.keys import Keys

from tests.edge.serving.browser import Browser
from tests.edge.serving.stand_in import PAGE, TWO, Asked, Reply, StandIn, classified, picture

pytestmark = pytest.mark.workstation("needs a browser")

STROKE = ((0.2, 0.8), (0.4, 0.9), (0.7, 0.85))
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def board(browser: Browser, stand_in: StandIn) -> Browser:
    """The page with its paper."""
    browser.size(1000, 900)
    browser.open(stand_in.address)
    browser.wait(lambda: browser.find("#paper").is_displayed(), "the paper is shown")
    browser.script(
        "window.shown = []; new MutationObserver(() => shown.push(document.querySelector('#label').textContent))"
        ".observe(document.querySelector('#label'), {childList: true, characterData: true, subtree: true})"
    )
    return browser


def state(browser: Browser) -> str:
    return str(browser.find("#hero").get_attribute("data-state"))


def settled(browser: Browser) -> None:
    browser.wait(lambda: state(browser) == "done", "the answer is of the newest drawing")


class Held:
    """Answers to drawings that wait until the test lets them go: the n-th says labels[n], and those after the last the last."""

    def __init__(self, server: StandIn, *labels: str) -> None:
        self.gates = [threading.Event() for _ in labels]
        self.server, self.labels = server, labels
        self.begun = self.most = self.now = 0
        self.lock = threading.Lock()
        server.script = self.reply

    def reply(self, asked: Asked) -> Reply | None:
        if asked.path != "/api/classify":
            return None
        with self.lock:
            index = min(self.begun, len(self.labels) - 1)
            self.begun += 1
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.gates[index].wait(20)
        with self.lock:
            self.now -= 1
        return classified(picture(self.server.model, self.labels[index]))

    def open(self, *indices: int) -> None:
        for index in indices:
            self.gates[index].set()


def drawing(asked: Asked) -> NDArray[np.uint8]:
    """Return the picture of a request."""
    start = asked.body.index(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(asked.body[start:])).convert("RGB"))


def test_a_drawing_is_answered_by_every_file(board: Browser, stand_in: StandIn) -> None:
    board.draw(TWO)
    settled(board)
    assert board.text("#label") == "2"
    assert board.text("#probability") == "99.3\u00a0%"
    assert board.text("#agreement") == "✓ All 4 files agree"
    assert board.text("#files-said") == "✓ All 4 files agree"
    assert board.script("return [...document.querySelectorAll('#rows td.label')].map(cell => cell.textContent)") == ["2"] * 4
    assert board.script("return [document.querySelector('#seen').width, document.querySelector('#seen').height]") == [28, 28]
    board.wait_text("#live", "2, 99.3\u00a0%, by int8.tflite. All 4 files agree.")
    assert stand_in.drawings()[-1].query == {"top": ["5"], "pixels": ["true"]}
    assert board.complaints() == []


def test_the_picture_that_is_sent_is_black_on_white_with_a_margin_and_a_click_is_a_dot(
    board: Browser, stand_in: StandIn
) -> None:
    board.draw(((0.5, 0.5), (1.04, 0.5), (1.04, 1.04), (0.5, 1.04)))  # Beyond the paper, too.
    settled(board)
    pixels = drawing(stand_in.drawings()[-1])
    assert pixels.shape == (320, 320, 3)
    edges = np.concatenate([pixels[:6], pixels[-6:], pixels[:, :6].swapaxes(0, 1), pixels[:, -6:].swapaxes(0, 1)])
    assert edges.min() == 255
    assert pixels[160, 170].max() == 0
    assert (pixels[:, :, 0] == pixels[:, :, 1]).all()
    board.find("#clear").click()
    board.draw(((0.5, 0.5),))
    settled(board)
    assert 300 < (drawing(stand_in.drawings()[-1])[:, :, 0] < 128).sum() < 800


def test_an_answer_to_an_older_drawing_is_never_shown(board: Browser, stand_in: StandIn) -> None:
    held = Held(stand_in, "1", "7")
    board.draw(TWO)
    board.wait(lambda: held.begun == 1, "the first drawing is sent")
    board.draw(STROKE)
    held.open(0, 1)
    settled(board)
    assert board.text("#label") == "7"
    assert "1" not in board.script("return shown")
    sent = [drawing(asked) for asked in stand_in.drawings()]
    assert (sent[-1] == 0).sum() > (sent[0] == 0).sum()


def test_an_answer_after_the_paper_was_cleared_is_not_shown(board: Browser, stand_in: StandIn) -> None:
    held = Held(stand_in, "1", "2")
    board.draw(TWO)
    board.wait(lambda: held.begun == 1, "the drawing is sent")
    board.find("#clear").click()
    held.open(0)
    board.wait(lambda: held.now == 0, "the answer is sent")
    time.sleep(0.3)
    assert (state(board), board.text("#label"), held.begun) == ("empty", "?", 1)
    assert board.script("return shown") == []


def test_answers_come_while_a_stroke_is_drawn_and_are_marked(board: Browser, stand_in: StandIn) -> None:
    held = Held(stand_in, "1", "2")
    board.draw(TWO[:3], lift=False)
    board.wait(lambda: held.begun == 1, "the beginning is sent")
    box = board.script("return document.querySelector('#paper').getBoundingClientRect()")
    board.move(box["x"] + 20, box["y"] + 20)
    held.open(0)
    board.wait_text("#label", "1")
    assert state(board) == "working"
    assert board.text("#agreement") == "updating…"
    board.lift()
    held.open(1)
    settled(board)
    assert board.text("#label") == "2"


def test_one_request_is_under_way_and_the_newest_drawing_wins(board: Browser, stand_in: StandIn) -> None:
    held = Held(stand_in, "1", "2")
    for _ in range(4):
        board.draw(STROKE)
    board.wait(lambda: held.begun == 1, "a drawing is sent")
    held.open(0, 1)
    settled(board)
    assert (held.begun, held.most) == (2, 1)


def test_undo_asks_again_and_an_empty_paper_does_not(board: Browser, stand_in: StandIn) -> None:
    board.draw(TWO)
    board.draw(STROKE)
    settled(board)
    with_both = (drawing(stand_in.drawings()[-1]) == 0).sum()
    board.find("#undo").click()
    settled(board)
    assert (drawing(stand_in.drawings()[-1]) == 0).sum() < with_both
    count = len(stand_in.drawings())
    board.find("#undo").click()
    time.sleep(0.2)
    assert state(board) == "empty"
    assert len(stand_in.drawings()) == count
    assert not board.find("#undo").is_enabled()


def test_the_keyboard_draws(board: Browser, stand_in: StandIn) -> None:
    board.script("document.querySelector('#paper').focus()")
    board.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert board.find("#pen").is_displayed()
    assert stand_in.drawings() == []
    board.keys(Keys.SPACE)
    board.wait_text("#pen-said", "Pen down.")
    board.keys(*[Keys.ARROW_DOWN] * 8, Keys.SPACE)
    board.wait_text("#pen-said", "Pen up.")
    settled(board)
    rows, columns = np.nonzero(drawing(stand_in.drawings()[-1])[:, :, 0] == 0)
    assert np.ptp(rows) > 2 * np.ptp(columns)
    board.keys(Keys.SPACE, Keys.ARROW_LEFT, Keys.SPACE, Keys.BACKSPACE)
    board.wait_text("#pen-said", "Undone, 1 stroke left.")
    board.keys(Keys.DELETE)
    board.wait_text("#pen-said", "The paper is empty.")
    assert state(board) == "empty"


def test_an_error_or_another_server_s_answer_is_said_and_gone_with_the_next_drawing(board: Browser, stand_in: StandIn) -> None:
    for reply, said in (
        (Reply(b"<html>", 200), "The server's answer is no JSON. Is it edgecnn serve?"),
        (Reply(b"<html>", 502), "The server refused with status 502."),
        (Reply({"error": f"No digit: {HOSTILE}"}, 422), f"No digit: {HOSTILE}"),
    ):
        stand_in.replies("/api/classify", reply)
        board.draw(TWO)
        board.wait_text("#message", said)
        assert (state(board), board.text("#label")) == ("failed", "?")
    stand_in.script = lambda asked: None
    board.draw(STROKE)
    settled(board)
    assert not board.find("#message").is_displayed()


def test_a_busy_server_gets_the_newest_drawing_after_the_time_it_names(board: Browser, stand_in: StandIn) -> None:
    times = list[float]()

    def reply(asked: Asked) -> Reply | None:
        if asked.path != "/api/classify":
            return None
        times.append(time.monotonic())
        busy = {"error": "Another picture is being classified."}
        return Reply(busy, 503, {"Retry-After": "1"}) if len(times) == 1 else None

    stand_in.script = reply
    board.draw(TWO)
    board.wait_text("#trouble-text", "Another picture is being classified. Next try in 1 s.")
    board.draw(STROKE)
    settled(board)
    assert times[1] - times[0] >= 0.9
    sent = [(drawing(asked) == 0).sum() for asked in stand_in.drawings()]
    assert sent[1] > sent[0]
    assert not board.find("#trouble").is_displayed()


def test_a_lost_network_is_said_and_recovered_from(board: Browser, stand_in: StandIn) -> None:
    speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    board.command("Network.emulateNetworkConditions", offline=True, **speed)
    try:
        board.draw(TWO)
        board.wait_text("#trouble-text", "The server can't be reached.")
        assert stand_in.drawings() == []
    finally:
        board.command("Network.emulateNetworkConditions", offline=False, **speed)
    settled(board)
    assert not board.find("#trouble").is_displayed()


def test_a_server_that_comes_back_with_other_files_is_shown(board: Browser, stand_in: StandIn) -> None:
    drop = threading.Event()
    drop.set()

    def reply(asked: Asked) -> Reply | None:
        if drop.is_set():
            raise ConnectionResetError
        return None

    stand_in.script = reply
    board.draw(TWO)
    board.wait_text("#trouble-text", "The server can't be reached.")
    stand_in.model["files"] = stand_in.model["files"][:2]
    drop.clear()
    board.find("#trouble-now").click()
    board.wait(lambda: board.script("return document.querySelector('#rows').children.length") == 2, "two files")
    assert board.text("#agreement") == "✓ Both files agree"


def test_a_token_comes_from_the_address_and_leaves_it(browser: Browser, stand_in: StandIn) -> None:
    stand_in.script = lambda asked: None if asked.token == "s3cret" else Reply({"error": "A token is needed."}, 401)
    browser.open(f"{stand_in.address}#token=s3cret")
    browser.wait(lambda: browser.find("#paper").is_displayed(), "the paper is shown")
    assert browser.driver.current_url == stand_in.address
    browser.open(stand_in.address)
    browser.wait(lambda: browser.find("#paper").is_displayed(), "the token is kept")
    assert {asked.token for asked in stand_in.asked} == {"s3cret"}


def test_a_token_is_asked_for_until_it_is_right(browser: Browser, stand_in: StandIn) -> None:
    stand_in.script = lambda asked: None if asked.token == "right" else Reply({"error": "A token is needed."}, 401)
    browser.open(stand_in.address)
    browser.wait(lambda: browser.find("#token-text").is_displayed(), "the form is shown")
    assert not browser.find("#token-wrong").is_displayed()
    browser.keys(Keys.ESCAPE, "wrong", Keys.ENTER)
    browser.wait_text("#token-wrong", "The server doesn't accept this token. Check it and try again.")
    browser.keys("right", Keys.ENTER)
    browser.wait(lambda: browser.find("#paper").is_displayed(), "the paper is shown")
    # A server that was started again has another one: the drawing is answered once it is known.
    stand_in.script = lambda asked: None if asked.token == "new" else Reply({"error": "A token is needed."}, 401)
    browser.draw(TWO)
    browser.wait_text("#token-wrong", "doesn't accept this token")
    browser.keys("new", Keys.ENTER)
    settled(browser)


def test_one_module_alone_speaks_to_the_server() -> None:
    words = ("fetch(", "api/", "XMLHttpRequest", "Authorization", "EventSource", "WebSocket")
    users = {path.name for path in PAGE.iterdir() if any(word in path.read_text() for word in words)}
    assert users == {"classify.js"}
    for path in PAGE.glob("*.js"):
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in path.read_text(), path


@pytest.mark.parametrize(
    ("score", "least", "most", "said"),
    [
        ("probability", 0.9746, None, "is below the threshold 97.46 %"),
        ("probability", 0.99996, None, "is below the threshold 99.996 %"),
        ("margin", 0.9746, None, "with a margin below 97.46 %"),
        ("energy", 9.8721, 25.4113, "with an energy outside 9.872 to 25.41"),
    ],
)
def test_an_answer_outside_of_the_threshold_is_shown_as_not_sure(
    score: str, least: float, most: float | None, said: str, board: Browser, stand_in: StandIn
) -> None:
    unsure = picture(stand_in.model, "7")
    below = {"probability": 0.6328, "accepted": False, "threshold": {"score": score, "least": least, "most": most}}
    unsure["answers"] = [{**answer, **below} for answer in unsure["answers"]]
    stand_in.replies("/api/classify", classified(unsure))
    board.draw(TWO)
    settled(board)
    assert board.text("#label") == "?"
    assert board.text("#probability").replace("\N{NO-BREAK SPACE}", " ") == f"Not sure: 7 at 63.28 % {said}"
    assert board.text("#rows td.label") == "not sure (7)"


@pytest.mark.parametrize(("unsure", "said", "green"), [(4, "none is sure", 0), (1, "1 not sure", 3)])
def test_that_files_agree_is_no_praise_where_one_is_not_sure(
    unsure: int, said: str, green: int, board: Browser, stand_in: StandIn
) -> None:
    judged = picture(stand_in.model, "7")
    threshold = {"score": "probability", "least": 0.97, "most": None}
    for number, answer in enumerate(judged["answers"]):
        answer |= {"accepted": number >= unsure, "threshold": threshold}
    stand_in.replies("/api/classify", classified(judged))
    board.draw(TWO)
    settled(board)
    for place in ("#agreement", "#files-said"):
        assert board.text(place) == f"All 4 files agree; {said}"
    colour = "return getComputedStyle(document.querySelector(arguments[0])).color"
    assert board.script(colour, "#agreement") == board.script(colour, "#files-said")
    assert board.script("return document.querySelectorAll('#rows tr.agrees').length") == green

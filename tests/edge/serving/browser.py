"""A browser for tests of pages: it opens, draws, and waits for what a person would see."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

Points = Sequence[tuple[float, float]]
_SECONDS = 20


def _mouse() -> PointerInput:
    return PointerInput("mouse", "mouse")  # type: ignore[no-untyped-call]


class Browser:
    """Chromium without a window.

    Args:
        chromium: Path of the browser.
        driver: Path of its chromedriver.
        profile: An empty folder.
    """

    def __init__(self, chromium: str, driver: str, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-quic",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--window-size=1280,900", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=Service(driver))
        self.command("Network.enable")

    def quit(self) -> None:
        self.driver.quit()

    def open(self, address: str) -> None:
        """Open a page; what the console said before is forgotten."""
        self.driver.get("about:blank")
        self.complaints()
        self.driver.get(address)

    def command(self, name: str, **values: object) -> Any:
        """Send a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def find(self, selector: str) -> WebElement:
        found: WebElement = self.driver.find_element("css selector", selector)
        return found

    def text(self, selector: str) -> str:
        """Return the text of an element, shown or not, without outer spaces."""
        return str(self.script("return document.querySelector(arguments[0]).textContent.trim()", selector))

    def wait(self, until: Callable[[], object], what: str) -> None:
        """Wait until something holds, or fail with what it is."""
        WebDriverWait(self.driver, _SECONDS, poll_frequency=0.02).until(lambda _: until(), what)

    def wait_text(self, selector: str, text: str) -> None:
        WebDriverWait(self.driver, _SECONDS, poll_frequency=0.02).until(
            lambda _: text in self.text(selector), f"{selector} says {self.text(selector)!r}, not {text!r}"
        )

    def keys(self, *keys: str) -> None:
        """Press keys, one after another."""
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def draw(self, points: Points, lift: bool = True) -> None:
        """Draw a line on the paper with the mouse."""
        box: dict[str, float] = self.script(
            "const paper = document.querySelector('#paper'); paper.scrollIntoView({block: 'center'});"
            "const {x, y, width, height} = paper.getBoundingClientRect(); return {x, y, width, height}"
        )
        places = [(round(box["x"] + x * box["width"]), round(box["y"] + y * box["height"])) for x, y in points]
        actions = ActionBuilder(self.driver, mouse=_mouse(), duration=0)
        mouse = actions.pointer_action
        mouse.move_to_location(*places[0])  # type: ignore[no-untyped-call]
        mouse.pointer_down()  # type: ignore[no-untyped-call]
        for place in places[1:]:
            mouse.move_to_location(*place)  # type: ignore[no-untyped-call]
        if lift:
            mouse.pointer_up()  # type: ignore[no-untyped-call]
        actions.perform()

    def move(self, x: float, y: float) -> None:
        """Move the mouse, pressed or not, to a place of the window."""
        actions = ActionBuilder(self.driver, mouse=_mouse(), duration=0)
        actions.pointer_action.move_to_location(round(x), round(y))  # type: ignore[no-untyped-call]
        actions.perform()

    def lift(self) -> None:
        ActionChains(self.driver, duration=0).release().perform()

    def complaints(self) -> list[str]:
        """Return what the console says since the page was opened or this was last called: errors and refusals."""
        entries: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

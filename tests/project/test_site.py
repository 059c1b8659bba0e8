"""The built site in a browser: no output is cut on a common screen. `make docs` builds it."""

import shutil
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "site"
WIDER = """return [...document.querySelectorAll("pre, pre > code")].filter(box => box.scrollWidth > box.clientWidth + 1)
  .map(box => box.innerText.split("\\n").sort((one, other) => other.length - one.length)[0])"""


def test_at_1280_pixels_no_block_of_code_scrolls_sideways_and_no_page_at_375(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("selenium", reason="selenium is not installed")
    from tests.edge.serving.browser import Browser  # noqa: PLC0415 - Selenium may be missing.

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Debian's chromium is not installed: apt-get install chromium chromium-driver")
    pages = [path for path in SITE.rglob("*.html") if path.name != "404.html"]
    if not pages:
        pytest.skip("the site is not built: make docs")
    assert len(pages) > 30
    monkeypatch.setenv("SE_OFFLINE", "true")
    monkeypatch.setenv("SE_AVOID_STATS", "true")
    browser, wider, wide = Browser(chromium, driver, tmp_path / "profile"), [], []
    try:
        for path in pages:
            browser.driver.get(path.as_uri())
            browser.size(1280, 900)
            wider += [(str(path.relative_to(SITE)), line) for line in browser.script(WIDER)]
            browser.size(375, 900)
            wide += [str(path)] if browser.script("return document.documentElement.scrollWidth") > 375 else []
    finally:
        browser.quit()
    assert (wider, wide) == ([], [])

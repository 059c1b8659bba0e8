"""A running server, and Debian's Chromium driven by Selenium: nothing is downloaded or sent anywhere but to this machine."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgecnn.edge.errors import ConfigError, MissingDependency
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.export_page import WebRuntime, web_runtime
from tests.edge.serving.running import Server, serving
from tests.edge.serving.stand_in import StandIn, running

if TYPE_CHECKING:
    from tests.edge.serving.browser import Browser


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    """A headless Chromium, one for all tests of this folder; `open` starts a page."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    from tests.edge.serving.browser import Browser  # noqa: PLC0415 - Selenium may be missing.

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Debian's chromium is not installed: apt-get install chromium chromium-driver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SE_OFFLINE", "true")
        patch.setenv("SE_AVOID_STATS", "true")
        started = Browser(chromium, driver, tmp_path_factory.mktemp("profile"))
        try:
            yield started
        finally:
            started.quit()


@pytest.fixture(scope="package")
def server(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of all files of `exported`, one for all tests of this folder; it must go on answering."""
    pytest.importorskip("starlette", reason="the serve extra is not installed")
    with serving(tmp_path_factory.mktemp("server"), exported) as started:
        yield started
        said = started.log.read_text()
    assert "Traceback" not in said, said


@pytest.fixture(scope="session")
def pictures(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first 8 test images of `exported` as PNG files."""
    from PIL import Image  # noqa: PLC0415 - A board's tests may lack it.

    folder = tmp_path_factory.mktemp("pictures")
    test = ModelFolder(exported).test_images()
    for number, image in enumerate(test.images(range(8))):
        Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A folder whose picture makes long lines of a camera's stream, which fill the buffers of a connection soon."""
    from PIL import Image  # noqa: PLC0415 - As above.

    folder = tmp_path / "noise"
    folder.mkdir()
    Image.effect_noise((320, 240), 90).save(folder / "noise.png")
    return folder


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A server without a model, of its own origin: nothing that a page kept for another one is there."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def onnxruntime_web() -> WebRuntime:
    """onnxruntime-web, from npm's registry."""
    try:
        return web_runtime()
    except (MissingDependency, ConfigError) as error:
        pytest.skip(f"onnxruntime-web can't be downloaded: {error}")

"""Serves a written page as any web server would, and runs its modules."""

import base64
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tests.edge.serving.browser import Browser

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
    const { picture, doubt } = await fittedPicture(await (await fetch(name)).blob(), shape, rule, name);
    fitted.push([btoa(Array.from(picture.pixels, (pixel) => String.fromCharCode(pixel)).join("")), doubt]);
  }
  return fitted;
})().then(done, (error) => done(error.message));
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

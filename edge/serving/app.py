"""The routes: the page, the API, health and metrics."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgecnn.edge.serving.body import Bodies
from edgecnn.edge.serving.engine import Asked, Engine
from edgecnn.edge.serving.logs import log_answer, log_bug
from edgecnn.edge.serving.metrics import CONTENT_TYPE, Metrics
from edgecnn.edge.serving.models import LIMITS
from edgecnn.edge.serving.openapi import openapi
from edgecnn.edge.serving.security import Access
from edgecnn.edge.text import printable

if TYPE_CHECKING:
    from edgecnn.edge.serving.camera import Camera

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_TOP = 5
_PARAMETERS = {"file", "top", "pixels"}


class Site:
    """What the routes share.

    Attributes:
        engine: Answers pictures.
        version: edgecnn's version.
        metrics: Counters.
        camera: The camera, or None.
        logs_each: Whether each request has a line in the log.
    """

    def __init__(
        self, engine: Engine, metrics: Metrics, version: str, camera: "Camera | None" = None, logs_each: bool = False
    ) -> None:
        self.engine, self.metrics, self.version, self.camera, self.logs_each = engine, metrics, version, camera, logs_each
        self.bodies = Bodies()

    async def model(self, request: Request) -> Response:
        """GET /api/model: what answers here."""
        models = self.engine.models
        verdict = vars(models.verdict) if models.verdict else None
        camera = self.camera.name if self.camera else None
        return JSONResponse(
            {**models.describe(), "version": self.version, "verdict": verdict, "camera": camera, "limits": LIMITS}
        )

    async def classify(self, request: Request) -> Response:
        """POST /api/classify: the answers to pictures."""
        asked = self._asked(request.query_params)
        async with self.bodies.pictures_of(request) as pictures:
            return JSONResponse(await self.engine.classified(pictures, asked))

    async def watch(self, request: Request) -> Response:
        """GET /api/camera: a line of JSON for each frame, without end."""
        if self.camera is None:
            raise HTTPException(404, "this server has no camera: start it with one")
        self.camera.require_place()
        asked = partial(self._asked, request.query_params)
        asked()  # What is wrong with it is refused, before the stream begins.
        return _Lines(self.camera.answers(self.engine, asked), media_type="application/x-ndjson")

    async def health(self, request: Request) -> Response:
        """GET /healthz."""
        return JSONResponse({"status": "ok"})

    async def numbers(self, request: Request) -> Response:
        """GET /metrics."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE)

    async def description(self, request: Request) -> Response:
        """GET /api/openapi.json."""
        return JSONResponse(openapi(self.version))

    def _asked(self, query: QueryParams) -> Asked:
        """Return what the query asks for.

        Raises:
            HTTPException: If it asks for something unknown.
        """
        if unknown := sorted(set(query) - _PARAMETERS):
            raise HTTPException(400, f"{unknown[0][:40]} is unknown: use {', '.join(sorted(_PARAMETERS))}")
        top, pixels = query.get("top", str(_TOP)), query.get("pixels", "false")
        # int() takes other digits, too, and underscores.
        if not (top.isascii() and top.isdecimal() and len(top) < 7 and int(top)):
            raise HTTPException(400, "top must be a whole number from 1")
        if pixels not in ("true", "false"):
            raise HTTPException(400, "pixels must be true or false")
        models, names = self.engine.models, query.getlist("file")
        known = [file.name for file in models.files]
        for name in names:
            if name not in known:
                raise HTTPException(404, f"there is no file {name[:100]}: use {', '.join(known)}")
        files = tuple(file for file in models.files if not names or file.name in names)
        return Asked(files, models.reference, min(int(top), len(models.class_names)), pixels == "true")


class _Lines(StreamingResponse):
    """A stream of lines whose generator is closed at once when the client has gone, also while a line is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines."""
        async with aclosing(cast(AsyncGenerator[str], self.body_iterator)):
            await super().__call__(scope, receive, send)


def application(site: Site, access: Access) -> ASGIApp:
    """Return the server as an ASGI application: what answers, and who may ask."""
    page = _page()
    routes = [
        Route("/api/classify", site.classify, methods=["POST"]),  # Routes are searched in this order.
        Route("/api/model", site.model),
        Route("/api/camera", site.watch),
        Route("/api/openapi.json", site.description),
        Route("/healthz", site.health),
        Route("/metrics", site.numbers),
        *(Route(path, file, methods=["GET"]) for path, file in page.items()),
    ]
    middleware = [Middleware(_Checked, access=access, static=frozenset(page))]
    if access.origins:
        methods, headers = ["GET", "POST"], ["authorization", "content-type"]
        cors = Middleware(CORSMiddleware, allow_origins=access.origins, allow_methods=methods, allow_headers=headers)
        middleware.insert(0, cors)
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        405: _wrong_method, HTTPException: _error, Exception: _bug,
    }  # fmt: skip
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    app.router.redirect_slashes, app.router.default = False, _nothing
    return _Counted(app, site, frozenset(route.path for route in routes))


class _Checked:
    """Refuses a request that its sender may not make."""

    def __init__(self, app: ASGIApp, access: Access, static: frozenset[str]) -> None:
        self._app, self._access, self._static = app, access, static

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            try:
                self._access.require(scope["path"], Headers(scope=scope), scope["path"] in self._static)
            except HTTPException as error:
                await _refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Counted:
    """Counts each request, and logs it if that was asked for; logs the traceback of an unexpected exception."""

    def __init__(self, app: ASGIApp, site: Site, paths: frozenset[str]) -> None:
        self._app, self._metrics, self._paths, self._logs_each = app, site.metrics, paths, site.logs_each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            pass  # The server ends. uvicorn would log a traceback.
        except Exception:  # It is our bug, which `_bug` has answered.
            log_bug(scope["path"])
        finally:
            seconds = time.perf_counter() - start
            path = scope["path"] if scope["path"] in self._paths else "other"  # Strangers choose other paths.
            self._metrics.request(path, status or 499, seconds)
            if self._logs_each:
                client = scope["client"][0] if scope["client"] else "-"
                log_answer(client, scope["method"], scope["path"], status or 499, seconds)


def _page() -> dict[str, Response]:
    """Return the files of the page by path."""
    # importlib.resources imports zipfile, for packages that are not in a folder.
    files = [file for file in Path(__file__).with_name("page").iterdir() if file.suffix in _TYPES]
    return {
        "/" if file.name == "index.html" else f"/{file.name}": Response(file.read_bytes(), media_type=_TYPES[file.suffix])
        for file in files
    }


def _refusal(error: HTTPException) -> Response:
    return JSONResponse({"error": printable(error.detail)}, error.status_code, error.headers)


async def _error(request: Request, error: HTTPException) -> Response:
    return _refusal(error)


async def _wrong_method(request: Request, error: HTTPException) -> Response:
    return _refusal(HTTPException(405, "this path takes another method", error.headers))


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise HTTPException(404, "there is nothing at this path: /api/openapi.json lists what there is")


async def _bug(request: Request, error: Exception) -> Response:
    return _refusal(HTTPException(500, "the server has a bug: its log says more"))

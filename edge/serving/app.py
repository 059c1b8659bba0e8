"""The routes: the page, the API, health and metrics."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgecnn.edge.serving.answers import Problem
from edgecnn.edge.serving.body import Bodies
from edgecnn.edge.serving.engine import Asked, Engine
from edgecnn.edge.serving.logs import Answered, log_answer, log_bug
from edgecnn.edge.serving.metrics import CONTENT_TYPE, Metrics
from edgecnn.edge.serving.models import LIMITS
from edgecnn.edge.serving.openapi import openapi
from edgecnn.edge.serving.security import Access, BoundPage

if TYPE_CHECKING:
    from edgecnn.edge.serving.camera import Camera

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_TOP = 5
_PARAMETERS = {"file", "top", "pixels"}


class Site:
    """What the routes share.

    Attributes:
        engine: Answers pictures.
        version: edgecnn's version.
        metrics: Counters.
        camera: The camera, or None.
    """

    def __init__(self, engine: Engine, metrics: Metrics, version: str, camera: "Camera | None" = None) -> None:
        self.engine, self.metrics, self.version, self.camera = engine, metrics, version, camera
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
        with self.bodies.pictures_of() as reading:
            pictures = await reading.read(request)
            return JSONResponse(await self.engine.classified(pictures, asked))

    async def watch(self, request: Request) -> Response:
        """GET /api/camera: a line of JSON for each frame, without end."""
        if self.camera is None:
            raise Problem(404, "this server has no camera: start it with one")
        self.camera.require_place()
        asked = self._asked(request.query_params)
        return _Lines(self.camera.answers(self.engine, asked), media_type="application/x-ndjson")

    async def health(self, request: Request) -> Response:
        """GET /healthz."""
        return JSONResponse({"status": "ok"})

    async def numbers(self, request: Request) -> Response:
        """GET /metrics."""
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def description(self, request: Request) -> Response:
        """GET /api/openapi.json."""
        return JSONResponse(openapi(self.version))

    def _asked(self, query: QueryParams) -> Asked:
        """Return what the query asks for.

        Raises:
            Problem: If it asks for something unknown.
        """
        if unknown := sorted(set(query) - _PARAMETERS):
            raise Problem(400, f"{unknown[0][:40]} is unknown: use {', '.join(sorted(_PARAMETERS))}")
        top, pixels = query.get("top", str(_TOP)), query.get("pixels", "false")
        # int() takes other digits, too, and underscores.
        if not (top.isascii() and top.isdecimal() and len(top) < 7 and int(top)):
            raise Problem(400, "top must be a whole number from 1")
        if pixels not in ("true", "false"):
            raise Problem(400, "pixels must be true or false")
        return self.engine.asked(query.getlist("file"), int(top), pixels == "true")


class _Lines(StreamingResponse):
    """A stream of lines whose generator is closed at once when the client has gone, also while a line is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines."""
        async with aclosing(cast(AsyncGenerator[str], self.body_iterator)):
            await super().__call__(scope, receive, send)


def application(site: Site, access: Access) -> ASGIApp:
    """Return the server as an ASGI application.

    Args:
        site: What answers.
        access: Who may ask.
    """
    page = _page()
    routes = [
        Route("/api/classify", site.classify, methods=["POST"]),  # Routes are searched in this order.
        Route("/api/model", site.model),
        Route("/api/camera", site.watch),
        Route("/api/openapi.json", site.description),
        Route("/healthz", site.health),
        Route("/metrics", site.numbers),
        *(Route(path, partial(_static, content)) for path, content in page.items()),
    ]
    middleware = [Middleware(BoundPage)]
    if access.origins:
        methods, headers = ["GET", "POST"], ["authorization", "content-type"]
        cors = Middleware(CORSMiddleware, allow_origins=access.origins, allow_methods=methods, allow_headers=headers)
        middleware.append(cors)
    middleware.append(Middleware(_Checked, access=access, static=frozenset(page)))
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        Problem: _problem, HTTPException: _http_error, Exception: _bug,
    }  # fmt: skip
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return _Counted(app, site.metrics, frozenset(route.path for route in routes))


class _Checked:
    """Refuses a request that its sender may not make."""

    def __init__(self, app: ASGIApp, access: Access, static: frozenset[str]) -> None:
        self._app, self._access, self._static = app, access, static

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            try:
                self._access.require(scope["path"], Headers(scope=scope), scope["path"] in self._static)
            except Problem as problem:
                await _response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Counted:
    """Counts and logs each request, and the traceback of an unexpected exception."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

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
            self._metrics.count(scope["path"] if scope["path"] in self._paths else "other", status or 499, seconds)
            client = scope["client"][0] if scope["client"] else "-"
            log_answer(Answered(client, scope["method"], scope["path"], status or 499, seconds))


def _page() -> dict[str, tuple[bytes, str]]:
    """Return the files of the page by path, with their type."""
    # importlib.resources imports zipfile, for packages that are not in a folder.
    files = [file for file in Path(__file__).with_name("page").iterdir() if file.suffix in _TYPES]
    return {"/" if file.name == "index.html" else f"/{file.name}": (file.read_bytes(), _TYPES[file.suffix]) for file in files}


async def _static(content: tuple[bytes, str], request: Request) -> Response:
    data, kind = content
    return Response(data, headers={"Content-Type": kind})


def _response(problem: Problem) -> Response:
    return JSONResponse({"error": problem.text}, problem.status, problem.headers)


async def _problem(request: Request, problem: Problem) -> Response:
    return _response(problem)


async def _bug(request: Request, error: Exception) -> Response:
    return _response(Problem(500, "the server has a bug: its log says more"))


_UNKNOWN = {404: "there is nothing at this path: /api/openapi.json lists what there is", 405: "this path takes another method"}


async def _http_error(request: Request, error: HTTPException) -> Response:
    text = _UNKNOWN.get(error.status_code, error.detail)
    return _response(Problem(error.status_code, text, dict(error.headers or {})))

"""Who may ask: the Host header, the Origin, the token; and the headers that bind the page."""

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgecnn.edge.serving.answers import Problem

_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# The page asks for the token itself, and a supervisor has none.
_OPEN = ("/", "/healthz")


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        token: What a client must present; None if everybody who reaches the server may ask.
        hosts: Names, in lower case, by which the server may be called besides addresses, `localhost` and the machine's name.
        origins: Pages of other servers that may ask, as `https://example.org`.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def require(self, path: str, headers: Headers, is_static: bool) -> None:
        """Raise if a request is not to be answered.

        Args:
            path: Path of the request.
            headers: Its headers.
            is_static: Whether it asks for a file of the page, which holds no secret.

        Raises:
            Problem: 400 for a wrong Host, 403 for a page of another server, 401 without the token.
        """
        host = headers.get("host", "")
        if not self._is_ours(_name_of(host)):
            raise Problem(400, "the server is not known by this name: start it with this host allowed, or use its address")
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and _place(origin) != host.lower():
            raise Problem(403, "a page of another server asks: name its origin when the server is started")
        if self.token is None or is_static or path in _OPEN:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        # compare_digest takes no other text than ASCII.
        if kind.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), self.token.encode()):
            raise Problem(401, "a token is needed: the server printed it when it started", {"WWW-Authenticate": "Bearer"})

    def _is_ours(self, name: str) -> bool:
        """Return whether a browser that calls the server so was not led here by somebody else's name server."""
        if name in ("localhost", *self.hosts, *own_names()):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def own_names() -> tuple[str, ...]:
    """Return the names of this machine in its network."""
    name = socket.gethostname().lower()
    return name, f"{name.partition('.')[0]}.local"


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server on this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name_of(host: str) -> str:
    """Return the name in a Host header, in lower case, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str:
    """Return the host and port of an Origin header, in lower case; "" if it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class BoundPage:
    """Adds the headers that bind the page to this server to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, sending)

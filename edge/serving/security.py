"""Who may ask: the Host header, the Origin, the token; and the headers that bind the page to its server."""

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every response."""
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
        """Raise if a request is not to be answered. Static are the files of the page, which hold no secret.

        Raises:
            HTTPException: 400 for a wrong Host, 403 for a page of another server, 401 without the token.
        """
        host = headers.get("host", "")
        if not self._is_ours(_split(f"//{host}").hostname or ""):
            raise HTTPException(
                400, "the server is not known by this name: start it with this host allowed, or use its address"
            )
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and _split(origin).netloc.lower() != host.lower():
            raise HTTPException(403, "a page of another server asks: name its origin when the server is started")
        if self.token is None or is_static or path in _OPEN:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        # compare_digest takes no other text than ASCII.
        if kind.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), self.token.encode()):
            raise HTTPException(401, "a token is needed: the server printed it when it started", {"WWW-Authenticate": "Bearer"})

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


def _split(url: str) -> SplitResult:
    """Return the parts of a URL; they are empty for a text that is not a URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")

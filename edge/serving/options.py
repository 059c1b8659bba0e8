"""How a server answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import MOST_THREADS
from edgecnn.edge.option import Option, check, described


@described
@dataclass(frozen=True)
class ServeOptions:
    """How a server answers.

    Raises:
        ConfigError: If a value is out of range.
    """

    host: Annotated[
        str,
        Option("Address to listen on; 0.0.0.0 for all, which needs a token.", metavar="ADDRESS", panel="Network"),
    ] = "127.0.0.1"
    port: Annotated[int, Option("Port to listen on; 0 for any free one.", low=0, high=65_535, panel="Network")] = 8000
    threads: Annotated[int, Option("Number of threads of the runtime.", low=1, high=MOST_THREADS)] = 1
    queue: Annotated[int, Option("Number of requests that may wait; more get the status 503.", low=0, high=10_000)] = 64
    camera: Annotated[
        str | None, Option("picamera2, the number of a USB camera, or a folder of pictures.", metavar="CAMERA")
    ] = None
    allow_host: Annotated[
        tuple[str, ...],
        Option("Further name by which the server may be called.", panel="Network"),
    ] = ()
    allow_origin: Annotated[
        tuple[str, ...],
        Option("Page of another server that may ask, as https://example.org.", metavar="URL", panel="Network"),
    ] = ()
    trust_unverified: Annotated[bool, Option("Also serve files that no manifest lists.")] = False
    state: Annotated[
        str | Path | None,
        Option("Folder for what was answered, and for edgecnn deploy's requests.", metavar="DIR", kind=Path),
    ] = None
    log_json: Annotated[bool, Option("Write log lines as JSON, one for each request; no progress is shown.")] = False
    verbose: Annotated[bool, Option("Log each request, and not only their numbers each minute.")] = False

    def __post_init__(self) -> None:
        check(self)
        for name in self.allow_host:
            if not name or set(name) & set(":/@ "):
                raise ConfigError(f"{field('allow_host')}={name} is no name of a machine: omit scheme and port")
        for origin in self.allow_origin:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(f"{field('allow_origin')}={origin} is no origin: write it as https://example.org")

"""What the control socket asks of a server: its state, and another bundle in the place of the one in service.

The other bundle, the candidate, is loaded next to the one in service and answers its golden vectors. It may answer live
pictures in the shadow of that one, and from one moment to the next it answers alone.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model_file import bundle_of
from edgecnn.edge.records import to_value
from edgecnn.edge.serving.app import Site
from edgecnn.edge.serving.logs import log
from edgecnn.edge.serving.models import Models, ModelSource
from edgecnn.edge.serving.service.handover import next_program, require_runs
from edgecnn.edge.serving.service.shadow import Kept, Shadow

LOAD_SECONDS = 100.0
"""How long a bundle may take to be loaded and to answer its golden vectors, unless the request says otherwise."""
_MOST_SECONDS = 3600.0
KEEP_BYTES = 2**26
"""Most bytes of kept pictures, unless the request says otherwise."""
_WORDS = {str: "a text", int: "a whole number", float: "a number", type(None): "null"}

Vectors = Callable[[Path, Classifier], dict[str, Any]]
"""Runs a file of an unpacked bundle on its golden vectors, and returns what `load` answers of it; raises ArtifactError if it
computes something else here."""
Result = TypeVar("Result")


class _Key(NamedTuple):
    """A key of a request: the classes of its value, and the default; without one it must be there."""

    kinds: tuple[type, ...]
    default: Any = ...


_TAKES: dict[str, dict[str, _Key]] = {
    "status": {},
    "load": {"path": _Key((str,)), "seconds": _Key((int, float), LOAD_SECONDS)},
    "switch": {"sha256": _Key((str,))},
    "drop": {},
    "health": {},
    "shadow": {"pictures": _Key((int,)), "keep": _Key((str, type(None)), None), "keep_bytes": _Key((int,), KEEP_BYTES)},
    "restart": {},
}


@dataclass
class Requests:
    """Answers the requests of the control socket, one at a time.

    Attributes:
        site: The server's parts.
        source: How files are opened.
        vectors: Checks a file of a candidate.
        state: The server's folder.
        address: Where it answers, without the token.
        leave: Ends this process for the next one, which runs a program; None for the present one.
    """

    site: Site
    source: ModelSource
    vectors: Vectors
    state: Path
    address: str
    leave: Callable[[Path | None], None]
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _candidate: Models | None = None
    _shadow: Shadow | None = None
    _loading: "asyncio.Future[Models] | None" = None

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request, for JSON.

        Raises:
            EdgeCnnError: If it can't be done; then nothing has changed.
            HTTPException: If the files in service can't answer the picture of `health`.
        """
        do = asked.pop("do", None)
        if not isinstance(do, str) or do not in _TAKES:
            raise ConfigError(f"there is no such request: use {', '.join(_TAKES)}")
        answered: dict[str, Any] | None = await getattr(self, f"_do_{do}")(**_arguments(do, asked))
        return answered or {}

    async def _do_status(self) -> dict[str, Any]:
        models = self.site.engine.models
        files = [{"file": file.name, "sha256": file.about.sha256, "runtime": file.about.runtime} for file in models.files]
        return {
            "pid": os.getpid(),
            "version": self.site.version,
            "prefix": sys.prefix,
            "started": self._started.isoformat(),
            "address": self.address,
            "serving": {"sha256": models.bundle_sha256, "path": models.path, "files": files},
            "candidate": self._candidate and self._candidate.bundle_sha256,
            "memory_bytes": _memory_bytes(),
            "answers": to_value(await asyncio.to_thread(self.site.metrics.answers.summary, models.files)),
            "shadow": self._shadow and self._shadow.counts(),
        }

    async def _do_load(self, path: str, seconds: float) -> dict[str, Any]:
        if not 0 < seconds <= _MOST_SECONDS:
            raise ConfigError(f"seconds must be above 0 and at most {_MOST_SECONDS:g}")
        if self._loading and not self._loading.done():
            raise ConfigError("an earlier bundle is still being loaded: try again later")
        start, rows = time.perf_counter(), list[dict[str, Any]]()
        self._loading = _apart(lambda: self._opened(Path(path), rows))
        # A thread can't be ended: what it has after that time is forgotten.
        done, _ = await asyncio.wait((self._loading,), timeout=seconds)
        if not done:
            raise ArtifactError(f"{path} was not loaded and checked within {seconds:g} s: give a smaller model, or more time")
        models = self._loading.result()
        await self._do_drop()
        self._candidate = models
        log(f"{path}: loaded, and its golden vectors are right: it can be switched to")
        return {"sha256": models.bundle_sha256, "files": rows, "seconds": time.perf_counter() - start}

    def _opened(self, path: Path, rows: list[dict[str, Any]]) -> Models:
        """Open a bundle and check its files; runs in a thread."""
        if path.is_file() and bundle_of(path) != path:
            raise ConfigError(f"{path} is no bundle: make one with edgecnn bundle")
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist: copy the bundle there first")
        source = replace(self.source, targets=(path,), trust_unverified=False)
        models = source.load(lambda file, classifier: rows.append(self.vectors(file, classifier)))
        ours = self.site.engine.models.class_names
        if models.class_names != ours:
            raise ConfigError(
                f"{path} has other classes ({_few(models.class_names)}) than the files in service ({_few(ours)}): "
                "start the service with it instead"
            )
        return models

    async def _do_switch(self, sha256: str) -> None:
        if self._candidate is None or self._candidate.bundle_sha256 != sha256:
            if self.site.engine.models.bundle_sha256 == sha256:
                return  # Whoever did not hear the first answer asks again.
            raise ConfigError("no bundle with this hash is loaded: load it first")
        self._end_shadow()
        # Requests under way keep the files with which they began.
        self.site.engine.models, self._candidate = self._candidate, None
        log(f"{self.site.engine.models.path} answers from now on")

    async def _do_drop(self) -> None:
        self._end_shadow()
        self._candidate = self._shadow = None

    async def _do_health(self) -> dict[str, Any]:
        engine = self.site.engine
        models, start = engine.models, time.perf_counter()
        await engine.probe(models)
        return {
            "latency_ms": 1e3 * (time.perf_counter() - start),
            "errors": self.site.metrics.errors,
            "memory_bytes": _memory_bytes(),
            "pid": os.getpid(),
            "sha256": models.bundle_sha256,
        }

    async def _do_shadow(self, pictures: int, keep: str | None, keep_bytes: int) -> None:
        if self._candidate is None:
            raise ConfigError("no bundle is loaded that could answer too: load one first")
        if pictures < 1 or keep_bytes < 0:
            raise ConfigError("pictures must be at least 1, and bytes to keep at least 0")
        kept = Kept(Path(keep), keep_bytes) if keep is not None else None
        self._end_shadow()
        self._shadow = Shadow(self._candidate, pictures, kept)
        self.site.engine.shadow = self._shadow

    async def _do_restart(self) -> None:
        program = next_program(self.state)
        if program is not None:
            await _apart(partial(require_runs, program))
        # The answer is written before the loop calls anything else.
        asyncio.get_running_loop().call_soon(self.leave, program)

    def _end_shadow(self) -> None:
        self.site.engine.shadow = None
        if self._shadow:
            self._shadow.close()


def _arguments(do: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a request's keys.

    Raises:
        ConfigError: If a key is unknown or missing, or its value is of another class.
    """
    takes = _TAKES[do]
    if unknown := sorted(asked.keys() - takes):
        raise ConfigError(f"{do} takes no {unknown[0][:40]}: it takes {', '.join(takes) or 'nothing else'}")
    values = {name: asked.get(name, key.default) for name, key in takes.items()}
    for name, key in takes.items():
        # For Python a truth value is a whole number, too.
        if not isinstance(values[name], key.kinds) or isinstance(values[name], bool):
            raise ConfigError(f"{do} needs {name}: give {' or '.join(_WORDS[kind] for kind in key.kinds)}")
    return values


def _apart(call: Callable[[], Result]) -> "asyncio.Future[Result]":
    """Make a call in a thread of its own, for which the end of the server does not wait."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # Perhaps nobody asks for it any more.

    def run() -> None:
        try:
            settled = partial(done.set_result, call())
        except Exception as error:
            settled = partial(done.set_exception, error)
        with suppress(RuntimeError):  # The server has ended.
            loop.call_soon_threadsafe(settled)

    Thread(target=run, name="apart", daemon=True).start()
    return done


def _memory_bytes() -> int:
    """Return this process's resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

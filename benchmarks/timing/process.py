"""The parent's side of `edgecnn.benchmarks.timing.worker`: a process that runs one file, and what its death means for it."""

import signal
from functools import partial
from typing import Any, Self

from edgecnn.benchmarks.timing.requests import OPENING_SECONDS, Answer, Open, Opened, ProfileOps, Request
from edgecnn.benchmarks.timing.worker import answer
from edgecnn.edge.errors import ArtifactError, ConfigError, InvalidMeasurement, field
from edgecnn.edge.sandbox.child import Child, Lost
from edgecnn.edge.sandbox.unverified import too_long


class ModelProcess:
    """A child process with one opened file, as a context manager: it ends with the block, or with the thread that opened it."""

    def __init__(self, request: Open) -> None:
        """Start the process and open the file in it.

        Raises:
            EdgeCnnError: If opening raised it in the child.
            ArtifactError: If the child died: a runtime crashed on the file.
            InvalidMeasurement: If the child was stopped and does not continue.
        """
        self._path = request.path
        self._child = Child()
        try:
            self.opened: Opened = self._ask(request)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request[Answer]) -> Answer:
        """Return the child's answer. Errors are as above."""
        answered: Answer = self._ask(request)
        return answered

    def close(self) -> None:
        """End the process."""
        self._child.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _ask(self, request: Any) -> Any:
        try:
            return self._child.call(partial(answer, request))
        except Lost as lost:
            raise self._failed(lost, request) from lost
        except MemoryError as error:
            raise ConfigError(
                f"there is not enough memory to measure it: free some, or give a smaller {field('batch')}"
            ) from error
        except RuntimeError as error:  # An exception that nobody expected is our bug: the message has the child's traceback.
            raise RuntimeError(f"{self._path}: {error}") from error

    def _failed(self, lost: Lost, request: Any) -> Exception:
        what = f"{self._path}: the process that measures it {lost.how}"
        if lost.code is None:
            return InvalidMeasurement(f"{what}: find the cause, and run edgecnn bench again")
        if lost.code == -signal.SIGALRM:
            return too_long(str(self._path), OPENING_SECONDS)
        if lost.code == -signal.SIGKILL:
            return ArtifactError(f"{what}: free some")
        if lost.code < 0:
            # LiteRT's profiler is reached through its C library, whose next version may differ.
            mend = f"bench without {field('profile')}" if isinstance(request, ProfileOps) else "export the file again"
            return ArtifactError(f"{what}: {mend}")
        return RuntimeError(f"{what}:\n{lost.output}")

"""The parent's side of `benchmarks.worker`."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from benchmarks.requests import Answer, Open, Opened, ProfileOps, Request
from edge.errors import ArtifactError, ConfigError, EdgeCnnError


class ModelProcess:
    """A child process with one opened file. A context manager: it ends with the block."""

    def __init__(self, request: Open) -> None:
        """Start the process and open the file in it.

        Raises:
            EdgeCnnError: What opening raised in the child.
            ArtifactError: If the child died: a runtime crashed on the file.
        """
        self._path = request.path
        try:
            self._output = tempfile.TemporaryFile()  # noqa: SIM115  # Closed with the process.
        except OSError as error:
            raise ConfigError(f"no temporary folder can be written ({error.strerror}): set TMPDIR to one that can") from error
        reader, writer = os.pipe()
        # -P: a folder of the user's with one of our names must not be imported.
        command = [sys.executable, "-P", "-c", f"from benchmarks.worker import serve; serve({writer})"]
        said = self._output
        # For a checkout that is run without being installed.
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=said, pass_fds=[writer], env=environment
        )
        os.close(writer)
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = os.fdopen(reader, "rb")
        try:
            self.opened: Opened = self._ask(request)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request[Answer]) -> Answer:
        """Return the child's answer. Errors as above."""
        answer: Answer = self._ask(request)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._answers.close()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, request: Any) -> Any:
        try:
            pickle.dump(request, self._requests)
            self._requests.flush()
            answer = pickle.load(self._answers)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise self._death(request) from error
        if isinstance(answer, EdgeCnnError):
            raise answer
        return answer

    def _death(self, request: Any) -> Exception:
        code = self._process.wait()
        self._output.seek(0)
        said = self._output.read().decode(errors="replace")
        if code < 0:
            # LiteRT's profiler is reached through its C library, whose next version may be another.
            mend = "bench without --profile" if isinstance(request, ProfileOps) else "export the file again"
            if -code == signal.SIGKILL:
                return ArtifactError(f"{self._path}: its process was killed (signal 9), as where memory runs out: free some")
            return ArtifactError(f"{self._path}: its runtime crashed (signal {-code}): {mend}")
        # An exception that nobody expected is our bug: show the child's traceback.
        return RuntimeError(f"the process that measures {self._path} ended with code {code}:\n{said}")

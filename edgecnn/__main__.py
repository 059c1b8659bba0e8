"""The console script: everything around a command, from the start of the process to its end.

Only modules that Python has loaded already, or soon will, are imported here, so that Ctrl-C is handled during other imports.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import gc
import os
import signal
import sys
import time

TYPE_CHECKING = False  # From `typing`, which takes longer to import than all of this.
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_A_MOMENT = 0.001
# Importing makes some 60,000 objects and no garbage. At Python's own threshold of 700 the collector goes through them again and
# again, which is 6 % of the time that `edgecnn predict` takes.
_COLLECTED_AFTER = 100_000
# How long native code may keep Python from handling a signal: a training step or a conversion usually returns sooner.
_PATIENCE_SECONDS = 5.0
# How long the last line waits for room in standard error, and the first step for the thread that watches it.
_LAST_SECONDS = 1.0
_NATIVE_LOADING = [("<frozen importlib._bootstrap_external>", name) for name in ("create_module", "exec_module")]
# A process that can't have as much has no memory left: imports alone take more.
_LITTLE_BYTES = 2**26
_CANNOT_WORK = 2  # The same as ConfigError.exit_code.


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. An exception that is our own bug keeps its traceback."""
    from edgecnn.shell.main import main as run_command  # noqa: PLC0415

    return run_command(arguments)


def run() -> NoReturn:
    """Run the typed command and end the process.

    SIGINT, SIGTERM and SIGHUP unwind the command, so that child processes end and temporary files are deleted; the exit code is
    then 128 plus the signal's number. If native code does not return for that, the process ends anyway, and its
    temporary files are deleted at the next start. A signal that was ignored at the start stays ignored, as nohup expects.
    """
    stop = _Stop()
    try:  # As early as can be: until the handlers are set, Ctrl-C raises KeyboardInterrupt here.
        signal.signal(signal.SIGALRM, stop)
        for number in _STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, stop)
        sys.unraisablehook = stop.raise_again
        _end_without_python(stop)
        gc.set_threshold(_COLLECTED_AFTER)
        # numpy starts a thread for each core, and they spin while modules are imported. edgecnn multiplies no large matrices.
        if "OMP_NUM_THREADS" not in os.environ:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        code = main()
        if (
            stop.number is not None and code != 128 + stop.number
        ):  # A library turned the unwinding exception into its own error.
            code = stop.exit_code(SystemExit())
    except BaseException as error:
        stop.leaving = True
        code = stop.exit_code(error)
    stop.leaving = True
    _leave(code)


class _Stop:
    """A signal handler that unwinds the main thread.

    Attributes:
        number: First signal that came, or None.
        leaving: Whether there is nothing left to unwind: then a signal ends the process.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.leaving = False
        self._deferred: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.leaving and _loads_native_code(frame):
            self._deferred = self._deferred or number
            signal.setitimer(signal.ITIMER_REAL, _A_MOMENT)
            return
        self.number = self.number or self._deferred or number
        if self.leaving:
            os._exit(128 + self.number)
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.number)

    def raise_again(self, ignored: Any) -> None:
        """Handle an exception that Python can't raise, as in a finalizer: a signal's exception is raised a moment later.

        Once a signal has come, other exceptions are those of objects that it left half made, as TensorFlow's ApiDefMap.
        """
        if self.number is None:
            sys.__unraisablehook__(ignored)
        elif issubclass(ignored.exc_type, (KeyboardInterrupt, SystemExit)):
            signal.setitimer(signal.ITIMER_REAL, _A_MOMENT)

    def exit_code(self, error: BaseException) -> int:
        """Print what ended the command, and return the exit code."""
        # An interrupted import may raise something else in place of KeyboardInterrupt.
        number = signal.SIGINT if self.number is None and isinstance(error, KeyboardInterrupt) else self.number
        if number is not None:
            return _stopped_by(number)
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            return error.code
        if _lacks_memory(error):  # Not even the message could be made.
            _say("edgecnn: there is not enough memory: free some, or give a smaller model or smaller batches")
            return _CANNOT_WORK
        sys.excepthook(type(error), error, error.__traceback__)
        return 1


def _lacks_memory(error: BaseException | None) -> bool:
    """Tell whether there was no memory: by this exception, or by one that was being handled when it was raised.

    Python raises SystemError if C code fails without an exception, as where none could be made.
    """
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, SystemError) and not _can_allocate()):
            return True
        error = error.__cause__ or error.__context__
    return False


def _can_allocate() -> bool:
    try:
        bytearray(_LITTLE_BYTES)
    except MemoryError:
        return False
    return True


def _loads_native_code(frame: FrameType | None) -> bool:
    """Tell whether a native module is being loaded: an exception in the midst of that is a segmentation fault in onnx's."""
    while frame is not None:
        place = frame.f_code.co_filename, frame.f_code.co_name
        if place in _NATIVE_LOADING and type(frame.f_locals.get("self")).__name__ == "ExtensionFileLoader":
            return True
        frame = frame.f_back
    return False


def _end_without_python(stop: _Stop) -> None:
    """End the process after a signal that `stop` never receives: Python's handlers wait until native code has returned.

    A thread does it, woken by C's handler through a pipe. It can run, since runtimes release the GIL while they compute.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    watching = _thread.allocate_lock()
    watching.acquire()

    def watch() -> None:
        watching.release()
        while True:
            (number,) = os.read(reader, 1)
            if number in _STOPPING:
                time.sleep(_PATIENCE_SECONDS)
                if stop.number is None:
                    os._exit(_stopped_by(number))

    try:
        _thread.start_new_thread(watch, ())
    except RuntimeError:
        return  # No thread can be started. A signal waits for native code, and the command may need no thread.
    watching.acquire(timeout=_LAST_SECONDS)  # One that begins when all memory is used up prints a traceback.


def _stopped_by(number: int) -> int:
    """Print which signal ended the command, and return its exit code."""
    _say(f"edgecnn: {'interrupted' if number == signal.SIGINT else f'stopped by {signal.Signals(number).name}'}")
    return 128 + number


def _leave(code: int) -> NoReturn:
    """End the process without shutting down the interpreter, which takes seconds after importing TensorFlow."""
    atexit._run_exitfuncs()
    if code and (files := sys.modules.get("edgecnn.edge.files")):
        with contextlib.suppress(MemoryError):  # Then the next start deletes it.
            files.remove_stale()  # What could not be deleted while there was no memory.
    try:
        if sys.stdout and not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:
        pass  # The reader has closed the pipe.
    except OSError as error:
        _say(f"edgecnn: standard output can't be written ({error.strerror}): send it elsewhere")
        code = code or _CANNOT_WORK
    os._exit(code)


def _say(text: str) -> None:
    import select  # noqa: PLC0415 - A command that ends well needs it for nothing here.

    try:
        # A daemon has no standard error; a pipe may be full, and the process ends anyway.
        if sys.stderr and select.select([], [sys.stderr], [], _LAST_SECONDS)[1]:
            print(text, file=sys.stderr, flush=True)
    except OSError:
        return  # There is nobody to tell; the exit code says it.


if __name__ == "__main__":
    run()

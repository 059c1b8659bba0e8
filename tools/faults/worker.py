"""A process that runs one command after another through `main`: a file takes milliseconds and not a start of Python.

Its parent (`pool.py`) sends a line of JSON for each command and gets one back. Descriptors 1 and 2 are files, so that
output of native code is seen too.
"""

import io
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from typing import Any

from edgecnn.benchmarks.timing.worker import read_memory

# Memory limit that no command on small files comes near; without it one hostile size would take the machine down.
_ADDRESS_SPACE = {"device": 12 * 2**30, "keras": 32 * 2**30}


def serve(requests: int, answers: int, room: str) -> None:
    """Answer requests until there are no more.

    Args:
        requests: Descriptor of incoming lines of JSON: `folder` and `arguments`.
        answers: Descriptor of outgoing lines: `code`, None if an exception left main; `traceback`; `peak_bytes`.
        room: `device`, or `keras`, which imports TensorFlow first.
    """
    if room == "keras":
        from edgecnn.convert.keras.load import load_keras  # noqa: PLC0415 - The other room must not import it.

        load_keras()
    from edgecnn.__main__ import main  # noqa: PLC0415 - After TensorFlow, as in a process that has run for hours.

    limit = _ADDRESS_SPACE[room]
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(requests, encoding="utf-8") as lines, os.fdopen(answers, "w", encoding="utf-8") as out:
        for line in lines:
            request = json.loads(line)
            os.chdir(request["folder"])
            os.environ["TMPDIR"] = request["temporary"]
            for descriptor in (1, 2):
                os.ftruncate(descriptor, 0)
            out.write(json.dumps(_answer(main, request["arguments"])) + "\n")
            out.flush()


def _answer(main: Callable[[list[str]], int], arguments: list[str]) -> dict[str, Any]:
    import tempfile  # noqa: PLC0415 - Next to its only use.

    tempfile.tempdir = None  # So that each request reads TMPDIR again.
    sys.stdout, sys.stderr = (_stream(descriptor) for descriptor in (1, 2))
    code, escaped = None, ""
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        escaped = traceback.format_exc()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    # Not this process's ru_maxrss, which starts at its parent's size.
    peak_bytes = read_memory().peak_bytes + 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"code": code, "traceback": escaped, "peak_bytes": peak_bytes}


def _stream(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(open(descriptor, "wb", closefd=False), encoding="utf-8", write_through=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

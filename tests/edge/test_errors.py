"""What another library says, quoted: its sentences stay apart. And what an exception says of this machine."""

import errno
import re
from pathlib import Path

import pytest

from edgecnn.edge.errors import ArtifactError, ConfigError, because, refusal, why
from edgecnn.edge.runtimes import opener_for


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (
            "XNNPack delegate failed to reshape runtimeNode number 8 (Delegate) failed to prepare.",
            "XNNPack delegate failed to reshape runtime. Node number 8 (Delegate) failed to prepare.",
        ),
        (
            "a fixed-size tensor.Node number 5 (RESHAPE) failed to prepare.Failed to apply the default delegate.",
            "a fixed-size tensor. Node number 5 (RESHAPE) failed to prepare. Failed to apply the default delegate.",
        ),
        ("an old binary with newer model?Registration failed.\n", "an old binary with newer model? Registration failed."),
        ("bytes was not true.Tensor 4 is invalid.\n", "bytes was not true. Tensor 4 is invalid."),
        ("has 18 tensors\nAllocateTensors() called on it.", "has 18 tensors. AllocateTensors() called on it."),
        ("overflowed.\nTensor 6 is invalid.", "overflowed. Tensor 6 is invalid."),
        ("about Tensor 6 (Node number 3): kept.Whole", "about Tensor 6 (Node number 3): kept.Whole"),
    ],
)
def test_sentences_that_a_runtime_glues_together_are_quoted_apart(said: str, quoted: str) -> None:
    assert why(RuntimeError(said)) == quoted


def test_so_are_those_that_litert_says_of_a_damaged_file(exported: Path) -> None:
    data = (exported / "float32.tflite").read_bytes()
    said = []
    # A sparse search finds the fields of operators, which the runtime looks at when it prepares them.
    for place in range(1700, 2000, 4):
        damaged = bytearray(data)
        damaged[place] ^= 3
        try:
            opener_for("tflite").open_model(bytes(damaged), 1)
        except ArtifactError as error:
            said.append(str(error))
    assert any("Node number" in text for text in said)
    assert not [text for text in said if re.search(r"[^\s(](Node number|Failed to apply|Registration failed)", text)]


class ResourceExhaustedError(Exception):
    __module__ = "tensorflow.python.framework.errors_impl"


_EVENTS = (
    "{{function_node __wrapped__X}} a b/events.v2; No space left on device\n\tFailed to flush 1 events to a b/events.v2"
    "\n\tCould not initialize events writer. [Op:X] name: "
)
_NOWHERE = "No usable temporary directory found in ['/tmp', '/var/tmp', '/usr/tmp', '/']"
_CHILD = "a child process failed:\nTraceback (most recent call last):\n  File ...\nOSError: [Errno 24] Too many open files\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "x"), "Too many open files: raise the limit of open files with ulimit -n"),
        (OSError(errno.EFBIG, "x", "a/b"), "a/b: File too large: raise the limit of a file's size with ulimit -f"),
        (OSError(errno.ENOSPC, "x", Path("a")), "a: No space left on device: free some room, or write it elsewhere"),
        (PermissionError(errno.EACCES, "x", "a"), "a: Permission denied: change its permissions, or use another folder"),
        (RuntimeError("can't start new thread"), "Resource temporarily unavailable: end other processes, or raise"),
        (ImportError("x.so: failed to map segment from shared object"), "Cannot allocate memory: free some memory"),
        (FileNotFoundError(errno.ENOENT, _NOWHERE), "no temporary folder can be written"),
        (RuntimeError(f"a child process failed:\n{_NOWHERE}"), "no temporary folder can be written"),
        (RuntimeError(_CHILD), "Too many open files: raise the limit of open files"),
        (ResourceExhaustedError("/dev/full; No space left on device"), "/dev/full: No space left on device: free some room"),
        (ResourceExhaustedError(_EVENTS), "a b/events.v2: No space left on device: free some room"),
    ],
)
def test_a_limit_or_a_full_disk_is_told_in_the_systems_words_with_the_path(error: Exception, said: str) -> None:
    found = refusal(error)
    assert isinstance(found, ConfigError)
    assert str(found).startswith(said)
    later = ValueError("damaged")
    later.__cause__ = error
    assert str(refusal(later)) == str(found)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "a"),
        OSError("no number"),
        ResourceExhaustedError("OOM when allocating tensor"),
        ZeroDivisionError("our bug"),
    ],
)
def test_other_exceptions_say_nothing_of_the_machine(error: Exception) -> None:
    assert refusal(error) is None


def test_a_limit_that_a_library_meets_is_named_and_not_mended_by_another_folder() -> None:
    full = ResourceExhaustedError("/dev/full; No space left on device")
    with pytest.raises(ConfigError, match=r"^/dev/full: No space left"):
        why(full)
    assert why(full, named=True).startswith("ResourceExhaustedError: ")  # A user's code: its author needs it.
    assert because(OSError(errno.EMFILE, "Too many open files"), "choose another folder").endswith("ulimit -n")
    assert because(OSError(errno.ENOSPC, "No room"), "choose another folder") == "(No room): choose another folder"

"""Injects each way in which a benchmark was once fooled about accuracy, through the command line."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.faults.bases import CLASSES, QUICK, RARE, Pixels, npz, parts
from tools.faults.holes.models import LARGE, before_softmax, drawn, negative_batch
from tools.faults.mend import mend_folder
from tools.faults.mutators.arrays import saved
from tools.faults.pool import Answer

_BARE = "bench bare/float32.onnx bare/int8.onnx --data wrong.npz --preprocess unit"
_OWN = "bench m --runtime tflite"
_MEASURED = f"--json r.json {QUICK}"


@dataclass(frozen=True)
class Hole:
    """One way to be fooled.

    Attributes:
        name: Name in the table.
        command: Command that must not be fooled.
        lay: Function that changes a folder with the bases' `m`, `bare` and `data`.
        wrong: Function that returns what is wrong with the answer; empty if nothing is.
    """

    name: str
    command: str
    lay: Callable[[Path], None]
    wrong: Callable[[Path, Answer], str]


def never_passes(folder: Path, answer: Answer) -> str:
    """The verdict on a candidate, and on the whole, must not be PASS."""
    if answer.code in (2, 4):
        return "" if answer.code == 4 else _unread(answer)
    path = folder / "r.json"
    if not path.exists():
        return _unread(answer)
    report = json.loads(path.read_text(encoding="utf-8"))
    passed = [
        file["name"] for file in report["files"] if file["name"] != report["baseline"] and file["verdict"]["status"] == "PASS"
    ]
    if report["verdict"]["status"] == "PASS":
        passed.append("the whole")
    return f"PASS for {', '.join(passed)}" if passed else ""


def is_refused(folder: Path, answer: Answer) -> str:
    """The exit code must be 4."""
    return "" if answer.code == 4 else f"exit code {answer.code}: {answer.out.strip().splitlines()[-1:]}"


def says(pattern: str) -> Callable[[Path, Answer], str]:
    """Return a check that the text has some words: the truth must be reported."""

    def wrong(folder: Path, answer: Answer) -> str:
        if answer.code == 2:
            return _unread(answer)
        return "" if re.search(pattern, " ".join(answer.out.split()), re.IGNORECASE) else f"nothing says {pattern}"

    return wrong


def never_says(pattern: str) -> Callable[[Path, Answer], str]:
    """Return a check that the text does not have some words."""

    def wrong(folder: Path, answer: Answer) -> str:
        found = re.search(pattern, answer.out)
        return f"it says {found[0]!r}" if found else ""

    return wrong


def _unread(answer: Answer) -> str:
    return f"exit code {answer.code}: {answer.err.strip().splitlines()[-1:]}"


def _images(change: Callable[[Pixels, Pixels], tuple[Pixels, Pixels]]) -> Callable[[Path], None]:
    """Return a function that writes wrong.npz, with changed test images and labels."""

    def lay(folder: Path) -> None:
        images = parts()
        (folder / "wrong.npz").write_bytes(npz({**images, "test": change(*images["test"])}))

    return lay


def _shuffled(labels: Pixels) -> Pixels:
    return np.random.default_rng(5).permutation(labels)


def _reference(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[[Path], None]:
    """Return a function that changes reference.npy and corrects its hash."""

    def lay(folder: Path) -> None:
        path = folder / "m" / "reference.npy"
        path.write_bytes(saved(change(np.load(path))))
        mend_folder(folder / "m", "reference.npy")

    return lay


def _file(kind: str, operand: NDArray[np.float32]) -> Callable[[Path], None]:
    """Return a function that writes planted.onnx and data.npz."""

    def lay(folder: Path) -> None:
        (folder / "planted.onnx").write_bytes(before_softmax(folder / "bare" / "float32.onnx", kind, operand))
        (folder / "data.npz").write_bytes(npz(parts()))

    return lay


def _negative(folder: Path) -> None:
    (folder / "planted.onnx").write_bytes(negative_batch(folder / "bare" / "float32.onnx"))


def _drawn(folder: Path) -> None:
    (folder / "planted.onnx").write_bytes(drawn(folder / "bare" / "float32.onnx"))
    (folder / "data.npz").write_bytes(npz(parts()))


def _two_constants(folder: Path) -> None:
    _file("Mul", np.zeros(1, np.float32))(folder)
    (folder / "other.onnx").write_bytes((folder / "planted.onnx").read_bytes())


def _with_nan(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows[7] = np.nan
    return rows


_REFERENCES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "columns rolled": lambda rows: np.roll(rows, 1, axis=1),
    "rows rolled": lambda rows: np.roll(rows, 1, axis=0),
    "rows times 3": lambda rows: rows * np.float32(3),
    "a row of NaN": _with_nan,
    "all zeros": np.zeros_like,
    "fewer rows": lambda rows: rows[:-1],
    "one class more": lambda rows: np.pad(rows, ((0, 0), (0, 1))),
}


def _rolled(pixels: Pixels, labels: Pixels) -> tuple[Pixels, Pixels]:
    return pixels, (labels + 1) % CLASSES


def _noise(pixels: Pixels, labels: Pixels) -> tuple[Pixels, Pixels]:
    return np.random.default_rng(3).integers(0, 256, pixels.shape).astype(np.uint8), labels


def _copies(pixels: Pixels, labels: Pixels) -> tuple[Pixels, Pixels]:
    return np.tile(pixels[:100], (100, 1, 1)), np.tile(labels[:100], 100)


_NEVER = np.where(np.arange(CLASSES) == RARE, np.float32(LARGE), np.float32(0))[None]
_SILENT = _file("Add", _NEVER)
_UNSURE = _file("Mul", np.full(1, 0.02, np.float32))
_PLANTED = "bench bare/float32.onnx planted.onnx --data data.npz --preprocess unit --max-drop 3"
_PAIR = "planted.onnx other.onnx --data data.npz --preprocess unit"
_VERIFIED = "verify planted.onnx --reference other.onnx --data data.npz --preprocess unit"
_CONSTANT = r"do(es)? not depend on the (image|input)|outputs are the same for all"
_CLASS = rf"class(es)?\b.*\b{RARE}\b|\b{RARE}: "

HOLES = (
    Hole("labels rolled", f"{_BARE} {_MEASURED}", _images(_rolled), never_passes),
    Hole("labels at chance", f"{_BARE} {_MEASURED}", _images(lambda pixels, labels: (pixels, _shuffled(labels))), never_passes),
    Hole("images of noise", f"{_BARE} {_MEASURED}", _images(_noise), never_passes),
    Hole("four images", f"{_BARE} {_MEASURED}", _images(lambda pixels, labels: (pixels[:4], labels[:4])), never_passes),
    Hole("100 images 100 times", f"{_BARE} --max-drop 1 {_MEASURED}", _images(_copies), never_passes),
    *(Hole(f"bench, reference with {name}", f"{_OWN} {_MEASURED}", _reference(change), is_refused)
      for name, change in _REFERENCES.items()),
    *(Hole(f"verify, reference with {name}", "verify m/int8.tflite", _reference(change), is_refused)
      for name, change in _REFERENCES.items()),
    Hole("a class is never said", f"{_PLANTED} --max-class-drop 10 {_MEASURED}", _SILENT, never_passes),
    Hole("a class is never said, in words", f"{_PLANTED} {_MEASURED}", _SILENT, says(_CLASS)),
    Hole("confidence destroyed", f"{_PLANTED} --max-brier-increase 0.02 {_MEASURED}", _UNSURE, never_passes),
    Hole("confidence destroyed, in words", f"{_PLANTED} {_MEASURED}", _UNSURE, says("calibration|brier")),
    Hole("outputs without the image, verify", _VERIFIED, _two_constants, says(_CONSTANT)),
    Hole("outputs without the image, bench", f"bench {_PAIR} {_MEASURED}", _two_constants, never_passes),
    Hole("answers drawn at random", "evaluate planted.onnx --data data.npz --preprocess unit", _drawn, is_refused),
    Hole("a batch of -1", "summary planted.onnx", _negative, never_says(r"(?<![\w.])-\d")),
)  # fmt: skip

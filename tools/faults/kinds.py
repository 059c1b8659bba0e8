"""The kinds of altered files: how each is altered, which commands read it, and what they may answer."""

from dataclasses import dataclass

from tools.faults.bases import QUICK
from tools.faults.judge import Expected
from tools.faults.lay import Laid, Lay, bare, bundle, in_folder, listed, mended_bundle, one, one_of
from tools.faults.mutators.arrays import NPY, NPZ
from tools.faults.mutators.images import IDX, PNG
from tools.faults.mutators.models import KERAS, ONNX, TFLITE
from tools.faults.mutators.plain import BYTES
from tools.faults.mutators.text import FIELDS, JSON, TEXT_LINES, hostile_number

REFUSED = frozenset({4})
READ = frozenset({0, 2, 4})
JUDGED = frozenset({0, 2, 3, 4, 5, 7})


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        name: Name in the table.
        share: Number of files of this kind among every 10,000.
        lay: Function that fills a folder from the bases.
        commands: Commands in turn; {file}, {model} and {format} are filled in. One that appears twice is tried twice as often.
        seldom: Commands that take a second or more.
        codes: Correct exit codes.
        marked: Commands whose result must say that the file is unverified.
        mended: Whether every hash is corrected, so that the verdict itself is judged.
        room: `device` or `keras`.
    """

    name: str
    share: int
    lay: Lay
    commands: tuple[str, ...]
    codes: frozenset[int]
    marked: tuple[str, ...] = ()
    mended: bool = False
    room: str = "device"
    seldom: tuple[str, ...] = ()

    def arguments(self, laid: Laid, number: int) -> list[str]:
        """Return the command for a file."""
        names = {"file": laid.file, "model": laid.model, "format": laid.model.rpartition(".")[2]}
        turn, commands = number, self.commands
        if self.seldom and number % _SELDOM == 0:
            turn, commands = number // _SELDOM, self.seldom
        return [word.format(**names) for word in commands[turn % len(commands)].split()]

    def expected(self, command: str) -> Expected:
        """Return what a command may answer."""
        return Expected(self.codes, command in self.marked, self.room)


_UNIT = "--preprocess unit"
_OWN = (
    "predict m/{model} digit.png", "predict m/{model} --index 3", "evaluate m/{model}", "verify m/{model}", "verify m/{model}",
    "summary m/{model}",
)  # fmt: skip
_BENCH = f"bench m --runtime {{format}} {QUICK}"
_OWN_SELDOM = (_BENCH, _BENCH, _BENCH, "doctor m/{model}")
_BARE = (
    f"predict {{file}} digit.png {_UNIT}", f"evaluate {{file}} --data few.npz {_UNIT}", "summary {file}",
    f"verify {{file}} --reference {{model}} --data few.npz --tolerance 0.05 {_UNIT}",
    f"diagnose {{file}} --float {{model}} --data few.npz --count 5 {_UNIT}",
)  # fmt: skip
_BARE_SELDOM = (
    f"bench {{file}} {QUICK}", f"bench {{model}} {{file}} --data few.npz {_UNIT} {QUICK}", f"bench {{file}} {QUICK}",
    "doctor {file}",
)  # fmt: skip
_BUNDLED = (
    "verify m.zip", "verify m.zip/int8.tflite", "evaluate m.zip", "predict m.zip/int8.onnx digit.png", "summary m.zip",
    "predict m.zip/float32.tflite --index 1",
)  # fmt: skip
_BUNDLED_SELDOM = (f"bench m.zip --runtime tflite {QUICK}", f"bench m.zip --runtime onnx {QUICK}", "doctor m.zip")
_REFERRED = ("verify m/{model}", "verify m/{model}", _BENCH, "bundle m --out b.zip")
_KERAS = (
    f"evaluate {{file}} --data few.npz {_UNIT}", "summary {file}", f"predict {{file}} digit.png {_UNIT}", "summary {file}",
    f"export {{file}} --data few.npz {_UNIT} --format tflite --quantize float32 --out x",
)  # fmt: skip
_OWN_KERAS = ("evaluate m/{model}", "summary m/{model}", "predict m/{model} digit.png", "export m/{model} --format tflite")
# With a model that a manifest lists: it need not be tried in a child process, since the images are tried here.
_IMAGES = (
    "evaluate m/{model} --data {file}", "data {file}", "data {file} --save sheet.png",
    "predict m/{model} --data {file} --index 0",
)  # fmt: skip
_RESULTS = (
    "report {file}",
    "report {file} --csv t.csv --markdown t.md",
    "compare {file} newer.json",
    "compare newer.json {file}",
)
_MARKED = ("predict", "evaluate", "verify", "bench")
# A command that takes a second or more is tried once in this many numbers.
_SELDOM = 15
_TEXT = (*JSON, *JSON, *BYTES)

# Kinds that share their mutators begin with different ones, so that a short run reaches each.
KINDS = (
    Kind(".tflite, bare", 1400, bare("tflite", TFLITE), _BARE, JUDGED, _MARKED, seldom=_BARE_SELDOM),
    Kind(".tflite, hash stale", 600, listed("tflite", TFLITE, False), _OWN, REFUSED, seldom=_OWN_SELDOM),
    Kind(".tflite, hash mended", 900, listed("tflite", TFLITE, True), _OWN, JUDGED, mended=True, seldom=_OWN_SELDOM),
    Kind(".onnx, bare", 1200, bare("onnx", ONNX), _BARE, JUDGED, _MARKED, seldom=_BARE_SELDOM),
    Kind(".onnx, hash stale", 500, listed("onnx", ONNX, False), _OWN, REFUSED, seldom=_OWN_SELDOM),
    Kind(".onnx, hash mended", 600, listed("onnx", ONNX, True), _OWN, JUDGED, mended=True, seldom=_OWN_SELDOM),
    Kind(".keras, bare", 120, bare("keras", KERAS), _KERAS, READ | {5}, ("predict", "evaluate"), room="keras"),
    Kind(".keras, hash stale", 80, listed("keras", KERAS[6:] + KERAS[:6], False), _OWN_KERAS, REFUSED, room="keras"),
    Kind(".keras, hash mended", 100, listed("keras", KERAS[11:] + KERAS[:11], True), _OWN_KERAS, READ | {5}, room="keras"),
    Kind("manifest, altered", 600, in_folder("manifest.json", _TEXT, False), _OWN, REFUSED, seldom=_OWN_SELDOM),
    Kind("manifest, hash mended", 600, in_folder("manifest.json", FIELDS, True), _OWN, JUDGED, (), True, seldom=_OWN_SELDOM),
    Kind("reference, hash stale", 300, in_folder("reference.npy", NPY, False), _REFERRED, REFUSED),
    Kind("reference, hash mended", 500, in_folder("reference.npy", NPY, True), _REFERRED, JUDGED, mended=True),
    Kind("bundle, altered", 400, bundle, _BUNDLED, READ, seldom=_BUNDLED_SELDOM),
    Kind("bundle, hashes mended", 400, mended_bundle, _BUNDLED, JUDGED, seldom=_BUNDLED_SELDOM),
    Kind("IDX folder", 300, one_of("data", IDX, "m"), _IMAGES, READ),
    Kind(".npz", 400, one("few.npz", NPZ, "m"), _IMAGES, READ),
    Kind("image folder", 200, one_of("photos", PNG, "m"), _IMAGES, READ),
    Kind("image file", 200, one("digit.png", PNG[3:] + PNG[:3], "m"), ("predict m/{model} {file}",), READ),
    Kind("labels file", 100, one("labels.txt", TEXT_LINES, "m", "digit.png"),
         ("predict m/{model} digit.png --labels {file}",), READ),
    Kind("result JSON", 400, one("result.json", _TEXT, "newer.json"), _RESULTS, JUDGED),
    Kind("budget TOML", 100, one("budget.toml", (hostile_number, hostile_number, *BYTES), "m"),
         (f"bench m --runtime tflite --budget {{file}} {QUICK}",), JUDGED),
)  # fmt: skip

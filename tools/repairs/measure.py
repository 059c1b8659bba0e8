"""Measures one pair: the float file, the int8 file of its authors, and the int8 file that edgecnn makes of the float file."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import edgecnn
from edgecnn import BenchOptions, Interface, PlanOptions, Report
from edgecnn.benchmarks.results.records import FileResult
from edgecnn.edge.errors import ConversionError, EdgeCnnError
from edgecnn.edge.text import shortened
from tools.repairs.images import dataset_of
from tools.repairs.weights import ALIKE, likeness

FLOAT, THEIRS, OURS = "float", "theirs", "edgecnn"
# Points of accuracy: more than the first is a loss, up to the second is as good as float.
LOSS, MENDED = 1.0, 0.5
# Enough for a ratio of times; the figures of this list are about accuracy.
_PLAN = PlanOptions(min_seconds=0.2, min_runs=400, launches=5)


@dataclass(frozen=True)
class Measured:
    """One int8 file compared with the float file, on the same held-out images in the same benchmark.

    Attributes:
        drop_points: Accuracy of the float file minus that of this file, in percentage points.
        low_points: Lower end of its 95 % interval.
        high_points: Upper end of it.
        verdict: edgecnn's verdict with its usual limit, a drop of 0.5 points.
        size_bytes: Size of the file.
        time_us: Typical time of one image in microseconds, one thread.
    """

    drop_points: float
    low_points: float
    high_points: float
    verdict: str
    size_bytes: int
    time_us: float

    @property
    def loses(self) -> bool:
        """Whether it is shown to lose more than a point."""
        return self.low_points > LOSS

    @property
    def is_as_good(self) -> bool:
        """Whether it is within half a point of the float file."""
        return self.drop_points <= MENDED


@dataclass(frozen=True)
class Comparison:
    """A measured pair.

    Attributes:
        images: Number of held-out images that count: copies and copies of calibration images are not counted.
        float_percent: Share of them that the float file classifies right, in percent.
        float_bytes: Size of the float file.
        float_time_us: Typical time of one image in microseconds, one thread.
        alike: Likeness of the weights of the authors' files, as `tools.repairs.weights.likeness`; None for .onnx files.
        theirs: The int8 file of its authors.
        ours: The int8 file that edgecnn made of the float file; None if it can't make one.
        refusal: Reason why it can't; empty if it can.
    """

    images: int
    float_percent: float
    float_bytes: int
    float_time_us: float
    alike: float | None
    theirs: Measured
    ours: Measured | None
    refusal: str = ""

    @property
    def outcome(self) -> Literal["mended", "not mended", "no loss", "worse"]:
        """What edgecnn's file does for the pair."""
        if self.theirs.loses:
            return "mended" if self.ours and self.ours.is_as_good else "not mended"
        return "worse" if self.ours and self.ours.loses else "no loss"


def compare(float32: Path, int8: Path, data: str | Path, interface: Interface, folder: Path) -> Comparison:
    """Make edgecnn's int8 file, if it can be made, and measure all files in one benchmark.

    Args:
        float32: The float file, .tflite or .onnx.
        int8: The int8 file of its authors, of the same format.
        data: An .npz file of `tools.repairs.images`, or a name or folder that `edgecnn.load_dataset` takes: the training part
            sets ranges, the test part is measured on.
        interface: How the float file takes pixels, and what it gives.
        folder: Folder for the files.

    Raises:
        EdgeCnnError: If a file of the authors can't be read or judged, or their files are of two models.
    """
    alike = likeness(float32.read_bytes(), int8.read_bytes()) if int8.suffix == ".tflite" else None
    if alike is not None and alike < ALIKE:
        raise ConversionError(f"the weights of the two files are not alike (correlation {alike:.2f}): they are of two models")
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, path in ((FLOAT, float32), (THEIRS, int8)):
        made[name] = folder / f"{name}{path.suffix}"
        shutil.copy(path, made[name])
    refusal = ""
    try:
        images = dataset_of(data) if isinstance(data, Path) else data
        exported = edgecnn.export(made[FLOAT], images, precisions=("int8",), interface=interface, out=folder / "exported")
        made[OURS] = folder / f"{OURS}{float32.suffix}"
        shutil.copy(exported.path / f"int8{float32.suffix}", made[OURS])
    except EdgeCnnError as error:
        refusal = told(error, folder, Path(data).parent)
    report = edgecnn.bench([*made.values()], data=data, interface=interface, options=BenchOptions(plan=_PLAN), allow=("noise",))
    return _comparison(report, alike, refusal)


def told(error: EdgeCnnError, *folders: Path) -> str:
    """Return an error as one line that names the files without this machine's folders."""
    text = str(error)
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return shortened(text, 240)


def _comparison(report: Report, alike: float | None, refusal: str) -> Comparison:
    files: Mapping[str, FileResult] = {Path(file.artifact.path).stem: file for file in report.files}
    float32, theirs, ours = files[FLOAT], files[THEIRS], files.get(OURS)
    accuracy = theirs.accuracy
    assert accuracy  # There are labelled images.
    share = 100 * accuracy.reference_correct / accuracy.images
    size, time = float32.artifact.size_bytes, _time_us(float32)
    return Comparison(accuracy.images, share, size, time, alike, _measured(theirs), _measured(ours) if ours else None, refusal)


def _measured(file: FileResult) -> Measured:
    assert file.accuracy
    drop = file.accuracy.drop
    estimate, low, high = (100 * value for value in (drop.estimate, drop.low, drop.high))
    return Measured(estimate, low, high, file.verdict.status, file.artifact.size_bytes, _time_us(file))


def _time_us(file: FileResult) -> float:
    typical = file.latency.typical_ns
    assert typical  # There are several launches.
    return typical.estimate / 1e3

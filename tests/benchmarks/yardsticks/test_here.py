"""This machine as a yardstick, with real files in real processes."""

from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.yardsticks.here import Here
from edgecnn.benchmarks.yardsticks.launches import ratios
from edgecnn.edge.data.splits import Split
from edgecnn.edge.manifest import Manifest

KEPT = Path(__file__).parents[1] / "kept_results/schema-3.json"


@pytest.mark.parametrize("thorough", [False, True])
def test_every_exported_file_is_compared_with_the_base(thorough: bool, artifacts: Path, test_split: Split) -> None:
    manifest = Manifest.load(artifacts)
    kept = [artifact for artifact in manifest.artifacts if artifact.path in ("model.keras", "int8.tflite", "float32.tflite")]
    type(manifest)(**{**vars(manifest), "artifacts": tuple(kept)}).save(artifacts)
    here = Here(test_split, 10)
    found = here.compare(artifacts, "int8.tflite", thorough=thorough)
    assert set(found) == {"int8.tflite", "float32.tflite"}
    assert (found["int8.tflite"].estimate, found["int8.tflite"].high) == (1, 1)
    other = found["float32.tflite"]
    # One launch has no interval.
    assert (other.low < other.estimate < other.high) == thorough
    assert other.estimate > 0
    assert here.machine
    assert here.unit == "time"


def test_a_ratio_of_one_launch_is_that_of_low_percentiles_and_of_several_that_of_the_report() -> None:
    files = {file.name: file for file in read_report(KEPT).files}
    base, *others = files
    found = ratios({name: file.launches for name, file in files.items()}, base)
    briefly = ratios({name: file.launches[:1] for name, file in files.items()}, base)
    for name in others:
        assert found[name].low <= found[name].estimate <= found[name].high
        assert briefly[name].low == briefly[name].estimate == briefly[name].high
        rounds = zip(files[name].launches[0].rounds, files[base].launches[0].rounds, strict=True)
        low = [np.percentile(own.measured.unpack(), 10) / np.percentile(of.measured.unpack(), 10) for own, of in rounds]
        assert briefly[name].estimate == pytest.approx(np.exp(np.log(low).mean()))

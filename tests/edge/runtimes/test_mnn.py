"""MNN as a runtime of its own files: it computes what ONNX Runtime does, is silent, and refuses what is no such file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import MNN  # noqa: F401 - Not installed, these tests are an error, and on an emulated board skipped with that reason.
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for


def probabilities(path: Path, test: Split) -> NDArray[np.float32]:
    model = read_model(path)
    return Classifier(model, opener_for(model.format).open_file(model, 1)).predict(test.images(range(60))).probabilities


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("float16", 1e-2), ("int8", 0.1)])
def test_it_computes_what_onnx_runtime_computes(
    precision: str, most: float, by_name: Path, exported: Path, test_split: Split
) -> None:
    ours, other = probabilities(by_name / f"{precision}.mnn", test_split), probabilities(exported / "float32.onnx", test_split)
    assert np.ptp(other, axis=0).max() > 0.5
    assert 0 < np.abs(ours - other).max() < most


def test_a_result_is_an_array_of_its_own(by_name: Path) -> None:
    runtime = opener_for("mnn").open_model((by_name / "float32.mnn").read_bytes(), 1)
    assert (runtime.input_spec.shape, runtime.input_spec.dtype) == ((1, 1, 12, 12), "float32")
    assert (runtime.output_spec.shape, runtime.output_spec.dtype) == ((1, 3), "float32")
    image = np.random.default_rng(0).random((1, 1, 12, 12), np.float32)
    first = runtime.run(image)
    kept = first.copy()
    assert not np.array_equal(runtime.run(np.zeros_like(image)), kept)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(runtime.run(image.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)), kept)


def test_standard_output_has_results_alone(by_name: Path) -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    code = (
        "from edgecnn.edge.inference.classifier import Classifier\nimport numpy as np\n"
        f"model = Classifier.load({str(by_name / 'int8.mnn')!r})\n"
        "print(len(model.predict(np.zeros((3, 12, 12, 1), np.uint8)).probabilities))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=buffered)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-40], lambda data: b"", lambda data: b"\1" * 500]
)
def test_what_is_no_whole_file_is_refused_and_nothing_is_printed(
    damage: Callable[[bytes], bytes], by_name: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArtifactError, match="copy it again"):
        opener_for("mnn").open_model(damage((by_name / "float32.mnn").read_bytes()), 1)
    assert capfd.readouterr() == ("", "")


def test_what_no_mnn_file_has_is_refused(by_name: Path) -> None:
    data = (by_name / "float32.mnn").read_bytes()
    with pytest.raises(ConfigError, match="signatures"):
        opener_for("mnn").open_model(data, 1, "serve")
    with pytest.raises(ConfigError, match="streaming"):
        opener_for("mnn").open_model(data, 1, None, True)

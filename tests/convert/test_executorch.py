"""A Keras model as ExecuTorch programs: the same numbers, integers where asked, and an error for what it can't take.

Skipped where ExecuTorch is not installed: `make executorch` runs these tests in an environment of their own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.convert.export.converters import Converter
from edgecnn.edge.errors import ConversionError, MissingDependency
from edgecnn.edge.formats import RUNTIMES, Package
from tests.convert.conftest import RandomInputs, converter_of, noise_ratio, outputs

needed = pytest.mark.skipif(not RUNTIMES["executorch"].package.is_installed, reason="needs ExecuTorch: make executorch")


@pytest.fixture(scope="module")
def converter(residual: Any) -> Converter:
    return converter_of("executorch", residual)


@needed
def test_each_precision_computes_what_keras_computes(converter: Converter, residual: Any, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)
    expected = np.asarray(residual(inputs))
    np.testing.assert_allclose(outputs("executorch", converter.convert("float32"), inputs), expected, atol=1e-5)
    ranges = converter.calibrate(inputs)
    int8 = converter.quantize("int8", ranges)
    assert 20 < noise_ratio(outputs("executorch", int8, inputs), expected) < 60
    names = converter.operators()
    assert len(names) == 4
    scales = converter.scales(int8)
    assert set(scales) == set(ranges)
    entry = min(ranges, key=lambda name: abs(ranges[name][1] - 255))
    assert scales[entry] == pytest.approx(1, rel=0.02)
    kept = converter.quantize("int8", ranges, names)
    assert set(converter.scales(kept)) < set(scales)
    assert noise_ratio(outputs("executorch", kept, inputs), expected) > noise_ratio(
        outputs("executorch", int8, inputs), expected
    )


@needed
def test_a_model_that_gives_nan_can_not_be_calibrated(converter: Converter, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(3)
    inputs[1, 4, 4, 1] = np.inf
    with pytest.raises(ConversionError, match=r"executorch: .* is not finite"):
        converter.calibrate(inputs)


@needed
def test_its_files_are_exported_verified_and_measured_as_any_other(
    idx_folder: Path, exported: Path, tmp_path: Path, terminal: Any
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.keras", "manifest.json"):
        (folder / name).write_bytes((exported / name).read_bytes())
    options = ("--format", "executorch", "--quantize", "float32", "--quantize", "int8", "--data", idx_folder)
    terminal.passes("export", folder / "model.keras", *options)
    assert (folder / "float32.pte").read_bytes()[4:8] == (folder / "int8.pte").read_bytes()[4:8] == b"ET12"
    short = ("--launches", "1", "--min-runs", "20", "--min-seconds", "0", "--max-drop", "100", "--allow", "noise")
    result = tmp_path / "result.json"
    terminal.passes("bench", folder, "--runtime", "executorch", "--data", idx_folder, *short, "--json", result)
    files = json.loads(result.read_text())["files"]
    assert [(file["name"], file["runtime"].split()[0]) for file in files] == [
        ("float32.pte", "executorch"), ("int8.pte", "executorch"),
    ]  # fmt: skip


def test_what_it_can_not_take_is_refused(residual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConversionError, match="ExecuTorch files take one image"):
        converter_of("executorch", residual, any_batch=True).convert("float32")
    monkeypatch.setitem(
        RUNTIMES, "executorch", RUNTIMES["executorch"]._replace(package=Package("executorch", "no_such_module", "executorch"))
    )
    with pytest.raises(MissingDependency, match="executorch is not installed"):
        converter_of("executorch", residual).convert("float32")

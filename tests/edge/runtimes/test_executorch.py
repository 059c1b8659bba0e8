"""ExecuTorch as a runtime of its own files: it computes what PyTorch does, and refuses what is no such file.

Skipped where ExecuTorch is not installed: `make executorch` runs these tests in an environment of their own.
"""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.formats import RUNTIMES, Package
from edgecnn.edge.runtimes import opener_for

needed = pytest.mark.skipif(not RUNTIMES["executorch"].package.is_installed, reason="needs ExecuTorch: make executorch")


@pytest.fixture(scope="module")
def doubling() -> bytes:
    """A program that doubles an image (1, 2, 3, 4)."""
    return lowered(lambda image: image * 2)


def lowered(function: Callable[..., Any], inputs: int = 1) -> bytes:
    with warnings.catch_warnings(action="ignore"):  # It uses what Python will remove.
        torch, exir = import_module("torch"), import_module("executorch.exir")
        module = type("Module", (torch.nn.Module,), {"forward": lambda self, *images: function(*images)})()
        program = torch.export.export(module, tuple(torch.zeros(1, 2, 3, 4) for _ in range(inputs)))
        return bytes(exir.to_edge(program).to_executorch().buffer)


@needed
def test_a_result_is_an_array_of_its_own(doubling: bytes) -> None:
    runtime = opener_for("executorch").open_model(doubling, 1)
    assert (runtime.input_spec.shape, runtime.output_spec.shape) == ((1, 2, 3, 4), (1, 2, 3, 4))
    image = np.random.default_rng(0).random((1, 2, 3, 4), np.float32)
    first = runtime.run(image)
    runtime.run(np.zeros_like(image))
    np.testing.assert_array_equal(first, 2 * image)
    np.testing.assert_array_equal(runtime.run(image.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)), first)


@needed
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-40], lambda data: b"", lambda data: b"\1" * 500]
)
def test_what_is_no_whole_file_is_refused(damage: Callable[[bytes], bytes], doubling: bytes) -> None:
    with pytest.raises(ArtifactError, match="copy it again"):
        opener_for("executorch").open_model(damage(doubling), 1)


@needed
def test_what_no_such_file_has_is_refused(doubling: bytes) -> None:
    with pytest.raises(ConfigError, match="signatures"):
        opener_for("executorch").open_model(doubling, 1, "serve")
    with pytest.raises(ConfigError, match="streaming"):
        opener_for("executorch").open_model(doubling, 1, None, True)
    with pytest.raises(ArtifactError, match="one tensor of float32"):
        opener_for("executorch").open_model(lowered(lambda one, other: one + other, 2), 1)
    with pytest.raises(ArtifactError, match="one tensor of float32"):
        opener_for("executorch").open_model(lowered(lambda image: image > 0), 1)


@needed
def test_standard_output_has_results_alone(doubling: bytes, tmp_path: Path) -> None:
    path = tmp_path / "doubling.pte"
    path.write_bytes(doubling)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    code = (
        "import numpy as np\nfrom edgecnn.edge.runtimes import opener_for\n"
        f"runtime = opener_for('executorch').open_model(open({str(path)!r}, 'rb').read(), 1)\n"
        "print(runtime.run(np.ones((1, 2, 3, 4), np.float32)).sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=buffered)
    assert (done.returncode, done.stdout, done.stderr) == (0, "48.0\n", "")


def test_without_its_packages_it_is_an_error_that_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    row = RUNTIMES["executorch"]
    monkeypatch.setitem(RUNTIMES, "executorch", row._replace(package=Package("executorch", "no_such_module", "executorch")))
    with pytest.raises(MissingDependency, match="executorch is not installed"):
        opener_for("executorch").import_library()
    monkeypatch.setitem(RUNTIMES, "executorch", row._replace(package=Package("executorch", "json", "executorch")))
    monkeypatch.setattr("edgecnn.edge.runtimes.executorch.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="torch is not installed"):
        opener_for("executorch").import_library()

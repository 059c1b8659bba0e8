"""Turns one Keras model into the bytes of each .pte file for ExecuTorch's XNNPACK.

Integers are chosen by ExecuTorch's own quantizer for XNNPACK, from ranges of the smallest and largest values.
What needs PyTorch runs in child processes: it and TensorFlow stay apart.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Ranges, channels_first_inputs, finite, refused
from edgecnn.convert.onnx.convert import ChannelsFirstConverter, run_pnnx
from edgecnn.edge.errors import ArtifactError, ConversionError, EdgeCnnError, why
from edgecnn.edge.files import libraries_folder, sha256
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.runtimes.executorch import require_installed
from edgecnn.edge.sandbox.unverified import run_in_child

# PyTorch takes seconds to import, and half a minute to lower a small network on a busy machine.
_SECONDS = 900.0
# The memory limit is 16 times this and 2 GiB.
_ALLOWED_BYTES = 2**28

Result = TypeVar("Result")
Source = tuple[bytes, tuple[int, int, int]]
"""A float32 .onnx file with one input (1, channels, height, width), and these three sizes."""


def lowered(source: Source) -> bytes:
    """Return the float32 .pte file.

    Raises:
        ConversionError: If a step fails.
        MissingDependency: If pnnx is missing.
    """
    with _failing(), _exported(source) as program:
        return _to_executorch(program)


def calibrated(source: Source, inputs: NDArray[np.float32]) -> Ranges:
    """Return the smallest and the largest value of each activation that the quantizer makes integer, by its node's name.

    `inputs` are images (n, channels, height, width).

    Raises:
        ConversionError: If a step fails, or a value is not finite.
    """
    import torch

    with _failing(), _exported(source) as program:
        prepared = _prepared(program, ())
        for image in inputs:
            prepared(torch.from_numpy(np.ascontiguousarray(image[None], np.float32)))
        found = {name: (float(seen.min_val), float(seen.max_val)) for name, seen in _observers(prepared).items()}
        return finite(found, "executorch")


def quantized(source: Source, ranges: Ranges, keep: Sequence[str]) -> tuple[bytes, dict[str, float]]:
    """Quantize to int8 with the ranges of `calibrated`; operators of these nodes stay float. Errors as `lowered`.

    Returns:
        The file, and the step between two integers of each activation, by the name of its node in PyTorch's graph.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    with _failing(), _exported(source) as program:
        prepared = _prepared(program, keep)
        example = torch.zeros(1, *source[1])
        prepared(example)  # Which shows it the weights.
        scales = {}
        for name, seen in _observers(prepared).items():
            seen.min_val, seen.max_val = (torch.tensor(value) for value in ranges[name])
            scales[name] = float(seen.calculate_qparams()[0])
        return _to_executorch(torch.export.export(convert_pt2e(prepared), (example,))), scales


def operators(source: Source) -> tuple[str, ...]:
    """Return the convolutions and dense layers, which may stay float, in the order in which they run. Errors as `lowered`."""
    import torch

    aten = torch.ops.aten
    kinds = (aten.conv2d.default, aten.conv2d.padding, aten.linear.default)
    with _failing(), _exported(source) as program:
        return tuple(node.name for node in program.module().graph.nodes if node.target in kinds)


@contextmanager
def _exported(source: Source) -> Iterator[Any]:
    """Yield the network as PyTorch's ExportedProgram."""
    import torch

    with libraries_folder() as folder, contextlib.chdir(folder):  # The module that pnnx writes reads its weights from here.
        code, _ = run_pnnx(*source, folder)
        path = folder / "model_pnnx.py"
        if code or not path.exists():
            raise refused("executorch", f"pnnx ended with {code}")
        spec = importlib.util.spec_from_file_location("model_pnnx", path)
        if spec is None or spec.loader is None:
            raise RuntimeError("a .py file always has a loader")
        written = importlib.util.module_from_spec(spec)
        sys.modules["model_pnnx"] = written
        spec.loader.exec_module(written)
        yield torch.export.export(written.Model().eval(), (torch.zeros(1, *source[1]),))


def _prepared(program: Any, keep: Sequence[str]) -> Any:
    """Return the network with an observer of each tensor that becomes integer."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True)
    # Its own choice, histograms, has more numbers than a range.
    seen = replace(config.input_activation, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12))
    config = replace(config, input_activation=seen, output_activation=seen)
    quantizer = XNNPACKQuantizer().set_global(config).set_filter_function(lambda node: node.name not in keep)
    return prepare_pt2e(program.module(), quantizer)


def _observers(prepared: Any) -> dict[str, Any]:
    """Return the observers of activations by the names of the nodes that they observe; several nodes may share one."""
    return {
        node.args[0].name: prepared.get_submodule(node.target)
        for node in prepared.graph.nodes
        if node.op == "call_module" and str(node.target).startswith("activation_post_process") and node.args[0].op != "get_attr"
    }


def _to_executorch(program: Any) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    return bytes(to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch().buffer)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except EdgeCnnError:
        raise
    except Exception as error:  # PyTorch's errors have no base class of their own.
        raise refused("executorch", why(error, 300, named=True)) from error


class _ExecuTorchConverter(ChannelsFirstConverter):
    """A `Converter` for .pte files."""

    _title = "ExecuTorch"

    def __init__(self, conversion: Conversion) -> None:
        super().__init__(conversion)
        # Scales by a file's hash: XNNPACK keeps them in a form that nobody else reads.
        self._scales: dict[str, dict[str, float]] = {}

    @property
    def _source(self) -> Source:
        made, shape = self._onnx
        return made.data, shape

    @cached_property
    def _float32(self) -> bytes:
        return _apart(partial(lowered, self._source))

    def convert(self, precision: str) -> bytes:
        if precision != "float32":
            raise ValueError(f"precision must be float32, got {precision!r}")
        return self._float32

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        images = channels_first_inputs(inputs)
        return _apart(partial(calibrated, self._source, images))

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        data, scales = _apart(partial(quantized, self._source, dict(ranges), tuple(keep)))
        self._scales[sha256(data)] = scales
        return data

    @cached_property
    def _operators(self) -> tuple[str, ...]:
        return _apart(partial(operators, self._source))

    def operators(self) -> tuple[str, ...]:
        return self._operators

    def scales(self, data: bytes) -> dict[str, float]:
        # Of a file that `quantize` returned.
        return self._scales[sha256(data)]


def converter(conversion: Conversion) -> Converter:
    return _ExecuTorchConverter(conversion)


def _apart(call: Callable[[], Result]) -> Result:
    require_installed()
    try:
        return run_in_child(call, "ExecuTorch's converter", _ALLOWED_BYTES, _SECONDS)
    except ArtifactError as error:
        raise ConversionError(f"executorch: the model can't be converted: {error}") from error

"""What needs PyTorch: an .onnx file becomes a program for ExecuTorch's XNNPACK. For a process without TensorFlow.

Integers are chosen by ExecuTorch's own quantizer for XNNPACK, from ranges of the smallest and largest values.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.onnx.pnnx import run_pnnx
from edgecnn.edge.errors import ConversionError, EdgeCnnError, field, why
from edgecnn.edge.files import libraries_folder

Ranges = dict[str, tuple[float, float]]


class Source(NamedTuple):
    """A network.

    Attributes:
        onnx: A float32 .onnx file with one input (1, channels, height, width).
        shape: (channels, height, width).
    """

    onnx: bytes
    shape: tuple[int, int, int]


class Quantized(NamedTuple):
    """An int8 program.

    Attributes:
        data: The .pte file.
        scales: The step between two integers of each activation, by the name of its node in PyTorch's graph.
    """

    data: bytes
    scales: dict[str, float]


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

    Args:
        source: The network.
        inputs: Images (n, channels, height, width).

    Raises:
        ConversionError: If a step fails, or a value is not finite.
    """
    import torch

    with _failing(), _exported(source) as program:
        prepared = _prepared(program, ())
        for image in inputs:
            prepared(torch.from_numpy(np.ascontiguousarray(image[None], np.float32)))
        found = {name: (float(seen.min_val), float(seen.max_val)) for name, seen in _observers(prepared).items()}
        if lost := next((name for name, range_ in found.items() if not np.isfinite(range_).all()), None):
            raise ConversionError(f"executorch: {lost} is not finite for a calibration image: check the model and its inputs")
        return found


def quantized(source: Source, ranges: Ranges, keep: Sequence[str]) -> Quantized:
    """Return the int8 .pte file.

    Args:
        source: The network.
        ranges: Result of `calibrated`.
        keep: Operators that stay float, by the names of their nodes.

    Raises:
        ConversionError: If a step fails.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    with _failing(), _exported(source) as program:
        prepared = _prepared(program, keep)
        example = torch.zeros(1, *source.shape)
        prepared(example)  # Which shows it the weights.
        scales = {}
        for name, seen in _observers(prepared).items():
            seen.min_val, seen.max_val = (torch.tensor(value) for value in ranges[name])
            scales[name] = float(seen.calculate_qparams()[0])
        return Quantized(_to_executorch(torch.export.export(convert_pt2e(prepared), (example,))), scales)


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
        code, _ = run_pnnx(source.onnx, source.shape, folder)
        path = folder / "model_pnnx.py"
        if code or not path.exists():
            raise ConversionError(_refused(f"pnnx ended with {code}"))
        spec = importlib.util.spec_from_file_location("model_pnnx", path)
        if spec is None or spec.loader is None:
            raise RuntimeError("a .py file always has a loader")
        written = importlib.util.module_from_spec(spec)
        sys.modules["model_pnnx"] = written
        spec.loader.exec_module(written)
        yield torch.export.export(written.Model().eval(), (torch.zeros(1, *source.shape),))


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
        raise ConversionError(_refused(why(error, 300, named=True))) from error


def _refused(reason: str) -> str:
    return f"executorch: the model can't be converted ({reason}): replace that layer, or use other {field('formats')}"

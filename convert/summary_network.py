"""A model file as a row of steps, and what is counted of them.

A multiply-accumulate (MAC) is one multiplication and one addition of a convolution, dense layer or matrix product, as papers
count them (MobileNetV2, https://arxiv.org/abs/1801.04381, table 4: 300 million for 224 x 224): so many for each output element
as its kernel has weights, where the kernel hangs over the border too; of a transposed convolution, so many for each input
element (as in `conv_flop_count` of https://github.com/facebookresearch/fvcore). Biases, activations, pooling, normalisation and
all else that works element by element count none. An operator of which it is not known what it multiplies is listed as not
counted, never taken for zero.

Peak activations are the largest sum, over the operators in the file's order, of the sizes of the tensors that live while one
runs: those it reads and writes, and those that a later one reads; each from when it is computed (an input, from the start) to
its last reader (an output, to the end), in its own type, none reusing another's memory in place. Constants are not among them.
It is the least that a memory planner must find room for; kernels' scratch buffers come on top, and in TFLite those of
convolutions without XNNPACK can be larger.
"""

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from edge.errors import MissingDependency

# What reads a format, and the extra that brings it.
_READERS = {
    "keras": ("tensorflow", "TensorFlow", "train"),
    "tflite": ("ai_edge_litert", "ai-edge-litert", "tflite"),
    "onnx": ("onnx", "onnx", "train"),
}


@dataclass(frozen=True)
class Layer:
    """One layer of a Keras model, or one operator of a file.

    Attributes:
        name: In the file.
        kind: Its class or operator.
        shape: Of its first output; None where the file leaves more than the batch free.
        dtype: Of its first output.
        parameters: Weights that it is the first to use. Scales and zero points are none.
        macs: Multiply-accumulates of one inference; None where they are not known.
        weight_bytes: What those parameters take in the file; in a .keras file, before its compression.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    dtype: str
    parameters: int
    macs: int | None
    weight_bytes: int

    @property
    def label(self) -> str:
        """The name as people read it, as `convert.diagnose` does: without what was fused, and without the model's own."""
        first = self.name.split(";")[0].removesuffix(":0")
        return first.split("/", 1)[1] if first.count("/") > 1 else first


@dataclass(frozen=True)
class Step:
    """A layer with the tensors that it reads and writes, whatever a format tells tensors by. Constants are left out."""

    layer: Layer
    reads: tuple[Hashable, ...]
    writes: tuple[Hashable, ...]


@dataclass(frozen=True)
class Network:
    """A file as a row of steps.

    Attributes:
        batch: Images of one inference.
        steps: In the order in which they run.
        sizes: Bytes of each tensor that a step reads or writes; None where the file leaves them open.
        entries: The inputs.
        outputs: The outputs.
        notes: As in `Summary`.
        parameters: Where a format's own count is more than the steps': some layer's weights are in the file but not used.
        weight_bytes: Likewise.
    """

    batch: int
    steps: tuple[Step, ...]
    sizes: Mapping[Hashable, int | None]
    entries: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]
    notes: tuple[str, ...] = ()
    parameters: int | None = None
    weight_bytes: int | None = None


def peak_activations(network: Network) -> tuple[int | None, Layer | None]:
    """Return the bytes of the most tensors that live at one step, and the layer of that step; see the module.

    Both are None if a size is not known.
    """
    if any(size is None for size in network.sizes.values()):
        return None, None
    last: dict[Hashable, int] = {}
    for place, step in enumerate(network.steps):
        last.update(dict.fromkeys((*step.reads, *step.writes), place))
    last.update(dict.fromkeys(network.outputs, len(network.steps)))
    alive = dict.fromkeys(key for key in network.entries if key in last)
    most, at = -1, None
    for place, step in enumerate(network.steps):
        alive.update(dict.fromkeys(step.writes))
        total = sum(network.sizes[key] or 0 for key in alive)
        if total > most:
            most, at = total, step.layer
        alive = dict.fromkeys(key for key in alive if last[key] > place)
    return max(most, 0), at


def bytes_of(shape: Sequence[int] | None, dtype: str) -> int | None:
    """Return the bytes of a dense tensor, several elements in a byte where they are smaller; None if they are not known.

    Args:
        shape: Its shape, or None.
        dtype: A name with its bits, as `int4`, `float32` or `float8_e4m3fn`, or `bool`.
    """
    bits = re.search(r"\d+", dtype.replace("bool", "bool8"))
    if shape is None or bits is None:
        return None
    return math.ceil(math.prod(shape) * int(bits.group()) / 8)


def einsum_macs(equation: str, shapes: Sequence[Sequence[int]]) -> int | None:
    """Return the multiply-accumulates of an Einstein sum: of two operands, the product of all its dimensions; of one, none.

    None for more operands, whose order of products is the library's choice.
    """
    if len(shapes) == 1:
        return 0
    if len(shapes) != 2:
        return None
    sizes: dict[str, int] = {}
    terms = equation.replace(" ", "").split("->")[0].split(",")
    for term, shape in zip(terms, shapes, strict=True):
        hidden = len(shape) - len(term.replace("...", ""))
        # What an ellipsis stands for has names of its own, counted from the right as it broadcasts.
        labels = re.findall(r"\w", term.split("...")[0])
        if "..." in term:
            labels += [f"...{hidden - i}" for i in range(hidden)] + list(term.split("...")[1])
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return math.prod(sizes.values())


def lacking(model_format: str) -> str | None:
    """Say what must be installed to read a format here; None if nothing."""
    module, package, extra = _READERS[model_format]
    return None if find_spec(module) else f"{package} is not installed: pip install 'edgecnn[{extra}]'"


def require_reader(model_format: str) -> None:
    """Refuse a format that can't be read here.

    Raises:
        MissingDependency: Then.
    """
    if reason := lacking(model_format):
        raise MissingDependency(reason)

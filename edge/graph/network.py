"""A model file as a sequence of steps, and how their costs are counted.

A multiply-accumulate (MAC) is one multiplication and one addition of a convolution, dense layer or matrix product, as papers
count them (MobileNetV2, https://arxiv.org/abs/1801.04381, table 4: 300 million for 224 x 224). Each output element counts
as many as its kernel has weights, also where the kernel hangs over the border; in a transposed convolution, each input
element does (as in `conv_flop_count` of https://github.com/facebookresearch/fvcore). Biases, activations, pooling,
normalisation and other element-wise work count as none. An operator whose multiplications are unknown is listed as not
counted, never as zero.

Peak activations are the largest sum, over the operators in the file's order, of the sizes of the tensors that are live while
one runs: those it reads and writes, and those that a later one reads. A tensor is live from when it is computed (an input,
from the start) to its last reader (an output, to the end), in its own type, and none reuses another's memory in place.
Constants are not included. This is the least that a memory planner must find room for; the scratch buffers of kernels are
extra, and in TFLite those of convolutions without XNNPACK can be larger.
"""

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How to read a file.

    Attributes:
        name: Name of the file for messages.
        trust: Names of Python modules that define its layers, if its format may need any.
        signature: Name of one of its graphs, if it has several.
    """

    name: str
    trust: tuple[str, ...] = ()
    signature: str | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of a Keras model, or one operator of a file.

    Attributes:
        name: Name in the file.
        kind: Keras class or operator.
        shape: Shape of its first output; None if the file leaves more than the batch free.
        dtype: Type of its first output.
        parameters: Number of weights that it is the first to use, without scales and zero points.
        macs: Multiply-accumulates of one inference; None if unknown.
        weight_bytes: Size of those parameters in the file in bytes; in a .keras file, before compression.
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
        """The name for people: without the names of fused layers, and without the model's own name."""
        return layer_label(self.name)


def layer_label(name: str) -> str:
    """Return a layer's name for people: TFLite's converter joins the names of all layers it fused, behind the model's own."""
    first = name.split(";")[0].removesuffix(":0")
    return first.split("/", 1)[1] if first.count("/") > 1 else first


@dataclass(frozen=True)
class Step:
    """A layer with the tensors it reads and writes, by whatever identifies a tensor in the format. Constants are left out."""

    layer: Layer
    reads: tuple[Hashable, ...]
    writes: tuple[Hashable, ...]


@dataclass(frozen=True)
class Network:
    """A file as a sequence of steps.

    Attributes:
        batch: Number of images of one inference.
        steps: Steps in the order in which they run.
        sizes: Size in bytes of each tensor that a step reads or writes; None if the file leaves it open.
        entries: Tensors that are inputs of the file.
        outputs: Tensors that are outputs of the file.
        notes: Notes as in `Summary`.
        parameters: The format's own count of parameters, if larger than the steps': some weights are in the file but unused.
        weight_bytes: Size of those parameters in bytes.
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
    """Return the peak activations in bytes (see the module), and the layer at which they occur.

    Both are None if a size is unknown.
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
    """Return the size of a dense tensor in bytes, with small elements packed into bytes; None if unknown.

    Args:
        shape: Its shape, or None.
        dtype: A name with its bits, for example `int4`, `float32` or `float8_e4m3fn`, or else `bool`.
    """
    bits = re.search(r"\d+", dtype.replace("bool", "bool8"))
    if shape is None or bits is None:
        return None
    return math.ceil(math.prod(shape) * int(bits.group()) / 8)


def einsum_macs(equation: str, shapes: Sequence[Sequence[int]]) -> int | None:
    """Return the multiply-accumulates of an Einstein sum: the product of all dimensions for two operands, 0 for one.

    None for more operands, since the library chooses the order of products.
    """
    if len(shapes) == 1:
        return 0
    if len(shapes) != 2:
        return None
    sizes: dict[str, int] = {}
    terms = equation.replace(" ", "").split("->")[0].split(",")
    for term, shape in zip(terms, shapes, strict=True):
        hidden = len(shape) - len(term.replace("...", ""))
        # The dimensions of an ellipsis get names of their own, counted from the right as they broadcast.
        labels = re.findall(r"\w", term.split("...")[0])
        if "..." in term:
            labels += [f"...{hidden - i}" for i in range(hidden)] + list(term.split("...")[1])
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return math.prod(sizes.values())

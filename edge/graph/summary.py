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
from functools import partial
from importlib import import_module
from typing import Any

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.records import to_value
from edgecnn.edge.result import Result
from edgecnn.edge.sandbox.unverified import run_in_child, was_made


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

    The name of the type has its bits, as `int4`, `float32` or `float8_e4m3fn`, or is `bool`.
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


@dataclass(frozen=True, repr=False)
class Summary(Result):
    """What a file costs.

    Attributes:
        file: Name of the file.
        format: `keras`, `tflite` or `onnx`.
        size_bytes: Size of the file in bytes.
        batch: Images of one inference, to which all figures refer; a free batch counts as 1.
        layers: Layers in the order in which they run.
        parameters: Number of parameters; for a Keras model, as `count_params` counts them.
        macs: Multiply-accumulates of all layers that could be counted.
        weight_bytes: Size of all weights in bytes.
        peak_activation_bytes: See `edgecnn.edge.graph.summary`; None if a size is unknown.
        peak_layer: Name of the layer at which the peak occurs.
        not_counted: Kind and name of the layers whose multiply-accumulates are unknown.
        notes: What else a reader should know, one sentence each.
        unverified: Why the file is unverified, or None.
    """

    file: str
    format: str
    size_bytes: int
    batch: int
    layers: tuple[Layer, ...]
    parameters: int
    macs: int
    weight_bytes: int
    peak_activation_bytes: int | None
    peak_layer: str | None
    not_counted: tuple[str, ...]
    notes: tuple[str, ...]
    unverified: str | None

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per layer."""
        return [to_value(layer) for layer in self.layers]


@dataclass(frozen=True, repr=False)
class Summaries(Result):
    """What each file costs; `skipped` maps the name of each file that can't be read here to the reason."""

    files: tuple[Summary, ...]
    skipped: dict[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per file; sizes are in bytes."""
        names = ("file", "format", "size_bytes", "parameters", "macs", "weight_bytes", "peak_activation_bytes")
        return [{name: getattr(file, name) for name in names} for file in self.files]


def summarize(name: str, file: ModelFile, trust: tuple[str, ...] = (), signature: str | None = None) -> Summary:
    """Read a file and add up its costs; a file made on another machine is read in a child process.

    Messages call it `name`. `trust` names the trusted modules of a .keras file, as in `edgecnn.edge.runtimes.opener_for`, and
    `signature` one graph of a .tflite file that has several.

    Raises:
        ArtifactError: If the bytes are not such a file, or they crash the child process.
        ConfigError: If the file has no such signature, or a trusted module can't be imported.
        MissingDependency: If the package that reads the format is not installed.
    """
    if signature is not None and not FORMATS[file.format].signatures:
        raise ConfigError(f"a .{file.format} file has no signatures: omit {field('signature')}")
    read = partial(_summarized, file, Reading(name, trust, signature))
    return read() if was_made(file.data) else run_in_child(read, name, len(file.data))


def _summarized(file: ModelFile, reading: Reading) -> Summary:
    row = FORMATS[file.format]
    if row.reader is None or row.anatomy is None:
        readable = " or ".join(f"a {row.suffix} file" for row in FORMATS.values() if row.anatomy)
        raise ConfigError(f"{reading.name}: the layers of .{file.format} files can't be read: name {readable}")
    if not row.reader.is_installed:
        raise row.reader.missing
    network: Network = import_module(row.anatomy).read_network(file.data, reading)
    layers = tuple(step.layer for step in network.steps)
    peak, at = peak_activations(network)
    parameters, weight_bytes = sum(layer.parameters for layer in layers), sum(layer.weight_bytes for layer in layers)
    return Summary(
        reading.name,
        file.format,
        len(file.data),
        network.batch,
        layers,
        parameters if network.parameters is None else network.parameters,
        sum(layer.macs or 0 for layer in layers),
        weight_bytes if network.weight_bytes is None else network.weight_bytes,
        peak,
        at.name if at else None,
        tuple(f"{layer.kind} {layer.label}" for layer in layers if layer.macs is None),
        network.notes,
        file.unverified,
    )

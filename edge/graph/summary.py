"""What a model file costs, found without running it: layers, parameters, multiply-accumulates, bytes.

`edgecnn.edge.graph.network` defines how they are counted.
"""

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.folder.model_file import ModelFile
from edgecnn.edge.formats.format import FORMATS
from edgecnn.edge.graph.network import Layer, Network, Reading, peak_activations
from edgecnn.edge.records import to_value
from edgecnn.edge.result import Result
from edgecnn.edge.sandbox.unverified import run_in_child, was_made


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
        peak_activation_bytes: See `edgecnn.edge.graph.network`; None if a size is unknown.
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
        layers: list[dict[str, Any]] = to_value(self.layers)
        return layers


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

    Args:
        name: Name of the file for messages.
        file: The file and its bytes.
        trust: Trusted modules of a .keras file, as in `edgecnn.edge.runtimes.opener_for`.
        signature: Name of one graph of a .tflite file that has several.

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
        raise ConfigError(f"{reading.name}: the layers of .{file.format} files can't be read: name {_readable()}")
    if not row.reader.is_installed:
        raise row.reader.missing
    network = import_module(row.anatomy).read_network(file.data, reading)
    return _summary_of(network, reading.name, file)


def _readable() -> str:
    return " or ".join(f"a {row.suffix} file" for row in FORMATS.values() if row.anatomy)


def _summary_of(network: Network, name: str, file: ModelFile) -> Summary:
    layers = tuple(step.layer for step in network.steps)
    peak, at = peak_activations(network)
    parameters, weight_bytes = sum(layer.parameters for layer in layers), sum(layer.weight_bytes for layer in layers)
    return Summary(
        name,
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

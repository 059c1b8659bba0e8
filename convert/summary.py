"""What a model file costs before anything is run: layers, parameters, multiply-accumulates, bytes.

`convert.summary_network` says how they are counted.
"""

from dataclasses import dataclass

from convert.summary_keras import keras_network
from convert.summary_network import Layer, Network, peak_activations
from convert.summary_onnx import onnx_network
from convert.summary_tflite import tflite_network
from edge.errors import ConfigError
from edge.model_file import ModelFile


@dataclass(frozen=True)
class Summary:
    """What a file costs.

    Attributes:
        file: Its name.
        format: `keras`, `tflite` or `onnx`.
        size_bytes: Of the file.
        batch: Images of one inference, which all figures are for; a free batch counts as 1.
        layers: In the order in which they run.
        parameters: Of all; of a Keras model as `count_params` counts them.
        macs: Of all layers that could be counted.
        weight_bytes: Of all.
        peak_activation_bytes: See `convert.summary_network`; None where a size is not known.
        peak_layer: The name of the layer that runs then.
        not_counted: Layers whose multiply-accumulates are not known, as their kind and name.
        notes: What else a reader should know, a sentence each.
        unverified: Why nothing vouches for the file, or None.
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


@dataclass(frozen=True)
class Summaries:
    """The files of a folder or bundle; `skipped` are names of those that could not be read here, and why."""

    files: tuple[Summary, ...]
    skipped: dict[str, str]


def summarize(name: str, file: ModelFile, trust: tuple[str, ...] = (), signature: str | None = None) -> Summary:
    """Read a file and add up what it costs.

    Args:
        name: What to call it.
        file: As it was read.
        trust: Of a .keras file: as for `convert.keras_runtime.keras_opener`.
        signature: Of a .tflite file: which of its graphs, where it has several.

    Raises:
        ArtifactError: If the bytes are not such a file.
        ConfigError: If the signature is not one of the file's, or a trusted module can't be imported.
        MissingDependency: If what reads the format is not installed.
    """
    if signature is not None and file.format != "tflite":
        raise ConfigError(f"a .{file.format} file has no signatures: leave --signature away")
    if file.format == "keras":
        network = keras_network(file.data, name, trust)
    elif file.format == "tflite":
        network = tflite_network(file.data, signature)
    else:
        network = onnx_network(file.data)
    return _summary_of(network, name, file)


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

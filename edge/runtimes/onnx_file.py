"""What every runtime asks of an .onnx file before it opens it."""

from edgecnn.edge.compatibility.onnx_wire import has_external_data, random_operators
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.parsing import parsing
from edgecnn.edge.runtimes.base import refuse_random


def require_usable(data: bytes, signature: str | None, streaming: bool) -> None:
    """Raise unless an ONNX file is whole and deterministic, and nothing is asked of it that no ONNX file has.

    Raises:
        ArtifactError: If it is not whole, or draws random numbers.
        ConfigError: If a signature is named or streaming is set: ONNX files have no signatures and no state.
    """
    if signature is not None:
        raise ConfigError(f"an ONNX model has no signatures: omit {field('signature')}")
    if streaming:
        raise ConfigError("an ONNX model keeps no state between runs: omit streaming")
    require_whole(data)
    refuse_random("ONNX", random_operators(data))


def require_whole(data: bytes) -> None:
    """Raise if an ONNX file's weights are elsewhere: runtimes and onnx would read them from the current folder.

    Raises:
        ArtifactError: If they are elsewhere, or the bytes are not an ONNX file.
    """
    with parsing("the ONNX model can't be read", "copy it again"):
        external = has_external_data(data)
    if external:
        raise ArtifactError(
            "the ONNX model keeps its weights in another file, which no hash covers: store them inside with "
            "onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
        )

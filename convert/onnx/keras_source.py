"""What is converted from Keras to ONNX, and what comes of it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from edgecnn.edge.manifest import OnnxConversion

OPSET = 17
"""Opset of files without a target: ONNX Runtime 1.12 and later run it, and it has layer normalisation as one operator."""


@dataclass(frozen=True)
class KerasSource:
    """A Keras image classifier that becomes float32 ONNX with a free batch. Its input is `image`.

    Attributes:
        model: The Keras model.
        shape: Shape of one image, without the batch.
        dtype: numpy's name of the model's input type, for example float32 or uint8.
        output: Name for the output: `probabilities` or `logits`.
        opset: Opset of ai.onnx, at least 13, the first with per-channel scales in QuantizeLinear.
        channels_first: Whether the input becomes (n, channels, height, width), from (n, height, width, channels).
    """

    model: Any
    shape: tuple[int, ...]
    dtype: str
    output: str
    opset: int = OPSET
    channels_first: bool = False


class OnnxMade(NamedTuple):
    """An .onnx file, and how it was made."""

    data: bytes
    conversion: OnnxConversion

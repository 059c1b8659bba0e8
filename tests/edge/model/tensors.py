"""Tensors as model files describe them."""

from edgecnn.edge.manifest import Quantization, TensorSpec


def spec(dtype: str, scale: float | None = None, zero_point: int = 0) -> TensorSpec:
    quantization = None if scale is None else Quantization((scale,), (zero_point,))
    return TensorSpec("tensor", (1, 3), dtype, quantization)

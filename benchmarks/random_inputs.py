"""Inputs for a model that is timed and not judged: any one tensor, whatever it means."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency import timed_inputs
from edge.errors import ArtifactError
from edge.layout import shape_text
from edge.manifest import TensorSpec


def random_inputs(spec: TensorSpec, origin: str) -> list[NDArray[Any]]:
    """Return inputs of the model's own shape and dtype, the same ones each time.

    A free first size is a batch, of which one is taken. Integers are uniform over their type's whole range, floats are
    standard normal.

    Args:
        spec: The model's input.
        origin: The file, for messages.

    Raises:
        ArtifactError: If another size is free or none at all is left, or the numbers are neither integers, floats nor bools.
    """
    shape = tuple(1 if place == 0 and size is None else size for place, size in enumerate(spec.shape))
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape) or 0 in sizes:
        raise ArtifactError(
            f"{origin} takes {shape_text(spec.shape)}: random inputs need every size but the first: export it with them"
        )
    rng = np.random.default_rng(0)
    count = timed_inputs(math.prod(sizes))
    if spec.dtype in ("float16", "float32", "float64"):
        return [rng.standard_normal(sizes).astype(spec.dtype) for _ in range(count)]
    if spec.dtype == "bool":
        return [rng.integers(0, 2, sizes).astype(bool) for _ in range(count)]
    if spec.dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        span = np.iinfo(spec.dtype)
        return [rng.integers(span.min, span.max, sizes, spec.dtype, endpoint=True) for _ in range(count)]
    raise ArtifactError(f"{origin} takes {spec.dtype}, of which there are no random inputs: give a model of numbers")

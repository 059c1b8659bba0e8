"""Random inputs for a model that is timed but not judged: any single tensor."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.timing.latency import timed_inputs
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.layout import has_batch, shape_text


def random_inputs(spec: TensorSpec, origin: str) -> list[NDArray[Any]]:
    """Return inputs in the model's own shape and dtype, the same each time.

    A free first size is a batch, set to one, unless it is the only size. Integers are uniform over their type's
    whole range, floats are standard normal.

    Args:
        spec: Specification of the model's input.
        origin: Name of the file for messages.

    Raises:
        ArtifactError: If another size is free or no size is left, or the numbers are not integers, floats or bools.
    """
    batched = has_batch(spec.shape)
    shape = tuple(1 if batched and place == 0 and size is None else size for place, size in enumerate(spec.shape))
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape) or 0 in sizes:
        raise ArtifactError(
            f"{origin} takes {shape_text(spec.shape)}: random inputs need every size except the first: convert "
            "it with fixed sizes"
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
    raise ArtifactError(f"{origin} takes {spec.dtype}, for which there are no random inputs: give a model with numbers")

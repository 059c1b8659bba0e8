"""What a file that is new on this machine is run on, in a child process, before this process opens it."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, why
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.layout import has_batch
from edgecnn.edge.sandbox.unverified import lacks_memory

if TYPE_CHECKING:
    from edgecnn.edge.runtimes.base import LoadedModel

# What one call of a file with a free batch gets at most: enough for its fixed cost to vanish, and cheap to try.
_CALL_IMAGES = 32
_CALL_BYTES = 2**22


def most_images(image_bytes: int) -> int:
    """Return how many images one call of a file with a free batch gets at most, by the size of one as its input: 1 to 32."""
    return min(_CALL_IMAGES, max(1, _CALL_BYTES // max(1, image_bytes)))


def run_trial(open_trusted: Callable[[], "LoadedModel"], origin: str) -> None:
    """Open a file, and run it on zeros and on noise, as many images at a time as it will get at most.

    What an operator does may depend on its numbers and on how many there are: a loop may end for zeros alone, and memory grow
    with the cube of the batch.

    Raises:
        ArtifactError: If the runtime refuses the file, can't run it on zeros, or needs more memory than there is.
    """
    runtime = open_trusted()
    shape = list(runtime.input_spec.shape)
    if has_batch(runtime.input_spec.shape) and shape[0] is None:
        item = math.prod(size or 1 for size in shape[1:])
        shape[0] = most_images(item * np.dtype(runtime.input_spec.dtype).itemsize)
    if None in shape:
        return  # A size that nobody knows yet: whoever runs it has to say.
    sizes = [size or 0 for size in shape]
    try:
        runtime.run(np.zeros(sizes, runtime.input_spec.dtype))
    except Exception as error:  # Each runtime has errors of its own, with no common base class but this one.
        raise _cannot_run(origin, runtime, error) from error
    for noise in _noises(runtime.input_spec, sizes):
        try:
            runtime.run(noise)
        except Exception as error:
            # Numbers may mean something, as of words: what noise makes a runtime refuse does no harm.
            if lacks_memory(error):
                raise _cannot_run(origin, runtime, error) from error


def _cannot_run(origin: str, runtime: "LoadedModel", error: Exception) -> ArtifactError:
    fix = "copy it again, or convert it again for this runtime"
    return ArtifactError(f"{origin}: {runtime.name} can't run it ({why(error, 200)}): {fix}")


def _noises(spec: TensorSpec, sizes: list[int]) -> Iterator[NDArray[Any]]:
    """Yield two inputs, the same each time: of floats the ranges that pixels are scaled to, of others all that there are."""
    dtype = np.dtype(spec.dtype)
    for seed, (low, high) in enumerate(((-1, 1), (0, 255))):
        rng = np.random.default_rng(seed)
        if dtype.kind == "f":
            yield rng.uniform(low, high, sizes).astype(dtype)
        elif dtype.kind in "iu":
            yield rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, sizes, dtype, endpoint=True)
        elif dtype.kind == "b":
            yield rng.integers(0, 2, sizes).astype(dtype)

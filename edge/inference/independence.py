"""Checks that an answer depends on its image alone: not on the rest of its batch, on earlier runs, or on chance."""

from collections.abc import Callable

import numpy as np

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.preprocess import Floats, Images

# Summing in another order, as in a larger batch, changes a probability by less.
_SUMS = 1e-3
# A quantized output may be rounded in the other direction.
_STEPS = 2


class Independence:
    """Checks some of a file's answers, once.

    Args:
        classify: Function that turns uint8 images (n, h, w, c) into probabilities float32 (n, classes), without these checks.
        output: The file's output.
        origin: Name of the file for messages.
        streaming: Whether its images are meant to depend on one another; then nothing is checked.
    """

    def __init__(self, classify: Callable[[Images], Floats], output: TensorSpec, origin: str, streaming: bool) -> None:
        self._classify, self._origin = classify, origin
        self._tolerance = max(_SUMS, _STEPS * max(output.quantization.scales) if output.quantization else 0.0)
        self._of_batch = self._repeated = streaming

    def require_of_batch(self, images: Images, found: Floats) -> None:
        """Raise if a file's answer for an image depends on the other images of the same call.

        Args:
            images: The images of one call, uint8 (n, h, w, c).
            found: Probabilities float32 (n or more, classes), beginning with theirs.

        Raises:
            ArtifactError: If a probability changes by more than summing in another order explains.
        """
        if self._of_batch or len(images) < 2:
            return
        # The first and the last: images may be mixed from one end of the batch to the other.
        places = [0, len(images) - 1]
        alone = np.concatenate([self._classify(images[place : place + 1]) for place in places])
        self._require_same(
            alone, found[places], "answers depend on the other images of the batch", "export it for batches of 1"
        )
        self._of_batch = True

    def require_repeated(self, images: Images, found: Floats) -> None:
        """Raise if a file answers differently when the first of these images comes again. Otherwise like `require_of_batch`."""
        if self._repeated or not len(images):
            return
        again = self._classify(images[:1])
        fix = "convert it in inference mode, without state and random numbers"
        self._require_same(again, found[:1], "the same image gets another answer when it comes again", fix)
        self._repeated = True

    def _require_same(self, one: Floats, other: Floats, what: str, fix: str) -> None:
        moved = float(np.abs(one - other).max())
        if moved > self._tolerance:
            raise ArtifactError(f"{self._origin}: {what} (a probability changes by {moved:.2g}): {fix}")

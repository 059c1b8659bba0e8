"""A worker's part of a shared training run; a single process shares nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgecnn.convert.training.fit.interrupt import HeldInterrupt

# Seed gap between workers, larger than any model's number of dropout layers.
_SEED_STEP = 1_000_003


class SingleWorker:
    """The only worker of an ordinary run, with nothing to share.

    Attributes:
        number: Index of this worker, from 0.
        count: Number of workers.
    """

    number = 0
    count = 1

    @property
    def chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.number == 0

    @property
    def seed_offset(self) -> int:
        """The worker's offset of dropout seeds, so that no two workers drop the same."""
        return self.number * _SEED_STEP

    def part(self, values: Any) -> Any:
        """Return this worker's part of an array over a batch."""
        return values

    def agree(self, number: int) -> int:
        """Return the chief's value of a number."""
        return number

    def prepare(self, model: Any, batch: Any) -> None:
        """Make `model.fit` train together with the others, from the chief's weights, on batches such as this one."""
        model.optimizer.build(model.trainable_variables)  # Else TensorFlow traces a step twice, the first time to make these.

    def check(self, held: HeldInterrupt) -> None:
        """Raise KeyboardInterrupt after a batch if Ctrl-C was pressed."""
        held.check()

    def settle(self, model: Any) -> None:
        """After an epoch, make everything that is saved the same on all workers."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Raise an error of one line if another worker is lost in the block."""
        yield

"""The options of a measurement."""

import dataclasses
from dataclasses import dataclass

from edgecnn.benchmarks.measure.planning import PlanOptions
from edgecnn.benchmarks.timing.latency import Plan
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import MOST_THREADS


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and how.

    Attributes:
        threads: Numbers of threads to measure each file with, 1 to 64.
        plan: How long to measure, or the wishes for a plan that is chosen once the files are open.
        percents: Percentiles to report, above 0 and below 100 %.
        batch: Images in a batch, to measure throughput; None for no batches.
        rate: Frames per second of a camera loop; None for no such loop.
        sustained_seconds: Time to run each file without a pause, in seconds; 0 to omit this.
        profile: Whether to ask the runtimes for the time of each operator.
        paced_seconds: Length of the camera loop in seconds; 100 frames at least.

    Raises:
        ConfigError: If an option is out of range.
    """

    threads: tuple[int, ...] = (1,)
    plan: Plan | PlanOptions = dataclasses.field(default_factory=PlanOptions)
    percents: tuple[float, ...] = (50.0, 90.0, 99.0)
    batch: int | None = None
    rate: float | None = None
    sustained_seconds: float = 0.0
    profile: bool = False
    paced_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not self.threads or len(set(self.threads)) < len(self.threads):
            raise ConfigError(f"{field('threads')} must be different numbers, for example 1,2,4, got {self.threads}")
        for threads in self.threads:
            if not 1 <= threads <= MOST_THREADS:
                raise ConfigError(f"{field('threads')} must be 1 to {MOST_THREADS}, got {threads}")
        for percent in self.percents:
            if not 0 < percent < 100:
                raise ConfigError(f"{field('percents')} must be above 0 and below 100, got {percent}")
        if self.batch is not None and not 1 <= self.batch <= 4096:
            raise ConfigError(f"{field('batch')} must be 1 to 4096 images, got {self.batch}")
        if self.rate is not None and not 0.1 <= self.rate <= 1e6:
            raise ConfigError(f"{field('rate')} must be 0.1 to 1000000 frames a second, got {self.rate}")
        if not 0 <= self.sustained_seconds <= 86_400:
            raise ConfigError(f"{field('sustained_seconds')} must be at most 24 hours, got {self.sustained_seconds:.0f} s")

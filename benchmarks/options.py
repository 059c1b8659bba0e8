"""What to measure."""

from dataclasses import dataclass, field

from benchmarks.latency import Plan
from edge.errors import ConfigError
from edge.runtimes.base import MOST_THREADS


@dataclass(frozen=True)
class Options:
    """What to measure, and how.

    Attributes:
        formats: Which of the manifest's files.
        threads: Each file is measured with each of these numbers of threads, 1 to 64.
        plan: How long.
        percents: Percentiles to report, above 0 and below 100 %.
        batch: Images in a batch, to measure throughput; None for none.
        rate: Frames a second, to run as a camera loop does; None for none.
        sustained_seconds: How long to run each file at a stretch; 0 for not at all.
        profile: Ask the runtimes for the time of each op.
        paced_seconds: How long to keep up the rate; 100 frames at least.

    Raises:
        ConfigError: If out of range.
    """

    formats: tuple[str, ...]
    threads: tuple[int, ...] = (1,)
    plan: Plan = field(default_factory=Plan)
    percents: tuple[float, ...] = (50.0, 90.0, 99.0)
    batch: int | None = None
    rate: float | None = None
    sustained_seconds: float = 0.0
    profile: bool = False
    paced_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not self.threads or len(set(self.threads)) < len(self.threads):
            raise ConfigError(f"--threads must be different numbers, as 1,2,4, got {self.threads}")
        for threads in self.threads:
            if not 1 <= threads <= MOST_THREADS:
                raise ConfigError(f"--threads must be 1 to {MOST_THREADS}, got {threads}")
        for percent in self.percents:
            if not 0 < percent < 100:
                raise ConfigError(f"--percentile must be above 0 and below 100, got {percent}")
        if self.batch is not None and not 1 <= self.batch <= 4096:
            raise ConfigError(f"--batch must be 1 to 4096 images, got {self.batch}")
        if self.rate is not None and not 0.1 <= self.rate <= 1e6:
            raise ConfigError(f"--rate must be 0.1 to 1000000 frames a second, got {self.rate}")
        if not 0 <= self.sustained_seconds <= 86_400:
            raise ConfigError(f"--sustained must be at most 24 hours, got {self.sustained_seconds:.0f} s")


def thread_counts(text: str) -> tuple[int, ...]:
    """Return the numbers of `1` or `1,2,4`.

    Raises:
        ConfigError: If it is something else.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--threads must be a number, or several as 1,2,4, got {text}") from error

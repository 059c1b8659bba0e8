"""What is measured, and how long. It imports nothing heavy: the help of a command is made from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import MOST_THREADS
from edgecnn.edge.option import Group, Option, check, described, seconds, whole_numbers

NoiseName = Literal[
    "governor", "temperature", "throttled", "battery", "load", "neighbours", "preempted", "warm-up", "drift", "rounds"
]
NAMES: tuple[NoiseName, ...] = get_args(NoiseName)
"""The values of `allow`."""


Preference = Literal["accuracy", "speed", "size"]
"""What counts first when the file to ship is chosen; the others follow in this order, and the first after the last."""

PERCENTILES = (50.0, 90.0, 99.0)
Allow = Annotated[
    Sequence[str],
    Option("Noise to ignore, or noise for all of it", metavar="NAME", one_of=("noise", *NAMES)),
]


@described
@dataclass(frozen=True)
class Plan:
    """How long to measure each file: until both minima are met, spread evenly over the rounds of all launches.

    Differences between two processes of the same file (such as its place in memory) make up most of the variation between
    benchmarks, so intervals come from launches.

    Attributes:
        rounds: Number of turns of each file within a launch.
        max_seconds: A file whose `min_runs` take longer gets as many runs as fit into this time, and at least the
            11 of a p50. None for no such bound.
        chosen: Reason for these launches and rounds if edgecnn chose some of them; one line.
        until_width_percent: Launches continued until intervals were this narrow (`PlanOptions`); `launches` is
            their number then. None if the number was fixed.

    Raises:
        ConfigError: If a value is out of range.
    """

    min_seconds: Annotated[
        float,
        Option("Minimum duration of the timed runs of each side, in seconds.", metavar="SECONDS", low=0, high=86_400),
    ] = 1.0
    min_runs: Annotated[int, Option("Minimum number of timed runs of each side.", low=1, high=10**7)] = 1000
    launches: Annotated[int, Option("Number of processes that open each side.", low=1, high=100)] = 5
    rounds: Annotated[int, Option("Number of turns of each file within a launch.", low=1, high=100)] = 4
    max_seconds: float | None = None
    chosen: str = ""
    until_width_percent: float | None = None

    def __post_init__(self) -> None:
        check(self)

    @property
    def round_runs(self) -> int:
        """Minimum runs of one round."""
        return -(-self.min_runs // (self.launches * self.rounds))

    @property
    def round_seconds(self) -> float:
        """Minimum seconds of one round."""
        return self.min_seconds / (self.launches * self.rounds)


@described
@dataclass(frozen=True)
class PlanOptions:
    """Wishes for a plan; None leaves a value to `edgecnn.benchmarks.measure.planning.choose_plan`.

    Raises:
        ConfigError: If a value is out of range.
    """

    min_seconds: Annotated[
        float | None,
        Option("Minimum duration of each file's timed runs.", metavar="SECONDS", default="chosen", low=0, high=86_400),
    ] = None
    min_runs: Annotated[
        int | None, Option("Minimum timed runs of each file.", default="chosen, 700 or more", low=1, high=10**7)
    ] = None
    launches: Annotated[
        int | None, Option("Number of processes that open each file.", default="chosen, 5 or more", low=1, high=100)
    ] = None
    until_width_percent: Annotated[
        float | None,
        Option(
            "Launch 20 to 100 times, until every 95 % interval is this narrow on either side.",
            name="--until-width",
            metavar="PERCENT",
            above=0,
            high=100,
            unit="%",
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)


@described
@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and how.

    Attributes:
        paced_seconds: Length of the camera loop in seconds; 100 frames at least.

    Raises:
        ConfigError: If an option is out of range.
    """

    threads: Annotated[
        tuple[int, ...],
        Option(
            "Numbers of threads of the runtime; each is measured.",
            metavar="N,N...",
            low=1,
            high=MOST_THREADS,
            parse=whole_numbers,
            example="1,2,4",
        ),
    ] = (1,)
    plan: Annotated[
        Plan | PlanOptions,
        Group("How long to measure, or the wishes for a plan that is chosen once the files are open.", kind=PlanOptions),
    ] = PlanOptions()
    percents: Annotated[
        tuple[float, ...],
        Option(
            "Extra percentile, for example 99.9.", name="--percentile", metavar="PERCENT", default="none", above=0, below=100
        ),
    ] = PERCENTILES
    batch: Annotated[int | None, Option("Batch size whose throughput is also measured.", low=1, high=4096, unit="images")] = (
        None
    )
    rate: Annotated[
        float | None,
        Option(
            "Also run N images per second, and count late answers.",
            metavar="N",
            low=0.1,
            high=1_000_000,
            unit="images a second",
        ),
    ] = None
    sustained_seconds: Annotated[
        float,
        Option(
            "Also run each file without a pause, as 10m.",
            name="--sustained",
            metavar="TIME",
            low=0,
            high=86_400,
            unit="s",
            parse=seconds,
            example="90s, 10m or 1h",
        ),
    ] = 0.0
    profile: Annotated[bool, Option("Also measure the time of each operator.")] = False
    paced_seconds: float = 5.0

    def __post_init__(self) -> None:
        check(self)
        if not self.threads or len(set(self.threads)) < len(self.threads):
            raise ConfigError(f"{field('threads')} must be different numbers, for example 1,2,4, got {self.threads}")

"""The options of `edgecnn bench`, in groups."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

import edgecnn as ec
from edgecnn.cli.options import Allow

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_PERCENTILES = (50.0, 90.0, 99.0)


@dataclass(frozen=True)
class MeasureOptions:
    """What to measure, and how long."""

    PANEL: ClassVar = "Measuring"

    threads: Annotated[str, typer.Option(metavar="N,N...", help="Numbers of threads of the runtime; each is measured.")] = "1"
    min_seconds: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Minimum duration of each file's timed runs.", show_default="chosen"),
    ] = None
    min_runs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Minimum timed runs of each file.", show_default="chosen, 700 or more"),
    ] = None
    launches: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of processes that open each file.",
            show_default="chosen, 5 or more",
        ),
    ] = None
    until_width: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT", help="Launch 20 to 100 times, until every 95 % interval is this narrow on either side."
        ),
    ] = None
    percentile: Annotated[
        list[float] | None, typer.Option(metavar="PERCENT", help="Extra percentile, for example 99.9; repeatable.")
    ] = None
    batch: Annotated[int | None, typer.Option(metavar="N", help="Batch size whose throughput is also measured.")] = None
    rate: Annotated[float | None, typer.Option(metavar="N", help="Also run N images per second, and count late answers.")] = (
        None
    )
    sustained: Annotated[str, typer.Option(metavar="TIME", help="Also run each file without a pause, as 10m.")] = "0"
    profile: Annotated[bool, typer.Option("--profile", help="Also measure the time of each operator.")] = False

    def measured(self) -> "ec.BenchOptions":
        """Return the options as edgecnn's own type.

        Raises:
            ConfigError: If one is out of range, or is not a number or duration.
        """
        return ec.BenchOptions(
            threads=thread_counts(self.threads),
            plan=ec.PlanOptions(self.min_seconds, self.min_runs, self.launches, self.until_width),
            percents=tuple(sorted({*_PERCENTILES, *(self.percentile or ())})),
            batch=self.batch,
            rate=self.rate,
            sustained_seconds=seconds("--sustained", self.sustained),
            profile=self.profile,
        )


@dataclass(frozen=True)
class LimitOptions:
    """Limits."""

    PANEL: ClassVar = "Limits"

    budget: Annotated[Path | None, typer.Option(metavar="TOML", help="TOML file with limits; options override it.")] = None
    max_drop: Annotated[
        float | None,
        typer.Option(metavar="POINTS", help="Largest drop of accuracy from the reference.", show_default="0.5"),
    ] = None
    min_accuracy: Annotated[float | None, typer.Option(metavar="PERCENT", help="Minimum accuracy.")] = None
    min_agreement: Annotated[
        float | None, typer.Option(metavar="PERCENT", help="Minimum share with the reference's class.")
    ] = None
    max_class_drop: Annotated[
        float | None, typer.Option(metavar="POINTS", help="Largest drop of accuracy of any one class.")
    ] = None
    max_brier_increase: Annotated[
        float | None, typer.Option(metavar="N", help="Largest rise of the mean Brier score, 0 to 2.")
    ] = None
    max_p90_ms: Annotated[float | None, typer.Option(metavar="MS", help="Largest 90th percentile of latency.")] = None
    max_size_kib: Annotated[float | None, typer.Option(metavar="KIB", help="Largest size of an exported file.")] = None
    max_memory_mib: Annotated[float | None, typer.Option(metavar="MIB", help="Largest peak memory of a file's process.")] = None
    allow: Allow = None
    strict: Annotated[bool, typer.Option("--strict", help="Make any unstable time INVALID.")] = False
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Columns image and group: one group's images are dependent evidence.",
        ),
    ] = None

    def limits(self) -> dict[str, float]:
        """Return the limits that were given, by the names of `edgecnn.Budget`'s fields.

        Raises:
            ConfigError: If one is out of range.
        """
        named = {
            "max_drop_points": self.max_drop,
            "min_accuracy_percent": self.min_accuracy,
            "min_agreement_percent": self.min_agreement,
            "max_class_drop_points": self.max_class_drop,
            "max_brier_increase": self.max_brier_increase,
            "max_p90_ms": self.max_p90_ms,
            "max_size_kib": self.max_size_kib,
            "max_memory_mib": self.max_memory_mib,
        }
        given = {name: value for name, value in named.items() if value is not None}
        ec.Budget(**given)
        return given


@dataclass(frozen=True)
class DeviceOptions:
    """Where to measure."""

    PANEL: ClassVar = "Boards"

    device: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Measure on this host over ssh; repeatable, to measure several at once."),
    ] = None
    install: Annotated[
        bool, typer.Option("--install", help="With --device: install edgecnn there, in its own virtual environment.")
    ] = False


def thread_counts(text: str) -> tuple[int, ...]:
    """Return the numbers of `1` or `1,2,4`.

    Raises:
        ConfigError: If it is something else.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ec.ConfigError(f"--threads must be a number, or several such as 1,2,4, got {text}") from error


def seconds(name: str, text: str) -> float:
    """Return the seconds of an option such as `90`, `90s`, `10m` or `1.5h`.

    Raises:
        ConfigError: If the text has another form.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match:
        raise ec.ConfigError(f"{name} must be a duration, for example 90s, 10m or 1h, got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]

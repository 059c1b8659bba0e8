"""python -m tools.fastest_intervals: how often `time over FASTEST` is wrong, in simulated benchmarks; about a minute.

Prints the tables of docs/explanation/measuring.md.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.intervals import fastest_quantile, student_quantile

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]
# Random numbers, and the numbers of benchmarks, launches and files -> logarithms of times in standard deviations of a launch,
# float64 of that shape, and the true ones, float64 (files,).
Scene = Callable[[np.random.Generator, Shape], tuple[Floats, Floats]]

FILES = (2, 4, 10, 20)
LAUNCHES = (3, 5, 10, 20)
BENCHMARKS = 20_000
_PART = 2_000  # Benchmarks in memory at once.
EQUAL = "equal files"


def _normal(
    spread: Callable[[int], Floats] = np.ones, truth: Callable[[int], Floats] = np.zeros, together: float = 0.0
) -> Scene:
    """Return a scene of normal launches.

    Args:
        spread: Number of files -> standard deviation of each one's launches.
        truth: Number of files -> true values.
        together: Standard deviation of what slows all files of a launch, each by a factor of its own from 0 to 1.
    """

    def drawn(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Floats]:
        files = shape[-1]
        shared = together * rng.standard_normal((*shape[:2], 1)) * np.linspace(0, 1, files)
        return rng.standard_normal(shape) * spread(files) + shared + truth(files), truth(files)

    return drawn


def _skewed(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Floats]:
    return rng.exponential(1, shape), np.ones(shape[-1])


def _outliers(rng: np.random.Generator, shape: Shape) -> tuple[Floats, Floats]:
    return rng.standard_normal(shape) + 10 * (rng.random(shape) < 0.1), np.ones(shape[-1])


SCENES: dict[str, Scene] = {
    EQUAL: _normal(),
    "half of them slower": _normal(truth=lambda files: np.where(np.arange(files) < files / 2, 0.0, 1.0)),
    "each a little slower than the one before": _normal(truth=lambda files: np.linspace(0, 1, files)),
    "one 5 times as noisy": _normal(spread=lambda files: np.where(np.arange(files) == 0, 5.0, 1.0)),
    "half of them 3 times as noisy": _normal(spread=lambda files: np.where(np.arange(files) < files / 2, 3.0, 1.0)),
    "one 10 times as steady": _normal(spread=lambda files: np.where(np.arange(files) == 0, 0.1, 1.0)),
    "a slow launch slows some of them": _normal(together=2.0),
    "skewed launches (exponential)": _skewed,
    "one launch in ten far slower": _outliers,
}


def wrong(scene: Scene, files: int, launches: int, quantile: float, benchmarks: int = BENCHMARKS) -> tuple[float, float]:
    """Return the shares of benchmarks that call a file slower that is not, and in which any interval misses the truth.

    It is what `edgecnn.benchmarks.results.latency_summary.ratios` does with each file's time over the fastest's.
    """
    rng, counts = np.random.default_rng(0), np.zeros(2)
    for part in range(0, benchmarks, _PART):
        logs, truth = scene(rng, (min(_PART, benchmarks - part), launches, files))
        base = logs.mean(axis=1).argmin(axis=1)
        differences = logs - logs[np.arange(len(logs)), :, base][:, :, None]
        mean = differences.mean(axis=1)
        half = quantile * differences.std(axis=1, ddof=1) / math.sqrt(launches)
        true = truth - truth[base][:, None]
        slower, missed = (mean > half) & (true <= 0), np.abs(mean - true) > half
        counts += slower.any(axis=1).sum(), missed.any(axis=1).sum()
    slower_share, missed_share = counts / benchmarks
    return float(slower_share), float(missed_share)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def wrong_table() -> list[str]:
    """Return the percentages of benchmarks with a false "slower" and with any wrong interval: the most of `LAUNCHES`."""
    lines = [_row("", *(f"{files} files" for files in FILES)), f"|---|{'--:|' * len(FILES)}"]
    plain = [
        [wrong(SCENES[EQUAL], files, launches, student_quantile(0.975, launches - 1)) for launches in LAUNCHES]
        for files in FILES
    ]
    lines.append(_row(f"{EQUAL}, each interval by itself", *map(_worst, plain)))
    for name, scene in SCENES.items():
        found = [[wrong(scene, files, launches, fastest_quantile(files, launches)) for launches in LAUNCHES] for files in FILES]
        lines.append(_row(name, *map(_worst, found)))
    return lines


def _worst(found: list[tuple[float, float]]) -> str:
    slower, missed = (100 * max(shares) for shares in zip(*found, strict=True))
    return f"{slower:.1f}, {missed:.1f}"


def width_table() -> list[str]:
    """Return how many standard errors an interval reaches on either side, as Markdown."""
    lines = [_row("launches", *(f"{files} files" for files in FILES)), f"|--:|{'--:|' * len(FILES)}"]
    return [*lines, *(_row(str(n), *(f"{fastest_quantile(files, n):.1f}" for files in FILES)) for n in LAUNCHES)]


if __name__ == "__main__":
    print("\n".join([*width_table(), "", *wrong_table()]))

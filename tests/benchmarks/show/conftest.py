from dataclasses import replace

import pytest

from edgecnn.benchmarks.machine.noise import Load
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.show import plots
from edgecnn.benchmarks.timing.times import Times


@pytest.fixture
def quiet(measured: Report) -> Report:
    """`measured`, as if the machine had been quiet."""
    return replace(measured, noise=(), allowed=(), load=Load(1.0, 0.01, 0.0), empty_call=Times.pack([1]))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take most of a page's time."""
    for name in ("distribution", "slowest", "rounds", "tradeoff", "sustained", "paced"):
        monkeypatch.setattr(plots, name, lambda *_: "<svg></svg>")

import pytest

from edgecnn.benchmarks.show import plots


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take most of a page's time."""
    for name in ("distribution", "slowest", "rounds", "tradeoff", "sustained", "paced"):
        monkeypatch.setattr(plots, name, lambda *_: "<svg></svg>")

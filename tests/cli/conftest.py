"""Each test of the command line runs in its own folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecnn.benchmarks.measure import planning


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def few_launches() -> Iterator[None]:
    """Two short launches of each file, for tests to which the times don't matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_LAUNCHES", 2)
        patch.setattr(planning, "_MOST_CHOSEN", 2)
        patch.setattr(planning, "_ROUND_SECONDS", 0.005)
        yield

"""A stand-in for edgecnn with planted faults, and a runner of its commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.faults.pool import Lane


@pytest.fixture
def lane(planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    """Run commands of the module in the test file's fixture `planted`."""
    (tmp_path / "planted" / "edgecnn").mkdir(parents=True)
    (tmp_path / "planted" / "edgecnn" / "__init__.py").touch()
    (tmp_path / "planted" / "edgecnn" / "__main__.py").write_text(planted)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "planted"))
    made = Lane(tmp_path / "lane", "device", hang_seconds=60)
    yield made
    made.close()

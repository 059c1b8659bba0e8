"""A folder with a module of models as users write one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.convert.training.own_nets import MODULE


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with `own_nets.py`."""
    (tmp_path / "own_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_nets", None)
    yield tmp_path / "own_nets.py"
    sys.modules.pop("own_nets", None)

"""What the tests of tuning share."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.convert.export.tuning.invented import Invented, few_floats, tuned


@pytest.fixture(scope="module")
def export_so_far(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """What an export has made when it tunes: the arguments of `tuned_file`."""
    asked: list[tuple[Any, ...]] = []
    folder = tmp_path_factory.mktemp("so far") / "bars"
    shutil.copytree(exported, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecnn.convert.export.export.tuned_file", lambda *arguments: asked.append(arguments))
        tuned(folder, idx_folder, Invented(few_floats))
    return asked[0]

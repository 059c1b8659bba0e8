"""How often a file is wrongly called slower than the fastest: in simulated benchmarks, and in the documentation."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.statistics.intervals import fastest_quantile, student_quantile
from tools.fastest_intervals import EQUAL, FILES, LAUNCHES, SCENES, width_table, wrong

DOCS = Path(__file__).parents[2] / "docs/explanation/measuring.md"


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("launches", LAUNCHES)
def test_all_intervals_hold_at_once_in_95_percent_of_benchmarks(scene: str, files: int, launches: int) -> None:
    quantile, benchmarks = fastest_quantile(files, launches), 2000
    slower, missed = wrong(SCENES[scene], files, launches, quantile, benchmarks)
    assert slower <= missed <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / benchmarks)


def test_intervals_of_single_pairs_would_call_an_equal_file_slower_in_half_of_all_benchmarks_of_ten() -> None:
    shares = [wrong(SCENES[EQUAL], files, 5, student_quantile(0.975, 4), 2000)[0] for files in FILES]
    np.testing.assert_allclose(shares, [0.05, 0.2, 0.57, 0.83], atol=0.03)


def test_the_documentation_has_the_tables_that_the_command_prints() -> None:
    text = DOCS.read_text()
    assert "\n".join(width_table()) in text
    assert "python -m tools.fastest_intervals" in text
    for scene in SCENES:
        (row,) = re.findall(rf"^\| {re.escape(scene)} \| (.+) \|$", text, re.MULTILINE)
        assert all(float(missed) <= 6 for cell in row.split(" | ") for missed in cell.split(", ")), scene

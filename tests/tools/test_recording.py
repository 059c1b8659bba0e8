"""The recording: what commands really print, in an SVG that loads nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.recording import Line, run, svg

SAID = """
import os, sys
print("progress", file=sys.stderr, flush=True)
print("\\033[1;32mPASS\\033[0m <int8> & more")
print(os.get_terminal_size().columns, sys.stdout.isatty())
"""


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return run([sys.executable, "-c", SAID], Path.cwd())


def test_a_command_that_fails_is_not_recorded() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], Path.cwd())
    assert failed.value.output == "why"


def test_a_command_writes_to_a_terminal_of_80_columns(lines: list[Line]) -> None:
    assert sorted(line.text.plain for line in lines) == ["80 True", "PASS <int8> & more", "progress"]
    assert [line.seconds for line in lines] == sorted(line.seconds for line in lines)


def test_the_picture_has_every_line_at_its_time_and_loads_nothing(lines: list[Line]) -> None:
    later = [Line(100.0, line.text) for line in lines]
    picture = svg([("edgecnn bench", lines), ("edgecnn doctor", later)])
    words = re.sub(r"&#160;", " ", "".join(re.findall(r"<text[^>]*>([^<]*)</text>", picture)))
    for part in ("$ edgecnn bench", "PASS", "&lt;int8&gt; &amp; more", "progress", "$ edgecnn doctor"):
        assert part in words
    times = [float(time) for time in re.findall(r'<text style="animation-delay: ([\d.]+)s"', picture)]
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < 5  # A pause of 100 s is not waited for.
    assert set(re.findall(r"\w+://[^\s\"'<)]*", picture)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in picture

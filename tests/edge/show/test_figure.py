"""A figure as a .png file, or none."""

import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from edgecnn.edge.errors import ConfigError, MissingDependency
from edgecnn.edge.show.pictures import png_figure


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(MissingDependency, match="matplotlib"), png_figure(tmp_path / "a.png", 1, 1):
        pass
    assert not list(tmp_path.iterdir())


def test_a_drawing_that_fails_leaves_no_file_and_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), png_figure(tmp_path / "a.png", 1, 1):
        _ = 1 / 0
    with pytest.raises(ConfigError, match="gone"), png_figure(tmp_path / "gone/file/a.png", 1, 1):
        (tmp_path / "gone").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["gone"]


def test_a_users_own_settings_and_names_in_any_script_do_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for width in (1.5, 9.0):
        monkeypatch.setitem(mpl.rcParams, "lines.linewidth", width)
        with png_figure(tmp_path / "a.png", 2, 1) as figure:
            figure.add_subplot(title=r"层 $\frac$").plot([1, 2])
        drawn.append((tmp_path / "a.png").read_bytes())
    assert drawn[0] == drawn[1]
    assert drawn[0][:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(drawn[0][16:20]), int.from_bytes(drawn[0][20:24])) == (240, 120)

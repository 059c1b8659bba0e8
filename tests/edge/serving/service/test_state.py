"""A folder for what a server keeps is one server's at a time, and another's once that has ended, however it ended."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.serving.service.control import state_folder

HOLDER = """
import sys, time
from pathlib import Path
from edgecnn.edge.serving.service.control import state_folder
with state_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_made_for_this_user_alone_and_refused_while_another_server_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "held\n"
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            with pytest.raises(ConfigError, match=r"state=.* is used by another server"), state_folder(folder):
                pass
        finally:
            holder.kill()
    with state_folder(folder) as again:
        assert again == folder


def test_a_folder_that_can_t_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(ConfigError, match=f"{place} can't be written"), state_folder(place):
            pass

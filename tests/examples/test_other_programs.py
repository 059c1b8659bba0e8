"""The program for picamera2 in docs/how-to/other-programs.md names Keras's class of each frame."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

from tests.kept.make import KEPT

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "other-programs.md"


def test_the_program_for_picamera2_names_the_class_of_each_frame(idx_folder: Path, tmp_path: Path) -> None:
    """The module stands in for Debian's python3-picamera2 and behaves like it for these calls, but proves nothing about it."""
    stand_in = f"""
        import numpy as np
        from edgecnn.edge.data.dataset import load_test

        class Picamera2:
            def __enter__(self):
                self.next = 0
                self.images = load_test({str(idx_folder)!r}).images(range(6))
                return self

            def __exit__(self, *_):
                pass

            def create_preview_configuration(self, main):
                return main

            def configure(self, main):
                assert main == {{"size": (224, 224), "format": "BGR888"}}

            def start(self):
                pass

            def capture_array(self):
                if self.next == 6:
                    raise KeyboardInterrupt
                rows = np.arange(224) * 12 // 224
                self.next += 1
                return np.broadcast_to(self.images[self.next - 1][rows][:, rows], (224, 224, 3)).copy()
    """
    (tmp_path / "picamera2.py").write_text(textwrap.dedent(stand_in))
    (code,) = re.findall(r"```python\n(# picamera2_tflite\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "program.py").write_text(code)
    for name in ("labels.txt", "rpicam-apps.tflite"):
        (tmp_path / name).write_bytes((KEPT / "rpicam_apps" / name).read_bytes())
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    keras = np.load(KEPT / "bars" / "reference.npy")[:6].argmax(axis=1)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(index) for index in keras], done.stderr

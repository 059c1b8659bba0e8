"""`make device-wheel`: the wheel that a board installs."""

import shutil
import sys
import tempfile
from pathlib import Path

from edgecnn.benchmarks.remote.install import device_wheel


def main(folder: Path) -> None:
    """Write the wheel into `folder`, and print how to install it."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = device_wheel(Path(scratch))
        if wheel is None:
            raise SystemExit("this edgecnn came from a package index: install it on the board from there")
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(shutil.copy2(wheel, folder))
    print(f"{made}: {made.stat().st_size:,} bytes. On the board: pip install '{made.name}[tflite]'")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

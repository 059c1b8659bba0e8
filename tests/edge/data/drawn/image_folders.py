"""How a folder of small images is written."""

from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.edge.data.splits import Part

SIZE = (10, 8)
TEST_ONLY: tuple[Part, ...] = ("test",)


def write(folder: Path, count: int, size: tuple[int, int] = SIZE, mode: str = "RGB", seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *folder.name.encode()])
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).convert(mode).save(folder / f"{number:02}.png")

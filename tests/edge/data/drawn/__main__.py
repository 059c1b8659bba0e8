"""How many near-duplicates are found among somebody's photos: python -m tests.edge.data.drawn FOLDER [COUNT].

Prints the groups among COUNT different photos of a folder, which are false alarms if all show different things, and how many
of the first quarter are found again after each change.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.edge.data.image_folder import SUFFIXES
from edgecnn.edge.data.near_duplicates import near_groups, thumbnail
from tests.edge.data.drawn.photos import CHANGES


def main(folder: str, count: int = 1000) -> None:
    """Print the figures."""
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)[:count]
    originals = np.stack([thumbnail(np.asarray(Image.open(file).convert("RGB"))) for file in files])
    pairs = len(files) * (len(files) - 1) // 2
    print(f"{len(_groups(originals))} groups among {len(files):,} photos ({pairs:,} pairs)")
    some = files[: len(files) // 4]
    for name, change in CHANGES.items():
        changed = np.stack([thumbnail(np.asarray(change(Image.open(file).convert("RGB")).convert("RGB"))) for file in some])
        found = _groups(np.concatenate([originals[: len(some)], changed]))
        again = sum({place, place + len(some)} <= group for place in range(len(some)) for group in found)
        print(f"{name}: {again} of {len(some)} found", flush=True)


def _groups(thumbnails: np.ndarray) -> list[set[int]]:
    return [set(group.tolist()) for group in near_groups(thumbnails, np.ones(len(thumbnails), bool))]


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

"""Labelled images of a repository as one .npz file: calibration images are its training part, held-out ones its test part."""

import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.npz import load_npz
from edgecnn.edge.data.splits import PARTS, FileSplit
from tools.repairs.repositories import Repositories
from tools.repairs.table import PublicImages

SEED = 0
# Of images that their authors did not split, this share sets ranges; the others are held out.
_CALIBRATION_SHARE = 0.3


def write_images(images: PublicImages, repositories: Repositories, path: Path) -> None:
    """Write the .npz file.

    Raises:
        SystemExit: If the repository has no such images.
    """
    labels = labels_of(images, repositories.list_files(images.repo, images.commit))
    if not labels:
        raise SystemExit(f"{images.repo} has no images whose path fits {images.path}: correct the table")
    parts = split(images, sorted(labels))
    folder = path.with_suffix(".files")
    try:
        repositories.write_files(images.repo, images.commit, [name for names in parts.values() for name in names], folder)
        arrays: dict[str, Any] = {}
        for part, names in parts.items():
            numbers = np.array([labels[name] for name in names], np.int64)
            files = FileSplit(folder, tuple(names), numbers, images.shape, images.fit)
            arrays |= {f"x_{part}": files.images(np.arange(len(names))), f"y_{part}": numbers}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def labels_of(images: PublicImages, names: list[str]) -> dict[str, int]:
    """Return the class number of each path that is one of the images."""
    found = {name: match["label"] for name in names if (match := re.fullmatch(images.path, name))}
    classes = images.classes or sorted({*found.values()})
    numbers = {label: images.first + number for number, label in enumerate(classes)}
    return {name: numbers[label] for name, label in found.items() if label in numbers}


def split(images: PublicImages, names: list[str]) -> dict[str, list[str]]:
    """Return the calibration images (`train`) and the held-out images (`test`), drawn at random with a fixed seed.

    Where the path says which images are for testing, only those are held out. No image is in both parts.
    """
    drawn = random.Random(SEED).sample(names, len(names))  # noqa: S311 - It draws images, no secrets.
    parts = {name: match.groupdict().get("part") for name in drawn if (match := re.fullmatch(images.path, name))}
    if any(parts.values()):
        train, test = ([name for name in drawn if (parts[name] == "test") == held_out] for held_out in (False, True))
    else:
        count = min(images.calibration, round(_CALIBRATION_SHARE * len(drawn)))
        train, test = drawn[:count], drawn[count:]
    return {"train": train[: images.calibration], "test": test[: images.held_out]}


def dataset_of(path: Path) -> Dataset:
    """Return a written file as a dataset; `edgecnn.load_dataset` refuses fewer calibration images than there are classes."""
    train, test = (load_npz(path, part) for part in PARTS)
    classes = 1 + int(max(train.labels.max(), test.labels.max()))
    return Dataset(path.stem, str(path), tuple(map(str, range(classes))), train, test)

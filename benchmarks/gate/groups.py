"""Images in groups, such as frames of one video or pictures of one patient, and their weight as evidence.

A group counts as one image, however many it has and however similar they are. Estimating their similarity (the design
effect of Korn and Graubard, 1998) was tried, and missed the truth in up to 15 % of samples with few flips in few groups.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.edge.data.splits import FileSplit, Split
from edgecnn.edge.errors import ArtifactError, ConfigError, field, parsing
from edgecnn.edge.export_records import Interval
from edgecnn.edge.files import read_bytes

_MOST_BYTES = 2**28
_COLUMNS = ["image", "group"]
_FIX = f"give a CSV file with the columns {','.join(_COLUMNS)} and a line for each test image"


def read_groups(path: Path, test: Split) -> NDArray[np.int64]:
    """Return the number of each test image's group, int64 (n,).

    Args:
        path: A CSV file with the columns `image` and `group`. An image is a file's path in its folder, or the index of a test
            image from 0; a group is any text.
        test: The test images.

    Raises:
        ConfigError: If the file can't be read, or does not name each test image exactly once. It may name other image files.
    """
    try:
        data = read_bytes(path, _MOST_BYTES)
    except ArtifactError as error:
        raise ConfigError(f"{field('groups')}: {error.marked}") from error
    with parsing(f"{field('groups')}: {path} is not a CSV file", _FIX, ConfigError):
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        if reader.fieldnames is None or not set(_COLUMNS) <= set(reader.fieldnames):
            raise ConfigError(f"{field('groups')}: {path} does not have the columns {' and '.join(_COLUMNS)}: {_FIX}")
        rows = [(row["image"] or "", row["group"] or "") for row in reader]
    count = len(test.labels)
    names = _names(test)
    groups: dict[int, str] = {}
    for image, group in rows:
        if names and image not in names:
            continue  # A list of all images in a folder includes the training images.
        place = names[image] if names else int(image) if image.isdecimal() and len(image) < 19 else -1
        if not 0 <= place < count:
            raise ConfigError(f"{field('groups')}: {path} names {image!r}, which is not one of {count:,} test images: {_FIX}")
        if place in groups:
            raise ConfigError(f"{field('groups')}: {path} names {image!r} twice: {_FIX}")
        groups[place] = group
    if len(groups) < count:
        raise ConfigError(f"{field('groups')}: {path} names {len(groups):,} of {count:,} test images: {_FIX}")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups.values()))}
    return np.array([numbers[groups[place]] for place in range(count)], np.int64)


def weight(sizes: Iterable[int]) -> float:
    """Return the weight of an image, above 0 and at most 1, for groups of these sizes.

    Groups of equal size count as one image each. With several sizes the larger weigh more, so effectively fewer: Kish
    (1965, "Survey Sampling", section 11.7), (sum of sizes)^2 / sum of squares.
    """
    numbers = list(sizes)
    return sum(numbers) / sum(number**2 for number in numbers)


def share_interval(count: int, images: int, weight: float = 1.0) -> Interval:
    """Return count / images with its 95 % interval (Clopper-Pearson), where each image has this weight."""
    if weight == 1:
        return binomial.interval(count, images)
    # Without gains the upper end of a drop is Clopper and Pearson's, also for fractions of images.
    above, high = (drop_interval(of * weight, 0, images * weight).high for of in (images - count, count))
    return Interval(count / images, 1 - above, high)


def _names(test: Split) -> dict[str, int]:
    """Return the index of each image file; empty for images in an array."""
    return {name: place for place, name in enumerate(test.names)} if isinstance(test, FileSplit) else {}

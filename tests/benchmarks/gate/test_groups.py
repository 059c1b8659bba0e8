"""Images in groups: their weight, that intervals hold however similar a group's images are, and reading groups."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.gate.tally import Tally, read_groups, share_interval, weight
from edgecnn.edge.data.splits import ArraySplit, FileSplit
from edgecnn.edge.errors import ConfigError

pytestmark = pytest.mark.workstation("exact sums and simulations take minutes under emulation")

FOUR = ArraySplit(np.zeros((4, 5, 5, 1), np.uint8), np.zeros(4, np.int64))


@pytest.mark.parametrize(("sizes", "images"), [([1] * 30, 30), ([100] * 20, 20), ([90, 5, 5], 100**2 / (90**2 + 50)), ([7], 1)])
def test_a_group_counts_as_one_image_and_a_large_one_makes_the_others_fewer(sizes: list[int], images: float) -> None:
    assert weight(sizes) * sum(sizes) == pytest.approx(images)


@pytest.mark.parametrize(("count", "images"), [(0, 20), (3, 20), (20, 20), (199, 400)])
def test_fractions_of_images_give_clopper_and_pearsons_interval_too(count: int, images: int) -> None:
    whole, parts = share_interval(count, images), share_interval(5 * count, 5 * images, 0.2)
    assert [parts.estimate, parts.low, parts.high] == pytest.approx([whole.estimate, whole.low, whole.high], abs=1e-4)


@pytest.mark.parametrize(
    ("groups", "size", "share", "alike"),
    [
        (20, 50, 0.01, 0.3),
        (50, 20, 0.01, 0.3),
        (20, 50, 0.05, 0.5),
        (10, 100, 0.05, 0.3),
        (50, 20, 0.05, 0.01),
        (30, 10, 0.1, 0.99),
    ],
)
def test_each_end_misses_the_truth_in_no_more_samples_than_it_says(groups: int, size: int, share: float, alike: float) -> None:
    """Draw groups whose images have an intraclass correlation of `alike`: a beta-binomial."""
    rng, trials, below, above = np.random.default_rng(0), 1000, 0, 0
    of_group = rng.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), (trials, groups))
    interval = cache(lambda count: share_interval(count, groups * size, 1 / size))
    for count in rng.binomial(size, of_group).sum(axis=1).tolist():
        found = interval(count)
        below, above = below + (found.high < share), above + (found.low > share)
    assert below / trials <= 0.025
    assert above / trials <= 0.025


def test_a_tally_of_groups_has_wider_intervals_and_the_same_estimates() -> None:
    labels = np.arange(400) % 4
    reference = np.eye(4, dtype=np.float32)[labels]
    candidate = np.eye(4, dtype=np.float32)[np.where(labels + np.arange(400) // 20 == 1, 2, labels)]
    alone, together = Tally(4), Tally(4)
    alone.add(candidate, reference, labels)
    together.add(candidate, reference, labels, groups=np.arange(400) // 20)
    one, other = alone.accuracy(), together.accuracy()
    assert (one.groups, other.groups, other.weight) == (None, 20, 0.05)
    assert (one.lost, one.correct, one.drop.estimate) == (other.lost, other.correct, other.drop.estimate)
    for name in ("drop", "agreement", "right", "reference_right", "brier_increase"):
        narrow, wide = getattr(one, name), getattr(other, name)
        assert wide.low < narrow.low or wide.low == narrow.low == 0
        assert wide.high > narrow.high or wide.high == narrow.high == 1
    # One group lost and none gained, in each of four classes.
    assert [of.p for of in other.classes] == [1] * 4


def write(folder: Path, *lines: str) -> Path:
    path = folder / "groups.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_groups_are_read_by_index_or_by_file_name_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, "group,image,note", "ann,3,x", "bob,0,", "ann,1,", "bob,2,")
    assert read_groups(path, FOUR).tolist() == [1, 0, 1, 0]
    split = FileSplit(tmp_path, ("cats/1.png", "dogs/2.png"), np.array([0, 1]), (5, 5, 1), "letterbox")
    path = write(tmp_path, "image,group", "dogs/2.png,p1", "cats/9.png,p7", "cats/1.png,p2")
    assert read_groups(path, split).tolist() == [1, 0]
    with pytest.raises(ConfigError, match=r"groups\.csv names 1 of 2"):
        read_groups(write(tmp_path, "image,group", "dogs/2.png,p1"), split)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (("picture,group", "0,a"), "columns image and group"),
        (("image,group", "0,a", "1,a", "2,b"), "names 3 of 4"),
        (("image,group", "0,a", "1,a", "2,b", "2,c"), "'2' twice"),
        (("image,group", "0,a", "1,a", "2,b", "4,c"), "'4'"),
        (("image,group", "0,a", "1,a", "2,b", "-1,c"), "'-1'"),
        (("image,group", "0,a", "1,a", "2,b", f"{10**30},c"), f"'{10**30}'"),
        (('image,group\n"', "0,a"), "not a CSV file"),
        ((), "columns"),
    ],
)
def test_a_file_that_does_not_name_each_test_image_once_is_refused(lines: tuple[str, ...], named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_groups(write(tmp_path, *lines), FOUR)
    assert named in str(caught.value)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv does not exist"):
        read_groups(tmp_path / "none.csv", FOUR)
    (tmp_path / "groups.csv").write_bytes(b"image,group\n\xff\xfe,a\n")
    with pytest.raises(ConfigError, match=r"groups\.csv is not a CSV"):
        read_groups(tmp_path / "groups.csv", FOUR)

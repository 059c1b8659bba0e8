"""Finds near-duplicates: photos that were compressed again, resized, cropped, mirrored or brightened, or taken in a burst.

Pictures become thumbnails of 32x32 greys. The low frequencies of a thumbnail, whole and without a tenth at two of its sides,
propose pairs. A proposed pair is aligned by scale and shift (Lucas and Kanade, An iterative image registration technique,
1981), whatever its brightness and contrast. It is a near-duplicate if the aligned thumbnails correlate, and their details too:
two landscapes are alike in their low frequencies only.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.image_file import ImageRule, fit_image, image_header, read_image
from edgecnn.edge.data.splits import FileSplit, Split, chunks
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.result import Progress
from edgecnn.edge.text import counted

Floats = NDArray[np.float32]
Places = NDArray[np.int64]
OnProgress = Callable[[int, int], None]

SIDE = 32
# Smaller pictures of different things, such as digits, are too much alike.
LEAST_SIDE = 32
# All pairs of so many take minutes.
MOST_IMAGES = 100_000
# In a thumbnail of less contrast (standard deviation of its greys) there is nothing to compare.
_LEAST_CONTRAST = 5.0
# Frequencies along each axis, and the correlation that proposes a pair: of 1,000 photos of ImageNet 99.8 % of random crops
# to 90 % of the sides, and 2.5 of 100,000 pairs of different photos.
_FREQUENCIES = 6
_PROPOSED = 0.84
# Each window's part of the sides, and the shift of its middle, of half a side: whole, and 90 % at each corner.
_WINDOWS = ((1.0, 0.0, 0.0), *((0.9, x, y) for x in (-0.05, 0.05) for y in (-0.05, 0.05)))
# What is proposed for an image is at most this many others, those of the highest correlation.
_MOST_PAIRS = 20
# A near-duplicate has at least this correlation of the aligned thumbnails, and of their details, on this part of the thumbnail.
_ALIKE, _ALIKE_COARSELY, _ALIKE_IN_DETAIL, _OVERLAP = 0.9, 0.8, 0.5, 0.85
_QUERIES, _TILE, _PAIRS = 400, 5000, 300


def thumbnail(picture: Images) -> NDArray[np.uint8]:
    """Return a picture, uint8 (h, w, 1 or 3), as uint8 (32, 32) of greys; its proportions are lost."""
    return fit_image(picture, (SIDE, SIDE, 1), ImageRule("stretch"))[..., 0]


def file_thumbnails(folder: Path, names: Sequence[str], on_progress: OnProgress) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the thumbnails of image files, uint8 (n, 32, 32), and which (n,) are large enough; a broken file's is black."""
    thumbnails, large = np.zeros((len(names), SIDE, SIDE), np.uint8), np.zeros(len(names), bool)
    for place, name in enumerate(names):
        on_progress(place, len(names))
        with suppress(ArtifactError):  # What reads it says so.
            large[place] = min(image_header(folder / name, "")[:2]) >= LEAST_SIDE
            thumbnails[place] = read_image(folder / name, (SIDE, SIDE, 1), ImageRule("stretch"))[..., 0]
    return thumbnails, large


# Of the last search alone: a command loads the same folder once for each of its files.
_searched: dict[object, Sequence[Places]] = {}


def in_folder(folder: Path, names: tuple[str, ...], progress: Progress) -> Sequence[Places]:
    """Return groups of near-duplicates among image files of a folder; unchanged files are searched once."""
    key = folder.resolve(), names, MOST_IMAGES, tuple(_stamp(folder / name) for name in names)
    if key not in _searched:
        groups = _search(folder, names, progress)
        _searched.clear()
        _searched[key] = groups
    return _searched[key]


def _stamp(path: Path) -> tuple[int, int]:
    """Return when a file was changed, and its size; zeros if it is gone, of which whatever reads it will speak."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _search(folder: Path, names: tuple[str, ...], progress: Progress) -> Sequence[Places]:
    thumbnails, large = file_thumbnails(folder, names, partial(progress.step, text="reading images to split them"))
    groups = near_groups(thumbnails, large, partial(progress.step, text="looking for near-duplicates"))
    if (count := np.count_nonzero(large)) > MOST_IMAGES:
        most = f"near-duplicates are not looked for among more than {MOST_IMAGES:,}"
        progress.say(f"{folder}: of {count:,} images only exact copies are kept together; {most}")
    if small := len(large) - count:
        size = f"{LEAST_SIDE}x{LEAST_SIDE}"
        progress.say(f"{folder}: of {small:,} images below {size} pixels only exact copies are kept together")
    if groups:
        many = sum(map(len, groups))
        split = "none is divided unless its class has little else"
        progress.say(f"{folder}: {many:,} near-duplicates in {counted(groups, 'group')}; {split}")
    return groups


def split_thumbnails(split: Split, on_progress: OnProgress) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the thumbnails of a split, uint8 (n, 32, 32), and which (n,) are large enough: of image files as in a folder."""
    if isinstance(split, FileSplit):
        return file_thumbnails(split.folder, split.names, on_progress)
    if min(split.shape[:2]) < LEAST_SIDE:
        return np.zeros((len(split.labels), SIDE, SIDE), np.uint8), np.zeros(len(split.labels), bool)
    made = [thumbnail(image) for images in chunks(split, on_progress=on_progress) for image in images]
    return np.stack(made), np.ones(len(made), bool)


def near_images(known: Split, images: Split, on_progress: OnProgress = lambda done, total: None) -> tuple[int, ...]:
    """Return the places of `images` that are near-duplicates of `known` ones, exact copies among them.

    `on_progress` is called for each of the three steps: the known images are read, the others are, all are compared.

    Raises:
        ArtifactError: If an image of an array can't be read.
    """
    (first, large), (second, also_large) = (split_thumbnails(split, on_progress) for split in (known, images))
    parts = np.repeat([0, 1], [len(first), len(second)])
    groups = near_groups(np.concatenate([first, second]), np.concatenate([large, also_large]), on_progress, parts)
    crossing = [group for group in groups if len(np.unique(parts[group])) > 1]
    return tuple(sorted(int(place) - len(first) for group in crossing for place in group if place >= len(first)))


def near_groups(
    thumbnails: NDArray[np.uint8],
    large: NDArray[np.bool_],
    on_progress: OnProgress = lambda done, total: None,
    parts: Places | None = None,
) -> list[Places]:
    """Return groups of near-duplicates, exact copies among them, as places of at least two images.

    Args:
        thumbnails: uint8 (n, 32, 32).
        large: Which pictures (n,) have at least `LEAST_SIDE` pixels on each side; of others only exact copies are found.
        on_progress: Called with the number of images that were compared and their total.
        parts: Number of each image's part, int64 (n,): only images of different parts are compared. None for all.
    """
    groups = np.arange(len(thumbnails))
    first: dict[bytes, int] = {}
    for place in np.flatnonzero(_has_contrast(thumbnails)).tolist():
        _join(groups, place, first.setdefault(thumbnails[place].tobytes(), place))
    compared = np.flatnonzero(comparable(thumbnails, large))
    sides = [(compared, compared)]
    if parts is not None:
        of = parts[compared]
        sides = [(compared[of == part], compared[of != part]) for part in np.unique(of)]
    done, total = 0, sum(len(queries) for queries, _ in sides)
    for queries, others in sides:
        described = _descriptors(thumbnails[others])
        for start in range(0, len(queries), _QUERIES):
            on_progress(done, total)
            block = queries[start : start + _QUERIES]
            proposed = _proposed(thumbnails[block], described)
            for first_pair in range(0, len(proposed), _PAIRS):
                # To align them takes most of the time.
                on_progress(done + len(block) * first_pair // len(proposed), total)
                pairs = proposed[first_pair : first_pair + _PAIRS]
                one, other = block[pairs[:, 0]], others[pairs[:, 1]]
                new = groups[one] != groups[other]
                alike = _are_near(thumbnails[one[new]], thumbnails[other[new]], *pairs[new, 2:].T)
                for pair in np.stack([one[new], other[new]], 1)[alike].tolist():
                    _join(groups, *pair)
            done += len(block)
    several = np.flatnonzero(np.bincount(groups, minlength=len(groups)) > 1)
    return [np.flatnonzero(groups == group) for group in several]


def comparable(thumbnails: NDArray[np.uint8], large: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which images (n,) are compared with others: large ones with contrast, unless there are more than `MOST_IMAGES`."""
    found: NDArray[np.bool_] = large & _has_contrast(thumbnails)
    return found if found.sum() <= MOST_IMAGES else np.zeros_like(found)


def _has_contrast(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = thumbnails.reshape(len(thumbnails), SIDE * SIDE).std(axis=1) >= _LEAST_CONTRAST
    return found


def _join(groups: Places, one: int, other: int) -> None:
    """Give two groups the number of the first of them."""
    low, high = sorted((int(groups[one]), int(groups[other])))
    if low != high:
        groups[groups == high] = low


def _descriptors(thumbnails: NDArray[np.uint8], window: tuple[float, float, float] = _WINDOWS[0]) -> tuple[Floats, Floats]:
    """Return the low frequencies of a window of thumbnails (n, 32, 32), and of its mirror image, as unit vectors (n, 35).

    Frequencies are weighted as they are rarer in photos, whose amplitudes fall with the frequency (Field, 1987).
    """
    frequencies, pixels = np.arange(_FREQUENCIES), np.arange(SIDE)
    cosines = np.cos(np.pi * np.outer(frequencies, 2 * pixels + 1) / (2 * SIDE)).astype(np.float32)
    cosines[0] /= np.sqrt(2)
    weights = np.hypot(*np.meshgrid(frequencies, frequencies)).astype(np.float32)
    scale, x, y = window
    across, down = (cosines @ _interpolation(scale, shift) for shift in (x, y))
    found = down @ thumbnails.astype(np.float32) @ across.T * weights
    found /= np.maximum(np.sqrt((found**2).sum(axis=(1, 2), keepdims=True)), 1e-6)
    mirrored = found * np.where(frequencies % 2, -1, 1).astype(np.float32)
    return _flat(found)[:, 1:], _flat(mirrored)[:, 1:]


def _interpolation(scale: float, shift: float) -> Floats:
    """Return the matrix (32, 32) that turns the pixels of a line into those of a part of it."""
    pixels = np.arange(SIDE)
    at = (((pixels + 0.5) / SIDE * 2 - 1) * scale + shift + 1) / 2 * SIDE - 0.5
    return np.stack([np.interp(at, pixels, one) for one in np.eye(SIDE)], 1).astype(np.float32)


def _flat(images: NDArray[np.float32]) -> Floats:
    return np.ascontiguousarray(images.reshape(len(images), images.shape[1] * images.shape[2]))


def _proposed(thumbnails: NDArray[np.uint8], others: tuple[Floats, Floats]) -> Places:
    """Return proposed pairs, int64 (m, 4): places of the thumbnail and the other, window, whether the other is mirrored."""
    windows = [_descriptors(thumbnails, window)[0] for window in _WINDOWS]
    found, scores = [np.empty((0, 4), np.int64)], [np.empty(0, np.float32)]
    for start in range(0, len(others[0]), _TILE):
        for number, window in enumerate(windows):
            for mirrored, described in enumerate(others):
                alike = window @ described[start : start + _TILE].T
                one, other = np.nonzero(alike > _PROPOSED)
                found.append(np.stack([one, other + start, np.full_like(one, number), np.full_like(one, mirrored)], 1))
                scores.append(alike[one, other])
        if sum(map(len, scores)) > 10 * _MOST_PAIRS * len(thumbnails):
            pairs, score = _best(np.concatenate(found), np.concatenate(scores))
            found, scores = [pairs], [score]
    return _best(np.concatenate(found), np.concatenate(scores))[0]


def _best(pairs: Places, scores: Floats) -> tuple[Places, Floats]:
    """Return each pair once, with its best window, and for each thumbnail the `_MOST_PAIRS` others of the highest scores."""
    order = np.lexsort((-scores, pairs[:, 1], pairs[:, 0]))
    pairs, scores = pairs[order], scores[order]
    once = np.append(True, (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1))[: len(pairs)]
    pairs, scores = pairs[once], scores[once]
    order = np.lexsort((-scores, pairs[:, 0]))
    pairs, scores = pairs[order], scores[order]
    kept = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0]) < _MOST_PAIRS
    return pairs[kept], scores[kept]


def _sampled(images: Floats, columns: Floats, rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Return images (n, s, s) at coordinates of -1 to 1 (n, m), between pixels, and how they change along columns and rows."""
    side = images.shape[1]
    columns, rows = ((at + 1) / 2 * side - 0.5 for at in (columns, rows))
    left, top = (np.clip(np.floor(at), 0, side - 2).astype(np.int32) for at in (columns, rows))
    right, down = columns - left, rows - top
    first = top * side + left + (np.arange(len(images), dtype=np.int32) * side * side)[:, np.newaxis]
    flat = images.reshape(-1)
    a, b, c, d = (flat[first + more] for more in (0, 1, side, side + 1))
    across, along = (b - a) * (1 - down) + (d - c) * down, (c - a) * (1 - right) + (d - b) * right
    value = (a * (1 - right) + b * right) * (1 - down) + (c * (1 - right) + d * right) * down
    return value, across * side / 2, along * side / 2


def _are_near(one: NDArray[np.uint8], other: NDArray[np.uint8], window: Places, mirrored: Places) -> NDArray[np.bool_]:
    """Return which pairs of thumbnails (m, 32, 32) are near-duplicates, once the first are aligned to the second."""
    ones = one.astype(np.float32)
    others = np.where(mirrored[:, np.newaxis, np.newaxis] == 1, other[:, :, ::-1], other).astype(np.float32)
    taken = np.array([(scale, x, scale, y) for scale, x, y in _WINDOWS], np.float32)[window]
    near = np.zeros(len(one), bool)
    coarse = (images.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4)) for images in (ones, others))
    taken, aligned, shown, small = _aligned(next(coarse), next(coarse), taken, steps=4)
    left = np.flatnonzero(_correlation(aligned, small, shown) >= _ALIKE_COARSELY)
    _, aligned, shown, large = _aligned(ones[left], others[left], taken[left], steps=3)
    details = _correlation(_detail(aligned), _detail(large), shown)
    alike = (_correlation(aligned, large, shown) >= _ALIKE) & (details >= _ALIKE_IN_DETAIL)
    near[left] = alike & (shown.mean(axis=1) >= _OVERLAP)
    return near


def _aligned(ones: Floats, others: Floats, taken: Floats, steps: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Align images to others, both (m, s, s), by Gauss-Newton, with gain and offset of the greys left free.

    Args:
        ones: The images that are scaled and shifted.
        others: What they should equal.
        taken: Scale and shift of the columns and of the rows to begin with, (m, 4).
        steps: Number of steps.

    Returns:
        Scale and shift, the images there (m, s * s), which pixels are inside of them (1 or 0), and the others (m, s * s).
    """
    side, target = ones.shape[1], _flat(others)
    at = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    columns, rows = np.tile(at, side), np.repeat(at, side)
    damping = np.diag([1e-3] * 4 + [1e-6] * 2)
    for step in range(steps + 1):
        x, y = taken[:, :1] * columns + taken[:, 1:2], taken[:, 2:3] * rows + taken[:, 3:]
        shown = ((np.abs(x) <= 1) & (np.abs(y) <= 1)).astype(np.float32)
        value, across, along = _sampled(ones, x, y)
        if step == steps:
            break
        slopes = np.stack([across * columns, across, along * rows, along, value, np.ones_like(value)], 1) * shown[:, np.newaxis]
        normal = (slopes @ slopes.transpose(0, 2, 1)).astype(np.float64)
        scale = np.trace(normal, axis1=1, axis2=2)[:, np.newaxis, np.newaxis] / 6 + 1e-3
        found = np.linalg.solve(normal + damping * scale, (slopes @ target[..., np.newaxis]).astype(np.float64))[..., 0]
        change = np.clip(found[:, :4] / np.maximum(found[:, 4:5], 0.2), -0.1, 0.1)
        taken = np.clip(taken + change, [0.7, -0.35] * 2, [1.43, 0.35] * 2).astype(np.float32)
    return taken, value, shown, target


def _correlation(ones: Floats, others: Floats, shown: Floats) -> Floats:
    """Return the correlation of images (m, s * s) where `shown` is 1, -1 to 1; 0 for an image without contrast."""
    count = np.maximum(shown.sum(axis=1, keepdims=True), 1)
    a, b = ((images - (images * shown).sum(axis=1, keepdims=True) / count) * shown for images in (ones, others))
    found: Floats = ((a * b).sum(axis=1) / np.sqrt(np.maximum((a * a).sum(axis=1) * (b * b).sum(axis=1), 1e-6))).astype(
        np.float32
    )
    return found


def _detail(images: Floats) -> Floats:
    """Return images (m, 32 * 32) less their mean of 3x3 pixels, cut at the median size, so that no edge outweighs the rest.

    A horizon, or the border of a form, is the same in pictures of different things.
    """
    padded = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    found = images - _flat(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    most = np.median(np.abs(found), axis=1, keepdims=True)
    return np.clip(found, -most, most)

"""Turns a digit from a camera or a scanner into the image for a model of MNIST."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.components import Parts, connected_parts
from edgecnn.edge.data.ink import DARKEST, Grey, contrast, edge_share, placed, printed_lines
from edgecnn.edge.errors import ArtifactError, setting
from edgecnn.edge.manifest import Side
from edgecnn.edge.packages import load_pillow

# A picture is averaged down to so many times the model's size: a digit a tenth as high as it keeps its strokes.
_TIMES = 12
# Strokes are looked for that are narrower than these shares of the picture's shorter side, and stand out by these shares of
# what stands out most. Where a shadow lies over a digit a narrow window tells them apart; a felt pen's stroke needs a wide one.
_WINDOWS, _LEVELS = (0.08, 0.18, 0.45), (0.3, 0.55)
_NARROWEST = 9
# Ink differs from its paper by at least this many of 256 levels, and so many times more than half of the picture does.
_CONTRAST_LEAST, _TIMES_NOISE = 12, 3
# Weaker ink that is joined to a digit belongs to it, down to this share of the digit's contrast, unless it makes the digit so
# many times thicker or longer, or less of the outline has a pen's edges: then it is a shadow.
_WEAKER, _THICKER, _LONGER, _WEAKER_EDGED = 0.35, 1.8, 3, 0.9
# The number of parts of a mask that are looked at closely.
_LOOKED_AT = 3
# A digit is at least this share of the picture's shorter side, and has at least so many pixels.
_EXTENT_LEAST, _AREA_LEAST = 0.06, 12
# A stroke is thin: its width is at most this share of the digit's longer side, and a digit fills at most this share of a square
# of that side. A part with more is paper, a hole or a blot: at these shares its score begins to fall, and it has fallen after
# the second numbers.
_THICK, _FULL = (0.19, 0.06), (0.5, 0.15)
# A part that touches the border is a neighbour, a table or a shadow: it is taken only if there is hardly anything else.
_TOUCHING = 0.1
# A sheet of paper on a table fills at least this share of its tightest box, whose sides have at least this ratio, and what is
# written on it leaves this share of it blank.
_SHEET_FILLS, _SHEET_ASPECT, _SHEET_BLANK = 0.85, 0.4, 0.6
_ANGLES = np.radians(np.arange(0, 90, 3))[:, np.newaxis]
# A pen's edge is crossed within a sixteenth of the digit's longer side, and within so many pixels at least and at most.
_EDGE_SHARE, _EDGE_LEAST, _EDGE_MOST = 16, 3, 8
# A separate stroke is this near, this long and this thick, as shares of the digit's longer side, length and thickness.
_NEAR, _PIECE, _PIECE_THICK = 1 / 6, (0.2, 1.2), (0.4, 1.6)
# What is doubted.
_SMALL, _FAINT, _BLURRED, _ALSO = 0.1, 32, 0.75, 0.55
# Nearer to the border than this share of the shorter side, ink fades into what is taken for the paper there.
_BORDER = 0.02
# The last stroke of a cut digit may be taken for paper where it meets the border. It is looked for this near, as a share of the
# digit's longer side, this dark, as a share of the way from ink to paper, and this wide at the border, in widths of its stroke.
_BEYOND, _AS_DARK, _AS_WIDE = 0.5, 0.15, (0.75, 8)
# Of a digit in pieces, one that the border cuts is this near, as thick as this, and not longer than a separate stroke.
_REST_NEAR, _REST_THICK = 0.25, (0.6, 1.6)
# A second part is as likely the digit from this share of the first one's score on; ink of the other side of grey, whose
# contrast is measured in another way, from the second number on.
_LIKELY, _OTHER_SIDE = 0.5, 0.15
# Strokes around what looks most like a digit are the digit if their score is at least this share of its, and their outline has
# this share of a pen's edges: what looked so was paper within them.
_RING, _RING_EDGED = 0.4, 0.88


class NoDigit(ArtifactError):
    """A picture shows nothing that may be a digit."""


class Polarity(NamedTuple):
    """What is known of a picture's light and dark, and who hears what was seen in it.

    Attributes:
        background: The background of the picture's digit, where somebody stated it. Default: it is looked for.
        on_doubt: Gets a sentence if something else may have been read than was meant.
        on_box: Gets the box of what was taken for the digit: left, top, right and bottom as shares of the picture.
        can_be_stated: Whether whoever reads the doubt can state the background; on a page nobody can.
    """

    background: Side | None = None
    on_doubt: Callable[[str], None] = lambda doubt: None
    on_box: Callable[[tuple[float, float, float, float]], None] = lambda box: None
    can_be_stated: bool = True

    @property
    def or_stated(self) -> str:
        """The end of a doubt: what helps too."""
        return f", or state it ({setting('background')})" if self.can_be_stated else ""


UNSTATED = Polarity()
UNSURE = 0.9
"""A probability below which the answer to a fitted digit is doubted: just below it, MNIST's own digits are often read wrong."""


class _Digit(NamedTuple):
    """What may be the digit.

    Attributes:
        score: How much it looks like one.
        dark: Whether its ink is darker than the paper.
        ink: Contrast of each pixel with the paper, uint8 (h, w).
        faintest: Contrast of the faintest ink.
        parts: The parts of the ink.
        place: Which of them it is.
        strength: Contrast that a tenth of its pixels exceed.
        edged: Share of its outline where the picture steps from ink to paper.
    """

    score: float
    dark: bool
    ink: Grey
    faintest: int
    parts: Parts
    place: int
    strength: int
    edged: float


def fit_digit(grey: NDArray[np.uint8], height: int, width: int, polarity: Polarity, name: str) -> NDArray[np.uint8]:
    """Return the digit of a picture as in MNIST: light on black, its longer side 20 of 28 pixels, centred by its mass.

    The picture may be a photo: with uneven light, shadows, printed lines, specks, a table around the sheet.

    Args:
        grey: uint8 (h, w), of any size.
        height: Height of the model's images.
        width: Width of the model's images.
        polarity: Known light and dark of the picture.
        name: Name of the picture for messages.

    Raises:
        NoDigit: If it shows nothing, or no digit.
    """
    pillow = load_pillow()
    picture = pillow.fromarray(grey)
    # Averages, since they remove a camera's noise.
    picture.thumbnail((_TIMES * width, _TIMES * height), pillow.Resampling.BOX)
    levels = np.asarray(picture)
    digit = _digit(levels, polarity, name)
    strokes = _strokes(digit)
    members = strokes[np.minimum(digit.parts.labels, len(strokes) - 1)] & (digit.parts.labels < len(strokes))
    rows, columns = np.flatnonzero(members.any(axis=1)), np.flatnonzero(members.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    doubt = _doubt(digit, strokes, max(bottom - top, right - left), levels)
    if doubt:
        polarity.on_doubt(f"{name} {doubt}")
    tall, wide = levels.shape
    polarity.on_box((left / wide, top / tall, right / wide, bottom / tall))
    ink = np.where(members, np.minimum(255, digit.ink.astype(np.int32) * 255 // digit.strength), 0)[top:bottom, left:right]
    return placed(ink.astype(np.uint8), float(_thickness(digit.parts)[digit.place]), height, width)


def unsure(name: str, probability: float) -> str | None:
    """Return a doubt if the most probable class of a fitted digit has a low probability, 0 to 1; else None."""
    return None if probability >= UNSURE else f"{name} is not clearly one digit: look at what was taken, or take it again"


def _digit(levels: Grey, polarity: Polarity, name: str) -> _Digit:
    """Return what looks most like a digit, and doubt whether it is if something else looks nearly as much like one."""
    darks = (True, False) if polarity.background is None else (polarity.background == "light",)
    inks = [ink for dark in darks for ink in _inks(levels, dark)]
    if not inks and int(levels.max()) - int(levels.min()) < _CONTRAST_LEAST:
        raise NoDigit(f"{name} shows nothing on its background: name a picture with a digit")
    found = sorted((digit for ink in inks for digit in _digits(levels, *ink)), key=lambda digit: -digit.score)
    while found and _is_sheet(found[0]):
        found.pop(0)
    if not found:
        raise NoDigit(f"{name} has no ink on even paper that is large enough for a digit: crop it to one digit on plain paper")
    best = next((other for other in found if _encloses(other, found[0])), found[0])
    nearly = [other for other in found if other.score > _share(best, other) * best.score]
    if nearly and nearly[0].dark != best.dark:
        background = "light" if best.dark else "dark"
        polarity.on_doubt(
            f"{name} has strokes lighter than its paper and darker ones, and was read as on a {background} background: "
            f"crop it to one digit on plain paper{polarity.or_stated}"
        )
    elif nearly:
        polarity.on_doubt(f"{name} shows two things that may be the digit: crop it to one digit")
    return _whole(best, levels)


def _whole(digit: _Digit, levels: Grey) -> _Digit:
    """Return a digit with its weak strokes, as a pencil leaves them (hysteresis: Canny, Edge detection, 1986)."""
    weakest = max(digit.faintest, int(_WEAKER * digit.strength))
    parts = connected_parts(digit.ink >= weakest)
    place = int(parts.labels[digit.parts.labels == digit.place].min())
    if not _at_borders(parts, levels)[0][place]:
        return digit
    thicker, longer = (of(parts)[place] / of(digit.parts)[digit.place] for of in (_thickness, _extents))
    if parts.area[place] < digit.parts.area[digit.place] or thicker > _THICKER or longer > _LONGER:
        return digit
    drawn = _edged(levels, digit.dark, parts, place, weakest) >= _WEAKER_EDGED
    return digit._replace(parts=parts, place=place) if drawn else digit


def _inks(levels: Grey, dark: bool) -> Iterator[tuple[bool, Grey, int]]:
    """Yield whether ink is dark, and what stands out from the paper, with the contrast of the faintest ink, for each window."""
    lines = None
    for share in _WINDOWS:
        ink = contrast(levels, max(_NARROWEST, int(share * min(levels.shape))), dark)
        noise = int(np.searchsorted(np.cumsum(_counts(ink)), ink.size // 2))
        faintest = max(_CONTRAST_LEAST, _TIMES_NOISE * noise)
        lines = printed_lines(ink >= faintest) if lines is None else lines
        ink[lines] = 0
        if ink.max() >= faintest:
            yield dark, ink, faintest


def _digits(levels: Grey, dark: bool, ink: Grey, faintest: int) -> Iterator[_Digit]:
    """Yield the parts of ink that look most like a digit."""
    counts = np.cumsum(_counts(ink)[::-1])
    most = 255 - int(np.searchsorted(counts, max(1, ink.size // 1000)))
    for threshold in sorted({max(faintest, int(most * level)) for level in _LEVELS}):
        parts = connected_parts(ink >= threshold)
        written = parts.labels < len(parts.area)
        mass = np.bincount(parts.labels[written], ink[written], len(parts.area))
        extent = _extents(parts)
        mean = mass / parts.area
        score = np.sqrt(mass) * mean * np.sqrt(mean)
        for shares, (most_share, span) in ((_thickness(parts) / extent, _THICK), (parts.area / (extent * extent), _FULL)):
            score *= np.clip((most_share + span - shares) / span, 0.02, 1)
        inside, spanning = _at_borders(parts, ink)
        score *= np.where(inside, 1, _TOUCHING)
        possible = (extent >= _EXTENT_LEAST * min(ink.shape)) & (parts.area >= _AREA_LEAST)
        score[~possible | spanning] = 0
        for place in np.argsort(-score, kind="stable")[:_LOOKED_AT].tolist():
            if score[place] > 0:
                yield from _looked_at(levels, dark, ink, faintest, parts, place, float(score[place]))


def _looked_at(levels: Grey, dark: bool, ink: Grey, faintest: int, parts: Parts, place: int, score: float) -> Iterator[_Digit]:
    """Yield a part of ink if the paper around it is of the other side of grey, scored for evenness and a pen's edges."""
    window = _window(parts, place)
    part = parts.labels[window] == place
    inside, contrasts = _counts(levels[window][part]), _counts(ink[window][part])
    outside = _counts(levels[window]) - inside
    written, paper = _median(inside), _median(outside)
    if paper == written or (paper < written) == dark:
        return
    area = int(parts.area[place])
    strength = int(np.searchsorted(np.cumsum(contrasts), area * 9 // 10, "right"))
    even = float(contrasts[(strength + 1) // 2 :].sum()) / area
    edged = _edged(levels, dark, parts, place, strength)
    middle = (written + paper) / 2
    # Paper between strokes looks like the paper around them, ink does not.
    like_ink = outside[: math.ceil(middle)] if dark else outside[math.floor(middle) + 1 :]
    alike = float(like_ink.sum()) / float(outside.sum())
    trusted = even * (edged * edged * edged) * (1 - alike)
    yield _Digit(score * trusted * trusted, dark, ink, faintest, parts, place, strength, edged)


def _window(parts: Parts, place: int) -> tuple[slice, slice]:
    """Return a part and the paper around it."""
    top, bottom, left, right = (int(side[place]) for side in (parts.top, parts.bottom, parts.left, parts.right))
    around = max(_EDGE_MOST + 1, int(0.4 * max(bottom - top, right - left)))
    return np.s_[max(0, top - around) : bottom + around, max(0, left - around) : right + around]


def _edged(levels: Grey, dark: bool, parts: Parts, place: int, strength: int) -> float:
    """Return on which share of a part's outline the picture steps from ink of this contrast to paper."""
    window, extent = _window(parts, place), int(_extents(parts)[place])
    tones, reach = levels[window] if dark else 255 - levels[window], min(_EDGE_MOST, max(_EDGE_LEAST, extent // _EDGE_SHARE))
    return edge_share(tones, parts.labels[window] == place, strength, reach, DARKEST if dark else 255)


def _counts(levels: Grey) -> NDArray[np.intp]:
    """Return how often each of 256 levels occurs."""
    return np.bincount(levels.reshape(-1), minlength=256)


def _median(counts: NDArray[np.intp]) -> float:
    """Return the median of levels, the mean of the two middle ones if they are even in number."""
    sums = np.cumsum(counts)
    return float(np.searchsorted(sums, [(sums[-1] - 1) // 2, sums[-1] // 2], "right").mean())


def _thickness(parts: Parts) -> NDArray[np.float64]:
    """Return the mean width of strokes in pixels: that of a bar which is much longer than wide."""
    return 2 * parts.area / parts.perimeter


def _extents(parts: Parts) -> NDArray[np.intp]:
    """Return the longer side of each part's box in pixels."""
    return np.asarray(np.maximum(parts.bottom - parts.top, parts.right - parts.left), np.intp)


def _at_borders(parts: Parts, levels: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which parts touch no border, and which reach from one to the opposite one: printed lines and a table do."""
    height, width = levels.shape
    inside = (parts.top > 0) & (parts.left > 0) & (parts.bottom < height) & (parts.right < width)
    return inside, (parts.bottom - parts.top == height) | (parts.right - parts.left == width)


def _is_sheet(digit: _Digit) -> bool:
    """Return whether a part is a sheet of paper, seen in perspective, with something written on it."""
    parts, place = digit.parts, digit.place
    part = parts.labels[parts.top[place] : parts.bottom[place], parts.left[place] : parts.right[place]] == place
    whole = _spanned(part) & _spanned(part.T).T
    rows = np.flatnonzero(whole.any(axis=1))
    ends = whole[rows].argmax(axis=1), whole.shape[1] - 1 - whole[rows, ::-1].argmax(axis=1)
    x, y = np.concatenate(ends), np.concatenate((rows, rows))
    along, across = x * np.cos(_ANGLES) + y * np.sin(_ANGLES), y * np.cos(_ANGLES) - x * np.sin(_ANGLES)
    sides = np.stack((np.ptp(along, axis=1), np.ptp(across, axis=1))) + 1
    short, long = sorted(sides[:, sides.prod(axis=0).argmin()])
    area = np.count_nonzero(whole)
    blank = np.count_nonzero(part) / area
    return bool(area / (short * long) >= _SHEET_FILLS and short / long >= _SHEET_ASPECT and blank >= _SHEET_BLANK)


def _spanned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return each row filled from its first to its last pixel."""
    forward: Any = np.logical_or.accumulate
    spanned: NDArray[np.bool_] = forward(mask, axis=1) & forward(mask[:, ::-1], axis=1)[:, ::-1]
    return spanned


def _encloses(other: _Digit, best: _Digit) -> bool:
    """Return whether what looks most like a digit is paper that another's strokes enclose, as in a 0."""
    (a, i), (b, j) = (best.parts, best.place), (other.parts, other.place)
    around = b.top[j] < a.top[i] and b.left[j] < a.left[i] and b.bottom[j] > a.bottom[i] and b.right[j] > a.right[i]
    drawn = other.score >= _RING * best.score and other.edged >= _RING_EDGED
    return bool(other.dark != best.dark and around and drawn and not _is_sheet(other))


def _share(best: _Digit, other: _Digit) -> float:
    """Return from which share of the best score on another part may be the digit: never where it is the same ink."""
    (a, i), (b, j) = (best.parts, best.place), (other.parts, other.place)
    down = min(a.bottom[i], b.bottom[j]) > max(a.top[i], b.top[j])
    overlap = down and min(a.right[i], b.right[j]) > max(a.left[i], b.left[j])
    if other.dark == best.dark:
        return 1 if overlap else _LIKELY
    return _LIKELY if overlap else _OTHER_SIDE


def _strokes(digit: _Digit) -> NDArray[np.bool_]:
    """Return which parts belong to a digit: some write a 4 or a 5 in strokes that don't touch."""
    parts, place = digit.parts, digit.place
    extent, thickness = _extents(parts), _thickness(parts) / _thickness(parts)[place]
    belong = _near(digit, _NEAR) & (extent >= _PIECE[0] * extent[place])
    belong &= (thickness > _PIECE_THICK[0]) & (thickness < _PIECE_THICK[1]) & (extent <= _PIECE[1] * extent[place])
    belong[place] = True
    return np.asarray(belong, np.bool_)


def _near(digit: _Digit, share: float) -> NDArray[np.bool_]:
    """Return which parts are this near to the digit, as a share of its longer side."""
    parts, place = digit.parts, digit.place
    down = np.maximum(parts.top - parts.bottom[place], parts.top[place] - parts.bottom)
    across = np.maximum(parts.left - parts.right[place], parts.left[place] - parts.right)
    return np.asarray(np.maximum(down, across) <= max(2, _extents(parts)[place] * share), np.bool_)


def _doubt(digit: _Digit, strokes: NDArray[np.bool_], extent: int, levels: Grey) -> str | None:
    """Return what is wrong with a digit, and what to do; None if nothing is."""
    parts, (height, width) = digit.parts, levels.shape
    to_border = (
        parts.top[strokes].min(),
        parts.left[strokes].min(),
        height - parts.bottom[strokes].max(),
        width - parts.right[strokes].max(),
    )
    extents, thickness = _extents(parts), _thickness(parts) / _thickness(parts)[digit.place]
    inside, spanning = _at_borders(parts, levels)
    rest = ~inside & ~spanning & _near(digit, _REST_NEAR) & (thickness > _REST_THICK[0]) & (thickness < _REST_THICK[1])
    rest &= extents <= _PIECE[1] * extents[digit.place]
    if min(to_border) <= _BORDER * min(height, width) or rest.any() or _goes_on_to_border(digit, levels):
        return "shows a digit that touches its border: take a picture of the whole digit"
    if np.any(~strokes & inside & (extents >= _ALSO * extent) & (thickness > 0.4) & (thickness < 2.5)):
        return "shows several digits, and one was read: crop it to one digit"
    if digit.edged < _BLURRED:
        return "is blurred, or a shadow lies over the digit: take it again, in even light"
    if digit.strength < _FAINT:
        return "shows a faint digit: use a darker pen or more light"
    if extent < _SMALL * min(height, width):
        return "shows a small digit: go nearer, or crop the picture to it"
    return None


def _goes_on_to_border(digit: _Digit, levels: Grey) -> bool:
    """Return whether ink as dark as the digit's leads from it to the border, and is as wide there as its strokes."""
    parts, place = digit.parts, digit.place
    top, bottom, left, right = (int(side[place]) for side in (parts.top, parts.bottom, parts.left, parts.right))
    around = int(_BEYOND * max(bottom - top, right - left))
    first_row, first_column = max(0, top - around), max(0, left - around)
    window = np.s_[first_row : bottom + around, first_column : right + around]
    part, tones = parts.labels[window] == place, levels[window] if digit.dark else 255 - levels[window]
    written, paper = (_median(_counts(tones[where])) for where in (part, ~part))
    ink = tones < written + _AS_DARK * (paper - written)
    ink &= ~printed_lines(ink)
    joined = connected_parts(ink)
    own = joined.labels[part & ink]
    ink &= np.isin(joined.labels, own[~_at_borders(joined, ink)[1][own]])
    at_border = (
        (first_row == 0, ink[0]),
        (first_column == 0, ink[:, 0]),
        (first_row + ink.shape[0] == levels.shape[0], ink[-1]),
        (first_column + ink.shape[1] == levels.shape[1], ink[:, -1]),
    )
    widths = [np.count_nonzero(edge) / _thickness(parts)[place] for is_border, edge in at_border if is_border]
    return any(_AS_WIDE[0] < width < _AS_WIDE[1] for width in widths)

"""What is in a dataset, as text."""

from collections.abc import Sequence

from edgecnn.edge.data.inspection import Inspection, Place, Same, several_parts
from edgecnn.edge.data.near_duplicates import LEAST_SIDE, MOST_IMAGES
from edgecnn.edge.data.splits import Part
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs, printable, shortened

_CLASSES = 40
_EXAMPLES = 5
_NAME = 60
_INDENT = " " * 9


def inspection_text(found: Inspection, width: int = WIDTH) -> str:
    """Return what is wrong, then what was found."""
    verdict = [f"PROBLEM: {problem}" for problem in found.problems] or ["No problem was found."]
    return "\n".join([*paragraphs(verdict, width, "  "), "", *paragraphs(_found(found, width), width, _INDENT)])


def _found(found: Inspection, width: int) -> list[str]:
    train, test, val = (sum(getattr(count, part) or 0 for count in found.classes) for part in ("train", "test", "val"))
    validation = f", {counted(val, 'validation image')}" if _has_validation(found) else ""
    lines = [
        f"{short(found.data, 40)}: {counted(train, 'training image')}{validation} and {counted(test, 'test image')} in "
        f"{counted(found.classes, 'class')}"
    ]
    if drawn := found.split_off:
        lines.append(f"The test images are split off: {drawn.of_each_class}, split seed {drawn.split_seed}.")
    if found.val_share:
        lines.append(f"The validation images are {100 * found.val_share:g}% of each class's training images.")
    if found.compared < train + test + val:
        lines.append(
            f"Near-duplicates were looked for among {counted(found.compared, 'image')}: images below {LEAST_SIDE}x{LEAST_SIDE} "
            f"pixels or without contrast are too much alike, and more than {MOST_IMAGES:,} take too long."
        )
    lines += ["", *_class_table(found, width), ""]
    if found.sizes:
        smallest, median, largest = (
            f"{height}x{width}" for height, width in (found.sizes.smallest, found.sizes.median, found.sizes.largest)
        )
        several = f"{smallest} to {largest}, median {median}, {found.sizes.distinct:,} different sizes"
        sizes = f"all {smallest}" if found.sizes.distinct == 1 else several
        lines.append(f"sizes    {sizes} (height x width), {'grey' if found.channels == 1 else 'colour'}")
    if found.pixels:
        mean, std = (",".join(f"{value:.4f}" for value in values) for values in (found.pixels.mean, found.pixels.std))
        lines.append(
            f"pixels   {found.pixels.lowest} to {found.pixels.highest} in the training images; pixel / 255 has mean {mean} and "
            f"standard deviation {std}"
        )
    if found.ignored:
        names = ", ".join(map(short, found.ignored[:_EXAMPLES]))
        more = ", and others" if len(found.ignored) > _EXAMPLES else ""
        lines.append(f"ignored  {counted(found.ignored, 'other file')} or folders: {names}{more}")
    broken = [shortened(f"{short(item.place.image)}: {item.reason}", width - 2) for item in found.broken]
    lines += _examples("Can't be read", broken)
    parts = several_parts(found.classes).removeprefix("both ")
    lines += _examples(f"The same picture in {parts}", [_same(group) for group in found.leaked])
    leaked, together = ([group for group in found.near if (len(_parts(group)) > 1) == is_leak] for is_leak in (True, False))
    leaked.sort(key=lambda group: "test" not in _parts(group))
    lines += _examples(f"Near-duplicates in {parts}", [_same(group) for group in leaked], "group")
    lines += _examples("Near-duplicates within one part", [_same(group) for group in together], "group")
    lines += _examples("The same picture in several classes", [_same(group) for group in found.conflicting])
    lines += _examples("The same picture twice in one class", [_same(group) for group in found.repeated])
    return lines


def short(text: str, width: int = _NAME) -> str:
    """Return a text of at most `width` characters; a longer one loses its middle."""
    half, text = (width - 3) // 2, printable(text)
    return text if len(text) <= width else f"{text[:half]}...{text[-half:]}"


def _class_table(found: Inspection, width: int) -> list[str]:
    shown = found.classes[:_CLASSES]
    parts = ("train", "val", "test") if _has_validation(found) else ("train", "test")
    rows = [(short(of.name, 40), *(f"{getattr(of, part):,}" for part in parts)) for of in shown]
    lines = table_text(TextTable(("class", *parts), rows), width).split("\n")
    if len(found.classes) > len(shown):
        lines.append(f"and {len(found.classes) - len(shown)} more, which the JSON has")
    if len({count.train for count in found.classes}) > 1:
        fewest, most = (pick(found.classes, key=lambda count: count.train) for pick in (min, max))
        lines.append(
            f"Training images per class: {fewest.train:,} ({short(fewest.name, 20)}) to {most.train:,} ({short(most.name, 20)})"
        )
    return lines


def _has_validation(found: Inspection) -> bool:
    return any(count.val is not None for count in found.classes)


def _parts(group: Same) -> set[Part]:
    return {place.part for place in group.places}


def _same(group: Same) -> str:
    """Return two images of a group, of different parts if it has several: a test image first of all."""
    one, *others = group.places
    of_other_part = [place for place in others if place.part != one.part]
    other = min(of_other_part or others, key=lambda place: place.part != "test")
    more = len(others) - 1
    return f"{_place(one)} = {_place(other)}" + (f" and {more:,} more" if more else "")


def _place(place: Place) -> str:
    if place.image.isdecimal():
        return f"{place.part} {place.image} ({short(place.label, 20)})"
    return short(place.image if place.image.startswith(f"{place.part}/") else f"{place.part}: {place.image}", 36)


def _examples(title: str, items: Sequence[str], unit: str = "") -> list[str]:
    if not items:
        return []
    many = counted(items, unit) if unit else f"{len(items):,}"
    more = [f"  and {len(items) - _EXAMPLES:,} more: see the JSON"] if len(items) > _EXAMPLES else []
    return ["", f"{title} ({many}):", *(f"  {item}" for item in items[:_EXAMPLES]), *more]

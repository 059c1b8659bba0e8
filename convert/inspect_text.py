"""What is in a set of images, for people."""

from collections.abc import Sequence

from convert.inspect import Inspection, Place, Same

_CLASSES = 40
_EXAMPLES = 5
_NAME = 60
_LINE = 98


def inspection_text(found: Inspection) -> str:
    """Return what was found, at most 100 columns wide, what is wrong at the end."""
    train, test = sum(count.train for count in found.classes), sum(count.test for count in found.classes)
    lines = [f"{short(found.data, 40)}: {train:,} training and {test:,} test images, {len(found.classes)} classes"]
    if found.test_share is not None:
        lines.append(f"the test images are split off: {found.test_share:.0%} of each class, split seed {found.split_seed}")
    lines += ["", *_class_table(found), ""]
    if found.sizes:
        smallest, median, largest = (
            f"{height}x{width}" for height, width in (found.sizes.smallest, found.sizes.median, found.sizes.largest)
        )
        several = f"{smallest} to {largest}, median {median}, {found.sizes.distinct:,} different ones"
        sizes = f"all {smallest}" if found.sizes.distinct == 1 else several
        lines.append(f"sizes    {sizes} (height x width), {'grey' if found.channels == 1 else 'colour'}")
    if found.pixels:
        mean, std = (",".join(f"{value:.4f}" for value in values) for values in (found.pixels.mean, found.pixels.std))
        lines.append(f"pixels   {found.pixels.lowest} to {found.pixels.highest} in the training images; pixel / 255 has")
        lines.append(f"         mean {mean} and std {std}")
    if found.ignored:
        lines.append(f"ignored  {len(found.ignored):,} other files or folders: {short(', '.join(found.ignored[:_EXAMPLES]))}")
    broken = [f"{short(item.place.image)}: {item.reason}"[:_LINE] for item in found.broken]
    lines += _examples("can't be read", broken)
    lines += _examples("the same picture in train and test", [_same(group) for group in found.leaked])
    lines += _examples("the same picture in several classes", [_same(group) for group in found.conflicting])
    lines += _examples("the same picture twice in a part and class", [_same(group) for group in found.repeated])
    verdict = [f"PROBLEM  {problem}" for problem in found.problems] or ["No problem was found."]
    return "\n".join([*lines, "", *verdict])


def short(text: str, width: int = _NAME) -> str:
    """Return a text of at most `width` characters, its middle left out."""
    half = (width - 3) // 2
    return text if len(text) <= width else f"{text[:half]}...{text[-half:]}"


def _class_table(found: Inspection) -> list[str]:
    shown = found.classes[:_CLASSES]
    names = [short(count.name, 40) for count in shown]
    width = max(map(len, (*names, "class")))
    rows = [f"{'class':{width}}  {'train':>9}  {'test':>9}"]
    rows += [f"{name:{width}}  {count.train:>9,}  {count.test:>9,}" for name, count in zip(names, shown, strict=True)]
    if len(found.classes) > len(shown):
        rows.append(f"and {len(found.classes) - len(shown)} more classes, which --json has")
    if len({count.train for count in found.classes}) > 1:
        fewest, most = (pick(found.classes, key=lambda count: count.train) for pick in (min, max))
        rows.append(
            f"training images a class: {fewest.train:,} ({short(fewest.name, 20)}) to {most.train:,} ({short(most.name, 20)})"
        )
    return rows


def _same(group: Same) -> str:
    more = len(group.places) - 2
    return " = ".join(_place(place) for place in group.places[:2]) + (f" and {more:,} more" if more else "")


def _place(place: Place) -> str:
    if place.image.isdecimal():
        return f"{place.part} {place.image} ({short(place.label, 20)})"
    return short(place.image if place.image.startswith(f"{place.part}/") else f"{place.part}: {place.image}", 36)


def _examples(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"  and {len(items) - _EXAMPLES:,} more, which --json has"] if len(items) > _EXAMPLES else []
    return ["", f"{title} ({len(items):,}):", *(f"  {item}" for item in items[:_EXAMPLES]), *more]

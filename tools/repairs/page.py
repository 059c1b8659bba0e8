"""The list as a table for a terminal, and as docs/explanation/repairs.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from edgecnn.edge.show.table import TextTable, table_markdown, table_text
from tools.repairs.measure import LOSS, MENDED, Comparison, Measured
from tools.repairs.results import Row, count
from tools.repairs.table import Pair, PublicImages

PAGE = Path("docs/explanation/repairs.md")
Kept = Sequence[tuple[Pair, Row]]

_INTRO = f"""# Public int8 files, measured

Many projects ship an int8 file beside their float file. This page compares such pairs: how much accuracy the shipped int8 file
loses, and how much the int8 file loses that edgecnn makes of the same float file.

```
make repairs
```

## What was measured

- A **pair** is a float file and an int8 file in one commit of a public repository. The weights of two `.tflite` files are
  compared first: a pair of two models is not measured. Training after quantization ("qaware") changes the weights a little.
- **edgecnn's file** is made of the float file alone. At most 500 images set its ranges.
- One `edgecnn bench` measures the three files on the same **held-out images**, none of which set a range. The **drop** is the
  accuracy of the float file minus that of the int8 file, in percentage points, with its 95 % interval.
- "Loses" means that this interval is above {LOSS:g} point. **mended**: theirs loses, and the drop of edgecnn's file is at most
  {MENDED} points. **worse**: edgecnn's file loses, and theirs does not.
- **KiB** and **µs** are the size and the typical time of one image with one thread: the float file, theirs, edgecnn's. Other
  programs ran on the machine, so compare the files of one row only.

Nothing is said about the authors' files on other images, or on a microcontroller.
"""


def to_text(kept: Kept) -> str:
    """Return the table for a terminal."""
    table = TextTable.of(
        [(pair, row, row.found) for pair, row in kept if row.found],
        {
            "pair": lambda item: item[0].name,
            "images": lambda item: f"{item[2].images:,}",
            "float": lambda item: f"{item[2].float_percent:.1f} %",
            "their int8": lambda item: _drop(item[2].theirs),
            "edgecnn's int8": lambda item: _drop(item[2].ours),
            "outcome": lambda item: item[2].outcome,
        },
    )
    return "\n".join([table_text(table), *_problems(kept), "", _summary(kept)])


def to_page(kept: Kept, images: Mapping[str, PublicImages]) -> str:
    """Return the page."""
    dates, cpus = (sorted({*values}) for values in zip(*((row.date, row.cpu) for _, row in kept), strict=True))
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    parts = [_INTRO, "## Result", f"{_summary(kept)} Measured on {' and '.join(cpus)}, {when}."]
    parts += ["## Images", _images(kept, images)]
    for name, pairs in _by_images(kept).items():
        parts += [f"## Pairs on {name}", _pairs(pairs)]
    if problems := _problems(kept):
        parts += ["## Refused by edgecnn", "\n".join(problems)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _summary(kept: Kept) -> str:
    """Return the counts, of all pairs and of their repositories."""
    counts = count([row for _, row in kept])
    measured, losing = ({pair.repo for pair, row in kept if row.found and of(row.found)} for of in (bool, _theirs_loses))
    sentences = [
        f"{counts.measured} pairs of {len(measured)} repositories were measured.",
        f"The shipped int8 file loses in {counts.lost} of them, from {_of_repositories(losing)};",
        f"edgecnn's file mends {counts.mended} of these {counts.lost}.",
        f"Pairs for which edgecnn's file is worse: {counts.worse}.",
    ]
    if counts.unmeasured:
        sentences.append(f"Pairs that edgecnn can't measure: {counts.unmeasured}.")
    return " ".join(sentences)


def _of_repositories(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} repositories"


def _theirs_loses(found: Comparison) -> bool:
    return found.theirs.loses


def _images(kept: Kept, images: Mapping[str, PublicImages]) -> str:
    """Return what the images are, where they come from, and whether the models learnt from them."""
    measured = {pair.images for pair, row in kept if row.found}
    used = [(name, described) for name, described in images.items() if name in measured]
    table = TextTable.of(
        used,
        {
            "name": lambda item: item[0],
            "held out": lambda item: f"{max(row.found.images for pair, row in kept if row.found and pair.images == item[0]):,}",
            "what": lambda item: item[1].about,
            "repository": lambda item: f"{item[1].repo}@{item[1].commit[:7]}" if item[1].repo else "-",
            "training images?": lambda item: item[1].learnt,
        },
        align="<><<<",
    )
    return "\n".join(table_markdown(table))


def _by_images(kept: Kept) -> dict[str, Kept]:
    """Return the measured pairs of each set of images, in the table's order."""
    found: dict[str, list[tuple[Pair, Row]]] = {}
    for pair, row in kept:
        if row.found:
            found.setdefault(pair.images, []).append((pair, row))
    return dict(found)


def _pairs(kept: Kept) -> str:
    """Return the table of the pairs of one set of images."""
    found = [(pair, row.found) for pair, row in kept if row.found]
    firsts = {pair.repo: pair for pair, _ in reversed(found)}
    table = TextTable.of(
        found,
        {
            "repository": lambda item: _repository(item[0]) if firsts[item[0].repo] is item[0] else "",
            "int8 file, commit": lambda item: f"{PurePosixPath(item[0].int8).name}, {item[0].commit[:7]}",
            "float": lambda item: f"{item[1].float_percent:.1f} %",
            "drop of theirs": lambda item: _drop(item[1].theirs),
            "drop of edgecnn's": lambda item: _drop(item[1].ours),
            "KiB": lambda item: _kib(item[1]),
            "µs": lambda item: _times(item[1]),
            "outcome": lambda item: item[1].outcome,
        },
        align="<<",
    )
    return "\n".join(table_markdown(table))


def _repository(pair: Pair) -> str:
    licence = "no licence stated" if pair.licence == "none stated" else pair.licence
    return f"{pair.repo} ({licence}; {pair.options})"


def _kib(found: Comparison) -> str:
    """Return the sizes of the float file, their file and edgecnn's."""
    int8 = [file.size_bytes for file in (found.theirs, found.ours) if file]
    return " / ".join(f"{size / 1024:.1f}" for size in (found.float_bytes, *int8))


def _times(found: Comparison) -> str:
    """Return the times of the float file, their file and edgecnn's, in microseconds."""
    int8 = [file.time_us for file in (found.theirs, found.ours) if file]
    return " / ".join(f"{time:.0f}" if time >= 100 else f"{time:.3g}" for time in (found.float_time_us, *int8))


def _drop(measured: Measured | None) -> str:
    return (
        "can't be made"
        if measured is None
        else f"{measured.drop_points:+.2f} ({measured.low_points:+.2f} to {measured.high_points:+.2f})"
    )


def _problems(kept: Kept) -> list[str]:
    reasons = [(pair, row.problem or (row.found.refusal if row.found else "")) for pair, row in kept]
    return [f"- {pair.name}: {reason}" for pair, reason in reasons if reason]

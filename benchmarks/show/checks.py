"""What doctor, evaluate, verify and bundle found, as text."""

import textwrap
from collections import Counter
from pathlib import Path
from shlex import quote

from edgecnn.benchmarks.bundle.golden import GoldenCheck, golden_problems
from edgecnn.benchmarks.bundle.verify import Verification, same_for_all_text
from edgecnn.benchmarks.bundle.write_bundle import Bundled
from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import OK, PROBLEM, WARNING
from edgecnn.benchmarks.measure.evaluation import Evaluation, Evaluations
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs, printable

_ORDER = (PROBLEM, WARNING, OK)
_STATUS_COLUMNS = max(map(len, _ORDER)) + 2


def doctor_text(examination: Examination, width: int = WIDTH) -> str:
    """Return how many problems there are and the findings, problems first. A command or an address stays whole."""
    found = sorted(examination.findings, key=lambda finding: _ORDER.index(finding.status))
    name_columns = min(30, max((len(finding.name) for finding in found), default=0)) + 2
    lines = [printable(line) for finding in found for line in _lines(finding, name_columns, width)]
    return "\n".join([_sum(examination), "", *lines])


def _lines(finding: Finding, name_columns: int, width: int) -> list[str]:
    indent = " " * (_STATUS_COLUMNS + name_columns)
    head = f"{finding.status:<{_STATUS_COLUMNS}}{finding.name:<{name_columns}}"
    lines = [head.rstrip()] if len(finding.name) + 2 > name_columns else []
    text = textwrap.wrap(finding.text, width - len(indent), break_long_words=False, break_on_hyphens=False)
    lines += [f"{indent if lines or place else head}{line}" for place, line in enumerate(text)]
    short = " " * _STATUS_COLUMNS
    lines += [f"{short}{label}{value}" for label, value in (("-> ", finding.fix), ("   see ", finding.source)) if value]
    return lines


def _sum(examination: Examination) -> str:
    counts = Counter(finding.status for finding in examination.findings)
    told = [counted(counts[status], status) for status in (PROBLEM, WARNING) if counts[status]]
    return f"{' and '.join(told)}, each with its fix:" if told else "No problems found."


def evaluation_text(found: Evaluation, width: int = WIDTH) -> str:
    """Return it in a line, and a line for each note."""
    copies = 0 < found.distinct < found.images
    distinct = f"; {found.distinct:,} distinct ones, of which {found.distinct_correct:,} are right" if copies else ""
    line = (
        f"{found.file}: accuracy {found.accuracy:.4f} ({found.correct:,} of {counted(found.images, 'test image')}{distinct}), "
        f"loss {found.loss:.4f}, {found.runtime}"
    )
    return "\n".join(paragraphs([line, *found.doubts(), *found.notes], width, "  "))


def evaluations_text(found: Evaluations, width: int = WIDTH) -> str:
    """Return a row for each of several files, and what else a reader must know."""
    if len(found.files) == 1 and not found.skipped:
        return found.files[0].to_text(width)
    rows: list[tuple[str, ...]] = [
        (
            Path(file.file).name,
            f"{file.accuracy:.4f}",
            f"{file.correct:,} of {file.images:,}",
            f"{file.distinct_correct:,} of {file.distinct:,}",
            f"{file.loss:.4f}",
            file.runtime,
        )
        for file in found.files
    ]
    notes = [(file, note) for file in found.files for note in (*file.doubts(), *file.notes)]
    told = [note for _, note in notes]
    # What is said of every file is said once.
    lines = [note if told.count(note) == len(found.files) else f"{Path(file.file).name}: {note}" for file, note in notes]
    lines += [f"{name} was not run: {reason}" for name, reason in found.skipped.items()]
    copies = any(file.distinct < file.images for file in found.files)
    headings = ["file", "accuracy", "right", "right of\ndistinct images", "loss", "runtime"]
    if not copies:
        headings, rows = [*headings[:3], *headings[4:]], [(*row[:3], *row[4:]) for row in rows]
    table = TextTable(headings, rows, less=("loss", "runtime"), align="<>>>><" if copies else "<>>><")
    return "\n".join([table_text(table, width), *paragraphs(dict.fromkeys(lines), width, "  ")])


def verification_text(result: Verification, width: int = WIDTH) -> str:
    """Return the verdict and the figures, a sentence each, and the notes."""
    share = result.same_class / result.images
    status = "UNJUDGED" if result.same_for_all else "PASS" if result.passed else "FAIL"
    lines = [
        f"{status}: {result.file} differs from {result.reference} by at most {result.largest_difference:.3g} in any "
        f"probability, the limit is {result.tolerance:.3g}.",
        f"The same class for {result.same_class:,} of {counted(result.images, 'test image')} ({share:.2%}). The mean "
        f"difference is {result.mean_difference:.3g}, the largest is on test image {result.worst_image}.",
    ]
    if result.same_for_all:
        lines.append(f"warning: {same_for_all_text(result)}")
    return "\n".join(paragraphs([*lines, *result.notes], width, "  "))


def golden_text(check: GoldenCheck, width: int = WIDTH) -> str:
    """Return the verdict, and a row for each file."""
    headings = ("file", "bit-exact", "largest\ndifference", "limit", "runtime\nhere", "runtime\nthere", "verdict")
    rows = tuple(
        (
            item.file,
            f"{item.bit_exact} of {item.vectors}",
            f"{item.largest_difference:.2g}",
            f"{item.tolerance:.2g}",
            item.runtime,
            item.made_by.removeprefix(item.runtime.partition(" ")[0] + " "),
            "PASS" if item.passed else "FAIL",
        )
        for item in check.files
    )
    lines = [f"FAIL: {problem}" for problem in golden_problems(check)]
    if not lines:
        lines = [f"PASS: {_all(check)} computes here what it did on {check.made_on}, within what its precision allows."]
    lines += [f"{name} was not run: {reason}." for name, reason in check.skipped.items()]
    table = TextTable(headings, rows, f"Golden vectors of {check.bundle}", ("runtime\nthere", "runtime\nhere"))
    return "\n".join([*paragraphs(lines, width, "  "), "", table_text(table, width)])


def _all(check: GoldenCheck) -> str:
    if not check.skipped:
        return "every file"
    return f"each of the {len(check.files)} files that ran" if len(check.files) > 1 else "the one file that ran"


def bundled_text(result: Bundled, width: int = WIDTH) -> str:
    """Return what was written, and what to do with it."""
    name = quote(Path(result.path).name)
    lines = [
        f"{result.path}: {', '.join(result.models)}, {counted(result.images, 'test image')}, "
        f"{counted(result.golden, 'golden vector')} for each file; {result.size_bytes / 2**20:.1f} MiB",
        f"sha256 {result.sha256}",
        "Copy it to the device, and run there:",
        f"  edgecnn verify {name}",
        f"  edgecnn bench {name}",
    ]
    return "\n".join(paragraphs(lines, width, "  "))

"""What doctor, evaluate, verify, bundle, compare and selftest found, as text."""

import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from statistics import median

from edgecnn.benchmarks.bundle.golden import Golden, GoldenCheck, golden_problems, otherwise_text
from edgecnn.benchmarks.bundle.verify import Verification, same_for_all_text
from edgecnn.benchmarks.bundle.write_bundle import Bundled
from edgecnn.benchmarks.compare.compare import ASSUMPTION, IMPROVED, NO_EVIDENCE, UNSTABLE, WORSE, Change, Comparison
from edgecnn.benchmarks.compare.selftest import SelfTest, Trials
from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import OK, PROBLEM, WARNING
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED
from edgecnn.benchmarks.measure.evaluation import Evaluation, Evaluations
from edgecnn.benchmarks.results.between import ASSUMED
from edgecnn.benchmarks.results.records import Choice
from edgecnn.benchmarks.show.remarks import unstable_lines
from edgecnn.benchmarks.show.tables import accepted_text, figure
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs, printable

_ORDER = (PROBLEM, WARNING, OK)
_STATUS_COLUMNS = max(map(len, _ORDER)) + 2
_CHANGED = {WORSE: "Slower", IMPROVED: "Faster", NO_EVIDENCE: "No evidence of a change", UNSTABLE: "Too unstable to say"}


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
    each = "each " if sum(counts[status] for status in (PROBLEM, WARNING)) > 1 else ""
    return f"{' and '.join(told)}, {each}with its fix:" if told else "No problems found."


def evaluation_text(found: Evaluation, width: int = WIDTH) -> str:
    """Return it in a line, and a line for each note."""
    copies = 0 < found.distinct < found.images
    distinct = f"; {found.distinct:,} distinct ones, of which {found.distinct_correct:,} are right" if copies else ""
    images = counted(found.images, found.dataset.kind)
    line = (
        f"{found.file}: accuracy {found.accuracy:.4f} ({found.correct:,} of {images}{distinct}), "
        f"loss {found.loss:.4f}, {found.runtime}"
    )
    return "\n".join(paragraphs([line, *_accepted(found), *found.doubts(), *found.notes], width, "  "))


def _accepted(found: Evaluation) -> list[str]:
    """Return a sentence on the answers that the file's threshold accepts; nothing for a file without one."""
    if found.accepted is None or found.max_error is None:
        return []
    return [accepted_text(found.distinct, found.accepted, found.accepted_wrong, found.max_error)]


def evaluations_text(found: Evaluations, width: int = WIDTH) -> str:
    """Return a row for each of several files, and what else a reader must know."""
    if len(found.files) == 1 and not found.skipped:
        return found.files[0].to_text(width)
    columns: dict[str, Callable[[Evaluation], str]] = {
        "file": lambda file: Path(file.file).name,
        "accuracy": lambda file: f"{file.accuracy:.4f}",
        "right": lambda file: f"{file.correct:,} of {file.images:,}",
        "right of\ndistinct images": lambda file: f"{file.distinct_correct:,} of {file.distinct:,}",
        "loss": lambda file: f"{file.loss:.4f}",
        "runtime": lambda file: file.runtime,
    }
    if not any(file.distinct < file.images for file in found.files):
        del columns["right of\ndistinct images"]
    notes = [(file, note) for file in found.files for note in (*_accepted(file), *file.doubts(), *file.notes)]
    told = [note for _, note in notes]
    # What is said of every file is said once.
    lines = [note if told.count(note) == len(found.files) else f"{Path(file.file).name}: {note}" for file, note in notes]
    lines += [f"{name} was not run: {reason}" for name, reason in found.skipped.items()]
    table = TextTable.of(found.files, columns, less=("loss", "runtime"), align=f"<{'>' * (len(columns) - 2)}<")
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
    columns: dict[str, Callable[[Golden], str]] = {
        "file": lambda item: item.file,
        "bit-exact": lambda item: f"{item.bit_exact} of {item.vectors}",
        "largest\ndifference": lambda item: f"{item.largest_difference:.2g}",
        "limit": lambda item: f"{item.tolerance:.2g}",
        "runtime\nhere": lambda item: item.runtime,
        "runtime\nthere": lambda item: item.made_by.removeprefix(item.runtime.partition(" ")[0] + " "),
        "verdict": lambda item: "PASS" if item.passed else "FAIL",
    }
    lines = [f"FAIL: {problem}" for problem in golden_problems(check)]
    if not lines:
        lines = [f"PASS: {_all(check)} computes here what it did on {check.made_on}, within what its precision allows."]
    lines += [f"The bundle is signed by {check.signer}."] if check.signer else []
    rounded = [item for item in check.files if item.passed and item.accepted_otherwise]
    lines += [f"{item.file} {otherwise_text(item)}: their scores are next to its threshold." for item in rounded]
    lines += [f"{name} was not run: {reason}." for name, reason in check.skipped.items()]
    table = TextTable.of(check.files, columns, f"Golden vectors of {check.bundle}", ("runtime\nthere", "runtime\nhere"))
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
        f"Copy it to the device with its signature, {Path(result.signature).name}, and run there:"
        if result.signature
        else "Copy it to the device, and run there:",
        f"  edgecnn verify {name}",
        f"  edgecnn bench {name}",
    ]
    return "\n".join(paragraphs(lines, width, "  "))


def comparison_text(comparison: Comparison, width: int = WIDTH, verbose: bool = False) -> str:
    """Return the verdict, the table and what it rests on; `verbose` adds how the intervals are made."""
    images_of = {images for change in comparison.changes for images in (change.old_images, change.new_images)} - {None}
    columns: dict[str, Callable[[Change], str]] = {
        "file": lambda change: change.name + ("" if change.same_file else " *"),
        "old p50\nµs": lambda change: figure(change.old_ns / 1e3),
        "new p50\nµs": lambda change: figure(change.new_ns / 1e3),
        "new / old": lambda change: f"{change.ratio.estimate:.3f}",
        "95 %": lambda change: f"{change.ratio.low:.3f} to {change.ratio.high:.3f}",
        "right\nold, new": lambda change: "; ".join(
            f"{count:,}{f' of {images:,}' if len(images_of) > 1 else ''}"
            for count, images in ((change.old_correct, change.old_images), (change.new_correct, change.new_images))
            if count is not None
        ),
        "change": lambda change: change.evidence,
    }
    title = " and ".join(", ".join(names) for names in (comparison.old, comparison.new))
    table = table_text(TextTable.of(comparison.changes, columns, title, ("right\nold, new",)), width)
    blocks = ["\n".join(paragraphs(_comparison_answer(comparison), width, "  ")), table]
    for lines in (_comparison_warnings(comparison, verbose), _how(comparison) if verbose else []):
        blocks += ["\n".join(paragraphs(lines, width, "    "))] if lines else []
    return "\n\n".join(blocks)


def _comparison_answer(comparison: Comparison) -> list[str]:
    """Return what the limit says of each file, where there is one, and which files changed."""
    limit, lines = comparison.max_slowdown_percent, []
    if comparison.refused:
        lines.append("INVALID: these times are too unstable to judge: measure again, or allow the noise by name.")
    elif limit is not None:
        for change in comparison.changes:
            if change.slowdown in (FAIL, UNDECIDED):
                lines.append(
                    f"{change.slowdown}: {change.name}: new / old is {change.ratio.low - 1:+.1%} to "
                    f"{change.ratio.high - 1:+.1%}, the limit is +{limit:g} %"
                    + ("; more old and new results would decide" if change.slowdown == UNDECIDED else "")
                )
        if all(change.slowdown == PASS for change in comparison.changes):
            lines.append(f"PASS: no file became slower by more than {limit:g} % (95 %).")
    for evidence, text in _CHANGED.items():
        names = [change.name for change in comparison.changes if change.evidence == evidence]
        lines += [f"{text}: {', '.join(names)}."] if names else []
    return [*lines, *_shipped(*comparison.ship)]


def _shipped(old: Choice, new: Choice) -> list[str]:
    """Return which file to ship by the new results, and whether the old ones name it; nothing where neither can name one."""
    if not (old.file or new.file or new.closest):
        return []
    before = "as by the old results" if old.file == new.file else f"the old results name {old.file or 'none'}"
    if new.file:
        return [f"Ship {new.file}, {before}. It is {new.reason}."]
    none = f"the closest is {new.closest}, {new.status}" if new.closest else new.reason
    return [f"Ship none by the new results: {none}; {before}."]


def _comparison_warnings(comparison: Comparison, verbose: bool) -> list[str]:
    """Return what limits what may be believed."""
    lines = [
        f"{change.name} ran on {change.old_runtime} then, and runs on {change.new_runtime} now."
        for change in comparison.changes
        if change.old_runtime != change.new_runtime
    ]
    if not all(change.same_file for change in comparison.changes):
        lines.append("*: the file itself has changed.")
    for which, names in (("old", comparison.only_old), ("new", comparison.only_new)):
        lines += [f"Only in the {which} results: {', '.join(names)}."] if names else []
    lines += [f"Compared anyway, as asked: {reason}." for reason in comparison.unlike]
    return [*lines, *unstable_lines("Unstable times:", tuple(dict.fromkeys(comparison.noise)), verbose)]


def _how(comparison: Comparison) -> list[str]:
    """Return how the intervals are made, and what they take benchmarks of one file to differ by."""
    spread = f"The intervals are over {len(comparison.old)} old and {len(comparison.new)} new benchmarks."
    if comparison.spread == ASSUMPTION:
        spread = (
            f"Benchmarks of one file are assumed to differ by {ASSUMED} times what their launches do. Several old and new "
            "results, or the noise floor from edgecnn selftest, measure it instead."
        )
    elif comparison.floor:
        more = f"{comparison.floor.deviation:.1%}"
        spread = f"According to the noise floor, benchmarks of one file differ by {more} beyond what their launches do."
    return [
        "p50: the median of all timed runs; of several results, their geometric mean. new / old compares the medians round by "
        f"round. Each interval is right in 95 of 100 cases. Right: number of test images. {spread}"
    ]


def selftest_text(result: SelfTest, width: int = WIDTH) -> str:
    """Return whether the intervals hold, and the noise floor."""
    plan, ratios = result.plan, len(result.side_by_side.ratios) + len(result.one_after_another.ratios)
    lines = ["The intervals hold on this machine: a file is rarely found to differ from itself."]
    if not result.holds:
        lines = ["The intervals do NOT hold on this machine: a file seems to differ from itself."]
        if result.side_by_side.holds and result.with_floor.holds:
            lines.append("They hold in edgecnn compare when it gets this test's JSON as its noise floor.")
    lines += [
        f"Noise floor: {result.noise_floor:.1%}. That is the 95th percentile of how far these {ratios} ratios are from 1.",
        f"{result.file} compared with itself, {plan.launches} launches of {counted(plan.rounds, 'round')} on each side:",
        f"  side by side, as in one bench:           {_trials_line(result.side_by_side)}",
        f"  one after the other, as edgecnn compare: {_trials_line(result.one_after_another)}",
        f"  the same, with this noise floor:         {_trials_line(result.with_floor)}",
        f"Launches of one benchmark differ by {result.launch_deviation:.1%}, benchmarks by {result.between.deviation:.1%} more "
        f"(standard deviations). edgecnn compare assumes {ASSUMED} times the first, unless it gets this test's JSON.",
    ]
    names = sorted({item.name for item in result.noise})
    if names:
        counts = ", ".join(f"{name} {sum(item.name == name for item in result.noise)} times" for name in names)
        lines.append(f"Unstable times: this is the noise floor of a busy machine ({counts}). The first:")
        lines.append(f"  {result.noise[0].text}")
    return "\n".join(paragraphs(lines, width, "    "))


def _trials_line(trials: Trials) -> str:
    count = len(trials.ratios)
    width = median((ratio.high - ratio.low) / 2 for ratio in trials.ratios)
    return f"no difference in {trials.no_evidence} of {count} ({trials.no_evidence / count:.0%}), intervals ±{width:.1%}"

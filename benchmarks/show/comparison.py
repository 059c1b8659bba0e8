"""Comparison and SelfTest -> text."""

from statistics import median

from edgecnn.benchmarks.compare.compare import ASSUMPTION, FLOOR, IMPROVED, NO_EVIDENCE, UNSTABLE, WORSE, Comparison
from edgecnn.benchmarks.compare.selftest import SelfTest, Trials
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED
from edgecnn.benchmarks.results.between import ASSUMED
from edgecnn.benchmarks.show.remarks import unstable_lines
from edgecnn.benchmarks.show.tables import figure
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs

_CHANGED = {WORSE: "Slower", IMPROVED: "Faster", NO_EVIDENCE: "No evidence of a change", UNSTABLE: "Too unstable to say"}


def comparison_text(comparison: Comparison, width: int = WIDTH, verbose: bool = False) -> str:
    """Return the verdict, the table and what it rests on; `verbose` adds how the intervals are made."""
    headings = ("file", "old p50\nµs", "new p50\nµs", "new / old", "95 %", "right\nold, new", "change")
    rows = tuple(
        (
            change.name + ("" if change.same_file else " *"),
            figure(change.old_ns / 1e3),
            figure(change.new_ns / 1e3),
            f"{change.ratio.estimate:.3f}",
            f"{change.ratio.low:.3f} to {change.ratio.high:.3f}",
            "; ".join(f"{count:,}" for count in (change.old_correct, change.new_correct) if count is not None),
            change.evidence,
        )
        for change in comparison.changes
    )
    title = " and ".join(", ".join(names) for names in (comparison.old, comparison.new))
    table = table_text(TextTable(headings, rows, title, ("right\nold, new",)), width)
    blocks = ["\n".join(paragraphs(_answer(comparison), width, "  ")), table]
    for lines in (_warnings(comparison, verbose), _how(comparison) if verbose else []):
        blocks += ["\n".join(paragraphs(lines, width, "    "))] if lines else []
    return "\n\n".join(blocks)


def _answer(comparison: Comparison) -> list[str]:
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
    return lines


def _warnings(comparison: Comparison, verbose: bool) -> list[str]:
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
    return [
        "p50: the median of all timed runs; of several results, their geometric mean. new / old compares the medians round by "
        f"round. Each interval is right in 95 of 100 cases. Right: number of test images. {_spread_text(comparison)}"
    ]


def _spread_text(comparison: Comparison) -> str:
    """Say what the intervals take benchmarks of one file to differ by."""
    if comparison.spread == ASSUMPTION:
        return (
            f"Benchmarks of one file are assumed to differ by {ASSUMED} times what their launches do. Several old and new "
            "results, or the noise floor from edgecnn selftest, measure it instead."
        )
    if comparison.spread == FLOOR and comparison.floor:
        more = f"{comparison.floor.deviation:.1%}"
        return f"According to the noise floor, benchmarks of one file differ by {more} beyond what their launches do."
    return f"The intervals are over {len(comparison.old)} old and {len(comparison.new)} new benchmarks."


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
        f"  side by side, as in one bench:           {_line(result.side_by_side)}",
        f"  one after the other, as edgecnn compare: {_line(result.one_after_another)}",
        f"  the same, with this noise floor:         {_line(result.with_floor)}",
        f"Launches of one benchmark differ by {result.launch_deviation:.1%}, benchmarks by {result.between.deviation:.1%} more "
        f"(standard deviations). edgecnn compare assumes {ASSUMED} times the first, unless it gets this test's JSON.",
    ]
    names = sorted({item.name for item in result.noise})
    if names:
        counts = ", ".join(f"{name} {sum(item.name == name for item in result.noise)} times" for name in names)
        lines.append(f"Unstable times: this is the noise floor of a busy machine ({counts}). The first:")
        lines.append(f"  {result.noise[0].text}")
    return "\n".join(paragraphs(lines, width, "    "))


def _line(trials: Trials) -> str:
    count = len(trials.ratios)
    width = median((ratio.high - ratio.low) / 2 for ratio in trials.ratios)
    return f"no difference in {trials.no_evidence} of {count} ({trials.no_evidence / count:.0%}), intervals ±{width:.1%}"

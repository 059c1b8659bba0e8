"""Comparison and SelfTest -> text."""

from statistics import median
from textwrap import fill

from benchmarks.compare import Comparison
from benchmarks.gate import FAIL, PASS, UNDECIDED
from benchmarks.report import WIDTH, grid_text
from benchmarks.selftest import SelfTest, Trials
from benchmarks.tables import Grid, figure


def comparison_text(comparison: Comparison) -> str:
    """Return the table and what it rests on."""
    headings = ("file", "old\nµs", "new\nµs", "new / old", "95 %", "right\nold", "right\nnew", "change")
    rows = tuple(
        (
            change.name + ("" if change.same_file else " *"),
            figure(change.old_ns / 1e3),
            figure(change.new_ns / 1e3),
            f"{change.ratio.estimate:.3f}",
            f"{change.ratio.low:.3f} to {change.ratio.high:.3f}",
            "" if change.old_correct is None else f"{change.old_correct:,}",
            "" if change.new_correct is None else f"{change.new_correct:,}",
            change.evidence,
        )
        for change in comparison.changes
    )
    lines = [grid_text(Grid(f"{comparison.old} and {comparison.new}", headings, rows)), ""]
    notes = [
        "Times: geometric means of the rounds' medians, which the ratios are of. Intervals are over the launches of both; each "
        "is right in 95 of 100 cases. Right: test images."
    ]
    for change in comparison.changes:
        if change.old_runtime != change.new_runtime:
            notes.append(f"{change.name} ran on {change.old_runtime} then, on {change.new_runtime} now.")
    if not all(change.same_file for change in comparison.changes):
        notes.append("*: the file itself is another one now.")
    for which, names in (("old", comparison.only_old), ("new", comparison.only_new)):
        if names:
            notes.append(f"Only in the {which} one: {', '.join(names)}.")
    notes += [f"Compared all the same, as asked: {reason}." for reason in comparison.unlike]
    notes += [f"Unstable: {reason}" for reason in comparison.noise]
    if comparison.refused:
        notes.append("INVALID: no limit is judged on unstable times: measure again, or --allow NAME.")
    elif comparison.max_slowdown_percent is not None:
        for change in comparison.changes:
            if change.slowdown in (FAIL, UNDECIDED):
                notes.append(
                    f"{change.slowdown}: {change.name}: new / old is {change.ratio.low - 1:+.1%} to "
                    f"{change.ratio.high - 1:+.1%}, allowed are +{comparison.max_slowdown_percent:g} %"
                    + ("; more launches would decide" if change.slowdown == UNDECIDED else "")
                )
        if all(change.slowdown == PASS for change in comparison.changes):
            notes.append(f"PASS: no file became slower by more than {comparison.max_slowdown_percent:g} % (95 %).")
    return "\n".join([*lines, *(fill(line, WIDTH) for line in notes)])


def selftest_text(result: SelfTest) -> str:
    """Return the noise floor and whether the intervals hold."""
    plan = result.plan
    lines = [
        f"{result.file} against itself, {plan.launches} launches of {plan.rounds} rounds on each side:",
        f"  side by side, as in one bench:         {_line(result.side_by_side)}",
        f"  one after another, as edgecnn compare: {_line(result.one_after_another)}",
        f"Noise floor: {result.noise_floor:.1%}, the 95th percentile of how far these "
        f"{len(result.side_by_side.ratios) + len(result.one_after_another.ratios)} ratios are from 1. (One after another: each "
        "trial's first side beside the next trial's, in pairs.)",
    ]
    if not result.holds:
        lines.append("The intervals do NOT hold on this machine: differences that are none look like evidence.")
    names = sorted({item.name for item in result.noise})
    if names:
        counts = ", ".join(f"{name} {sum(item.name == name for item in result.noise)} times" for name in names)
        lines += [f"This is the floor of an unstable machine: {counts}. The first:", f"  {result.noise[0].text}"]
    return "\n".join(fill(line, WIDTH, subsequent_indent="  ") for line in lines)


def _line(trials: Trials) -> str:
    count = len(trials.ratios)
    width = median((ratio.high - ratio.low) / 2 for ratio in trials.ratios)
    return f"no evidence in {trials.no_evidence} of {count} ({trials.no_evidence / count:.0%}), intervals ±{width:.1%}"

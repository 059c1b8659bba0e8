"""Judges files: accuracy, its drop in each class, confidence, latency, size and memory against their limits."""

import math
from collections.abc import Sequence
from functools import cache

from edgecnn.benchmarks.gate.accuracy import Accuracy, doubt, nothing_to_judge_by
from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.gate import FAIL, INVALID, PASS, UNDECIDED, UNJUDGED, Check, Figures, Policy, Verdict, worst
from edgecnn.benchmarks.machine.noise import Noise, hidden_factor
from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.percentiles import Percentile, launch_share, launches_needed
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.benchmarks.statistics.sample_size import Need, chance_to_pass, images_to_decide, images_to_decide_share
from edgecnn.edge.export_records import Interval

# How many classes a text names.
MOST_NAMED = 5
# One image may be lost by chance. An equally good file that changes 0.3 % of its answers loses both images of a class of two
# in fewer than 1 of 300 test sets with 300 such classes (`tests/benchmarks/gate/test_class_changes.py`).
_LEAST_RIGHT = 2
_CONFIDENCE = 0.95
# A class that keeps less than half of its accuracy is lost: a file shown to have lost one fails, whatever its other limits. A
# file that is never right on a class may have lost it, and does not pass.
_LOST_CLASS_POINTS = 50.0
_ALL_LEARNT = (
    "accuracy can't be judged: every test image is an exact copy of a training image, which the model may know by heart: give "
    "images that it was not trained on"
)


def drop(accuracy: Accuracy, allowed: float, reference: str) -> Check:
    """Compare the drop of accuracy with its limit in percentage points."""
    found = accuracy.drop
    within, beyond = 100 * found.high <= allowed, 100 * found.low > allowed
    direction = "above" if found.estimate < 0 else "below"
    text = (
        f"accuracy {accuracy.accuracy:.2%} is {100 * abs(found.estimate):.2f} points {direction} {reference}, the "
        f"drop lies in {100 * found.low:+.3f} to {100 * found.high:+.3f} (95 %), the limit is {allowed:.2f}"
    )
    if not (within or beyond or accuracy.groups):
        need = images_to_decide(accuracy.lost, accuracy.gained, accuracy.images, allowed / 100)
        smallest = math.ceil(1e4 * drop_interval(0, 0, accuracy.images).high) / 100
        if allowed < smallest:
            text += (
                f"; {accuracy.images:,} images can't decide a limit below {smallest:.2f}, even for a file that loses nothing: "
                f"{_decides(need)}"
            )
        else:
            flips = (accuracy.lost + accuracy.gained) / accuracy.images
            equal = chance_to_pass(flips / 2, flips / 2, accuracy.images, allowed / 100)
            text += (
                f"; {accuracy.images:,} images do not decide: a file as good as the reference, with as many flips, passes on "
                f"{'' if equal < 0.995 else 'nearly '}{equal:.0%} of such sets; {_need(need)}"
            )
    return _check(within, beyond, text)


def _share(share: Interval | None, count: int, accuracy: Accuracy, least: float, what: str) -> Check:
    """Compare a share of the images, which is of `count` of them, with its limit in percent."""
    if share is None:
        raise ValueError("accuracy must have its interval to be judged")
    within, beyond = 100 * share.low >= least, 100 * share.high < least
    text = (
        f"{100 * share.estimate:.2f} % {what} ({100 * share.low:.2f} to {100 * share.high:.2f} %, 95 %), the limit is at least "
        f"{least:.2f} %"
    )
    if not (within or beyond or accuracy.groups):
        need = images_to_decide_share(count, accuracy.images, least / 100)
        largest = math.floor(1e4 * binomial.interval(accuracy.images, accuracy.images).low) / 100
        text += (
            f"; {accuracy.images:,} images can't show more than {largest:.2f} %, even if every one counts: {_decides(need)}"
            if least > largest
            else f"; {accuracy.images:,} images do not decide: {_need(need)}"
        )
    return _check(within, beyond, text)


def _need(need: Need) -> str:
    if need.images is None:
        return _decides(need)
    between = f"{need.fewest:,} to {need.most:,}" if need.most else f"{need.fewest:,} or more"
    return f"{_decides(need)} (80 % range: {between}); look once: every further look adds to the 2.5 % chance of a wrong PASS"


def _decides(need: Need) -> str:
    if need.images is None:
        return "no number of images like these would decide"
    return f"about {need.images:,} images like these would decide in 80 % of cases"


def worst_class(accuracy: Accuracy, allowed: float | None, class_names: Sequence[str]) -> Check | None:
    """Compare the largest drop of any class with its limit in percentage points.

    All classes are within only if each one is, so each interval decides by itself (Berger, 1982, Technometrics 24: 295-300).
    One of many is beyond by chance more often, so its interval is corrected for their number (Bonferroni).

    Returns:
        None if no limit is set and no class is lost. A class is lost if it is shown to have lost more than half of its
        accuracy, or if it is never right.
    """
    if allowed is None:
        return _lost_class(accuracy, class_names)
    alone = _class_drops(accuracy, _CONFIDENCE)
    highest = max(alone, key=lambda place: (alone[place].high, alone[place].estimate))
    together = _class_drops(accuracy, _corrected(len(alone)), allowed / 100)
    lowest = max(together, key=lambda place: together[place].low, default=highest)
    beyond = lowest in together and 100 * together[lowest].low > allowed
    place, drop = (lowest, together[lowest]) if beyond else (highest, alone[highest])
    text = f"{_class_text(accuracy, place, drop, class_names)}, the limit is {allowed:.2f}"
    return _check(100 * alone[highest].high <= allowed, beyond, text)


def _lost_class(accuracy: Accuracy, class_names: Sequence[str]) -> Check | None:
    corrected = _corrected(sum(of.images > 0 for of in accuracy.classes))
    drops = _class_drops(accuracy, corrected, _LOST_CLASS_POINTS / 100)
    place = max(drops, key=lambda place: drops[place].low, default=-1)
    if place < 0 or 100 * drops[place].low <= _LOST_CLASS_POINTS:
        text = f"{never_right_text(accuracy, class_names)}: more images of it would decide"
        return Check(UNDECIDED, text) if never_right(accuracy) else None
    text = f"{_class_text(accuracy, place, drops[place], class_names)}: more than half of the class is lost"
    return Check(FAIL, text)


def _class_drops(accuracy: Accuracy, confidence: float, least: float = -1.0) -> dict[int, Interval]:
    """Return the drop in accuracy of each class with images, with its own interval of this confidence, between 0 and 1.

    Classes that drop by no more than the share `least` are skipped.
    """
    interval = cache(drop_interval)  # Most classes of a good file have the same counts.
    return {
        place: interval((of.lost or 0) * of.weight, (of.gained or 0) * of.weight, of.images * of.weight, confidence)
        for place, of in enumerate(accuracy.classes)
        if of.images and of.reference_correct - of.correct > least * of.images
    }


def never_right(accuracy: Accuracy) -> list[int]:
    """Return the classes on which a file is never right, but its reference is on two or more different images."""
    return [place for place, of in enumerate(accuracy.classes) if of.correct == 0 and of.reference_correct >= _LEAST_RIGHT]


def never_right_text(accuracy: Accuracy, class_names: Sequence[str]) -> str:
    """Return a text that names those classes; there must be at least one."""
    places = never_right(accuracy)
    counts = [(class_names[place], accuracy.classes[place]) for place in places[:MOST_NAMED]]
    texts = [
        f"class {name}: 0 of {of.images:,} where the reference is right on {of.reference_correct:,}" for name, of in counts
    ]
    more = f", and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    return f"never right on {', on '.join(texts)}{more}"


def _corrected(classes: int) -> float:
    return 1 - (1 - _CONFIDENCE) / max(classes, 1)


def _class_text(accuracy: Accuracy, place: int, drop: Interval, class_names: Sequence[str]) -> str:
    of = accuracy.classes[place]
    return (
        f"class {class_names[place]}: {of.correct:,} of {of.images:,} images are right, {of.reference_correct:,} by the "
        f"reference; its drop lies in {100 * drop.low:+.1f} to {100 * drop.high:+.1f} points"
    )


def brier_increase(accuracy: Accuracy, allowed: float) -> Check:
    """Compare the increase of the mean Brier score with its limit."""
    found = accuracy.brier_increase
    if found is None:
        raise ValueError("the Brier score must have been measured to be judged")
    text = (
        f"the Brier score differs by {found.estimate:+.4f} from the reference's ({found.low:+.4f} to {found.high:+.4f}, 95 %), "
        f"the limit is {allowed:g}"
    )
    return _check(found.high <= allowed, found.low > allowed, text)


def _check(within: bool, beyond: bool, text: str) -> Check:
    return Check(PASS if within else FAIL if beyond else UNDECIDED, text)


def p90_check(p90: Percentile, allowed: float, noise: tuple[Noise, ...]) -> Check:
    """Compare the p90 of every launch with its limit in milliseconds.

    Noise that can only have added time leaves an upper bound true, so p90 may still be within its limit. If noise may hide
    how slow a run can be, the bound times `hidden_factor` must be within the limit.

    Args:
        p90: 90th percentile of single-image latency.
        allowed: The limit in milliseconds.
        noise: Noise that disturbed these times and is not ignored.

    Returns:
        `INVALID` if it can't be judged, which says why.
    """
    if p90.value_ns is None:
        return Check(INVALID, f"p90 can't be judged: it needs {p90.needed_runs} runs, but has {p90.runs}: measure more runs")
    seen = f"p90 is {p90.value_ns / 1e6:.4g} ms, the limit is {allowed:g}"
    factor = hidden_factor(noise)
    if noise and (p90.high_ns is None or factor * p90.high_ns / 1e6 > allowed):
        return Check(INVALID, f"{seen}, but it can't be judged: {_reasons(noise)}")
    if len(p90.launches) < 2:
        return Check(INVALID, f"{seen}, but it can't be judged: one launch says nothing about others: measure more launches")
    if p90.low_ns is None or p90.high_ns is None:
        why = f"each launch needs {p90.needed_runs} runs, all {len(p90.launches)} have {p90.runs}: measure more runs"
        return Check(INVALID, f"{seen}, but it can't be judged: {why}")
    low, high, count = p90.low_ns / 1e6, p90.high_ns / 1e6, len(p90.launches)
    within, beyond = high <= allowed, low > allowed
    if not (within or beyond):
        return Check(UNDECIDED, f"{seen}; {_launches_apart(p90, allowed)}")
    bound, share = (f"at most {high:.4g}", "are within") if within else (f"at least {low:.4g}", "exceed")
    text = f"{seen}; all {count} launches have {bound}: {launch_share(count):.0%} of launches or more {share} it (95 %)"
    most = launches_needed(0.9)
    text += "" if count >= most else f"; {most} launches would cover 9 in 10"
    return _check(within, beyond, text + _despite(noise, factor))


def _reasons(noise: tuple[Noise, ...]) -> str:
    return "; ".join(item.reason for item in noise)


def _despite(noise: tuple[Noise, ...], factor: int) -> str:
    """Return why a limit is kept despite noise."""
    if not noise:
        return ""
    why = "it can only have added time" if factor == 1 else f"even {factor} times these times are within the limit"
    return f"; the machine was noisy ({', '.join(dict.fromkeys(item.name for item in noise))}), but {why}"


def _launches_apart(p90: Percentile, allowed: float) -> str:
    """Return which launch prevents a PASS."""
    bounds = [(item.value_ns / 1e6, (item.low_ns or 0) / 1e6, (item.high_ns or 0) / 1e6) for item in p90.launches]
    number, (value, low, high) = max(enumerate(bounds, 1), key=lambda item: item[1])
    within = sum(item[2] <= allowed for item in bounds)
    mend = "find out what slows it" if low > allowed else "measure more runs"
    return (
        f"{within} of {len(bounds)} launches are within it, the slowest is launch {number} with {value:.4g} ms ({low:.4g} to "
        f"{high:.4g}, 99 % each side): {mend}"
    )


def judge(
    figures: Figures,
    budget: Budget,
    noise: tuple[Noise, ...] = (),
    policy: Policy = Policy(),  # noqa: B008  # Frozen.
) -> Verdict:
    """Judge one file.

    Accuracy is judged by a test of non-inferiority: PASS if the whole interval of the drop lies within the limit, FAIL if
    all of it lies beyond, else UNDECIDED. The other limits on accuracy and p90 are judged the same way, by their bounds. If the
    reference is not shown to be right more often than a guess, the result is UNJUDGED, and also if a stored reference is not
    where the file came from (`edgecnn.benchmarks.gate.accuracy`), or every image is a copy of a training image. Noise
    makes the limit on p90 INVALID, because it depends on times, unless p90 is within the limit however much the noise changed
    it; with `policy.strict`, noise is a separate INVALID check.

    Raises:
        ValueError: If there is a limit on accuracy, but no accuracy.
    """
    checks = []
    if budget.of_accuracy() and figures.accuracy is None:
        raise ValueError(f"accuracy must have been measured to judge {budget.of_accuracy()[0]}")
    if figures.accuracy:
        checks += accuracy_checks(figures.accuracy, budget, figures.reference, figures.class_names)
        if figures.recorded and budget.beside_reference():
            reason = doubt(figures.accuracy, figures.recorded, budget.max_drop_points, figures.reference)
            checks += [Check(UNJUDGED, reason)] if reason else []
    against = tuple(item for item in noise if item.file in (None, figures.name) and not policy.allows(item))
    if figures.exported:
        if budget.max_p90_ms is not None:
            checks.append(p90_check(figures.p90, budget.max_p90_ms, against))
        if budget.max_size_kib is not None:
            checks.append(_limit("size", figures.size_bytes / 2**10, "KiB", budget.max_size_kib))
        if budget.max_memory_mib is not None:
            checks.append(_limit("peak memory", figures.peak_memory_bytes / 2**20, "MiB", budget.max_memory_mib))
    if policy.strict and against:
        checks.append(Check(INVALID, f"the measurement is unstable: {_reasons(against)}"))
    return Verdict(worst(check.status for check in checks), tuple(checks))


def accuracy_checks(accuracy: Accuracy, budget: Budget, reference: str, class_names: tuple[str, ...]) -> list[Check]:
    """Judge accuracy alone, as `judge` does: a check for each limit, and one for a lost class. Arguments: see `Figures`."""
    checks = []
    if accuracy.all_learnt and budget.of_accuracy():
        return [Check(UNJUDGED, _ALL_LEARNT)]
    if budget.min_accuracy_percent is not None:
        checks.append(_share(accuracy.right, accuracy.correct, accuracy, budget.min_accuracy_percent, "of images are right"))
    if not budget.beside_reference():
        return checks
    if reason := nothing_to_judge_by(accuracy, reference):
        return [*checks, Check(UNJUDGED, reason)]
    if budget.max_drop_points is not None:
        checks.append(drop(accuracy, budget.max_drop_points, reference))
    if budget.min_agreement_percent is not None:
        what = f"of images have {reference}'s class"
        checks.append(_share(accuracy.agreement, accuracy.same_class, accuracy, budget.min_agreement_percent, what))
    if found := worst_class(accuracy, budget.max_class_drop_points, class_names):
        checks.append(found)
    if budget.max_brier_increase is not None:
        checks.append(brier_increase(accuracy, budget.max_brier_increase))
    return checks


def _limit(what: str, value: float, unit: str, allowed: float) -> Check:
    return Check(PASS if value <= allowed else FAIL, f"{what} is {value:.6g} {unit}, the limit is {allowed:g}")

"""What a reader of a report must know besides its figures: the judgement in words, which file to ship, and what limits both."""

import math
from collections.abc import Sequence

from edgecnn.benchmarks.gate.accuracy import Accuracy, nothing_to_judge_by
from edgecnn.benchmarks.gate.checks import MOST_NAMED, never_right, never_right_text
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED, UNJUDGED
from edgecnn.benchmarks.machine.noise import OTHERS_CORES, Noise
from edgecnn.benchmarks.results.choice import MARGIN, ORDER, choose
from edgecnn.benchmarks.results.latency_summary import TimedFile, no_faster_than_float, p50_ns
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.show.tables import is_reference, unstable
from edgecnn.benchmarks.statistics.sample_size import images_to_decide
from edgecnn.edge.data.pixel_digests import conflict_note, learnt_note
from edgecnn.edge.errors import setting
from edgecnn.edge.export_records import FASTER
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.show.export import tied_note

# Of the reasons why times are unstable: most machines have one, which shows in every file.
_REASONS = 5
# Files that a note names: with several runtimes and threads there are dozens of rows.
_NAMES = 5
# As a share of the images; quantization alone may gain a little.
_NOTABLE_GAIN = 0.005
_SIGNIFICANT = 0.05


def remarks(report: Report) -> list[str]:
    """Return what is missing in the report, or unstable besides the rounds' times."""
    lines = [f"By op: not measured: {file.profile_problem}" for file in report.files if file.profile_problem]
    extras = any(file.throughput or file.paced or file.sustained or file.profile for file in report.files)
    if extras and report.extras_load and report.extras_load.others_cores > OTHERS_CORES:
        lines.append(
            f"While batches, rates, sustained runs and ops were measured, others used {report.extras_load.others_cores:.2f} "
            "cores: those figures are unstable."
        )
    lines += [
        f"{file.name} takes {file.images_per_run} images at a time: each of its runs is of {file.images_per_run} images."
        for file in report.files
        if file.images_per_run > 1
    ]
    if not report.dataset:
        lines.append(
            "Latency only: no labelled images were given. Inputs are random numbers of each model's own shape and type: "
            + ", ".join(f"{file.name} {file.artifact.input.shape}" for file in report.files)
            + "."
        )
    no_faster = [f"{file.name} {text}" for file, text in no_faster_remarks(report)]
    lines += tied_note([(file.name, threshold) for file in report.files if (threshold := file.artifact.threshold)])
    lines = [*_better_than_reference(report), *lines, *_guess(report), *_counted_images(report)]
    return [*lines, *no_faster, *_unmeasured(report), *report.notes]


def _guess(report: Report) -> list[str]:
    """Return why the accuracy of a reference that is measured alone is worth nothing; of other files the verdict says it."""
    (first, *others) = report.files
    if others or not first.accuracy or not is_reference(report, first):
        return []
    reason = nothing_to_judge_by(first.accuracy, first.name)
    return [f"Doubtful: {reason}."] if reason else []


def _unmeasured(report: Report) -> list[str]:
    """Return a line for each file, runtime or format that was not measured."""
    lines = []
    for item in report.unmeasured:
        name = f"{item.file} {item.runtime}" if item.file else item.runtime
        lines.append(f"{name}{' files were' if name in FORMATS else ' was'} not measured: {item.reason}.")
    return lines


def _better_than_reference(report: Report) -> list[str]:
    """Return a line for each file that is shown to be right on more images than its reference, by half a point or more."""
    lines = []
    for file in report.files:
        if file.accuracy and file.accuracy.drop.high < -_NOTABLE_GAIN:
            least, most = (f"{-100 * bound:.2f}" for bound in (file.accuracy.drop.high, file.accuracy.drop.low))
            lines.append(
                f"{file.name} is right on {least} to {most} % more of the images than {report.reference}: "
                "if one was made from the other, check the preprocessing and the reference."
            )
    return lines


def _counted_images(report: Report) -> list[str]:
    """Return what the figures of accuracy are of, where that is not every image, and what they hide."""
    judged = [(file, file.accuracy) for file in report.files if file.accuracy]
    if not judged:
        return []
    lines, first = [], judged[0][1]
    if first.copies:
        lines.append(
            f"{first.copies:,} test images have the pixels of an earlier one: they are no further evidence and do not count."
        )
    if report.dataset:
        lines += learnt_note(report.dataset, first.all_images)
    lines += conflict_note(first.conflicting)
    if first.groups:
        lines.append(f"The images come in {first.groups:,} groups, which every interval of accuracy allows for.")
    lines += choosing_remarks(report)
    for file, accuracy in judged:
        lines += moved_classes(file.name, accuracy, report.class_names)
    return lines


def moved_classes(name: str, accuracy: Accuracy, class_names: Sequence[str]) -> list[str]:
    """Return a line on classes on which a file is never right, and one on those where it is shown to be right less often."""
    never = [f"{name} is {never_right_text(accuracy, class_names)}."] if never_right(accuracy) else []
    lost = [
        (of.p, of.correct - of.reference_correct, place)
        for place, of in enumerate(accuracy.classes)
        if of.p is not None and of.p <= _SIGNIFICANT and of.correct < of.reference_correct
    ]
    if not lost:
        return never
    texts = []
    for p, _, place in sorted(lost)[:MOST_NAMED]:
        of = accuracy.classes[place]
        texts.append(
            f"{class_names[place]} ({of.correct:,} of {of.images:,} right, the reference {of.reference_correct:,}; p {p:.2g})"
        )
    more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
    which = "class" if len(lost) == 1 else "classes"
    shown = f"{name} is shown to be right less often on {which} {', '.join(texts)}{more}"
    return [*never, f"{shown}. p is McNemar's, with Holm's correction for all classes."]


def choosing_remarks(report: Report) -> list[str]:
    """Return which files have layers in float that test images chose, and whether others judge them."""
    lines, held_out = [], dict[tuple[int, int], list[str]]()
    for file in report.files:
        if file.accuracy and file.accuracy.chose:
            held_out.setdefault((file.accuracy.images, file.accuracy.chose), []).append(file.name)
        elif file.accuracy and file.artifact.mended and not file.artifact.mended.held_out:
            lines.append(
                f"{file.name} was chosen among {file.artifact.mended.tries} on these very images, too few to hold some out: "
                "its accuracy flatters it."
            )
    for (images, chose), names in held_out.items():
        are, their = ("is", "its") if len(names) == 1 else ("are", "their")
        lines.append(
            f"{', '.join(names)} {are} judged on {images:,} images: the other {chose:,} chose {their} layers in float."
        )
    return lines


def no_faster_remarks(report: Report) -> list[tuple[FileResult, str]]:
    """Return each quantized file that is not shown to be 5 % faster than its format's float32, and what to say of it."""
    files = report.files
    found = []
    for place, other, ratio in no_faster_than_float([TimedFile(f.artifact, f.runtime, f.threads, f.launches) for f in files]):
        what = "is slower here than" if ratio.low > 1 else "is not shown to be faster here than"
        if ratio.high < 1:
            what = f"is not shown to be {100 * (1 - FASTER):.0f} % faster here than"
        gained = "it mostly saves size" if ratio.high < 1 else "it saves size alone"
        figures = f"{ratio.as_ratio()} of its time"
        found.append((files[place], f"{what} {files[other].name}, {figures}: {gained}.{_where(files[place])}"))
    return found


def _where(file: FileResult) -> str:
    """Return which op takes most of a plainly quantized int8 file's time, and what helps."""
    if file.artifact.precision != "int8" or not file.artifact.is_plain:
        return ""
    if not file.slowest_op:
        return f" An export with {setting('tune', 'here')} leaves the layers in float that are faster so."
    op, tuned = file.slowest_op, setting("tune", "here")
    return f" {op.share:.0%} of it goes to {op.op}: an export with {tuned} leaves such a layer in float if that is faster."


def causes(noise: Sequence[Noise], every: bool = False) -> list[str]:
    """Return why times are unstable: once for each cause, with the first file's figures, or for each file of it."""
    if every:
        return [item.reason for item in noise]
    found: dict[tuple[str, str | None], list[Noise]] = {}
    for item in noise:
        found.setdefault((item.name, None if item.file else item.text), []).append(item)
    others = ((first, tuple(str(item.file) for item in rest)) for first, *rest in found.values())
    return [f"{first.reason}{f'; the same of {_listed(names)}' if names else ''}" for first, names in others]


def unstable_lines(title: str, reasons: Sequence[str], every: bool) -> list[str]:
    """Return a title and the reasons why times are unstable, or the first few of them; nothing if there are none."""
    if not reasons:
        return []
    shown = reasons if every else reasons[:_REASONS]
    more = [f"  and {len(reasons) - len(shown)} more"] if len(shown) < len(reasons) else []
    return [title, *(f"  {reason}" for reason in shown), *more]


def images_show(report: Report) -> str | None:
    """Return what too few images show of the drop, and how many more would decide its limit; None if they are not too few."""
    judged = [(file, file.accuracy, file.budget.max_drop_points) for file in report.files if not is_reference(report, file)]
    open_ones = [
        (file.name, accuracy, allowed)
        for file, accuracy, allowed in judged
        if accuracy and allowed is not None and file.verdict.status == UNDECIDED
        if 100 * accuracy.drop.low <= allowed < 100 * accuracy.drop.high
    ]
    if not open_ones or report.verdict.status != UNDECIDED:
        return None
    names = [name for name, _, _ in open_ones]
    which = "every file" if len(names) == len(judged) else _listed(names)
    _, widest, allowed = max(open_ones, key=lambda item: item[1].drop.high)
    within = math.ceil(1e4 * widest.drop.high) / 100
    text = (
        f"{widest.images:,} images show {which} within {within:.2f} points of {report.reference} (95 %), the limit is "
        f"{allowed:.2f}"
    )
    met = f"or {setting('max_drop_points', f'{math.ceil(10 * within) / 10:g}')}, if you accept as much"
    if widest.groups:
        return f"{text}: more groups of images would decide, {met}."
    needs = [images_to_decide(of.lost, of.gained, of.images, limit / 100).images for _, of, limit in open_ones]
    if None in needs:
        return f"{text}: no number of images like these would decide {_listed([names[needs.index(None)]])}; {met}."
    more = max((need or 0) - of.images for need, (_, of, _) in zip(needs, open_ones, strict=True))
    if more > 0:  # Two digits are known.
        digits = 10 ** max(0, len(f"{more}") - 2)
        more = -(-more // digits) * digits
    return f"{text}: {f'about {more:,} more' if more > 0 else 'more'} images like these would decide, {met}."


def verdict(report: Report) -> list[str]:
    """Return the judgement: what the images show if they are too few, a line for each limit that is not met, or one for all."""
    shown = images_show(report)
    if failed := [f"{check.status}: {check.text}" for check in report.verdict.checks if check.status != PASS]:
        return [*([f"{UNDECIDED}: {shown}"] if shown else []), *failed]
    if not report.verdict.judged:
        return [f"{UNJUDGED}: nothing was judged: set a limit, for example on p90."]
    drops = sorted({file.budget.max_drop_points for file in report.files if file.budget.max_drop_points is not None})
    if not drops:
        return [f"{PASS}: every file is within its limits."]
    allowed = " or ".join(f"{drop:.2f}" for drop in drops)
    others = any(len(file.verdict.checks) > (file.budget.max_drop_points is not None) for file in report.files)
    more = ", and within its other limits" if others else ""
    return [f"{PASS}: every file is within {allowed} points of {report.reference} (95 %){more}{_how_right(report)}."]


def _how_right(report: Report) -> str:
    """Say how right the reference is, or the references: a file that is as right as one that is mostly wrong passes too."""
    shares = [100 * file.accuracy.reference_correct / file.accuracy.images for file in report.files if file.accuracy]
    if not shares:
        return ""
    low, high = f"{min(shares):.2f}", f"{max(shares):.2f}"
    return f"; the reference is right on {low if low == high else f'{low} to {high}'} % of the images"


def ship_line(report: Report) -> str:
    """Return which file to ship, why, and what the launches leave open; or why none. All that shows a result has this line."""
    choice = choose([report])
    name = choice.file or choice.closest
    if name is None:
        return f"No file is named to ship: {choice.reason}."
    figures = _figures(report, next(file for file in report.files if file.name == name))
    others = _listed(choice.maybe_faster, " or ")
    open_question = f" One launch does not show whether it takes over {MARGIN} longer than {others}." if others else ""
    if choice.status == PASS:
        return f"Ship {name}: {figures}. It is {choice.reason}.{open_question}"
    if choice.status == FAIL:
        return f"Ship none: no file passes. The closest is {name} ({figures}): {choice.reason}."
    if choice.status == UNJUDGED:
        doubt = "no limit was set for it"
    elif choice.status != UNDECIDED:
        doubt = f"it is {choice.status}, so it must be measured again"
    else:
        what = "more must be measured" if images_show(report) is None else "more test images must be judged"
        doubt = f"it is {UNDECIDED}, so {what}"
    return f"Ship none yet: the best candidate is {name} ({figures}), {choice.reason}; {doubt}.{open_question}"


def other_wishes(report: Report) -> list[str]:
    """Return a line with the files that other wishes name; none where they name the same file."""
    file = choose([report]).file
    named = [(wish, choose([report], wish).file) for wish in ORDER]
    texts = [f"{name} with {setting('prefer', wish)}" for wish, name in named if name and name != file]
    return [f"It would be {', '.join(texts)}."] if texts else []


def _listed(names: Sequence[str], last: str = " and ") -> str:
    more = [f"{len(names) - _NAMES} more"] if len(names) > _NAMES else []
    return last.join([", ".join(names[:_NAMES]), *more])


def _figures(report: Report, file: FileResult) -> str:
    accuracy = file.accuracy
    assert accuracy  # noqa: S101  # Without accuracy no file is named.
    judging = f" of {accuracy.images:,} held-out images" if accuracy.chose else ""
    doubt = " (it may have learned these images)" if report.dataset and report.dataset.may_be_learnt else ""
    noisy = " (unstable)" if unstable(report, file) else ""
    p50, size = p50_ns(file.launches) / 1e3, file.artifact.size_bytes / 1024
    return f"{100 * accuracy.accuracy:.2f} %{judging} right{doubt}, p50 {p50:,.1f} µs{noisy}, {size:,.1f} KiB"

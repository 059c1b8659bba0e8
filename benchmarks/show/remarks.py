"""What a reader of a report must know besides its figures, and the judgement in words."""

from collections.abc import Sequence

from edgecnn.benchmarks.gate.class_changes import moved_classes
from edgecnn.benchmarks.gate.gate import PASS, UNJUDGED
from edgecnn.benchmarks.machine.noise import OTHERS_CORES
from edgecnn.benchmarks.results.latency_summary import TimedFile, no_faster_than_float
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.edge.data.pixel_digests import conflict_note, learnt_note
from edgecnn.edge.export_records import FASTER

# Of the reasons why times are unstable: most machines have one, which shows in every file.
_REASONS = 5
# As a share of the images; quantization alone may gain a little.
_NOTABLE_GAIN = 0.005


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
    return [*_better_than_reference(report), *lines, *_counted_images(report), *no_faster, *report.notes]


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
    lines = []
    judged = [(file, file.accuracy) for file in report.files if file.accuracy]
    if judged and (copies := judged[0][1].copies):
        lines.append(
            f"{copies:,} test images have the pixels of an earlier one: they are no further evidence and do not count."
        )
    if judged and report.dataset:
        lines += learnt_note(len(report.dataset.learnt), judged[0][1].all_images)
    if judged:
        lines += conflict_note(judged[0][1].conflicting)
    if judged and (groups := judged[0][1].groups):
        lines.append(f"The images come in {groups:,} groups, which every interval of accuracy allows for.")
    lines += choosing_remarks(report)
    for file, accuracy in judged:
        lines += moved_classes(file.name, accuracy, report.class_names)
    return lines


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
        return " An export that is tuned leaves the layers in float that are faster so."
    op = file.slowest_op
    return f" {op.share:.0%} of it goes to {op.op}: an export that is tuned leaves such a layer in float if that is faster."


def unstable_lines(title: str, reasons: Sequence[str], every: bool) -> list[str]:
    """Return a title and the reasons why times are unstable, or the first few of them; nothing if there are none."""
    if not reasons:
        return []
    shown = reasons if every else reasons[:_REASONS]
    more = [f"  and {len(reasons) - len(shown)} more"] if len(shown) < len(reasons) else []
    return [title, *(f"  {reason}" for reason in shown), *more]


def verdict(report: Report) -> list[str]:
    """Return the judgement: a line for each limit that is not met, with all files of which it says the same, or one for all."""
    names: dict[tuple[str, str], list[str]] = {}
    for check in report.verdict.checks:
        if check.status != PASS:
            name, colon, found = check.text.partition(": ")
            names.setdefault((check.status, f": {found}" if colon else ""), []).append(name)
    if names:
        return [f"{status}: {', '.join(alike)}{found}" for (status, found), alike in names.items()]
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

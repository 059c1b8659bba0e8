"""What a board sends back: compared with what was sent to it, and judged here from its figures, not by its own verdict.

The board is asked for the times and for the images to which a file gives another class than the reference. The images, their
labels, the reference and the limits are known here, so that every count, interval and verdict is computed again. What remains
the board's own word: its times, its memory, its state, and how probable each file found its classes.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import Accuracy, reference_name
from edgecnn.benchmarks.gate.budget import Budget, Budgets, load_budgets
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import Policy, join
from edgecnn.benchmarks.gate.tally import Tally
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.measure.launches import noise_of
from edgecnn.benchmarks.measure.options import BenchOptions, PlanOptions, Preference
from edgecnn.benchmarks.measure.run import figures_of
from edgecnn.benchmarks.results.choice import ORDER
from edgecnn.benchmarks.results.latency_summary import summarize
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.timing.latency import TIMED_REGION
from edgecnn.edge.data.pixel_digests import evidence, first_seen, held_out
from edgecnn.edge.data.splits import CHUNK
from edgecnn.edge.errors import ConfigError, EdgeCnnError
from edgecnn.edge.formats import RUNTIMES, Runtime
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.manifest import Artifact, Manifest
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.option import Option, declared, option_of
from edgecnn.edge.records import to_value
from edgecnn.edge.runtimes.installed import runtime_formats, runtimes_of
from edgecnn.edge.text import counted

# Limits as `edgecnn bench` takes them, by the fields of `Budget`.
_OPTIONS = {option_of(name, item): name for name, (_, item) in declared(Budget).items() if isinstance(item, Option)}
# The same of what is measured.
_MEASURING = {
    option_of(name, declared(owner)[name][1]): name
    for owner, names in (
        (PlanOptions, ("launches", "min_runs")),
        (BenchOptions, ("rate", "batch", "percents", "sustained_seconds")),
    )
    for name in names
}
# What follows from probabilities, of which a result has no more than these.
_STATED = (
    *("loss", "reference_loss", "largest_confidence_change", "mean_confidence_change"),
    *("brier_increase", "calibration_error", "reference_calibration_error", "accepted", "accepted_wrong"),
)


@dataclass(frozen=True, eq=False)
class Sent:
    """What a board was sent.

    Attributes:
        manifest: The bundle's.
        labels: Labels of its test images, int64 (n,).
        reference: Class that the reference gives to each, int64 (n,).
        every: Which of them are no copies of others or of training images, bool (n,).
        held_out: Which of those judge a file that the others chose, bool (n,).
        conflicting: Number of copies with another label than the original.
        learnt: Number of them that are not counted as copies of training images.
        all_learnt: Whether all are such copies; then all are counted.
        runtimes: Named runtimes of each format; empty for all.
        threads: Numbers of threads to measure with.
        policy: How noise is handled.
        budget: TOML file with limits, or None.
        limits: Limits that override it, by the fields of `Budget`.
        prefer: What counts first when the file to ship is chosen.
        measuring: What was asked for of `BenchOptions` and `PlanOptions`, by their fields, as far as a result shows it.
    """

    manifest: Manifest
    labels: NDArray[np.int64]
    reference: NDArray[np.int64]
    every: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    conflicting: int
    learnt: int
    all_learnt: bool
    runtimes: dict[str, tuple[str, ...]]
    threads: tuple[int, ...]
    policy: Policy
    budget: Path | None
    limits: dict[str, float | None]
    prefer: Preference
    measuring: dict[str, Any]

    def may_run(self, model_format: str) -> set[str]:
        """Return the names in results of what may run a format's files: of named runtimes, or of those by default."""
        rows: list[Runtime] = []
        for name in self.runtimes.get(model_format, (model_format,)):
            rows += runtimes_of(name) or [RUNTIMES[name]]
        return {row.name_in_results for row in rows}


def sent(bundle: Path, arguments: Sequence[str], budget: Path | None = None) -> Sent:
    """Return what a board is sent: a bundle, options of `edgecnn bench` there, and the TOML file of a budget, if there is one.

    Raises:
        ArtifactError: If the bundle is damaged.
        ConfigError: If an option has no valid value.
    """
    given = _parsed(arguments)
    with ModelFolder(bundle) as models:
        manifest = models.manifest
        if manifest is None:
            raise ConfigError(f"{bundle} is not a bundle: name one, or a folder with a manifest")
        test = models.test_images()
        stored = load_reference(models.path, manifest, test.labels)
        learnt = manifest.dataset.learnt
        all_learnt = len(learnt) == len(test.labels)
        known = () if all_learnt else learnt
        every, digests = evidence(test, known)
    return Sent(
        manifest=manifest,
        labels=np.asarray(test.labels),
        reference=stored.argmax(axis=1),
        every=every,
        held_out=every & held_out(digests),
        conflicting=int(first_seen(digests, test.labels, {}, np.isin(np.arange(len(digests)), known))[1].sum()),
        learnt=len(known),
        all_learnt=all_learnt,
        runtimes=runtime_formats(given["runtime"]),
        threads=given["threads"],
        policy=Policy(tuple(given["allow"]), given["strict"]),
        budget=budget,
        limits={name: given[name] for name in _OPTIONS.values() if name in given},
        prefer=given["prefer"],
        measuring={name: given[name] for name in (*_MEASURING.values(), "profile") if name in given},
    )


def _parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what a result is compared with, of the options of `edgecnn bench`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.error = _refuse  # type: ignore[method-assign]  # It would end this process.
    for option, name in _OPTIONS.items():
        parser.add_argument(option, dest=name, type=float)
    parser.add_argument("--threads", default="1", type=lambda text: tuple(map(int, text.split(","))))
    for option, name in _MEASURING.items():
        action = "append" if name == "percents" else "store"
        parser.add_argument(option, dest=name, type=str if name == "sustained_seconds" else float, action=action)
    parser.add_argument("--profile", action="store_true")
    for option in ("--runtime", "--allow"):
        parser.add_argument(option, action="append", default=[])
    parser.add_argument("--prefer", default=ORDER[0], choices=ORDER)
    parser.add_argument("--strict", action="store_true", default=False)
    return vars(parser.parse_known_args(arguments)[0])


def judged_here(report: Report, of: Sent) -> Report:
    """Return a board's result with its figures and verdicts computed here.

    Raises:
        EdgeCnnError: If it is not a result of what was sent; the message is the reason.
    """
    _require_sent(report, of)
    _require_complete(report, of)
    for file in report.files:
        for reason in _not_asked(file, of.measuring):
            raise _unlike(f"{file.name} has {reason}")
    try:
        budgets = load_budgets(of.budget, of.limits, tuple(file.artifact.path for file in report.files))
    except ConfigError as error:
        raise _unlike(str(error)) from error
    launches = [(file.name, file.launches) for file in report.files]
    noise = noise_of(launches, (report.before, *report.during), report.load)
    files = tuple(_file_judged(file, report, of, budgets, noise) for file in report.files)
    verdict = join([(file.name, file.verdict) for file in files])
    notes = report.notes
    if verdict.status != report.verdict.status:
        notes += (f"The board says {report.verdict.status}; judged here, its figures are {verdict.status}.",)
    allowed = tuple(sorted({item.name for item in noise if of.policy.allows(item)}))
    return replace(report, files=files, noise=noise, allowed=allowed, notes=notes, verdict=verdict, prefer=of.prefer)


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message}: give options of edgecnn bench, each as one argument")


def _unlike(reason: str) -> EdgeCnnError:
    return EdgeCnnError(
        f"its result is not of what was sent ({reason}): try again; if that recurs, install edgecnn there again, or use "
        "another board"
    )


def _require_sent(report: Report, of: Sent) -> None:
    """Raise if a result is of other images, or of files that were not sent or are named twice."""
    if report.dataset is None or report.dataset != of.manifest.dataset or report.timed_region != TIMED_REGION:
        raise _unlike("other test images")
    if report.class_names != of.manifest.class_names or report.reference != reference_name(of.manifest):
        raise _unlike("other classes or another reference")
    known = {artifact.path: artifact for artifact in of.manifest.exported}
    for file in report.files:
        path = file.artifact.path
        if known.get(path) != file.artifact or not f"{file.name} ".startswith(f"{path} "):
            raise _unlike(f"{file.name} is another file")
        if file.runtime_name not in of.may_run(file.artifact.format):
            raise _unlike(f"{file.name} was run by {file.runtime}")
        if file.images_per_run != (file.artifact.input.shape[0] or 1):
            raise _unlike(f"{file.name} took {file.images_per_run} images at a time")
        if file.threads not in of.threads or (of.runtimes and file.artifact.format not in of.runtimes):
            raise _unlike(f"{file.name} was not asked for")
    names = [file.name for file in report.files]
    runs = [(file.artifact.path, file.threads, file.runtime) for file in report.files]
    if len(set(names)) < len(names) or len(set(runs)) < len(runs):
        raise _unlike("a file is in it twice")


def _require_complete(report: Report, of: Sent) -> None:
    """Raise if a file is missing without a reason."""
    measured = {(file.artifact.path, file.threads) for file in report.files}
    there = {file.artifact.format for file in report.files}

    def has_reason(artifact: Artifact) -> bool:
        if any(item.file == artifact.path for item in report.unmeasured):
            return True
        lacking = {item.runtime for item in report.unmeasured if item.file is None}
        runs = {name for name, row in RUNTIMES.items() if artifact.format in row.formats}
        return artifact.format not in there and bool(lacking & {artifact.format, *runs})  # No runtime of a format is there.

    for artifact in of.manifest.exported:
        if of.runtimes and artifact.format not in of.runtimes:
            continue
        if any((artifact.path, threads) not in measured for threads in of.threads) and not has_reason(artifact):
            raise _unlike(f"{artifact.path} is missing")


def _not_asked(file: FileResult, asked: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a file's result lacks of what was asked for."""
    if len(file.launches) < asked.get("launches", 1):
        yield f"{counted(file.launches, 'launch')} of {asked['launches']:g}"
    runs = sum(item.measured.count for launch in file.launches for item in launch.rounds)
    if runs < asked.get("min_runs", 1):
        yield f"{runs:,} runs of {asked['min_runs']:g}"
    if missing := {*asked.get("percents", ())} - {item.percent for item in file.latency.percentiles}:
        yield f"no p{min(missing):g}"
    if "rate" in asked and (file.paced is None or file.paced.rate != asked["rate"]):
        yield f"no {asked['rate']:g} images a second"
    if "batch" in asked and (file.throughput is None or file.throughput.batch != asked["batch"]):
        yield f"no batches of {asked['batch']:g}"
    if "sustained_seconds" in asked and not file.sustained:
        yield "no sustained run"
    if "profile" in asked and file.profile is None and file.profile_problem is None:
        yield "no profile"


def _file_judged(file: FileResult, report: Report, of: Sent, budgets: Budgets, noise: tuple[Noise, ...]) -> FileResult:
    budget = budgets.of(file.artifact.path)
    if file.budget != budget:
        raise _unlike(f"{file.name} was judged by other limits")
    accuracy = _recounted(file, of)
    percents = [item.percent for item in file.latency.percentiles]
    latency = replace(
        summarize(file.launches, percents, file.images_per_run),
        ratio=file.latency.ratio,
        difference_ns=file.latency.difference_ns,
    )
    recounted = replace(file, latency=latency, accuracy=accuracy)
    verdict = judge(figures_of(recounted, report.reference, report.class_names, file.artifact.parity), budget, noise, of.policy)
    return replace(recounted, verdict=verdict)


def _recounted(file: FileResult, of: Sent) -> Accuracy:
    """Return a file's accuracy, counted from the images to which it gives another class than the reference.

    Raises:
        EdgeCnnError: If the board's counts are others.
    """
    stated = file.accuracy
    if stated is None or stated.all_images != len(of.labels) or stated.brier_increase is None:
        raise _unlike(f"{file.name} was judged on other images")
    if (stated.accepted is None) != (file.artifact.threshold is None):
        raise _unlike(f"{file.name} was judged by another threshold")
    chosen = file.artifact.mended is not None and file.artifact.mended.held_out > 0
    at = np.flatnonzero(of.held_out if chosen else of.every)
    candidate = of.reference.copy()
    for flip in stated.flips:
        candidate[flip.image] = flip.candidate
    classes = len(of.manifest.class_names)
    one_hot, tally = np.eye(classes, dtype=np.float32), Tally(classes)
    for places in np.split(at, range(CHUNK, len(at), CHUNK)):
        tally.add(one_hot[candidate[places]], one_hot[of.reference[places]], of.labels[places], places)
    copies, chose = len(of.labels) - int(of.every.sum()) - of.learnt, int(of.every.sum()) - len(at)
    counted_here = tally.accuracy(copies, chose, of.conflicting, of.learnt, of.all_learnt)
    found = replace(counted_here, **{name: getattr(stated, name) for name in _STATED})
    if _without_fractions(to_value(found)) != _without_fractions(to_value(stated)):
        raise _unlike(f"{file.name} was judged on other images, or its counts contradict each other")
    return replace(found, flips=stated.flips)  # Their confidences are the board's.


def _without_fractions(value: Any) -> Any:
    """Return a value for JSON without the numbers in which two machines may differ: its counts stay."""
    if isinstance(value, dict):
        return {key: _without_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_fractions(item) for item in value]
    return None if isinstance(value, float) else value

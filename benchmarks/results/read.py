"""Reads a result, and trusts nothing in it before it was checked."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.gate.gate import join
from edgecnn.benchmarks.results.latency_summary import beside_fastest
from edgecnn.benchmarks.results.records import DEVICES_SCHEMA, SCHEMA, DeviceResult, DeviceResults, FileResult, Report
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, load_json, parsing
from edgecnn.edge.files import read_bytes
from edgecnn.edge.manifest import BENCH_NAME
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import from_value
from edgecnn.edge.transaction import finish

# A million runs of a dozen files take 40 MB.
_MOST_BYTES = 2**27
_NAME_ONE = "name the JSON that edgecnn bench wrote"
_MEASURE_AGAIN = "measure again with edgecnn bench"


def read_results(path: Path) -> Report | DeviceResults:
    """Read the JSON that `edgecnn bench` wrote: of one machine, or of several devices; `boards.json/pi4` is one of these.

    Raises:
        ArtifactError: If it is missing, damaged, not a result, or has a layout unknown to this edgecnn.
        ConfigError: If the named device is not in the file.
    """
    file = next((parent for parent in path.parents if parent.is_file()), path)
    finish(file.parent)
    data = read_bytes(file, _MOST_BYTES, _NAME_ONE)
    found = load_json(data, f"{file} is not a result", _NAME_ONE)
    if not (isinstance(found, dict) and isinstance(found.get("devices"), list)):
        if file != path:
            raise ConfigError(f"{file} does not have the results of several boards: name the file alone")
        return _report(found, str(path))
    with parsing(f"{file} is damaged", _MEASURE_AGAIN):
        kept = [(str(device["host"]), device["error"], device["result"]) for device in found["devices"]]
        command = str(found["command"])
    devices = [
        DeviceResult(host, None if error is None else str(error), None if result is None else _report(result, f"{file}/{host}"))
        for host, error, result in kept
    ]
    results = DeviceResults(DEVICES_SCHEMA, command, tuple(devices))
    return results if file == path else _of_device(results, file, path.relative_to(file))


def kept_report(models: ModelFolder) -> Report | None:
    """Return the last benchmark of a folder, which is kept in it; None if there was none, or it can't be read."""
    path = models.path / BENCH_NAME
    if not models.is_folder or not path.is_file():
        return None
    try:
        return read_report(path)
    except EdgeCnnError:  # It is of another edgecnn, or damaged: the next benchmark replaces it.
        return None


def read_report(path: str | Path) -> Report:
    """Read the JSON of a benchmark, written by `edgecnn bench` or `Report.to_json` of this or an earlier release.

    `boards.json/pi4` is the result of one board in the file that a benchmark of several devices wrote; if there is one alone,
    it need not be named.

    Raises:
        ArtifactError: If it is missing, damaged, not a result, or has a layout unknown to this edgecnn.
        ConfigError: If the file has several devices' results and none of them is named.
    """
    found = read_results(Path(path))
    if isinstance(found, Report):
        return found
    measured = [device.result for device in found.devices if device.result]
    return measured[0] if len(measured) == 1 else _of_device(found, Path(path), None)


def _of_device(results: DeviceResults, file: Path, named: Path | None) -> Report:
    """Return the named device's result."""
    device = next((device for device in results.devices if Path(device.host) == named), None)
    if device is None:
        measured = [device.host for device in results.devices if device.result]
        fix = f"name one, as {file}/{measured[0]}" if measured else _MEASURE_AGAIN
        raise ConfigError(f"{file} has the results of {', '.join(measured) or 'no board'}: {fix}")
    if device.result is None:
        raise ArtifactError(f"{file} has no result of {device.host} ({device.error}): {_MEASURE_AGAIN}")
    return device.result


def _report(found: Any, named: str) -> Report:
    """Return a parsed JSON as a result of the newest schema, checked."""
    if not isinstance(found, dict) or not {"schema", "timed_region", "files"} <= found.keys():
        raise ArtifactError(f"{named} is not a result: {_NAME_ONE}")
    if type(found["schema"]) is int and found["schema"] > SCHEMA:
        raise ArtifactError(f"{named} has schema {found['schema']}, but this edgecnn reads {SCHEMA}: update edgecnn")
    earlier = found["schema"] in range(2, SCHEMA)
    if earlier:
        with parsing(f"{named} is damaged", _MEASURE_AGAIN):
            found = _from_earlier(found)
    report = from_value(Report, found, named, SCHEMA)
    for problem in _problems(report):
        raise ArtifactError(f"{named} is damaged ({problem}): {_MEASURE_AGAIN}")
    if earlier:
        report = _joined(report)
    # What compares files is derived from their launches, since earlier releases stored intervals that were too narrow.
    baseline, files = beside_fastest(report.files)
    return replace(report, baseline=baseline, files=files)


def _joined(report: Report) -> Report:
    """Return a result of before schema 7, whose checks began with their file's name, with those of several files joined."""
    files = []
    for file in report.files:
        checks = (replace(check, text=check.text.removeprefix(f"{file.name}: ")) for check in file.verdict.checks)
        files.append(replace(file, verdict=replace(file.verdict, checks=tuple(checks))))
    together = join([(file.name, file.verdict) for file in files])
    return replace(report, files=tuple(files), verdict=replace(report.verdict, checks=together.checks))


def _problems(report: Report) -> Iterator[str]:
    if not report.files:
        yield "no files"
        return
    if report.baseline not in {file.name for file in report.files}:
        yield f"the baseline {report.baseline} is not one of its files"
    if not _positive(report.empty_call, least=0):
        yield "no times of the empty call"
    percents = {tuple(item.percent for item in file.latency.percentiles) for file in report.files}
    if len(percents) > 1:
        yield "files with different percentiles"
    if any((file.accuracy is None) != (report.dataset is None) for file in report.files):
        yield "accuracy without test images, or test images without it"
    classes = len(report.class_names)
    for file in report.files:
        yield from (f"{file.name}: {problem}" for problem in _file_problems(file, classes))
    if len({tuple(len(launch.rounds) for launch in file.launches) for file in report.files}) > 1:
        yield "files with different numbers of launches or rounds, which take turns"


def _file_problems(file: FileResult, classes: int) -> Iterator[str]:
    rounds = {len(launch.rounds) for launch in file.launches}
    if len(rounds) != 1 or 0 in rounds:
        yield "launches without rounds, or with different numbers"
        return
    for launch in file.launches:
        for item in launch.rounds:
            item.warm_up.unpack()  # Damaged times raise; these are read for no figure.
        if not _positive(launch.warm_up) or not all(_positive(item.measured) for item in launch.rounds):
            yield "invalid times"
        if min(launch.import_ns, launch.load_ns) < 0 or min(launch.peak_memory_bytes, launch.steady_memory_bytes) < 1:
            yield "a launch of no memory, or of a negative time"
    if not all(0 < item.percent < 100 for item in file.latency.percentiles):
        yield "a percentile outside of 0 to 100"
    if file.accuracy:
        yield from _accuracy_problems(file.accuracy, classes)
    if file.images_per_run < 1:
        yield f"runs of {file.images_per_run} images"
    if file.artifact.size_bytes < 1 or (file.paced and not file.paced.rate > 0):
        yield "a size or rate of nothing"
    if file.throughput and not (_positive(file.throughput.measured) and file.throughput.batch >= 1):
        yield "batches of nothing, or that took no time"
    if file.paced:
        file.paced.response.unpack()
        if min(file.paced.frames, file.paced.dropped, file.paced.missed) < 0:
            yield "fewer frames than none"
        if file.paced.busy.count and not _positive(file.paced.busy):
            yield "frames that took no time"
    if file.profile and not sum(op.microseconds for op in file.profile.ops) > 0:
        yield "ops that took no time"


def _accuracy_problems(accuracy: Accuracy, classes: int) -> Iterator[str]:
    entries = accuracy.confusion
    if any(len(entry) != 3 for entry in entries) or len({entry[:2] for entry in entries}) < len(entries):
        yield "an invalid confusion"
        return
    images = sum(count for _, _, count in entries)
    if accuracy.images < 1 or images != accuracy.images or any(count < 1 for _, _, count in entries):
        yield f"a confusion of {images} for {accuracy.images} images"
    if len(accuracy.classes) != classes or any(not 0 <= of < classes for entry in entries for of in entry[:2]):
        yield f"figures of other classes, where there are {classes}"
    if (brier := accuracy.brier_increase) and not -2 <= brier.low <= brier.estimate <= brier.high <= 2:
        yield f"a Brier score that rises by {brier.estimate:g} ({brier.low:g} to {brier.high:g})"
    shares = (accuracy.largest_confidence_change, accuracy.mean_confidence_change, accuracy.calibration_error)
    if not all(share is None or 0 <= share <= 1 for share in (*shares, accuracy.reference_calibration_error)):
        yield "a probability outside of 0 to 1"
    if not 0 <= accuracy.accepted_wrong <= (accuracy.accepted or 0) <= accuracy.images:
        yield f"{accuracy.accepted_wrong} errors among {accuracy.accepted} accepted answers"
    if not all(loss is None or 0 <= loss < math.inf for loss in (accuracy.loss, accuracy.reference_loss)):
        yield "an impossible loss"
    for flip in accuracy.flips:
        chosen = (flip.label, flip.reference, flip.candidate)
        if not 0 <= flip.image < accuracy.all_images or min(chosen) < 0 or max(chosen) >= classes:
            yield f"a flip of image {flip.image}"
    right = sum(count for label, chosen, count in entries if label == chosen)
    lost = sum(flip.label == flip.reference for flip in accuracy.flips)
    gained = sum(flip.label == flip.candidate for flip in accuracy.flips)
    told = (accuracy.correct, accuracy.lost, accuracy.gained, accuracy.reference_correct, accuracy.same_class)
    if told != (right, lost, gained, right + lost - gained, images - len(accuracy.flips)):
        yield "counts of right answers that its images contradict"


def _from_earlier(found: dict[str, Any]) -> dict[str, Any]:
    """Return a result of an earlier schema with the counts and names of today. Damage is kept, to be found."""
    for file in found["files"]:
        if found["schema"] == 2:  # It held the whole confusion matrix.
            with suppress(TypeError, KeyError):
                file["accuracy"]["confusion"] = [
                    [label, chosen, count]
                    for label, row in enumerate(file["accuracy"]["confusion"])
                    for chosen, count in enumerate(row)
                    if count != 0
                ]
        with suppress(TypeError, KeyError):  # Until schema 4, `typical_ns` was called p50_ns.
            file["latency"] = {"typical_ns" if key == "p50_ns" else key: value for key, value in file["latency"].items()}
    return {**found, "schema": SCHEMA}


def _positive(times: Times, least: int = 1) -> bool:
    values = times.unpack()
    return bool(len(values)) and bool((values >= least).all())

"""Reading a result, of which nothing is believed before it was checked."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.accuracy import Accuracy
from benchmarks.gate import STATUSES
from benchmarks.results import SCHEMA, FileResult, Report
from benchmarks.times import Times
from edge.errors import ArtifactError
from edge.records import from_json


def read_report(path: Path) -> Report:
    """Read a result that `edgecnn bench --json` wrote.

    Raises:
        ArtifactError: If it is missing, damaged, no result, or of a layout that this edgecnn does not know.
    """
    try:
        data = path.read_bytes()
        found = json.loads(data)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: name what edgecnn bench --json wrote") from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be read ({error.strerror}): name what edgecnn bench --json wrote") from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not {"schema", "timed_region", "files"} <= found.keys():
        raise ArtifactError(f"{path} is no result: name what edgecnn bench --json wrote")
    if type(found["schema"]) is int and found["schema"] > SCHEMA:
        raise ArtifactError(f"{path} has schema {found['schema']}, this edgecnn reads {SCHEMA}: update edgecnn")
    if found["schema"] == 2:
        data = json.dumps(_from_2(found)).encode()
    report = from_json(Report, data, str(path), SCHEMA)
    for problem in _problems(report):
        raise ArtifactError(f"{path} is damaged ({problem}): measure again with edgecnn bench")
    return report


def _problems(report: Report) -> Iterator[str]:
    if not report.files:
        yield "no files"
        return
    if report.baseline not in {file.name for file in report.files}:
        yield f"the baseline {report.baseline} is none of its files"
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
    if report.verdict.status not in STATUSES:
        yield f"verdict {report.verdict.status}"


def _file_problems(file: FileResult, classes: int) -> Iterator[str]:
    rounds = {len(launch.rounds) for launch in file.launches}
    if len(rounds) != 1 or 0 in rounds:
        yield "launches without rounds, or with different numbers"
        return
    for launch in file.launches:
        if not _positive(launch.warm_up) or not all(_positive(item.measured) for item in launch.rounds):
            yield "times that are no times"
    if file.accuracy:
        yield from _accuracy_problems(file.accuracy, classes)
    if file.images_per_run < 1:
        yield f"runs of {file.images_per_run} images"
    if file.artifact.size_bytes < 1 or (file.paced and not file.paced.rate > 0):
        yield "a size or rate of nothing"
    if file.throughput and not _positive(file.throughput.measured):
        yield "batches that took no time"
    if file.paced and file.paced.busy.count and not _positive(file.paced.busy):
        yield "frames that took no time"
    if file.profile and not sum(op.microseconds for op in file.profile.ops) > 0:
        yield "ops that took no time"
    for status in (file.verdict.status, *(check.status for check in file.verdict.checks)):
        if status not in STATUSES:
            yield f"verdict {status}"


def _accuracy_problems(accuracy: Accuracy, classes: int) -> Iterator[str]:
    entries = accuracy.confusion
    if any(len(entry) != 3 for entry in entries) or len({entry[:2] for entry in entries}) < len(entries):
        yield "a confusion that is none"
        return
    images = sum(count for _, _, count in entries)
    if accuracy.images < 1 or images != accuracy.images or any(count < 1 for _, _, count in entries):
        yield f"a confusion of {images} for {accuracy.images} images"
    if len(accuracy.classes) != classes or any(not 0 <= of < classes for entry in entries for of in entry[:2]):
        yield f"figures of other classes, where there are {classes}"
    for flip in accuracy.flips:
        chosen = (flip.label, flip.reference, flip.candidate)
        if not 0 <= flip.image < accuracy.images or min(chosen) < 0 or max(chosen) >= classes:
            yield f"a flip of image {flip.image}"


def _from_2(found: dict[str, Any]) -> dict[str, Any]:
    """Return a result of schema 2, which held the whole matrix of confusions, as one of schema 3. What is damaged stays so."""
    for file in found["files"]:
        with suppress(TypeError, KeyError):
            file["accuracy"]["confusion"] = [
                [label, chosen, count]
                for label, row in enumerate(file["accuracy"]["confusion"])
                for chosen, count in enumerate(row)
                if count != 0
            ]
    return {**found, "schema": SCHEMA}


def _positive(times: Times, least: int = 1) -> bool:
    values = times.unpack()
    return bool(len(values)) and bool((values >= least).all())

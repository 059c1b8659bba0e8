"""Reading a result, of which nothing is believed before it was checked."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gate import FAIL, INVALID, PASS, UNDECIDED
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
    classes = len(report.class_names)
    for file in report.files:
        yield from (f"{file.name}: {problem}" for problem in _file_problems(file, classes))
    if report.verdict.status not in (PASS, FAIL, UNDECIDED, INVALID):
        yield f"verdict {report.verdict.status}"


def _file_problems(file: FileResult, classes: int) -> Iterator[str]:
    rounds = {len(launch.rounds) for launch in file.launches}
    if len(rounds) != 1 or 0 in rounds:
        yield "launches without rounds, or with different numbers"
        return
    for launch in file.launches:
        if not _positive(launch.warm_up) or not all(_positive(item.measured) for item in launch.rounds):
            yield "times that are no times"
    accuracy = file.accuracy
    counts = [count for row in accuracy.confusion for count in row]
    if accuracy.images < 1 or sum(counts) != accuracy.images or min(counts) < 0:
        yield f"a confusion of {sum(counts)} for {accuracy.images} images"
    sizes = {len(accuracy.confusion), len(accuracy.classes), *(len(row) for row in accuracy.confusion)}
    if sizes != {classes}:
        yield f"figures of {sizes} classes, where there are {classes}"
    for flip in accuracy.flips:
        chosen = (flip.label, flip.reference, flip.candidate)
        if not 0 <= flip.image < accuracy.images or min(chosen) < 0 or max(chosen) >= classes:
            yield f"a flip of image {flip.image}"
    if file.artifact.size_bytes < 1 or (file.paced and not file.paced.rate > 0):
        yield "a size or rate of nothing"
    if file.throughput and not _positive(file.throughput.measured):
        yield "batches that took no time"
    if file.paced and file.paced.busy.count and not _positive(file.paced.busy):
        yield "frames that took no time"
    if file.profile and not sum(op.microseconds for op in file.profile.ops) > 0:
        yield "ops that took no time"
    for status in (file.verdict.status, *(check.status for check in file.verdict.checks)):
        if status not in (PASS, FAIL, UNDECIDED, INVALID):
            yield f"verdict {status}"


def _positive(times: Times, least: int = 1) -> bool:
    values = times.unpack()
    return bool(len(values)) and bool((values >= least).all())

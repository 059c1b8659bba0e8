"""Reads a result, and trusts nothing in it before it was checked."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.judge.accuracy import Accuracy
from edgecnn.benchmarks.results.records import SCHEMA, FileResult, Report
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.files import read_bytes
from edgecnn.edge.parsing import load_json, parsing
from edgecnn.edge.records import from_value
from edgecnn.edge.transaction import finish

# A million runs of a dozen files take 40 MB.
_MOST_BYTES = 2**27
_NAME_ONE = "name the JSON that edgecnn bench wrote"


def read_report(path: Path) -> Report:
    """Read the JSON that `edgecnn bench` wrote; of a file with several boards' results, `boards.json/pi4` is one.

    Raises:
        ArtifactError: If it is missing, damaged, not a result, or has a layout unknown to this edgecnn.
        ConfigError: If the file has several boards' results and none of them is named.
    """
    file = next((parent for parent in path.parents if parent.is_file()), path)
    finish(file.parent)
    data = read_bytes(file, _MOST_BYTES, _NAME_ONE)
    found = load_json(data, f"{file} is not a result", _NAME_ONE)
    if isinstance(found, dict) and isinstance(found.get("devices"), list):
        found = _of_device(found["devices"], file, None if file == path else path.relative_to(file))
    elif file != path:
        raise ConfigError(f"{file} does not have the results of several boards: name the file alone")
    if not isinstance(found, dict) or not {"schema", "timed_region", "files"} <= found.keys():
        raise ArtifactError(f"{path} is not a result: {_NAME_ONE}")
    if type(found["schema"]) is int and found["schema"] > SCHEMA:
        raise ArtifactError(f"{path} has schema {found['schema']}, but this edgecnn reads {SCHEMA}: update edgecnn")
    if found["schema"] in (2, 3, 4):
        with parsing(f"{path} is damaged", "measure again with edgecnn bench"):
            found = {**_from_4(_from_2(found) if found["schema"] == 2 else found), "schema": SCHEMA}
    report = from_value(Report, found, str(path), SCHEMA)
    for problem in _problems(report):
        raise ArtifactError(f"{path} is damaged ({problem}): measure again with edgecnn bench")
    return report


def _of_device(devices: list[Any], file: Path, named: Path | None) -> Any:
    """Return the result of the named device, or of the only one that has a result."""
    with parsing(f"{file} is damaged", "measure again with edgecnn bench"):
        results = {str(device["host"]): (device["result"], device["error"]) for device in devices}
    measured = [host for host, (result, _) in results.items() if result is not None]
    if named is None and len(measured) == 1:
        return results[measured[0]][0]
    host = next((host for host in results if Path(host) == named), None)
    if host is None:
        shown = ", ".join(measured) or "no board"
        fix = f"name one, as {file}/{measured[0]}" if measured else "measure again with edgecnn bench"
        raise ConfigError(f"{file} has the results of {shown}: {fix}")
    result, error = results[host]
    if result is None:
        raise ArtifactError(f"{file} has no result of {host} ({error}): measure again with edgecnn bench")
    return result


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
        if not _positive(launch.warm_up) or not all(_positive(item.measured) for item in launch.rounds):
            yield "invalid times"
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
    for flip in accuracy.flips:
        chosen = (flip.label, flip.reference, flip.candidate)
        if not 0 <= flip.image < accuracy.all_images or min(chosen) < 0 or max(chosen) >= classes:
            yield f"a flip of image {flip.image}"


def _from_2(found: dict[str, Any]) -> dict[str, Any]:
    """Return a result of schema 2, which held the whole confusion matrix, with the counts of schema 3. Damage is kept."""
    for file in found["files"]:
        with suppress(TypeError, KeyError):
            file["accuracy"]["confusion"] = [
                [label, chosen, count]
                for label, row in enumerate(file["accuracy"]["confusion"])
                for chosen, count in enumerate(row)
                if count != 0
            ]
    return found


def _from_4(found: dict[str, Any]) -> dict[str, Any]:
    """Return a result of schema 3 or 4, which called `typical_ns` p50_ns, with the name of schema 5. Damage is kept."""
    for file in found["files"]:
        with suppress(TypeError, KeyError):
            file["latency"] = {"typical_ns" if key == "p50_ns" else key: value for key, value in file["latency"].items()}
    return found


def _positive(times: Times, least: int = 1) -> bool:
    values = times.unpack()
    return bool(len(values)) and bool((values >= least).all())

"""Measurements besides the rounds: classes, batches, a fixed rate, a sustained run, ops."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.gate.tally import Tally
from edgecnn.benchmarks.machine.host import read_state
from edgecnn.benchmarks.measure.candidates import CandidateSet, LabelledImages, StoredReference
from edgecnn.benchmarks.measure.options import BenchOptions, Plan
from edgecnn.benchmarks.measure.planning import FileCost, round_of
from edgecnn.benchmarks.results.records import Paced, Throughput, Window
from edgecnn.benchmarks.timing.profile import OpTime, Profile
from edgecnn.benchmarks.timing.requests import Classify, Pace, ProfileOps, TimeBatch
from edgecnn.benchmarks.timing.times import Times
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.data.pixel_digests import first_seen, held_out, pixel_digests
from edgecnn.edge.data.splits import chunks
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.result import Progress

# Fewer batches and profiled runs if this many would take longer.
_MOST_SECONDS = 60.0
_BATCH_RUNS = 20
_BATCH_SECONDS = 1.0
_LEAST_FRAMES = 100
_PROFILE_RUNS = 500
# For the share of the slowest operator alone.
_BRIEF_RUNS = 100
_WINDOWS = 300


@dataclass(frozen=True)
class Extra:
    """What the process of a file's last launch gave after its rounds; `FileResult` defines the fields."""

    throughput: Throughput | None
    paced: Paced | None
    sustained: tuple[Window, ...]
    accuracy: Accuracy | None = None
    profile: Profile | None = None
    profile_problem: str | None = None
    slowest_op: OpTime | None = None


def measure_extra(process: ModelProcess, options: BenchOptions, say: Callable[[str], None]) -> Extra:
    """Ask the process of a file's last launch for batches, a fixed rate and a sustained run; `say` receives the next step."""
    throughput = paced = None
    if options.batch:
        say(f"batches of {options.batch}")
        per_run = process.opened.images_per_run
        images = -(-options.batch // per_run) * per_run
        runs = _few(_BATCH_RUNS, images / per_run * _run_seconds(process))
        times = process.ask(TimeBatch(options.batch, runs, _BATCH_SECONDS)).measured_ns
        fixed = not process.opened.any_batch
        throughput = Throughput(images, fixed, Times.pack(times), images * len(times) * 1e9 / sum(times))
    if options.rate:
        frames = _frames(options.rate, options)
        say(f"{frames} frames at {options.rate:g} a second")
        run = process.ask(Pace(options.rate, frames))
        response, busy = Times.pack(run.response_ns), Times.pack(run.busy_ns)
        paced = Paced(options.rate, run.frames, run.dropped, run.missed, response, busy)
    return Extra(throughput, paced, _sustain(process, options.sustained_seconds, say))


def extra_seconds(options: BenchOptions, costs: Sequence[FileCost], images: int) -> float:
    """Return roughly how long all of this takes, with classifying this many images one after another."""
    total = 0.0
    for cost in costs:
        total += images * cost.run_seconds + options.sustained_seconds
        if options.batch:
            batch = options.batch * cost.run_seconds
            total += max(_BATCH_SECONDS, _few(_BATCH_RUNS, batch) * batch)
        if options.rate:
            total += _frames(options.rate, options) / options.rate
        if options.profile:
            total += _few(_PROFILE_RUNS, cost.run_seconds) * cost.run_seconds
    return total


def classify(
    processes: Sequence[ModelProcess], candidate_set: CandidateSet, images: LabelledImages, progress: Progress
) -> list[Accuracy]:
    """Let every candidate's process classify the images, a chunk at a time: no image is decoded twice, and few are in memory.

    Only the first of several images with the same pixels is counted, and no copy of a training image, unless all are. A file
    that half of the images chose is judged by the other half only.

    Raises:
        ConfigError: If no image is left to judge a file on.
    """
    test, groups, reference = images.test, images.groups, candidate_set.reference
    chosen = [file.artifact.mended is not None and file.artifact.mended.held_out > 0 for file in candidate_set.candidates]
    is_reference = [candidate_set.is_reference(file) for file in candidate_set.candidates]
    tallies = [Tally(len(candidate_set.class_names)) for _ in processes]
    seen: dict[bytes, int] = {}
    known = np.isin(np.arange(len(test.labels)), images.record.learnt)
    if all_learnt := bool(known.all()):
        known[:] = False
    done = chose = conflicting = 0
    for chunk in chunks(test):
        progress.step(done, len(test.labels), f"classifying {len(test.labels):,} test images")
        digests = pixel_digests(chunk)
        part = slice(done, done + len(chunk))
        fresh, other_label = first_seen(digests, test.labels[part], seen, known[part])
        held = fresh & held_out(digests)
        chose += int((fresh & ~held).sum())
        conflicting += int(other_label.sum())
        found = [process.ask(Classify(chunk)) for process in processes]
        places = done + np.arange(len(chunk))
        if isinstance(reference, StoredReference):
            beside = [stored[places] for stored in reference.probabilities]
        else:
            beside = [found[is_reference.index(True)][0]] * len(found)
        for tally, (probabilities, accepted), of, half in zip(tallies, found, beside, chosen, strict=True):
            counted = held if half else fresh
            at = places[counted]
            groups_at, sure = None if groups is None else groups[at], None if accepted is None else accepted[counted]
            tally.add(probabilities[counted], of[counted], test.labels[at], at, groups_at, sure)
        done += len(chunk)
    if any(chosen) and chose == len(seen):
        raise ConfigError(f"all of these images chose a file, and none is left to judge it: name others with {field('data')}")
    skipped = int(known.sum())
    return [
        tally.accuracy(done - len(seen) - skipped, chose if half else 0, conflicting, skipped, all_learnt)
        for tally, half in zip(tallies, chosen, strict=True)
    ]


def measure_profile(
    process: ModelProcess, say: Callable[[str], None], runs: int = _PROFILE_RUNS
) -> tuple[Profile | None, str | None]:
    """Ask for the time of each op, or return why it is missing. This must be the process's last request."""
    say("profiling")
    try:
        return process.ask(ProfileOps(_few(runs, _run_seconds(process)))), None
    except EdgeCnnError as error:  # Whatever happens to the process, the rest is measured.
        return None, str(error)


def measure_slowest_op(process: ModelProcess, profile: Profile | None, say: Callable[[str], None]) -> OpTime | None:
    """Return the operator that takes most of a file's time, with its place in the file; None if the runtime does not say.

    Without a profile, which is there if it was asked for, this must be the last request to the file's process.
    """
    found = profile or measure_profile(process, say, _BRIEF_RUNS)[0]
    if found is None:
        return None
    place = max(range(len(found.ops)), key=lambda place: found.ops[place].share)
    return replace(found.ops[place], op=f"{found.ops[place].op} (operator {place + 1} of {len(found.ops)})")


def _sustain(process: ModelProcess, seconds: float, say: Callable[[str], None]) -> tuple[Window, ...]:
    windows: list[Window] = []
    start = time.monotonic()
    while (past := time.monotonic() - start) < seconds:
        say(f"sustained, {past:.0f} of {seconds:.0f} s")
        window = min(max(1.0, seconds / _WINDOWS), seconds - past)
        times, clock_khz = process.ask(round_of(Plan(window, 1, 1, 1), _run_seconds(process)))
        values = np.array(times.measured_ns)
        p50, p90 = (int(value) for value in np.percentile(values, (50, 90), method="inverted_cdf"))
        state = read_state()
        end = time.monotonic() - start
        windows.append(Window(end, len(values), p50, p90, int(values.max()), state.temperature_celsius, clock_khz))
    return tuple(windows)


def _run_seconds(process: ModelProcess) -> float:
    return process.opened.warm_up.run_ns / 1e9


def _few(runs: int, seconds_each: float) -> int:
    return max(1, min(runs, int(_MOST_SECONDS / max(seconds_each, 1e-9))))


def _frames(rate: float, options: BenchOptions) -> int:
    return max(_LEAST_FRAMES, round(rate * options.paced_seconds))

"""What is measured besides the rounds: classes, batches, a fixed rate, a sustained run, ops."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy import Accuracy, Tally
from benchmarks.host import read_state
from benchmarks.launches import Candidate, Progress
from benchmarks.options import Options
from benchmarks.process import ModelProcess
from benchmarks.profile import Profile
from benchmarks.requests import Classify, Pace, ProfileOps, Round, TimeBatch
from benchmarks.results import Paced, Throughput, Window
from benchmarks.times import Times
from edge.errors import EdgeCnnError
from edge.preprocess import Floats
from edge.splits import Split, chunks

_BATCH_RUNS = 20
_BATCH_SECONDS = 1.0
_LEAST_FRAMES = 100
_PROFILE_RUNS = 500
_WINDOWS = 300


@dataclass(frozen=True)
class Extra:
    """What one file gave besides its rounds and its classes."""

    throughput: Throughput | None
    paced: Paced | None
    sustained: tuple[Window, ...]


def measure_extra(
    candidate: Candidate, process: ModelProcess, options: Options, on_progress: Progress, place: int, places: int
) -> Extra:
    """Ask the process of a file's last launch for batches, a fixed rate and a sustained run."""

    def say(text: str) -> None:
        on_progress(place, places, f"{candidate.name}: {text}")

    throughput = paced = None
    if options.batch:
        say(f"batches of {options.batch}")
        times = process.ask(TimeBatch(options.batch, _BATCH_RUNS, _BATCH_SECONDS)).measured_ns
        per_run = process.opened.images_per_run
        images = -(-options.batch // per_run) * per_run
        fixed = not process.opened.any_batch
        throughput = Throughput(images, fixed, Times.pack(times), images * len(times) * 1e9 / sum(times))
    if options.rate:
        frames = max(_LEAST_FRAMES, round(options.rate * options.paced_seconds))
        say(f"{frames} frames at {options.rate:g} a second")
        run = process.ask(Pace(options.rate, frames))
        response, busy = Times.pack(run.response_ns), Times.pack(run.busy_ns)
        paced = Paced(options.rate, run.frames, run.dropped, run.missed, response, busy)
    return Extra(throughput, paced, _sustain(process, options.sustained_seconds, say))


def classify(
    processes: Sequence[ModelProcess], test: Split, reference: Sequence[Floats] | int, classes: int, on_progress: Progress
) -> list[Accuracy]:
    """Have every process classify the test images, a chunk at a time: no image is decoded twice, few are in memory.

    Args:
        processes: One for each candidate.
        test: The images.
        reference: For each process the probabilities (n, classes) that it is compared with, or the place of the one that
            gives them for all.
        classes: How many.
        on_progress: Gets images done, images in all, and what is done.
    """
    images = len(test.labels)
    tallies = [Tally(classes) for _ in processes]
    done = 0
    for chunk in chunks(test):
        on_progress(done, images, f"classifying {images:,} test images")
        labels = test.labels[done : done + len(chunk)]
        found = [process.ask(Classify(chunk)) for process in processes]
        until = done + len(chunk)
        beside = [found[reference]] * len(found) if isinstance(reference, int) else [of[done:until] for of in reference]
        for tally, probabilities, of in zip(tallies, found, beside, strict=True):
            tally.add(probabilities, of, labels)
        done += len(chunk)
    return [tally.accuracy() for tally in tallies]


def measure_profile(
    candidate: Candidate, process: ModelProcess, options: Options, on_progress: Progress, place: int, places: int
) -> tuple[Profile | None, str | None]:
    """Ask for the time of each op, or say why it can't be had. Keras has none. Must be the process's last request."""
    if not options.profile or candidate.artifact.format == "keras":
        return None, None
    on_progress(place, places, f"{candidate.name}: profiling")
    try:
        return process.ask(ProfileOps(_PROFILE_RUNS)), None
    except EdgeCnnError as error:  # Whatever becomes of the process, the rest is measured.
        return None, str(error)


def _sustain(process: ModelProcess, seconds: float, say: Callable[[str], None]) -> tuple[Window, ...]:
    windows: list[Window] = []
    start = time.monotonic()
    while (past := time.monotonic() - start) < seconds:
        say(f"sustained, {past:.0f} of {seconds:.0f} s")
        times, clock_khz = process.ask(Round(1, min(max(1.0, seconds / _WINDOWS), seconds - past)))
        values = np.array(times.measured_ns)
        p50, p90 = (int(value) for value in np.percentile(values, (50, 90), method="inverted_cdf"))
        state = read_state()
        end = time.monotonic() - start
        windows.append(Window(end, len(values), p50, p90, int(values.max()), state.temperature_celsius, clock_khz))
    return tuple(windows)

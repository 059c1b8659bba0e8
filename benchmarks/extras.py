"""What is measured besides the rounds: classes, batches, a fixed rate, a sustained run, ops."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.host import read_state
from benchmarks.launches import Candidate, Progress
from benchmarks.options import Options
from benchmarks.process import ModelProcess
from benchmarks.profile import Profile
from benchmarks.results import Paced, Throughput, Window
from benchmarks.times import Times
from benchmarks.worker import Classify, Pace, ProfileOps, Round, TimeBatch
from edge.errors import EdgeCnnError
from edge.preprocess import Floats, Images

_BATCH_RUNS = 20
_BATCH_SECONDS = 1.0
_LEAST_FRAMES = 100
_PROFILE_RUNS = 500
_WINDOWS = 300


@dataclass(frozen=True)
class Extra:
    """What one file gave; float32 probabilities (n, classes) of all test images first."""

    probabilities: Floats
    throughput: Throughput | None
    paced: Paced | None
    sustained: tuple[Window, ...]
    profile: Profile | None
    profile_problem: str | None


def measure_extra(
    candidate: Candidate,
    process: ModelProcess,
    options: Options,
    images: Images,
    on_progress: Progress,
    place: int,
    places: int,
) -> Extra:
    """Ask the process of a file's last launch for all that its rounds do not give. Keras has no profile of ops."""

    def say(text: str) -> None:
        on_progress(place, places, f"{candidate.name}: {text}")

    throughput = paced = profile = problem = None
    if options.batch:
        say(f"batches of {options.batch}")
        times = process.ask(TimeBatch(options.batch, _BATCH_RUNS, _BATCH_SECONDS)).measured_ns
        fixed = candidate.artifact.input.shape[0] is not None
        throughput = Throughput(options.batch, fixed, Times.pack(times), options.batch * len(times) * 1e9 / sum(times))
    if options.rate:
        frames = max(_LEAST_FRAMES, round(options.rate * options.paced_seconds))
        say(f"{frames} frames at {options.rate:g} a second")
        run = process.ask(Pace(options.rate, frames))
        response, busy = Times.pack(run.response_ns), Times.pack(run.busy_ns)
        paced = Paced(options.rate, run.frames, run.dropped, run.missed, response, busy)
    sustained = _sustain(process, options.sustained_seconds, say)
    say(f"classifying {len(images):,} test images")
    probabilities = process.ask(Classify(images))
    if options.profile and candidate.artifact.format != "keras":
        say("profiling")
        try:
            profile = process.ask(ProfileOps(_PROFILE_RUNS))
        except EdgeCnnError as error:  # The last request: whatever becomes of the process, the rest is measured.
            problem = str(error)
    return Extra(probabilities, throughput, paced, sustained, profile, problem)


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

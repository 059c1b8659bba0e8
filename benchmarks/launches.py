"""Files -> raw times: every file in several processes, in rounds that take turns."""

import random
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.host import State, read_cpu_times, read_state
from benchmarks.latency import Plan
from benchmarks.noise import Load
from benchmarks.process import ModelProcess
from benchmarks.requests import Memory, Open, Opened, ReadMemory, TimeEmpty
from benchmarks.requests import Round as TimeRound
from benchmarks.results import Launch, Round
from benchmarks.times import Times
from edge.errors import EdgeCnnError
from edge.manifest import Artifact

Extras = TypeVar("Extras")
Progress = Callable[[int, int, str], None]

_EMPTY_RUNS = 10_000


@dataclass(frozen=True)
class Candidate:
    """A file to measure.

    Attributes:
        name: How the result calls it.
        artifact: The manifest's entry, or one made from the file itself.
        request: How a process opens it.
    """

    name: str
    artifact: Artifact
    request: Open


@dataclass(frozen=True)
class Measured:
    """What the launches gave.

    Attributes:
        opened: What each candidate's last process said of it.
        launches: For each candidate.
        during: The machine after each round of all files.
        load: Of all rounds; None where the machine does not say.
        extras_load: While `finish` was at work.
        empty_call: Times of a call that does nothing, in the same loop.
    """

    opened: tuple[Opened, ...]
    launches: tuple[tuple[Launch, ...], ...]
    during: tuple[State, ...]
    load: Load | None
    extras_load: Load | None
    empty_call: Times


def measure(
    candidates: Sequence[Candidate],
    plan: Plan,
    finish: Callable[[Sequence[ModelProcess]], Extras],
    on_progress: Progress,
) -> tuple[Measured, Extras]:
    """Open every file in a process of its own, time them in rounds of shuffled order, and do so again in new processes.

    Only one process works at a time. A drift of the machine hits all files alike, so that what is taken round by round
    is free of it.

    Args:
        candidates: At least one.
        plan: How long.
        finish: What else to ask of the last launch's processes, after their rounds.
        on_progress: Gets steps done, steps in all, and what is done next.

    Raises:
        EdgeCnnError: If a file can't be opened or run, or the machine does not tell a process's memory.
    """
    order = random.Random(0)  # noqa: S311  # An order, not a secret.
    launches: list[list[Launch]] = [[] for _ in candidates]
    during: list[State] = []
    opened: tuple[Opened, ...] = ()
    meters: list[_Meter] = []
    steps = plan.launches * len(candidates) * (1 + plan.rounds)
    done = 0
    for number in range(1, plan.launches + 1):
        with ExitStack() as stack:
            processes = []
            for candidate in candidates:
                on_progress(done, steps, f"launch {number} of {plan.launches}: opening {candidate.name}")
                processes.append(stack.enter_context(ModelProcess(candidate.request)))
                done += 1
            rounds: list[list[Round]] = [[] for _ in candidates]
            meter = _Meter(processes, sum(process.opened.cpu_seconds for process in processes))
            for turn in range(1, plan.rounds + 1):
                for index in order.sample(range(len(candidates)), len(candidates)):
                    on_progress(done, steps, f"launch {number} of {plan.launches}, round {turn} of {plan.rounds}")
                    times, clock_khz = processes[index].ask(TimeRound(plan.round_runs, plan.round_seconds))
                    warm_up, measured = Times.pack(times.warm_up_ns), Times.pack(times.measured_ns)
                    rounds[index].append(Round(warm_up, measured, times.cpu_ns, clock_khz))
                    done += 1
                during.append(read_state())
            memories = meter.stop()
            meters.append(meter)
            for index, (process, memory) in enumerate(zip(processes, memories, strict=True)):
                started = process.opened
                launches[index].append(
                    Launch(
                        import_ns=started.import_ns,
                        load_ns=started.load_ns,
                        warm_up=Times.pack(started.warm_up.times_ns),
                        settled=started.warm_up.settled,
                        rounds=tuple(rounds[index]),
                        peak_memory_bytes=memory.peak_bytes,
                        steady_memory_bytes=memory.steady_bytes,
                    )
                )
            if number == plan.launches:
                opened = tuple(process.opened for process in processes)
                empty = processes[0].ask(TimeEmpty(_EMPTY_RUNS))
                extras_meter = _Meter(processes, sum(memory.cpu_seconds for memory in memories))
                extras = finish(processes)
                extras_load = _extras_load(extras_meter)
    result = Measured(
        opened=opened,
        launches=tuple(tuple(item) for item in launches),
        during=tuple(during),
        load=_load(meters),
        extras_load=extras_load,
        empty_call=Times.pack(empty.measured_ns),
    )
    return result, extras


class _Meter:
    """What everybody but the benchmark makes of the CPUs, from here to `stop`."""

    def __init__(self, processes: Sequence[ModelProcess], processes_cpu_seconds: float) -> None:
        self._processes = processes
        self._before = read_cpu_times()
        self._ours = _own_cpu_seconds() + processes_cpu_seconds
        self._start = time.monotonic()

    def stop(self) -> list[Memory]:
        """Take the figures, and return each process's memory."""
        memories = [process.ask(ReadMemory()) for process in self._processes]
        self.seconds = time.monotonic() - self._start
        after = read_cpu_times()
        ours = _own_cpu_seconds() + sum(memory.cpu_seconds for memory in memories) - self._ours
        self.known = self._before is not None and after is not None
        if self._before and after:
            self.others = after.busy_seconds - self._before.busy_seconds - ours
            self.stolen = after.steal_seconds - self._before.steal_seconds
        return memories


def _extras_load(meter: _Meter) -> Load | None:
    try:
        meter.stop()
    except EdgeCnnError:
        return None  # A profiler took its process with it, which is told in place of the profile.
    return _load([meter])


def _load(meters: Sequence[_Meter]) -> Load | None:
    seconds = sum(meter.seconds for meter in meters)
    if not seconds or not all(meter.known for meter in meters):
        return None
    others, stolen = (max(sum(values), 0.0) / seconds for values in zip(*((m.others, m.stolen) for m in meters), strict=True))
    return Load(seconds, others, stolen)


def _own_cpu_seconds() -> float:
    """Return the CPU time of this process and of the programs that `read_state` ran: neither is another's load."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime

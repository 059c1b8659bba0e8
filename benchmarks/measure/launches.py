"""Measures raw times: every file in several processes, in rounds that take turns."""

import itertools
import random
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from edgecnn.benchmarks.machine.host import State, other_cpus, read_cpu_times, read_state, throttled_seconds
from edgecnn.benchmarks.machine.noise import Load, Noise, machine_noise
from edgecnn.benchmarks.measure.options import Plan, PlanOptions
from edgecnn.benchmarks.measure.planning import MOST_LAUNCHES, FileCost, Schedule, narrow_enough, round_of
from edgecnn.benchmarks.results.latency_summary import launch_noise
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.timing.requests import Memory, Open, Opened, ReadMemory, TimeEmpty
from edgecnn.benchmarks.timing.times import Times
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.manifest import Artifact
from edgecnn.edge.result import Progress

Extras = TypeVar("Extras")

_EMPTY_RUNS = 10_000


@dataclass(frozen=True)
class Candidate:
    """A file to measure.

    Attributes:
        name: Name of the file in the result.
        artifact: Entry of the manifest, or one made from the file itself.
        request: How a process opens it.
    """

    name: str
    artifact: Artifact
    request: Open


@dataclass(frozen=True)
class Measured:
    """The results of the launches.

    Attributes:
        opened: What each candidate's last process reported about it.
        launches: Launches of each candidate.
        during: State of the machine after each round of all files.
        load: Load over all rounds; None if not reported.
        extras_load: Load during `finish`.
        empty_call: Times of a call that does nothing, in the same loop.
        plan: The plan that was followed, given or chosen.
    """

    opened: tuple[Opened, ...]
    launches: tuple[tuple[Launch, ...], ...]
    during: tuple[State, ...]
    load: Load | None
    extras_load: Load | None
    empty_call: Times
    plan: Plan


def measure(
    candidates: Sequence[Candidate],
    plan: Plan | PlanOptions,
    finish: Callable[[Sequence[ModelProcess], Sequence[Sequence[Launch]]], Extras],
    progress: Progress,
    finish_seconds: Callable[[Sequence[FileCost]], float] = lambda costs: 0.0,
) -> tuple[Measured, Extras]:
    """Open every file in a separate process, time them in rounds of shuffled order, and repeat this in new processes.

    Only one process works at a time. A drift of the machine affects all files equally: comparisons in a round are free of it.

    Args:
        candidates: Files to measure, at least one.
        plan: How long to measure, or the options of a plan that is chosen after the first launch's opening.
        finish: Function that asks the last launch's processes for more, after their rounds; it also gets all launches.
        progress: Receives the steps.
        finish_seconds: Duration of `finish` in seconds, for the estimate.

    Raises:
        EdgeCnnError: If a file can't be opened or run, or the machine does not report a process's memory.
    """
    order = random.Random(0)  # noqa: S311  # An order, not a secret.
    launches: list[list[Launch]] = [[] for _ in candidates]
    during: list[State] = []
    meters: list[_Meter] = []
    schedule = Schedule(len(candidates), plan, progress)
    for number in itertools.count(1):
        with ExitStack() as stack:
            processes = [_opened(candidate, number, schedule, stack) for candidate in candidates]
            settled = schedule.settle(finish_seconds)
            meters.append(_Meter(processes, sum(process.opened.cpu_seconds for process in processes)))
            rounds, states = _rounds(processes, number, settled, schedule, order)
            during += states
            memories = meters[-1].stop()
            for found, process, memory, own in zip(launches, processes, memories, rounds, strict=True):
                found.append(_launch(process.opened, memory, own))
            if number >= settled.launches and (number >= MOST_LAUNCHES or narrow_enough(settled, launches)):
                empty = processes[0].ask(TimeEmpty(_EMPTY_RUNS))
                extras, extras_load = _finished(processes, memories, partial(finish, processes, launches))
                break
    result = Measured(
        opened=tuple(process.opened for process in processes),
        launches=tuple(tuple(item) for item in launches),
        during=tuple(during),
        load=_load(meters),
        extras_load=extras_load,
        empty_call=Times.pack(empty.measured_ns),
        plan=replace(settled, launches=number),
    )
    return result, extras


def noise_of(files: Iterable[tuple[str, Sequence[Launch]]], states: Sequence[State], load: Load | None) -> tuple[Noise, ...]:
    """Return what made the times of files, by their names, unstable.

    `states` are the machine's before the first launch and after each round; `load` is that over all rounds, if it is reported.
    """
    files = tuple(files)
    rounds = [item for _, launches in files for launch in launches for item in launch.rounds]
    noise = machine_noise(states, [item.clock_khz for item in rounds if item.clock_khz is not None], load)
    for name, launches in files:
        noise += launch_noise(name, launches)
    return noise


def _rounds(
    processes: Sequence[ModelProcess], launch: int, plan: Plan, schedule: Schedule, order: random.Random
) -> tuple[list[list[Round]], list[State]]:
    """Time all files in turns, and return each one's rounds and the state of the machine after each turn."""
    rounds: list[list[Round]] = [[] for _ in processes]
    states = []
    for turn in range(1, plan.rounds + 1):
        for index in order.sample(range(len(processes)), len(processes)):
            schedule.timing(launch, turn, plan)
            times, clock_khz = processes[index].ask(round_of(plan, schedule.costs[index].run_seconds))
            warm_up, measured = Times.pack(times.warm_up_ns), Times.pack(times.measured_ns)
            rounds[index].append(Round(warm_up, measured, times.cpu_ns, clock_khz, times.waits, times.stops))
        states.append(read_state())
    return rounds, states


def _opened(candidate: Candidate, launch: int, schedule: Schedule, stack: ExitStack) -> ModelProcess:
    schedule.opening(launch, candidate.name)
    start = time.monotonic()
    process = stack.enter_context(ModelProcess(candidate.request))
    schedule.opened(candidate.name, time.monotonic() - start, process.opened.warm_up.run_ns / 1e9)
    return process


def _launch(opened: Opened, memory: Memory, rounds: Sequence[Round]) -> Launch:
    return Launch(
        import_ns=opened.import_ns,
        load_ns=opened.load_ns,
        warm_up=Times.pack(opened.warm_up.times_ns),
        settled=opened.warm_up.settled,
        rounds=tuple(rounds),
        peak_memory_bytes=memory.peak_bytes,
        steady_memory_bytes=memory.steady_bytes,
    )


class _Meter:
    """Measures how all processes except the benchmark use the CPUs, from here to `stop`."""

    def __init__(self, processes: Sequence[ModelProcess], processes_cpu_seconds: float) -> None:
        self._processes = processes
        self._before = _readings(processes_cpu_seconds)

    def stop(self) -> list[Memory]:
        """Collect the figures, and return each process's memory."""
        memories = [process.ask(ReadMemory()) for process in self._processes]
        after = _readings(sum(memory.cpu_seconds for memory in memories))
        self.seconds = {name: after[name] - before for name, before in self._before.items() if name in after}
        return memories


def _readings(processes_cpu_seconds: float) -> dict[str, float]:
    """Return clocks in seconds, as far as the machine reports them.

    They are the time, how long others than these processes used the CPUs that this one may use, how long a hypervisor took
    them, how long the other CPUs were busy, and how long a quota stopped this process.
    """
    outside = read_cpu_times(cpus=cpus) if (cpus := other_cpus()) else None
    times, throttled = read_cpu_times(), throttled_seconds()
    found = {"wall": time.monotonic()}
    if times:
        # The programs that `read_state` ran are not load by others either.
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = time.process_time() + ended.ru_utime + ended.ru_stime + processes_cpu_seconds
        found |= {"others": times.busy_seconds - ours, "stolen": times.steal_seconds}
    if outside:
        found["outside"] = outside.busy_seconds
    if throttled is not None:
        found["throttled"] = throttled
    return found


def _finished(
    processes: Sequence[ModelProcess], memories: Sequence[Memory], finish: Callable[[], Extras]
) -> tuple[Extras, Load | None]:
    """Return what else was asked for, and the load meanwhile."""
    meter = _Meter(processes, sum(memory.cpu_seconds for memory in memories))
    extras = finish()
    try:
        meter.stop()
    except EdgeCnnError:
        return extras, None  # The profiler crashed its process, which is reported in place of the profile.
    return extras, _load([meter])


def _load(meters: Sequence[_Meter]) -> Load | None:
    names = set.intersection(*({*meter.seconds} for meter in meters))
    sums = {name: max(sum(meter.seconds[name] for meter in meters), 0.0) for name in names}
    if not sums["wall"] or "others" not in sums:
        return None
    return Load(
        sums["wall"],
        sums["others"] / sums["wall"],
        sums["stolen"] / sums["wall"],
        outside_cores=sums["outside"] / sums["wall"] if "outside" in sums else None,
        outside_cpus=len(other_cpus()),
        throttled_seconds=sums.get("throttled"),
    )

"""Processes and a machine that tests of launches make up: what they answer and how time passes is known."""

from dataclasses import dataclass, field

from edgecnn.benchmarks.machine.host import CpuTimes, State
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.timing.latency import RoundTimes, WarmUp
from edgecnn.benchmarks.timing.requests import Memory, Open, Opened, ReadMemory, TimeEmpty, TimeRound
from edgecnn.edge.manifest import TensorSpec

SPEC = TensorSpec("image", (1, 12, 12, 1), "float32")


@dataclass
class Machine:
    """A clock, CPU counters and processes that only move when a fake process works: 1 s and 3 s of CPU for each round."""

    now: float = 100.0
    own: float = 7.0
    busy: float = 5_000.0
    stolen: float = 60.0
    outside: tuple[int, ...] = ()
    outside_busy: float = 900.0
    throttled: float | None = None
    states: int = 0
    log: list[tuple[str, int]] = field(default_factory=list)
    open: list["FakeProcess"] = field(default_factory=list)

    def read_state(self) -> State:
        self.states += 1
        self.log.append(("state", self.states))
        return State(f"{self.states}", None, (), None, None, None, None, None)

    def read_cpu_times(self, cpus: tuple[int, ...] | None = None) -> CpuTimes | None:
        return CpuTimes(self.busy, self.stolen) if cpus is None else CpuTimes(self.outside_busy, 0)


class FakeProcess:
    """Answers with figures that differ from each other and from launch to launch."""

    machine: Machine
    started = 0

    def __init__(self, request: Open) -> None:
        FakeProcess.started += 1
        self.number = FakeProcess.started
        self.name = request.path.name
        self.cpu = 10.0 * self.number
        self.rounds = 0
        self.opened = Opened(
            f"fake {self.name}",
            1000 + self.number,
            2000 + self.number,
            WarmUp([30, 20], self.number % 2 == 0, run_ns=250_000_000),
            self.cpu,
            SPEC,
            SPEC,
            any_batch=False,
            images_per_run=self.number,
            class_names=("a", "b", "c"),
            doubts=(),
        )
        self.machine.now += 50  # Opening is not timing.
        self.machine.busy += 50
        self.machine.outside_busy += 500
        self.machine.log.append(("open", self.number))

    def __enter__(self) -> "FakeProcess":
        self.machine.open.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.machine.open.remove(self)
        self.machine.log.append(("close", self.number))

    def ask(self, request: object) -> object:
        self.machine.log.append((type(request).__name__, self.number))
        match request:
            case TimeRound():
                assert (request.runs, request.seconds) == (2, 0.5)
                self.rounds += 1
                self.machine.now += 1
                self.machine.busy += 3 + 0.25  # A quarter is others'.
                self.machine.stolen += 0.5
                self.machine.outside_busy += 1.5
                if self.machine.throttled is not None:
                    self.machine.throttled += 0.2
                self.cpu += 3
                start = 100 * self.number + self.rounds
                times = RoundTimes([9, 8, 7], [start, start + 50], 4000 + self.rounds, 70 + self.rounds, self.rounds)
                return times, 1_000_000 + start
            case ReadMemory():
                return Memory(5000 + self.number, 6000 + self.number, self.cpu)
            case TimeEmpty():
                return RoundTimes([1], [request.runs, 2, 3], 0, 0)
        raise AssertionError(request)


PLAN = Plan(min_seconds=3, min_runs=12, launches=2, rounds=3)

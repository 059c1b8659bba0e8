"""A machine on which only fake processes work."""

from types import SimpleNamespace

import pytest

from edgecnn.benchmarks.measure import launches
from tests.benchmarks.measure.fake_machine import FakeProcess, Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(FakeProcess, "machine", machine, raising=False)
    monkeypatch.setattr(FakeProcess, "started", 0)
    monkeypatch.setattr(launches, "ModelProcess", FakeProcess)
    monkeypatch.setattr(launches, "read_state", machine.read_state)
    monkeypatch.setattr(launches, "read_cpu_times", lambda cpus=None: machine.read_cpu_times(cpus))  # Tests change it.
    monkeypatch.setattr(launches, "other_cpus", lambda: machine.outside)
    monkeypatch.setattr(launches, "throttled_seconds", lambda: machine.throttled)
    monkeypatch.setattr(launches, "time", SimpleNamespace(monotonic=lambda: machine.now, process_time=lambda: machine.own))
    return machine

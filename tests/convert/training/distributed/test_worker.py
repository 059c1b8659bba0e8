"""Before a distributed run starts: its options, and the workers' meeting. The run itself: tests/end_to_end."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.distributed import meeting as meeting_module
from edgecnn.convert.training.distributed.meeting import Cluster, Facts, meet
from edgecnn.convert.training.distributed.strategy import bounded, check_batches, check_model
from edgecnn.convert.training.distributed.worker import SingleWorker
from edgecnn.edge.errors import ConfigError, field

ROOT = Path(__file__).parents[4]
FACTS = {field("epochs"): "2", "keras": "3.15.1"}


def addresses(count: int = 2) -> tuple[str, ...]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = tuple(f"localhost:{listener.getsockname()[1]}" for listener in listeners)
    for listener in listeners:
        listener.close()
    return found


class Meeting:
    """Several workers that meet, each in its own thread."""

    def __init__(self, addresses: tuple[str, ...], wait_seconds: float = 20) -> None:
        self.addresses, self.wait_seconds = addresses, wait_seconds
        self.said: list[str] = []
        self.outcome: dict[int, str] = {}
        self._threads: list[threading.Thread] = []

    def comes(self, worker: int, facts: Facts = FACTS) -> None:
        def attend() -> None:
            try:
                meet(Cluster(self.addresses, worker, self.wait_seconds), facts, self.said.append)
                self.outcome[worker] = "goes"
            except ConfigError as error:
                self.outcome[worker] = str(error)

        self._threads.append(threading.Thread(target=attend))
        self._threads[-1].start()

    def ends(self) -> dict[int, str]:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        return self.outcome


@pytest.mark.parametrize(
    ("distribute", "worker", "wait", "message"),
    [
        ("a:1,b:2", 2, 120, "worker must be 0 to 1, the position in addresses=a:1,b:2, got 2"),
        ("a:1", 0, 120, "addresses=a:1 names only one worker"),
        ("a:1,a:1", 0, 120, "addresses=a:1,a:1 names an address twice"),
        ("a:1,b", 0, 120, "'b' is not host:port: write it as a.local:7070"),
        ("a:1,b:70707", 0, 120, "'b:70707' is not host:port"),
        ("a:1,:7070", 0, 120, "':7070' is not host:port"),
        ("a:1,b:2", 0, 0, "wait_seconds must be above 0, got 0"),
    ],
)
def test_workers_that_cannot_meet_are_refused(distribute: str, worker: int, wait: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cluster(tuple(distribute.split(",")), worker, wait)


def test_a_batch_of_which_a_worker_would_get_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch_size.*least 1.*each.*3 workers, got 2"):
        TrainConfig(batch_size=2, workers=3)
    with pytest.raises(ConfigError, match=r"last batch.* 241 images.*\b1,.*\b2 workers"):
        check_batches(241, 48, 2)
    check_batches(240, 48, 2)
    check_batches(242, 48, 2)


def test_the_whole_batch_is_one_process_s() -> None:
    assert SingleWorker().part(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    assert SingleWorker().chief


def test_models_whose_step_cannot_be_replaced_are_refused() -> None:
    class Own(keras.Model):  # type: ignore[misc]  # Keras has no types.
        def train_step(self, data: Any) -> dict[str, Any]:
            return {}

    with pytest.raises(ConfigError, match="Own has its own train_step"):
        check_model(Own())
    frozen = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, trainable=False)])
    with pytest.raises(ConfigError, match="trainable float32 weights, got none"):
        check_model(frozen)
    double = keras.Sequential([keras.Input((3,), dtype="float64"), keras.layers.Dense(2, dtype="float64")])
    with pytest.raises(ConfigError, match="float64"):
        check_model(double)


def test_workers_meet_in_any_order_and_leave_their_ports_free() -> None:
    meeting = Meeting(addresses(3))
    meeting.comes(2)
    meeting.comes(1)
    until(lambda: len(meeting.said) == 2)
    meeting.comes(0)
    assert meeting.ends() == {0: "goes", 1: "goes", 2: "goes"}
    parts = ("Worker 2: waiting", "20 s", *(f"worker {number} ({meeting.addresses[number]})" for number in (0, 1)))
    assert any(all(part in text for part in parts) for text in meeting.said)
    for address in meeting.addresses:
        socket.create_server(("", int(address.rpartition(":")[2]))).close()


@pytest.mark.parametrize(
    ("name", "theirs", "differ"),
    [("epochs", "3", "epochs 3, worker 0 has 2"), ("teacher", "t.keras", "teacher t.keras, worker 0 has none")],
)
def test_a_difference_is_named_at_all_workers(name: str, theirs: str, differ: str) -> None:
    meeting = Meeting(addresses())
    meeting.comes(0)
    meeting.comes(1, {**FACTS, field(name): theirs})
    message = f"worker 1 ({meeting.addresses[1]}) has {differ}: start all with the same options, images and versions"
    assert meeting.ends() == {0: message, 1: message}


def test_who_does_not_come_is_named_at_all_others() -> None:
    meeting = Meeting(addresses(3), wait_seconds=1)
    meeting.comes(0)
    meeting.comes(1)
    outcome = meeting.ends()
    assert all(part in outcome[0] for part in (f"worker 2 ({meeting.addresses[2]}) did", "not connect within 1 s"))
    # Its own second may pass first.
    assert outcome[1] == outcome[0] or "was silent for 1 s" in outcome[1]
    meeting = Meeting(addresses(), wait_seconds=1)
    meeting.comes(1)
    assert all(part in meeting.ends()[1] for part in (f"worker 0 ({meeting.addresses[0]}) did not", "1 s (Connection refused)"))


@pytest.mark.parametrize("worker", [0, 1])
def test_a_taken_port_is_named_before_anything_else(worker: int, idx_folder: Path, tmp_path: Path, terminal: Any) -> None:
    both = addresses()
    with socket.create_server(("127.0.0.1", int(both[worker].rpartition(":")[2]))):
        options = ["--data", idx_folder, "--out", tmp_path / "out", "--distribute", ",".join(both), "--worker", str(worker)]
        line = terminal.fails(2, "train", *options)
    assert all(part in line for part in (f"worker {worker} ({both[worker]})", f"port {both[worker].split(':')[1]} is taken"))
    assert not (tmp_path / "out").exists()


def test_a_worker_that_cannot_be_called_back_is_named() -> None:
    # It connects, but is not at its stated address.
    wrong = addresses(3)
    chief = Meeting(wrong[:2])
    chief.comes(0)
    answer = call(wrong[0], {"worker": 1, "facts": FACTS})
    assert all(part in str(answer["refused"]) for part in (f"worker 1 ({wrong[1]}) can't", f"be reached from {wrong[0]}"))
    assert chief.ends()[0] == answer["refused"]


def test_a_wait_that_holds_python_s_lock_is_ended_and_signals_are_as_they_were_after_it() -> None:
    # Like TensorFlow's: no Python code runs meanwhile, not even a signal handler.
    code = (
        "import ctypes\nfrom edgecnn.convert.training.distributed.strategy import bounded\n"
        "with bounded(1, 'worker 1 is late'): ctypes.PyDLL(None).sleep(3600)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=300, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"edgecnn: worker 1 is late\n")
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with bounded(60, "late"):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_strangers_at_the_port_and_a_worker_that_left_are_no_workers() -> None:
    meeting = Meeting(addresses(3))
    meeting.comes(0)
    until(lambda: bool(meeting.said))
    for said in (b"GET / HTTP/1.1\r\n\r\n", b'{"worker": 7, "facts": {}}\n', b'{"worker": "1"}\n', b"[" * 100_000 + b"\n", b""):
        with connected(meeting.addresses[0]) as line:
            line.sendall(said)
    hello = json.dumps({"worker": 1, "facts": FACTS}).encode() + b"\n"
    with connected(meeting.addresses[0]) as line:  # Ctrl-C before it is handled, and after.
        line.sendall(hello)
    with connected(meeting.addresses[0]) as after:
        after.shutdown(socket.SHUT_WR)
        assert after.recv(1) == b""  # So the worker that left was handled, while nobody listened at its address.
    listener = socket.create_server(("", int(meeting.addresses[1].rpartition(":")[2])))
    with listener, connected(meeting.addresses[0]) as line:
        line.sendall(hello)
        listener.accept()[0].close()
    meeting.comes(2)
    meeting.comes(1)
    assert meeting.ends() == {0: "goes", 1: "goes", 2: "goes"}


def test_a_caller_that_says_a_byte_at_a_time_holds_nobody_and_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting_module, "_ANSWER", 1.0)
    meeting = Meeting(addresses(), wait_seconds=600)
    meeting.comes(0)
    with connected(meeting.addresses[0]) as slow:
        assert dribbled(slow, seconds=60) < 60
    with connected(meeting.addresses[0]) as slow:
        slow.sendall(b"{")
        monkeypatch.setattr(meeting_module, "_ANSWER", 600.0)
        with connected(meeting.addresses[0]) as slower:
            slower.sendall(b"{")
            meeting.comes(1)
            assert meeting.ends() == {0: "goes", 1: "goes"}


def test_a_chief_that_answers_a_byte_at_a_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting_module, "_ANSWER", 0.5)
    meeting = Meeting(addresses(), wait_seconds=1)
    with socket.create_server(("127.0.0.1", int(meeting.addresses[0].rpartition(":")[2]))) as chief:
        meeting.comes(1)
        with chief.accept()[0] as line:
            assert dribbled(line, seconds=60) < 60
    assert all(part in meeting.ends()[1] for part in (f"worker 0 ({meeting.addresses[0]}) answered", "was silent"))


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (b"", "hung up"),
        (b'{"refused": false}\n', "hung up"),
        (b"[1]\n", "hung up"),
        (json.dumps({"refused": 9999 * "long "}).encode() + b"\n", "long long"),
    ],
)
def test_what_no_chief_answers_is_named_at_once_and_its_text_is_short(said: bytes, part: str) -> None:
    meeting = Meeting(addresses(), wait_seconds=600)
    with socket.create_server(("127.0.0.1", int(meeting.addresses[0].rpartition(":")[2]))) as chief:
        meeting.comes(1)
        with chief.accept()[0] as line:
            assert line.recv(1 << 16)
            line.sendall(said)
        assert part in meeting.ends()[1]
    assert len(meeting.ends()[1]) < 700


def test_a_worker_s_facts_are_quoted_shortened_and_true_is_no_number() -> None:
    meeting = Meeting(addresses(), wait_seconds=600)
    meeting.comes(0)
    with connected(meeting.addresses[0]) as line:
        line.sendall(json.dumps({"worker": True, "facts": FACTS}).encode() + b"\n")
        assert line.recv(1) == b""  # Hung up on, and not taken for worker 1.
    answer = call(meeting.addresses[0], {"worker": 1, "facts": {**FACTS, "keras": 300_000 * "3"}})
    assert len(str(answer["refused"])) < 700
    assert meeting.ends()[0] == answer["refused"]


def test_many_silent_callers_keep_no_worker_away() -> None:
    meeting = Meeting(addresses(), wait_seconds=600)
    meeting.comes(0)
    with ExitStack() as silent:
        for _ in range(80):
            silent.enter_context(connected(meeting.addresses[0]))
        meeting.comes(1)
        assert meeting.ends() == {0: "goes", 1: "goes"}


def dribbled(line: socket.socket, seconds: float) -> float:
    """Say a byte at a time until the other end hangs up; return after how many seconds it did, or that many."""
    start = time.monotonic()
    with suppress(OSError):
        while time.monotonic() < start + seconds:
            line.sendall(b" ")
            time.sleep(0.2)
    return time.monotonic() - start


def connected(address: str) -> socket.socket:
    end = time.monotonic() + 300
    while True:
        try:
            return socket.create_connection(("localhost", int(address.rpartition(":")[2])), timeout=300)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


def call(address: str, said: dict[str, Any]) -> dict[str, Any]:
    with connected(address) as line, line.makefile("rb") as stream:
        line.sendall(json.dumps(said).encode() + b"\n")
        answer: dict[str, Any] = json.loads(stream.readline())
        return answer


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)

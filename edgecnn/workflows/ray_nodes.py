"""Trains the networks of a sweep on the nodes of a Ray cluster: a task for each network and rung.

Ray has the queue, counts the resources, moves the data, and runs the task of a lost node elsewhere.
"""

import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgecnn.benchmarks.machine.host import read_machine
from edgecnn.convert.keras.load import kernels_of_training
from edgecnn.convert.training.fit.process import usable_cores
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import ArraySplit, Split, chunks
from edgecnn.edge.errors import ConfigError, EdgeCnnError, MissingDependency, field, why
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.manifest import MODEL_NAME, DatasetRecord
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import install_command
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.sandbox.unverified import remember_made
from edgecnn.edge.text import counted
from edgecnn.edge.transaction import locked, replaced_together
from edgecnn.workflows.networks import NetworkWork, Training

Files = dict[str, bytes]
"""The files of a network's folder, by their paths in it."""

# Ray reads them when it is imported. Where there is no cluster, or its head has ended, it would try for minutes.
_RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "error",
    "RAY_gcs_server_port_wait_time_s": "1",
    "RAY_gcs_rpc_server_connect_timeout_s": "1",
    "RAY_py_gcs_connect_timeout_s": "5",
    "RAY_gcs_server_request_timeout_seconds": "10",
}
# TensorFlow, Keras and its optimizer's state for a small network; the images are in Ray's own memory.
_MEMORY_BYTES = 2**30
_RETRIES = 3
_LOOK_SECONDS = 0.5
# What a training step that was asked to stop may take.
_ENDING_SECONDS = 15.0
_REASON_WIDTH = 240


@contextmanager
def ray_nodes(address: str | None, progress: Progress) -> Iterator["RayNodes | None"]:
    """Connect this process to a Ray cluster for the block, whose tasks end with it; give None if there is no address.

    Raises:
        ConfigError: If there is no such cluster, or a node has other versions than this process or too little memory.
        MissingDependency: If Ray is not installed.
    """
    if address is None:
        yield None
        return
    if not re.fullmatch(r"auto|[^/\s]+:[0-9]+", address):
        raise ConfigError(f"{field('ray')} must be auto or HOST:PORT of the cluster's head, got {address}")
    ray = _load_ray()
    if ray.is_initialized():
        raise ConfigError(f"{field('ray')}: this process is connected to Ray already: call ray.shutdown() first")
    before = signal.getsignal(signal.SIGTERM)
    try:
        with quiet():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ConfigError(
            f"{field('ray')}={address}: no connection to Ray ({why(error, _REASON_WIDTH)}): begin a cluster "
            "with ray start, and join it here"
        ) from error
    finally:
        with suppress(ValueError):  # Outside of the main thread, where Ray has not replaced it either.
            signal.signal(signal.SIGTERM, before)
    with redirect_stdout(_OwnLines()):
        try:
            yield RayNodes(ray, progress)
        finally:
            with redirect_stdout(io.StringIO()):  # Ray prints what it has held back of its nodes.
                ray.shutdown()


def _load_ray() -> Any:
    for name, value in _RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingDependency(f"Ray is not installed. On each machine: {install_command('ray')}") from error
    return ray


class _Node(NamedTuple):
    """A node that can train: Ray's name of it, its address, and its number of cores."""

    name: str
    address: str
    cores: int


class _Shared(NamedTuple):
    """What all tasks get.

    Attributes:
        work: Settings, with the images in memory.
        threads: Number of TensorFlow's threads.
        kernels: Environment that chooses TensorFlow's kernels.
        directory: Working directory of the sweep.
        lines: Actor that holds the progress.
        versions: Versions that each node must have.
    """

    work: NetworkWork
    threads: int
    kernels: dict[str, str]
    directory: str
    lines: Any
    versions: dict[str, str]


class RayNodes:
    """The nodes of the cluster that this process is connected to.

    Attributes:
        threads: Number of TensorFlow's threads in each task, and of the cores that it takes. TensorFlow splits sums over its
            threads, so it is the same on all nodes: this machine's number of cores, or that of the smallest node.
    """

    def __init__(self, ray: Any, progress: Progress) -> None:
        """Check that all nodes have this process's versions. Errors are those of `ray_nodes`."""
        self._ray, self._progress = ray, progress
        self._versions = _versions_of()()
        versions = self._asked(_versions_of(), self._able())
        if not versions:
            raise ConfigError(f"{field('ray')}: no node has a core and {_MEMORY_BYTES / 2**30:g} GiB of memory: start one")
        self.threads = min(usable_cores(), *(node.cores for node in versions))
        for node, theirs in versions.items():
            _require_same(self._versions, theirs, node.address)
        self._say_nodes(self._asked(_cpu, tuple(versions)))
        here = ray.get_runtime_context().get_node_id()
        self._lines = ray.remote(num_cpus=0)(_Lines).options(scheduling_strategy=self._on(here)).remote()
        self._task = ray.remote(
            num_cpus=self.threads, memory=_MEMORY_BYTES, max_retries=_RETRIES, scheduling_strategy="SPREAD"
        )(_trained)
        self._shared: dict[str, Any] = {}

    def train(self, work: NetworkWork, trainings: Sequence[Training]) -> None:
        """Train networks, each into its folder here.

        Raises:
            EdgeCnnError: As in `NetworkWork.trained`, or if a task was lost on several nodes, or no node is left.
            KeyboardInterrupt: If interrupted; the networks that have finished are kept.
        """
        if work.size not in self._shared:  # Ray sends it to each node once.
            sent = replace(work, dataset=_in_memory(work.dataset), tuning=None, progress=SILENT, train_ahead=None)
            threads, kernels = self.threads, kernels_of_training()
            shared = _Shared(sent, threads, kernels, str(Path.cwd()), self._lines, self._versions)
            self._shared[work.size] = self._ray.put(shared)
        waiting = {self._task.remote(self._shared[work.size], training): training for training in trainings}
        try:
            while waiting:
                finished, _ = self._ray.wait([*waiting], timeout=_LOOK_SECONDS)
                self._look()
                for task in finished:
                    training = waiting.pop(task)
                    _write(training.folder, self._files(task, training))
                    self._progress.say(f"{training.said}: trained")
        except KeyboardInterrupt:
            self._progress.say("Interrupted: the same command continues.")
            raise
        finally:  # As Ctrl-C would; what takes longer ends with the connection.
            for task in waiting:
                self._ray.cancel(task)
            self._ray.wait([*waiting], num_returns=len(waiting), timeout=_ENDING_SECONDS)

    def _able(self) -> tuple[_Node, ...]:
        """Return the nodes that can run a task."""
        found = [(node, node["Resources"]) for node in self._ray.nodes() if node["Alive"]]
        return tuple(
            _Node(node["NodeID"], node["NodeManagerAddress"], int(has["CPU"]))
            for node, has in found
            if has.get("CPU", 0) >= 1 and has.get("memory", 0) >= _MEMORY_BYTES
        )

    def _on(self, name: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(name, soft=False)

    def _asked(self, call: Callable[[], Any], nodes: tuple[_Node, ...]) -> dict[_Node, Any]:
        """Return what a function returns on each node, without nodes that end: Ray lists them until it notices, 15 s later."""
        remote, errors = self._ray.remote(num_cpus=0)(call), self._ray.exceptions
        asked = {node: remote.options(scheduling_strategy=self._on(node.name)).remote() for node in nodes}
        found = {}
        for node, answer in asked.items():
            try:
                found[node] = self._ray.get(answer)
            except (errors.TaskUnschedulableError, errors.NodeDiedError, errors.WorkerCrashedError):
                self._progress.say(f"Ray: node {node.address} has just ended: its work goes to the others")
        return found

    def _say_nodes(self, cpus: dict[_Node, str]) -> None:
        say, at_once = self._progress.say, sum(node.cores // self.threads for node in cpus)
        each = counted(self.threads, "core")
        say(f"Ray: {counted(cpus, 'node')}, {counted(at_once, 'network')} at a time on {each} each")
        if busy := int(self._ray.cluster_resources()["CPU"] - self._ray.available_resources().get("CPU", 0)):
            say(f"Other work of the cluster takes {counted(busy, 'core')} of these: Ray waits until it is done")
        if len(set(cpus.values())) > 1:
            named = ", ".join(f"{node.address} has {cpu}" for node, cpu in cpus.items())
            say(f"The nodes have different CPUs, which may round differently: {named}")
        if self.threads != usable_cores():
            say(f"This machine alone would train on {counted(usable_cores(), 'core')}, and round differently")

    def _look(self) -> None:
        for line in self._ray.get(self._lines.take.remote()):
            self._progress.say(line)
        if not self._able():
            raise EdgeCnnError("no node of Ray is left that can train: start one with ray start, then sweep again")

    def _files(self, task: Any, training: Training) -> Files:
        errors = self._ray.exceptions
        try:
            found: Files | EdgeCnnError = self._ray.get(task)
        except errors.RayTaskError:
            raise  # Our bug, with its traceback.
        except errors.RayError as error:
            raise EdgeCnnError(
                f"{training.said}: Ray lost its task {_RETRIES + 1} times ({why(error)}): give the nodes more memory, then "
                "sweep again"
            ) from error
        if isinstance(found, EdgeCnnError):
            raise found
        return found


class _OwnLines(io.TextIOBase):
    """Standard output without what Ray's threads tell there of a lost node: a result in JSON may follow."""

    def __init__(self) -> None:
        self._stream, self._thread = sys.stdout, threading.current_thread()

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.current_thread() is self._thread else len(text)

    def flush(self) -> None:
        self._stream.flush()


class _Lines:
    """An actor that holds the progress of all tasks until the sweep takes it.

    Ray's own queue makes a task wait for it, and gives the task's core to the next one meanwhile.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._nodes: dict[str, str] = {}

    def begin(self, said: str, node: str) -> None:
        before = f", after {self._nodes[said]} lost it" if said in self._nodes else ""
        self._nodes[said] = node
        self.add(f"{said}: training on {node}{before}")

    def add(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


class _TaskProgress:
    """The progress of a task, whose lines get the network's name."""

    def __init__(self, said: str, lines: Any) -> None:
        self._said, self._lines = said, lines

    def say(self, text: str) -> None:
        self._lines.add.remote(f"{self._said}: {text}")

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        """Do nothing: a finished epoch is a line."""


@dataclass(frozen=True, repr=False)
class _SentDataset(Dataset):
    """A dataset with its images in memory.

    Attributes:
        known: Record of the dataset that it is a copy of, whose hashes may be those of files.
    """

    known: DatasetRecord | None = None

    def record(self) -> DatasetRecord:
        """See `Dataset`."""
        assert self.known  # noqa: S101  # A dataclass wants a default here.
        known, val = self.known, self.known.validation
        if val:
            val = replace(val, val_may_be_learnt=val.val_may_be_learnt or self.val_may_be_learnt)
        return replace(known, validation=val, may_be_learnt=known.may_be_learnt or bool(self.may_be_learnt))


def _in_memory(dataset: Dataset) -> _SentDataset:
    has = {item.name: getattr(dataset, item.name) for item in fields(Dataset)}
    held = {name: _array(part) for name, part in has.items() if name in ("train", "test", "val") and part}
    return _SentDataset(**has | held | {"earlier": None}, known=dataset.record())


def _array(split: Split) -> ArraySplit:
    return split if isinstance(split, ArraySplit) else ArraySplit(np.concatenate([*chunks(split)]), split.labels)


def _trained(shared: _Shared, training: Training) -> Files | EdgeCnnError:
    """Train a network on a node, and return the files of its folder, or the error that a user can fix."""
    from ray.util import get_node_ip_address

    threads = str(shared.threads)  # TensorFlow reads these when it is imported.
    settings = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads, "CUDA_VISIBLE_DEVICES": "-1"}
    os.environ.update(settings | shared.kernels)
    with suppress(OSError):  # Own modules and a teacher may be there.
        os.chdir(shared.directory)
    node, config = get_node_ip_address(), training.config
    work = replace(shared.work, progress=_TaskProgress(training.said, shared.lines))
    shared.lines.begin.remote(training.said, node)
    try:
        _require_same(shared.versions, _versions_of()(), node)  # This node may have joined since the sweep began.
        with temporary_folder() as scratch:
            if (here := resolved(config, work.dataset.train)) != config:
                named = (config.weights or config.model) if here.source_sha256 != config.source_sha256 else config.teacher
                raise ConfigError(f"{training.said}: {named} is another file on {node}: copy it to {shared.directory} there")
            folder = scratch / training.folder.name
            work.train(training._replace(folder=folder))
            return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    except EdgeCnnError as error:
        return error
    except MemoryError:
        return EdgeCnnError(f"{training.said}: {node} has too little memory: leave this network out, or omit this node")


def _require_same(own: dict[str, str], theirs: dict[str, str], node: str) -> None:
    for name, version in own.items():
        if theirs[name] != version:
            raise ConfigError(
                f"{field('ray')}: node {node} has {name} {theirs[name]}, this process {version}: install the same on all nodes"
            )


def _write(folder: Path, files: Files) -> None:
    """Write what a task returned. The folder's own files, which make the training count, come last and together."""
    # Ray's nodes may run any code here, so that their models need no trial in a process of their own.
    remember_made(files[MODEL_NAME])
    for place in sorted({Path(name).parent for name in files}, key=lambda place: -len(place.parts)):
        with locked(folder / place), replaced_together(folder / place) as new:
            for name in files:
                if Path(name).parent == place:
                    (new / Path(name).name).write_bytes(files[name])
    for old in folder.glob("checkpoint/epoch-*.keras"):  # Of a training that began here.
        if f"checkpoint/{old.name}" not in files:
            old.unlink()


def _versions_of() -> Callable[[], dict[str, str]]:
    def versions_here() -> dict[str, str]:
        # Ray sends a nested function as code, so that it runs where edgecnn is missing.
        import importlib.metadata  # noqa: PLC0415
        import platform  # noqa: PLC0415

        found = {"Python": platform.python_version()}
        for package in ("edgecnn", "tensorflow", "keras", "numpy"):
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = "not installed"
        return found

    return versions_here


def _cpu() -> str:
    return read_machine().cpu or "an unknown CPU"

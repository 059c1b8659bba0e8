"""A sweep of eight networks on two nodes of Ray with one core each, compared with one node, and with a node that is killed."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgecnn.edge.files import sha256
from tools.claims.claims import EDGECNN, Claim, at_most

# The largest first, so that none of them is left over at the end.
_FILTERS = ("16,32,32", "16,16,32", "12,24,24", "16,16,16", "8,16,32", "12,12,12", "8,16,12", "8,8,8")
_EPOCHS = 1


def measure(folder: Path) -> list[Claim]:
    """Sweep three times; MNIST needs no files of a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        one, two, killed = (Path(scratch, name) for name in ("one", "two", "killed"))
        with _cluster(1) as cluster:
            alone, whole_alone = _swept(cluster, one)
        with _cluster(2) as cluster:
            both, whole_both = _swept(cluster, two)
        with _cluster(2) as cluster:
            _swept(cluster, killed, lambda: cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False))
        weights = [_weights(out) for out in (one, two, killed)]
    other = sum(len({*found}) > 1 for found in zip(*weights, strict=True))
    how = f"{both:.0f} and {alone:.0f} s, with export and measurement {whole_both:.0f} and {whole_alone:.0f}"
    return [
        at_most("sweep of 8 networks: two nodes of one core / one, time until all are trained", both / alone, 0.55, how),
        at_most(
            "its networks with other weights on other nodes", other, 0, "one node, two nodes, and two of which one is killed"
        ),
    ]


@contextmanager
def _cluster(nodes: int) -> Iterator[Any]:
    """Give a cluster whose nodes have a core each, which their processes do not leave."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - Most parts need no Ray.

    cores = os.sched_getaffinity(0)
    os.environ.update(RAY_worker_niceness="0")  # Otherwise any other work of this machine comes first.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for core in sorted(cores)[:nodes]:
            os.sched_setaffinity(0, {core})
            cluster.add_node(num_cpus=1)
        os.sched_setaffinity(0, cores)
        yield cluster
    finally:
        os.sched_setaffinity(0, cores)
        cluster.shutdown()


def _swept(cluster: Any, out: Path, kill: Callable[[], None] | None = None) -> tuple[float, float]:
    """Return the seconds of a sweep until all are trained, and all; `kill` is called when the first has been trained."""
    begin = time.perf_counter()
    sizes = [word for filters in _FILTERS for word in ("--filters", filters)]
    command = [EDGECNN, "sweep", "--network", "strided", *sizes, "--epochs", str(_EPOCHS), "--allow", "noise"]
    trained = None
    with subprocess.Popen([*command, "--out", str(out), "--ray", cluster.address], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            found = len([*out.glob("*/model.keras")])
            if kill and found:
                kill()
                kill = None
            if trained is None and found == len(_FILTERS):
                trained = time.perf_counter() - begin
            time.sleep(0.1)
    assert process.returncode == 0
    assert trained is not None
    return trained, time.perf_counter() - begin


def _weights(out: Path) -> list[str]:
    """Return the hash of each network's weights."""
    models = [keras.models.load_model(out / f"strided-{filters.replace(',', '-')}" / "model.keras") for filters in _FILTERS]
    return [sha256(b"".join(np.asarray(weight).tobytes() for weight in model.get_weights())) for model in models]

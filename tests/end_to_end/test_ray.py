"""`edgecnn sweep --ray` and `fit --ray` with real Ray: a cluster of this machine's own processes, whose nodes train."""

import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgecnn as ec
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.training.choices import choose
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.edge.errors import ConfigError, EdgeCnnError
from edgecnn.edge.manifest import Manifest
from edgecnn.workflows import fit as fits
from edgecnn.workflows import ray_nodes as rays
from edgecnn.workflows.fit_costs import kept_costs
from edgecnn.workflows.networks import NetworkWork, Training
from tests.api.test_fit import few_networks
from tests.conftest import Lines
from tests.convert.training.runs import same
from tests.drawings import write_letters

ROOT = Path(__file__).parents[2]
CONFIG = ec.TrainConfig(recipe="notebook", epochs=2, learning_rate=0.003)
# Ray warns of files that it leaves to the garbage collector when a cluster ends.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Said(Lines):
    """Progress that keeps its lines, and may act on one."""

    act: Any = staticmethod(lambda line: None)

    def say(self, text: str) -> None:
        super().say(text)
        self.act(text)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that trains nothing, and two nodes of one core each: TensorFlow has one thread in all tests, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_worker_niceness", "0")  # Not the least of all: other tests run at the same time.
        rays._load_ray()
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - Ray reads its settings when it is imported.

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            made.add_node(num_cpus=1)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def images(idx_folder: Path) -> ec.Dataset:
    return ec.load_dataset(idx_folder, ec.FolderOptions(val_share=0.2))


def work(images: ec.Dataset, out: Path, said: Said) -> NetworkWork:
    return NetworkWork(images, ExportConfig(("tflite",), ("int8",)), None, out, None, said)


def training(here: NetworkWork, size: int, **settings: Any) -> Training:
    config = resolved(replace(CONFIG, network="strided", filters=(size, size, size), **settings), here.dataset.train)
    return Training(config, here.folder_of(config), f"network {size}")


def test_an_address_where_something_else_listens_is_an_error_without_the_chatter_of_ray(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(ConfigError, match=rf"ray={address}: no connection to Ray \(.+\): begin a cluster with ray start"),
            rays.ray_nodes(address, Said()),
        ):
            pass
    assert capfd.readouterr() == ("", "")


def test_an_error_of_a_task_is_raised_here_and_ends_the_others(
    cluster: Any, images: ec.Dataset, exported: Path, tmp_path: Path
) -> None:
    here = work(images, tmp_path, Said())
    taught, long = training(here, 2, teacher=str(exported / "int8.tflite")), training(here, 3, epochs=10_000)
    other = taught._replace(config=replace(taught.config, teacher_sha256="0" * 64))
    with rays.ray_nodes(cluster.address, Said()) as nodes:
        assert nodes
        with pytest.raises(ConfigError, match=r"^network 2: .*int8\.tflite is another file on \S+: copy it"):
            nodes.train(here, [long, other])
        assert tasks(cluster) == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_node_of_another_version_is_named_whether_it_is_there_before_or_joins_later(
    cluster: Any, images: ec.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, said = work(images, tmp_path, Said()), r"ray: node \S+ has edgecnn \S+, this process 0\.0\.9: install the same"
    with rays.ray_nodes(cluster.address, Said()) as nodes:
        assert nodes
        nodes._versions["edgecnn"] = "0.0.9"
        with pytest.raises(ConfigError, match=said):
            nodes.train(here, [training(here, 2)])
        before = importlib.metadata.version
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.9" if name == "edgecnn" else before(name))
        with pytest.raises(ConfigError, match=said):
            rays.RayNodes(nodes._ray, Said())


@pytest.mark.usefixtures("few_launches")
def test_fit_trains_its_networks_on_the_nodes_and_judges_one_file_here(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, said = write_letters(tmp_path / "photos", 20), Said()

    def slow_by_area(job: Any, models: Any, path: Path) -> Any:
        """A microsecond for each pixel; networks with fewer filters are within any limit."""
        height, width, _ = job.work.dataset.train.shape
        found = kept_costs(job, models, path)
        most = max(cost.macs for cost in found)
        return tuple(replace(cost, p90_ns=1000.0 * height * width if cost.macs == most else 1.0) for cost in found)

    minutes = 2 * (1 + 2) * 6.1 / 60  # Two networks for an epoch of six seconds, and two that show the time.
    monkeypatch.setattr(fits, "learns_integers", lambda model_format: False)  # Happens here, and other tests have it.
    monkeypatch.setattr(fits, "kept_costs", slow_by_area)
    # The smaller network, in place of the one for pictures: the nodes have it too.
    monkeypatch.setattr(fits, "choose", lambda base, train: choose(replace(base, network="strided"), train))
    few_networks(monkeypatch, "strided", (0.125, 0.25))
    monkeypatch.setattr(fits, "_least_epochs", lambda job: 1)
    monkeypatch.setattr(fits, "is_a_guess", lambda probabilities, labels: False)
    side = ec.load_dataset(photos).train.shape[0]
    budget, options = ec.Budget(max_drop_points=None, max_p90_ms=0.9 * side * side / 1000), ec.FolderOptions(val_share=0.2)
    named: Any = {"images": options, "allow": ("noise",), "ray": cluster.address, "progress": said}
    fit = ec.fit(photos, budget, tmp_path / "fit", minutes=minutes, **named)
    trained = {line.partition(": training on ")[0].partition(", ")[2] for line in said.lines if ": training on " in line}
    assert trained == {network.cost.name for network in fit.networks if network.epochs}
    fitted = {str(Manifest.load((tmp_path / "fit" / file.file).parent).dataset.fitted) for file in fit.files}
    assert (len(trained), len(fitted), bool(fit.chosen)) == (2, 2, True)  # Pictures of two sizes were sent.


def test_a_task_that_is_lost_again_and_again_is_an_error_with_its_reason(
    cluster: Any, images: ec.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(shared: Any, training: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(rays, "_trained", lost)
    monkeypatch.setattr(rays, "_RETRIES", 1)
    here = work(images, tmp_path, Said())
    with rays.ray_nodes(cluster.address, Said()) as nodes:
        assert nodes
        with pytest.raises(EdgeCnnError, match=r"^network 2: Ray lost its task 2 times \(.+\): give the nodes more memory"):
            nodes.train(here, [training(here, 2)])


class Trained(Exception):
    """All networks are trained."""


def test_a_node_that_dies_costs_one_task_and_all_weights_are_those_of_this_process(
    cluster: Any, images: ec.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import ray  # noqa: PLC0415

    said, alone = Said(), work(images, tmp_path / "alone", Said())
    todo = [training(alone, size) for size in (2, 3, 4)]
    for one in todo:
        alone.trained(one)
    shutil.copytree(todo[0].folder, tmp_path / "ray" / todo[0].folder.name)  # An earlier sweep came so far.
    connected: list[bool] = []

    def kill(line: str) -> None:
        if ": training on " in line and sum(": training on " in other for other in said.lines) == 2:
            cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)

    def network(here: NetworkWork, training: Training) -> None:
        connected.append(ray.is_initialized())
        raise Trained

    said.act = kill
    monkeypatch.setattr(NetworkWork, "network", network)
    sizes, out = [one.config.filters for one in todo], tmp_path / "ray"
    with pytest.raises(Trained):
        ec.sweep(sizes, images, out, networks=["strided"], config=CONFIG, ray=cluster.address, progress=said)
    assert connected == [False]  # What is exported and measured has this machine for itself.
    assert "Ray: 2 nodes, 2 networks at a time on 1 core each" in said.lines
    begun = [line.partition(": training on ")[::2] for line in said.lines if ": training on " in line]
    assert {name for name, _ in begun} == {"2 of 3, strided 3,3,3", "3 of 3, strided 4,4,4"}
    assert [bool(re.fullmatch(r"\S+, after \S+ lost it", where)) for _, where in begun] == [False, False, True]
    for one in todo:
        assert same(one.folder, out / one.folder.name)
    assert capfd.readouterr().out == ""  # Where the result goes.


def test_ctrl_c_ends_all_tasks_and_leaves_nothing_half_written(cluster: Any, idx_folder: Path, tmp_path: Path) -> None:
    sizes = " ".join(f"--filters {size},{size},{size}" for size in (2, 3, 4))
    out = tmp_path / "out"
    images = f"--data {idx_folder} --val-share 0.2 --network strided {sizes} --epochs 10000"
    options = f"{images} --out {out} --ray {cluster.address} --json -"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgecnn", "sweep", *options.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout
    assert process.stderr
    reader = threading.Thread(target=lines.extend, args=(process.stderr,))
    reader.start()
    try:
        end = time.monotonic() + 600
        while not any(re.search(r"^\d of 3, strided \d,\d,\d: epoch 1/10000", line) for line in [*lines]):
            assert time.monotonic() < end, lines
            assert process.poll() is None, lines
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        process.kill()
        reader.join()
    assert process.stdout.read() == ""
    assert lines[-2:] == ["Interrupted: the same command continues.\n", "edgecnn: interrupted\n"]
    assert sum(": training on " in line for line in lines) < 3  # A network waited for one of the nodes.
    assert not [line for line in lines if "Traceback" in line or "ray." in line]
    assert tasks(cluster) == []
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_a_node_that_has_just_ended_is_left_out_though_ray_lists_it_still(cluster: Any) -> None:
    said = Said()
    cluster.remove_node(cluster.add_node(num_cpus=1), allow_graceful=False)
    with rays.ray_nodes(cluster.address, said) as nodes:
        assert nodes
    assert [line for line in said.lines if line.startswith("Ray: 1 node, 1 network at a time")]


def tasks(cluster: Any) -> list[str]:
    """Return the processes of a cluster that still train, after a moment in which they may end."""
    nodes = {node.all_processes["raylet"][0].process.pid for node in cluster.worker_nodes}
    end = time.monotonic() + 60
    while found := [
        name for name, parent in map(_name, Path("/proc").glob("[0-9]*")) if "ray::_trained" in name and parent in nodes
    ]:
        if time.monotonic() > end:
            return found
        time.sleep(0.2)
    return []


def _name(process: Path) -> tuple[str, int]:
    """Return the command line of a process, and its parent's number."""
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"), parent
    except OSError:  # It has ended.
        return "", 0

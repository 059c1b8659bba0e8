"""Train edgecnn's own network or your own model.

It is measured on the test images.

Example: edgecnn train --epochs 5 --seed 1
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edgecnn.commands.shared import DataOrDataset, StatedInterface, Trust
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.distributed.meeting import Cluster
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.option import Group, Option, checked, described
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, emit, say

if TYPE_CHECKING:
    from edgecnn.convert.training.records import TrainResult
    from edgecnn.edge.data.dataset import Dataset


@checked
def train(
    data: DataOrDataset = None,
    out: Annotated[
        str | Path | None,
        Option("Output folder.", metavar="DIR", default="artifacts/ plus the dataset's name"),
    ] = None,
    *,
    config: Annotated[TrainConfig, Group("Epochs, recipe, seed, and the model to train.", "Training")] = TrainConfig(),
    images: Annotated[
        FolderOptions, Group("How images are read, class names, and the share of validation images.", "Images")
    ] = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    resume: Annotated[bool, Option("Continue after the last finished epoch.")] = False,
    progress: Progress = SILENT,
) -> "TrainResult":
    """Train edgecnn's own network, or your own model, and measure it on the test images.

    With validation images the best epoch is kept. Ctrl-C keeps the best finished one: see `kept_for` of the result.

    Args:
        data: Images: a `Dataset`, or an argument of `edgecnn.load_dataset`. Default: MNIST, or those in the model's manifest.
        interface: Preprocessing and output of your own model, as in `edgecnn.evaluate`. Default: those in the manifest of a
            .keras file. edgecnn's own networks take pixel / 255.

    Returns:
        Accuracy 0 to 1, loss in nats, the history, and the model's `path`.

    Raises:
        ArtifactError: If images, a checkpoint or a .keras file are damaged.
        ConfigError: If settings, images and model do not fit together (or test images may be among those that the model has
            learnt), the folder can't be written, or the loss becomes NaN.
        MissingDependency: If TensorFlow is not installed.
        KeyboardInterrupt: If interrupted before an epoch ended; then no model is written.
    """
    from edgecnn.convert.training.train import trained

    result = trained(data, out, config, images, interface, tuple(trust), resume, progress)
    assert result  # noqa: S101  # Who trains alone writes.
    return result


@described
def train_worker(
    cluster: Cluster,
    data: "Dataset | str | Path | None" = None,
    out: str | Path | None = None,
    *,
    config: TrainConfig = TrainConfig(),
    images: FolderOptions = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    resume: bool = False,
    progress: Progress = SILENT,
) -> "TrainResult | None":
    """Train as one of several workers, each with its part of every batch.

    docs/how-to/several-machines.md has the rules. Call it before anything in this process computes with TensorFlow. Worker 0
    writes and returns the result; the others write nothing and return None.

    Args:
        cluster: Addresses of the workers, and the index of this one.
        data: As in `train`, and the same on all workers, like everything else.
        out: Output folder of worker 0.
        config: As in `train`; its batch size is that of all workers together.
        images: As in `train`.
        resume: As in `train`.

    Raises:
        ConfigError: As in `train`, and if the workers don't meet, or differ.
        EdgeCnnError: If another worker ends early.
    """
    from edgecnn.convert.training.train import trained

    return trained(data, out, config, images, interface, tuple(trust), resume, progress, cluster)


def _cluster(addresses: tuple[str, ...] = (), worker: int | None = None, **others: Any) -> Cluster:
    if not addresses:
        raise ConfigError("--worker needs --distribute: give both, or omit it")
    if worker is None:
        raise ConfigError(
            f"--distribute {','.join(addresses)}: name this worker's index with --worker 0 to {len(addresses) - 1}"
        )
    return Cluster(addresses, worker, **others)


def command(
    call: Call,
    *,
    cluster: Annotated[Cluster | None, Group("The workers that train together.", "Several machines", make=_cluster)] = None,
    json: Json = None,
) -> None:
    """Print how accurate the model is, and what is next."""
    result: TrainResult | None = call() if cluster is None else call(train_worker, cluster=cluster, **call.arguments())
    if result is None:
        say(f"Worker {cluster.worker if cluster else 0} is done. Worker 0 measures and writes; nothing was written here.")
        return
    emit(result, json)
    if result.interrupted:
        more = f"{result.config.epochs} epochs were planned: continue with the same command and --resume."
        say(f"Interrupted: {result.path} holds {result.kept()}. {'The training is complete.' if result.complete else more}")
        raise KeyboardInterrupt

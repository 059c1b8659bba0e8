"""Train edgecnn's own network or your own model.

It is measured on the test images.

Example: edgecnn train --epochs 5 --seed 1
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.commands.shared import DataOrDataset, StatedInterface, Trust
from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.option import Group, Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, emit, say

if TYPE_CHECKING:
    from edgecnn.convert.training.records import TrainResult


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

    return trained(data, out, config, images, interface, tuple(trust), resume, progress)


def command(
    call: Call,
    *,
    json: Json = None,
) -> None:
    """Print how accurate the model is, and what is next."""
    result: TrainResult = call()
    emit(result, json)
    if result.interrupted:
        more = f"{result.config.epochs} epochs were planned: continue with the same command and --resume."
        say(f"Interrupted: {result.path} holds {result.kept()}. {'The training is complete.' if result.complete else more}")
        raise KeyboardInterrupt

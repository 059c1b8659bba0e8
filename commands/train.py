"""`edgecnn train`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from commands.options import ImageOptions, InterfaceOptions, Json, Trust, whole_numbers
from convert.dataset import Dataset, load_dataset
from convert.distribute import cluster_of
from convert.meeting import Cluster
from convert.progress import training_progress
from convert.recipes import RECIPES
from convert.train import train as train_model
from convert.train import train_together
from convert.train_records import TrainConfig, TrainResult
from edge.console import check_writable, emit, json_file, say
from edge.errors import ConfigError
from edge.interface import HOW_TO_SAY, SCHEMES, Interface

DEFAULTS = TrainConfig()


def train(
    images: ImageOptions,
    takes: InterfaceOptions,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: artifacts/ and the images' name.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="module:function of (shape, classes), or a .keras file to go on with.")
    ] = None,
    transfer: Annotated[
        str | None, typer.Option(metavar="FILE", help="A .keras file: its last layer is replaced, the others are frozen.")
    ] = None,
    fine_tune: Annotated[bool, typer.Option("--fine-tune", help="Train all layers of the transferred model.")] = False,
    trust: Trust = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = DEFAULTS.epochs,
    recipe: Annotated[
        str, typer.Option(help="cosine: AdamW, the learning rate up and down again, images varied. notebook: plain Adam.")
    ] = DEFAULTS.recipe,
    batch_size: Annotated[int | None, typer.Option(help="Images a step. Default: cosine 64, notebook 128.")] = None,
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = DEFAULTS.learning_rate,
    augment: Annotated[
        bool | None,
        typer.Option(
            "--augment/--no-augment",
            help="Turn, scale and shift each image a little. Default: cosine does.",
            show_default=False,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Share of features dropped before the CNN's last layer. Default: cosine 0.3, notebook 0.5."),
    ] = None,
    filters: Annotated[
        str, typer.Option(metavar="N,N,N", help="Of the CNN's three stages: fewer are smaller and faster.")
    ] = ",".join(map(str, DEFAULTS.filters)),
    teacher: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A trained model: the new one learns from its answers too.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the weights, the order of images and the dropout.")] = DEFAULTS.seed,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    distribute: Annotated[
        str | None, typer.Option(metavar="HOST:PORT,...", help="Train together: where each worker is, this one too.")
    ] = None,
    worker: Annotated[int | None, typer.Option(help="Which of --distribute this is, from 0; 0 alone writes.")] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="For the other workers, at most.")] = 120,
    json: Json = None,
) -> None:
    """Train the CNN, or a model of your own, and measure it on the test images."""
    if recipe not in RECIPES:
        raise ConfigError(f"--recipe {recipe} is unknown: use {' or '.join(RECIPES)}")
    varied = RECIPES[recipe].augment if augment is None else augment
    batch = RECIPES[recipe].batch_size if batch_size is None else batch_size
    stages = whole_numbers("--filters", filters)
    taught = str(teacher) if teacher else None
    config = TrainConfig(
        epochs, recipe, batch, varied, learning_rate, dropout, stages, seed, model, transfer, fine_tune, taught
    )
    cluster = cluster_of(distribute, worker, wait)
    check_writable(json_file(json))
    interface = takes.interface(images)
    if interface is None:
        if model or transfer:
            raise ConfigError(f"how {model or transfer} takes pixels is not known: say it with {HOW_TO_SAY}")
        interface = Interface(SCHEMES["unit"])
    dataset = load_dataset(images.data, images.folder())
    folder = out or Path("artifacts") / dataset.name
    say(dataset.describe())
    rule = dataset.image_rule
    taken = replace(interface, preprocessing=replace(interface.preprocessing, fit=rule.fit, background=rule.background))
    trusted = tuple(trust or ())
    if cluster is None:
        result: TrainResult | None = run_training(dataset, config, folder, taken, trusted, resume)
    else:
        result = _together(cluster, dataset, config, folder, taken, trusted, resume)
    if result is None:
        say(f"Worker {worker} is done. Worker 0 measures and writes; nothing was written here.")
        return
    path = folder / result.model_path
    text = (
        f"{path}: accuracy {result.test_accuracy:.4f}, loss {result.test_loss:.4f} on {result.test_images:,} test images\n"
        f"{result.parameters:,} parameters ({result.trainable_parameters:,} trainable), {len(result.history)} epochs in "
        f"{result.seconds:.0f} s, seed {config.seed}\n"
        f"Watch: tensorboard --logdir {folder / 'logs'}    Next: edgecnn export {path}"
    )
    emit(text, result, json)
    if result.interrupted:
        say(
            f"Interrupted: {path} holds epoch {result.epoch} of {epochs}, the finished one of lowest training loss. "
            "Go on with the same command and --resume."
        )
        raise KeyboardInterrupt


def run_training(
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    interface: Interface,
    trust: tuple[str, ...] = (),
    resume: bool = False,
    on_text: Callable[[str], None] = say,
) -> TrainResult:
    """Train with a bar on standard error. Arguments and errors as `convert.train.train`; also MemoryError."""
    with training_progress() as on_batch, _memory_named():
        return train_model(dataset, config, folder, interface.preprocessing, interface.output, trust, resume, on_text, on_batch)


def _together(
    cluster: Cluster,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    interface: Interface,
    trust: tuple[str, ...],
    resume: bool,
) -> TrainResult | None:
    with training_progress() as on_batch, _memory_named():
        return train_together(cluster, dataset, config, folder, interface, trust, resume, say, on_batch)


@contextmanager
def _memory_named() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which must not be imported for its name.
            raise MemoryError(str(error)) from error
        raise

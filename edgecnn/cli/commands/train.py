"""`edgecnn train`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file, say
from edgecnn.cli.options import ImageOptions, InterfaceOptions, Json, Trust, ValidationOptions, whole_numbers
from edgecnn.cli.progress import shown

DEFAULTS = ec.TrainConfig()


@dataclass(frozen=True)
class RunOptions:
    """The settings of a run."""

    PANEL: ClassVar = "Training"

    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Your own model: module:function of (shape, classes), or a .keras file to continue with."
        ),
    ] = None
    arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Keyword argument of module:function; repeatable.", show_default="none"
        ),
    ] = None
    transfer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="mobilenetv2 or another network trained on ImageNet, or a .keras file; its last layer is replaced.",
        ),
    ] = None
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An .h5 file of that network's weights.", show_default="Keras's own, of ImageNet"),
    ] = None
    fine_tune: Annotated[
        bool | None,
        typer.Option(
            "--fine-tune/--no-fine-tune",
            help="After the new last layer, train all of the transferred model.",
            show_default="on for a name, off for a file",
        ),
    ] = None
    epochs: Annotated[int, typer.Option(help="Number of passes over the training images.")] = DEFAULTS.epochs
    recipe: Annotated[
        str, typer.Option(help="cosine: AdamW with warm-up and cosine decay, images varied. notebook: plain Adam.")
    ] = DEFAULTS.recipe
    batch_size: Annotated[int | None, typer.Option(help="Images per step.", show_default="cosine 64, notebook 128")] = None
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = DEFAULTS.learning_rate
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="photo: vary crop, mirror image and colours. digit: rotate, scale, shift. none: vary nothing.",
            show_default="cosine: photo for colour images, digit for grey; notebook: none",
        ),
    ] = None
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Dropout rate before the network's last layer.", show_default="cnn: cosine 0.3, notebook 0.5; others 0"
        ),
    ] = None
    network: Annotated[
        str,
        typer.Option(metavar="NAME", help="edgecnn's own network: cnn, or strided or separable, which are smaller and faster."),
    ] = DEFAULTS.network
    filters: Annotated[
        str, typer.Option(metavar="N,N,N", help="Filters of the network's three stages: fewer make it smaller and faster.")
    ] = ",".join(map(str, DEFAULTS.filters))
    teacher: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained model whose answers the new one also learns.")
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of the weights, the order of images and the dropout.")] = DEFAULTS.seed
    class_weights: Annotated[
        str,
        typer.Option(
            metavar="RULE", help="balanced: images of rare classes count more in the loss. none: all images count alike."
        ),
    ] = DEFAULTS.class_weights

    def config(self, validation: ValidationOptions = ValidationOptions()) -> "ec.TrainConfig":
        """Return the settings, with what validation decides; the recipe supplies those not given.

        Raises:
            ConfigError: If a setting is out of range, or two exclude each other.
        """
        return ec.TrainConfig.of_recipe(
            self.recipe,
            batch_size=self.batch_size,
            augment=self.augment,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
            network=self.network,
            filters=whole_numbers("--filters", self.filters),
            seed=self.seed,
            model=self.model,
            arguments=tuple(self.arguments or ()),
            transfer=self.transfer,
            weights=str(self.weights) if self.weights else None,
            fine_tune=self.fine_tune,
            teacher=str(self.teacher) if self.teacher else None,
            class_weights=self.class_weights,
            keep=validation.keep,
            patience=validation.patience,
        )


@dataclass(frozen=True)
class ClusterOptions:
    """Workers that train together."""

    PANEL: ClassVar = "Several machines"

    distribute: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT,...", help="Addresses of all workers that train together, including this one."),
    ] = None
    worker: Annotated[int | None, typer.Option(help="Index of this worker, from 0; worker 0 writes the output.")] = None
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait for the other workers.")] = 120

    def cluster(self) -> "ec.Cluster | None":
        """Return the workers; None for an ordinary run.

        Raises:
            ConfigError: If the options are invalid.
        """
        if self.distribute is None:
            if self.worker is not None:
                raise ec.ConfigError("--worker needs --distribute: give both, or omit it")
            return None
        addresses = tuple(address.strip() for address in self.distribute.split(","))
        if self.worker is None:
            raise ec.ConfigError(
                f"--distribute {self.distribute}: name this worker's index with --worker 0 to {len(addresses) - 1}"
            )
        return ec.Cluster(addresses, self.worker, self.wait)


def train(
    images: ImageOptions,
    takes: InterfaceOptions,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Output folder.", show_default="artifacts/ plus the dataset's name")
    ] = None,
    run: RunOptions = RunOptions(),
    validation: ValidationOptions = ValidationOptions(),
    trust: Trust = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last finished epoch.")] = False,
    together: ClusterOptions = ClusterOptions(),
    json: Json = None,
) -> None:
    """Train edgecnn's own network or your own model, and measure it on the test images."""
    config, cluster = run.config(validation), together.cluster()
    check_writable(json_file(json))
    given: dict[str, Any] = {"interface": takes.interface(images), "trust": trust or (), "resume": resume}
    given |= images.arguments(validation.val_share)
    with shown() as progress:
        if cluster is None:
            result: ec.TrainResult | None = ec.train(out=out, config=config, **given, progress=progress)
        else:
            result = ec.train_worker(cluster, out=out, config=config, **given, progress=progress)
    if result is None:
        say(f"Worker {together.worker} is done. Worker 0 measures and writes; nothing was written here.")
        return
    emit(result, json)
    if result.interrupted:
        more = f"{config.epochs} epochs were planned: continue with the same command and --resume."
        say(f"Interrupted: {result.path} holds {result.kept()}. {'The training is complete.' if result.complete else more}")
        raise KeyboardInterrupt

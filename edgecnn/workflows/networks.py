"""What a sweep does for each network: training, export, and finding what was done before."""

import dataclasses
import gc
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.sweep import SweptNetwork, network_name
from edgecnn.convert.export.config import QAT_FORMAT, ExportConfig, Gain, Tuning
from edgecnn.convert.export.converters import of_batches
from edgecnn.convert.export.export import export as export_model
from edgecnn.convert.export.keep_accuracy import UnfitReference
from edgecnn.convert.qat.graph import FloatGraph, NotTrainable
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.training.checkpoint import begun, is_finished
from edgecnn.convert.training.choices import Reasons
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import module_of, new_model, open_fitting
from edgecnn.convert.training.recipes import usual_dropout
from edgecnn.convert.training.records import DecoderLost, Diverged, OtherRun, TrainResult, UnusableCheckpoint
from edgecnn.convert.training.train import fitted_interface, perhaps_learnt, trained
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.recorded_images import require_recorded
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, field, setting
from edgecnn.edge.export_records import Qat
from edgecnn.edge.files import read_bytes
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.graph.summary import Summary, summarize
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.manifest import MODEL_NAME, TRAIN_NAME, Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model.preprocess import correct
from edgecnn.edge.model_file import read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import from_json
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.text import counted
from edgecnn.workflows.export import SHOWN_GAIN, is_a_guess

# What a sweep calls the arguments of a training.
_ARGUMENTS: Mapping[str, str] = {"model": "networks", "weights": "transfer"}


class Training(NamedTuple):
    """A training of a sweep: the network, its folder, and its place and name for messages."""

    config: TrainConfig
    folder: Path
    said: str


@dataclass(frozen=True)
class NetworkWork:
    """The settings for each network of a sweep.

    Attributes:
        dataset: Training and test images, and perhaps validation images.
        exporting: Files to export.
        tuning: How to tune them; None for plain files.
        folder: Folder that holds its folder.
        interface: Preprocessing and output of your own networks; edgecnn's own take pixel / 255.
        progress: Receives the progress.
        chosen: Why what was left open was chosen so, as in `TrainResult`, by the networks' names.
        train_ahead: Trains several networks elsewhere, so that they are found trained; None to train one after another here.
        or_plain: Whether a network that can't be trained for integers is exported without; else that is an error.
        size: Size of the images as part of a network's name, `size=64x64`, where several are tried; empty where one is.
    """

    dataset: Dataset
    exporting: ExportConfig
    tuning: Tuning | None
    folder: Path
    interface: Interface | None
    progress: Progress
    chosen: Mapping[str, Reasons] = dataclasses.field(default_factory=dict)
    train_ahead: Callable[["NetworkWork", Sequence[Training]], None] | None = None
    size: str = ""
    or_plain: bool = False

    @property
    def plain(self) -> str:
        """Name of each network's plain file."""
        return self.file_of(self.exporting.precisions[0])

    def file_of(self, precision: str) -> str:
        """Return the name of the plain file of a precision."""
        return FORMATS[self.exporting.formats[0]].file_name(precision)

    def network(self, training: Training) -> SweptNetwork:
        """Train and export a network, unless that is already done."""
        config, folder, said = training
        self.trained(training)
        self._export(config, folder, said)
        file = folder / (self._tuned(folder) or self.plain)
        cost, (images, right) = self.cost(config, folder), self._validated(file)
        return SweptNetwork(
            filters=() if config.start else config.filters,
            file=f"{folder.name}/{file.name}",
            parameters=cost.parameters,
            macs=cost.macs,
            network=config.start or config.network,
            arguments=self._arguments_of(config),
            val_images=images,
            val_correct=right,
            qat=self.qat(folder),
        )

    def beside(self, folder: Path) -> SweptNetwork:
        """Return the file of another folder as the networks' files are: of the same format and precision.

        Raises:
            ArtifactError: If a file there is damaged or missing.
            ConfigError: If it has no such file, its test images or class names are others, or it is one of the sweep's own.
        """
        if self.folder.resolve() in folder.resolve().parents:
            raise ConfigError(f"{folder} is one of the sweep's own folders: omit {field('beside')}={folder}")
        manifest, fitted = Manifest.load(folder), self.dataset.record().fitted
        other = manifest.dataset.fitted
        if fitted and other and (fitted.shape, fitted.fit) != (other.shape, other.fit):
            height, width, channels = other.shape
            same = (setting("size", f"{height}x{width}"), setting("channels", channels), setting("fit", other.fit))
            raise ConfigError(f"{folder} was made for pictures of another size or fit: add {' '.join(same)}")
        require_recorded(manifest.dataset, self.dataset.test)
        if manifest.class_names != self.dataset.class_names:
            raise ConfigError(f"{folder} has other class names ({', '.join(manifest.class_names)}) than {self.dataset.name}")
        file = folder / (self._tuned(folder) or self.plain)
        if manifest.artifact(file.name) is None:
            kind = f"{setting('formats', self.exporting.formats[0])} {setting('precisions', self.exporting.precisions[0])}"
            raise ConfigError(f"{folder} has no {file.name}: type edgecnn export {folder / manifest.source().path} {kind}")
        load_reference(folder, manifest, self.dataset.test.labels)  # What is missing is said before hours of training.
        readable = file if FORMATS[self.exporting.formats[0]].anatomy else folder / manifest.source().path
        cost, (images, right) = summarize(str(readable), read_model(readable)), self._validated(file)
        where = os.path.relpath(file.resolve(), self.folder.resolve())
        return SweptNetwork((), where, cost.parameters, cost.macs, str(folder), (), images, right, beside=True)

    def _validated(self, file: Path) -> tuple[int | None, int | None]:
        """Return the number of validation images, and of those that a file classifies right; None without such images."""
        classifier, val = Classifier.load(file), self.dataset.val
        if val is None:
            return None, None
        return len(val.labels), int(correct(classifier.split_probabilities(val), val.labels).sum())

    def folder_of(self, config: TrainConfig) -> Path:
        """Return a network's folder."""
        return self.folder / folder_name(self.name_of(config))

    def name_of(self, config: TrainConfig) -> str:
        """Return a network's name."""
        filters = () if config.start else config.filters
        return network_name(config.start or config.network, filters, self._arguments_of(config))

    def _arguments_of(self, config: TrainConfig) -> tuple[str, ...]:
        """Return what tells a network from others of its kind, as `name=value`, such as an unusual dropout."""
        usual = config.start or config.dropout == usual_dropout(config.recipe, config.network)
        found = config.arguments if usual else (f"dropout={config.dropout:g}",)
        return (*found, self.size) if self.size else found

    def cost(self, config: TrainConfig, folder: Path) -> Summary:
        """Return what the trained Keras model in a folder costs."""
        return summarize(MODEL_NAME, read_model(folder / MODEL_NAME), module_of(config))

    def trained(self, training: Training) -> TrainResult:
        """Train a network, unless that is already done, and return the record.

        Raises:
            ArtifactError: If a file there is damaged.
            ConfigError: If the folder holds another network, or the network can't be trained.
            KeyboardInterrupt: If interrupted.
        """
        config, folder, said = training
        if self.is_trained(config, folder):
            self.progress.say(f"{said}: trained before")
            return self.record(training)
        self.progress.say(f"{said}: training")
        return self.train(training)

    def record(self, training: Training) -> TrainResult:
        """Return the record of a network that is trained; ArtifactError if it is damaged."""
        path = training.folder / TRAIN_NAME
        return from_json(TrainResult, read_bytes(path), str(path))

    def train(self, training: Training) -> TrainResult:
        """Train a network, or go on with its training. Errors are those of `trained`."""
        config, folder, said = training
        interface, resume = self._interface(config), begun(folder)
        try:
            # The same images again, and the layers of all networks, would bury the rest.
            result = trained(
                self.dataset,
                folder,
                config,
                interface=interface,
                resume=resume,
                progress=self.progress,
                summary=False,
                chosen=self.chosen.get(self.name_of(config), {}),
            )
        except Diverged as error:
            fix = "leave this network out, or train it alone at a lower rate"
            raise Diverged(error.figure, error.loss, error.epoch, where=f"{said}: ", fix=fix) from error
        gc.collect()  # A trained model refers to itself, and Python would find that out only after many more.
        if result.interrupted:
            self.progress.say("Interrupted: the same command continues.")
            raise KeyboardInterrupt
        return result

    def require_buildable(self, configs: Sequence[TrainConfig]) -> None:
        """Build each network of your own, and raise if it can't be trained: the last one might be found out after hours.

        Raises:
            NotTrainable: If that is so for integers.
            ArtifactError: If a model does not have one input and one output, or could not be loaded again.
            ConfigError: If a function fails, or its model does not fit the images.
        """
        own, shape, classes = [config for config in configs if config.model], self.dataset.train.shape, self.dataset.class_names
        for place, config in enumerate(own):
            self.progress.step(place, len(own), "building the networks")
            built = open_fitting(new_model(config, shape, len(classes), ()), config, shape, len(classes), module_of(config))
            if self.exporting.qat:
                model, takes, _ = of_batches(built)
                FloatGraph(to_tflite(model, "float32", takes, built.input_spec.dtype))

    def is_trained(self, config: TrainConfig, folder: Path) -> bool:
        """Return whether a network is in a folder, trained.

        Raises:
            ArtifactError: If a file there is damaged.
            ConfigError: If another network is there, or this one of other images.
        """
        if not begun(folder):
            return False
        other = f"name another folder with {field('out')}, or delete {folder}"
        try:
            scheme = config.backbone.scheme if config.backbone else "unit"
            known = self._interface(config) or Interface(SCHEMES[scheme])
            found = is_finished(folder, config, self.dataset.record(), fitted_interface(known, self.dataset))
        except OtherRun as error:
            raise ConfigError(f"{error.reason}: {other}") from error
        # Images are known by their pixels and the numbers of their classes.
        if found and (named := Manifest.load(folder).class_names) != self.dataset.class_names:
            raise ConfigError(f"{folder} was trained with other class names ({', '.join(named)}): {other}")
        return found

    def _interface(self, config: TrainConfig) -> Interface | None:
        return self.interface if config.model else None

    def _export(self, config: TrainConfig, folder: Path, said: str) -> None:
        if self._is_exported(folder):
            self.progress.say(f"{said}: exported before")
            return
        self.progress.say(f"{said}: exporting {'and tuning' if self.tuning else self.plain}")
        say = (self.progress if self.tuning else SILENT).say
        # The images that choose among the networks, or among their files.
        gain = Gain("validation", _is_more) if self.dataset.val else SHOWN_GAIN
        export = partial(export_model, folder / MODEL_NAME, perhaps_learnt(self.dataset, config), trust=module_of(config))
        export = partial(export, is_a_guess=is_a_guess, gain=gain, on_batch=self.progress.step, on_step=say)
        try:
            self._exported(partial(export, tuning=self.tuning), said)
        except UnfitReference:
            self.progress.say(f"{said}: not tuned, since not even the float Keras model would pass on these test images")
            if not self._has_plain(folder):
                self._exported(export, said)

    def _exported(self, export: Callable[..., Manifest], said: str) -> None:
        """Export; what can't be trained for integers is exported without if that is allowed."""
        try:
            export(config=self.exporting)
        except NotTrainable as error:
            if not self.or_plain:
                raise
            self.progress.say(f"{said}: exported without training for integers, since {error.reason}")
            export(config=replace(self.exporting, qat=None))

    def _is_exported(self, folder: Path) -> bool:
        """Return whether what is asked for was exported."""
        return self._has_plain(folder) and (self.tuning is None or self._tuned(folder) is not None)

    def _has_plain(self, folder: Path) -> bool:
        """Return whether the plain file was exported, with as many epochs for integers as now, and no layer in float."""
        if not self._has(folder, self.plain):
            return False
        artifact = Manifest.load(folder).artifact(self.plain)
        epochs = artifact.qat.epochs if artifact and artifact.qat else None
        return artifact is not None and artifact.mended is None and epochs == self._epochs(folder)

    def _epochs(self, folder: Path) -> int | None:
        """Return for how many epochs the plain file of an exported network is trained for integers; None if it can't be."""
        float32 = FORMATS[QAT_FORMAT].file_name("float32")
        if self.or_plain and self.exporting.qat and self._has(folder, float32):
            try:
                FloatGraph(read_model(folder / float32).data)
            except NotTrainable:
                return None
        return self.exporting.qat

    def qat(self, folder: Path) -> Qat | None:
        """Return what training for integers gained for a network's plain file; None if that was not asked for."""
        artifact = Manifest.load(folder).artifact(self.plain)
        return artifact.qat if artifact else None

    def _tuned(self, folder: Path) -> str | None:
        """Return the name of the file that tuning found to be the fastest; None if nothing was tuned, or it is damaged."""
        if self.tuning is None or not self._has(folder, self.plain):
            return None
        # Only the best file of a tuned export is measured with other settings. It may have been tuned for another machine.
        machine, formats = self.tuning.runner.machine, self.exporting.formats
        artifacts = [artifact for artifact in Manifest.load(folder).artifacts if artifact.format in formats]
        names = [artifact.path for artifact in artifacts if artifact.settings and artifact.settings.machine == machine]
        return names[0] if names and self._has(folder, names[0]) else None

    def _has(self, folder: Path, name: str) -> bool:
        """Return whether a file was exported from this model and is whole."""
        try:
            models = ModelFolder(folder)
            models.model(name)
            if models.manifest:
                load_reference(folder, models.manifest, self.dataset.test.labels)
        except (ArtifactError, ConfigError):  # It does not exist, belongs to an earlier model, or is damaged.
            return False
        return True


class PlannedNetwork(NamedTuple):
    """A network of a search: what is done for it, and its settings."""

    work: NetworkWork
    config: TrainConfig

    @property
    def name(self) -> str:
        """Its name."""
        return self.work.name_of(self.config)


Begun = tuple[NetworkWork, Training]
"""A training, and what trains it."""


def trainings_of(networks: Sequence[PlannedNetwork], epochs: int | None = None) -> list[Begun]:
    """Return the trainings in the networks' own folders, or for so many epochs in those of a rung.

    By then those are trained that are trained elsewhere, a size of images at a time.
    """
    found = list[Begun]()
    for place, (work, config) in enumerate(networks):
        folder, said = work.folder_of(config), f"{place + 1} of {len(networks)}, {work.name_of(config)}"
        if epochs is not None:
            folder = work.folder / "rungs" / str(epochs) / folder_name(work.name_of(config))
            config, said = replace(config, epochs=epochs), f"{said}, {counted(epochs, 'epoch')}"
        found.append((work, Training(config, folder, said)))
    for work in {work.size: work for work, _ in found}.values():
        if work.train_ahead:
            of_size = [training for other, training in found if other.size == work.size]
            work.train_ahead(work, [one for one in of_size if not work.is_trained(one.config, one.folder)])
    return found


@contextmanager
def errors_of_a_sweep(renamed: Mapping[str, str] = _ARGUMENTS) -> Iterator[None]:
    """Have errors of a training name a sweep's argument, and what helps there: it continues by itself."""
    try:
        yield
    except UnusableCheckpoint as error:
        raise UnusableCheckpoint(error.reason, "delete its folder") from error
    except DecoderLost as error:
        raise DecoderLost(error.how, "sweep again") from error
    except EdgeCnnError as error:
        error.renamed |= renamed
        raise


def _is_more(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> bool:
    """Return whether the first of two files is right for more of these images."""
    return int(first.sum()) > int(second.sum())


def folder_name(name: str) -> str:
    """Return the name of a network's folder."""
    return re.sub(r"[^\w.-]+", "-", name)

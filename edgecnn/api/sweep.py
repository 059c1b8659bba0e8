"""Trains and measures edgecnn's own networks in several sizes, to find which to ship."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.api.data import load_dataset
from edgecnn.api.export import tuning_for
from edgecnn.api.train import fitted_interface, train
from edgecnn.benchmarks.judge.budgets import load_budgets
from edgecnn.benchmarks.judge.gate import Policy
from edgecnn.benchmarks.measure.lineup import models_lineup
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.measure.schedule import steps_of
from edgecnn.benchmarks.report.sweep import Sweep, SweptNetwork, network_name, sweep_of
from edgecnn.benchmarks.report.sweep_plot import save_sweep
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.yardsticks.choose import HERE, TUNE_SECONDS, yardstick_of
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export as export_model
from edgecnn.convert.export.tuning.yardstick import Tuning
from edgecnn.convert.training.checkpoint import begun, is_finished
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.custom_model import resolved
from edgecnn.convert.training.networks import CNN, NetworkName
from edgecnn.edge.anatomy.summary import summarize
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.files import make_folder
from edgecnn.edge.folder.file_names import MODEL_NAME
from edgecnn.edge.folder.model_file import read_model
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.inference.reference_probabilities import load_reference
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.progress import SILENT, Progress
from edgecnn.edge.provenance import versions
from edgecnn.edge.records import to_json
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.transaction import locked, replaced_together


def sweep(  # Longer than 50 lines: its arguments and their docs.
    filters: Sequence[tuple[int, ...]],
    data: Dataset | str | Path | None = None,
    out: str | Path = "artifacts/sweep",
    *,
    networks: Sequence[NetworkName] = (CNN,),
    config: TrainConfig = TrainConfig(),
    model_format: str = "tflite",
    precision: str = "int8",
    tune: bool = False,
    reach_percent: float | None = None,
    allow: Sequence[str] = (),
    images: FolderOptions = NO_OPTIONS,
    command: str = "edgecnn.sweep(...)",
    progress: Progress = SILENT,
) -> Sweep:
    """Train, export, measure and judge networks of several sizes: accuracy against time, size and multiply-accumulates.

    Finished work is not repeated: the same call continues where it stopped. It writes sweep.png, sweep.json and
    bench.json into `out`.

    Args:
        filters: Three numbers for each size, one per stage, for example `(8, 16, 32)`.
        data: Training and test images: a `Dataset`, or an argument of `edgecnn.load_dataset`.
        out: Output folder, with one folder per network.
        networks: `cnn`, `strided` or `separable`; each is trained with each of `filters`.
        config: Training settings of all networks; its own network and filters are ignored.
        model_format: `tflite` or `onnx`.
        precision: `float32`, `float16`, `dynamic`, `int8` or `int16x8`.
        tune: Whether to tune each network's int8 file for this machine, as `edgecnn.export` does. The table has the tuned file
            of each network, or its fastest plain file where tuning gains nothing; that may be the float one.
        reach_percent: Accuracy for which the smallest sufficient file is also named, above 0 to 100 %.
        allow: Names of noise to ignore, or `noise` for all of it.
        images: How a folder of images is read, if `data` is not a `Dataset`.
        command: Command that the measurement's report recommends for repeating.
        progress: Receives the progress.

    Returns:
        A row for each network; `report` is the measurement.

    Raises:
        ArtifactError: If a file in a network's folder is damaged.
        ConfigError: If a number is out of range, or `out` holds another sweep.
        GateFailed: If a network can't be exported accurately enough.
        MissingDependency: If TensorFlow or a runtime is not installed.
        KeyboardInterrupt: If interrupted; the same call continues.
    """
    if reach_percent is not None and not 0 < reach_percent <= 100:
        raise ConfigError(f"{field('reach_percent')} must be percent above 0, for example 98.5, got {reach_percent:g}")
    if len(set(filters)) < len(filters):
        raise ConfigError(f"{field('filters')} names a network twice: name each once")
    if len(set(networks)) < len(networks):
        raise ConfigError(f"{field('networks')} names a network twice: name each once")
    if tune and precision != "int8":
        raise ConfigError(f"{field('tune')} makes int8 files: use it with {field('precision')}=int8")
    policy, exporting, folder = Policy(tuple(allow)), ExportConfig((model_format,), (precision,)), Path(out)
    dataset = data if isinstance(data, Dataset) else load_dataset(data, images)
    of_each = [replace(config, network=name, filters=tuple(stages)) for name in networks for stages in filters]
    configs = [resolved(item, dataset.train.shape[2]) for item in of_each]
    make_folder(folder)
    progress.say(dataset.describe())
    yardstick = yardstick_of(HERE, TUNE_SECONDS, dataset.test, progress, (model_format,)) if tune else None
    tuning = tuning_for(None, yardstick) if yardstick else None
    plain = FORMATS[model_format].file_name(precision)
    work = _Work(dataset, exporting, tuning, plain, folder, progress)
    swept = [work.network(item, f"{place + 1} of {len(configs)}") for place, item in enumerate(configs)]
    report = _measured(work, swept, policy, command)
    shared = {name: value for name, value in configs[0].settings().items() if name not in ("network", "filters")}
    reach = None if reach_percent is None else reach_percent / 100
    kind = f"tuned, or the fastest plain {FORMATS[model_format].title} file" if tune else plain
    result = sweep_of(report, swept, reach, shared | {"file": kind})
    with locked(folder, progress.say), replaced_together(folder) as new:
        (new / "bench.json").write_bytes(to_json(report).encode())
        (new / "sweep.json").write_bytes(to_json(result).encode())
        save_sweep(new / "sweep.png", result, kind)
    return replace(result, report=report, picture=folder / "sweep.png")


def _measured(work: "_Work", networks: Sequence[SweptNetwork], policy: Policy, command: str) -> Report:
    files = [network.file for network in networks]
    model_format = work.exporting.formats[0]
    options = BenchOptions()
    lineup = models_lineup(work.folder, files, options, {model_format: opener_for(model_format)}, work.dataset.test)
    budgets = load_budgets(None, {}, tuple(files))
    return benchmark(
        lineup,
        options,
        budgets,
        policy,
        command=command,
        versions=versions("numpy"),
        on_progress=steps_of(work.progress),
    )


class _Lines:
    """Progress without texts of several lines: the summaries of all networks' layers would bury the rest."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.step = progress.step

    def say(self, text: str) -> None:
        """Pass on a line."""
        if "\n" not in text:
            self._progress.say(text)


@dataclass(frozen=True)
class _Work:
    """The settings for each network of a sweep.

    Attributes:
        dataset: Training and test images.
        exporting: Files to export.
        tuning: How to tune them; None for plain files.
        plain: Name of its plain file.
        folder: Folder that holds its folder.
        progress: Receives the progress.
    """

    dataset: Dataset
    exporting: ExportConfig
    tuning: Tuning | None
    plain: str
    folder: Path
    progress: Progress

    def network(self, config: TrainConfig, place: str) -> SweptNetwork:
        """Train and export a network, unless that is already done."""
        name = network_name(config.network, config.filters)
        folder = self.folder / name.replace(" ", "-").replace(",", "-")
        said = f"{place}, {name}"
        self._train(config, folder, said)
        self._export(folder, said)
        file = folder / (self._tuned(folder) or self.plain)
        cost = summarize(str(file), read_model(file))
        parameters = summarize(MODEL_NAME, read_model(folder / MODEL_NAME)).parameters
        return SweptNetwork(config.filters, f"{folder.name}/{file.name}", parameters, cost.macs, config.network)

    def _train(self, config: TrainConfig, folder: Path, said: str) -> None:
        interface = fitted_interface(Interface(SCHEMES["unit"]), self.dataset)
        started = begun(folder)
        if started:
            try:
                finished = is_finished(folder, config, self.dataset.record(), interface)
            except ConfigError as error:
                reason = error.marked.removeprefix(f"{field('resume')}: ").split(": ")[0]
                raise ConfigError(f"{reason}: name another folder with {field('out')}, or delete this one") from error
            if finished:
                self.progress.say(f"{said}: trained before")
                return
        self.progress.say(f"{said}: training")
        if train(self.dataset, folder, config=config, resume=started, progress=_Lines(self.progress)).interrupted:
            self.progress.say("Interrupted: the same command continues.")
            raise KeyboardInterrupt

    def _export(self, folder: Path, said: str) -> None:
        if self._tuned(folder) if self.tuning else self._has(folder, self.plain):
            self.progress.say(f"{said}: exported before")
            return
        self.progress.say(f"{said}: exporting {'and tuning' if self.tuning else self.plain}")
        say = self.progress.say if self.tuning else lambda text: None
        export_model(folder / MODEL_NAME, self.dataset, self.exporting, tuning=self.tuning, on_step=say)

    def _tuned(self, folder: Path) -> str | None:
        """Return the name of the file that tuning found to be the fastest; None if nothing was tuned, or it is damaged."""
        if self.tuning is None or not self._has(folder, self.plain):
            return None
        # Only the best file of a tuned export is measured with other settings.
        names = [artifact.path for artifact in Manifest.load(folder).artifacts if artifact.settings]
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

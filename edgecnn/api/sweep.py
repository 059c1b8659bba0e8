"""Trains and measures networks of several kinds and sizes, to find which to ship."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from edgecnn.api.data import load_dataset
from edgecnn.api.export import tuning_for
from edgecnn.api.sweeping.network_work import NetworkWork, said_of_a_sweep
from edgecnn.api.sweeping.rungs import run_rungs
from edgecnn.benchmarks.judge.budgets import load_budgets
from edgecnn.benchmarks.judge.gate import Policy
from edgecnn.benchmarks.measure.lineup import models_lineup
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.measure.schedule import steps_of
from edgecnn.benchmarks.report.sweep import Sweep, SweptNetwork, sweep_of
from edgecnn.benchmarks.report.sweep_plot import save_sweep
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.yardsticks.choose import HERE, TUNE_SECONDS, yardstick_of
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.keras.load import kernels_to_train
from edgecnn.convert.sweep.settings_of_networks import settings_of_networks
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.kept_epoch import needs_validation
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.model.networks import CNN
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.files import require_writable
from edgecnn.edge.folder.file_names import BENCH_NAME
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.model.interface import HOW_TO_SAY, Interface, as_interface
from edgecnn.edge.progress import SILENT, Progress
from edgecnn.edge.provenance import versions
from edgecnn.edge.records import to_json
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.transaction import locked, replaced_together

# What tells a sweep's networks apart.
_OF_EACH = ("network", "filters", "model", "arguments")


@kernels_to_train()
def sweep(  # Longer than 50 lines: its arguments and their docs.
    filters: Sequence[tuple[int, ...]] = (),
    data: Dataset | str | Path | None = None,
    out: str | Path = "artifacts/sweep",
    *,
    networks: Sequence[str] = (CNN,),
    arguments: Mapping[str, Sequence[float | str]] = MappingProxyType({}),
    config: TrainConfig = TrainConfig(),
    minutes: float | None = None,
    model_format: str = "tflite",
    precision: str = "int8",
    tune: bool = False,
    reach_percent: float | None = None,
    allow: Sequence[str] = (),
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    command: str = "edgecnn.sweep(...)",
    progress: Progress = SILENT,
) -> Sweep:
    """Train, export, measure and judge several networks: accuracy against time, size and multiply-accumulates.

    With validation images, the networks are compared and chosen on them, and the test images judge those chosen; without
    them, the test images do both. Finished work is not repeated: the same call continues where it stopped. It writes
    sweep.png, sweep.json and bench.json into `out`.

    Args:
        filters: Three numbers for each size of edgecnn's own networks, one per stage, for example `(8, 16, 32)`.
        data: Training and test images: a `Dataset`, or an argument of `edgecnn.load_dataset`.
        out: Output folder, with one folder per network.
        networks: `cnn`, `strided` or `separable`, each trained with each of `filters`; or your own function, as
            `module:function` of the images' shape, the number of classes, and `arguments`.
        arguments: Values of keyword arguments of your own functions, for example `{"width": [8, 16, 32]}`, and of `dropout` for
            edgecnn's own networks; a network is trained for each combination of those that it takes.
        config: Training settings of all networks; its own network, filters, model and arguments are ignored.
        minutes: Limit of the training time, above 0: all networks train for a few epochs, the better half for twice as many,
            and so on until three are left, which are exported and measured. It plans `config.epochs` and needs validation
            images. None trains all.
        model_format: `tflite`, `onnx`, `ncnn`, `mnn` or `executorch`.
        precision: `float32`, `float16`, `dynamic`, `int8` or `int16x8`.
        tune: Whether to tune each network's int8 file for this machine, as `edgecnn.export` does. The table has the tuned file
            of each network, or its fastest plain file where tuning gains nothing; that may be the float one.
        reach_percent: Accuracy for which the smallest sufficient file is also named, 1 to 100 %.
        allow: Names of noise to ignore, or `noise` for all of it.
        images: How images are read, and the share of validation images, if `data` is not a `Dataset`.
        interface: Preprocessing and output of your own functions' networks, as in `edgecnn.evaluate`; edgecnn's own take
            pixel / 255.
        command: Command that the measurement's report recommends for repeating.
        progress: Receives the progress.

    Returns:
        A row for each exported network; `report` is the measurement.

    Raises:
        ArtifactError: If a file in a network's folder is damaged.
        ConfigError: If a number is out of range, no network takes an argument, a network can't be built, or `out` holds
            another sweep.
        MissingDependency: If TensorFlow or a runtime is not installed.
        KeyboardInterrupt: If interrupted; the same call continues.
    """
    if reach_percent is not None and not 1 <= reach_percent <= 100:  # Less than 1 was meant as a share.
        raise ConfigError(f"{field('reach_percent')} must be 1 to 100 percent, for example 98.5, got {reach_percent:g}")
    if tune and precision != "int8":
        raise ConfigError(f"{field('tune')} makes int8 files: use it with {field('precision')}=int8")
    if minutes is not None and not 0 < minutes < float("inf"):
        raise ConfigError(f"{field('minutes')} must be more than 0, got {minutes:g}")
    taken = as_interface(interface, images.fit or "letterbox")
    _require_interface(networks, taken)
    policy, exporting, folder = Policy(tuple(allow)), ExportConfig((model_format,), (precision,)), Path(out)
    with said_of_a_sweep():
        planned = settings_of_networks(config, networks, filters, arguments)
    dataset = data if isinstance(data, Dataset) else load_dataset(data, images)
    configs = tuple(resolved(item, dataset.train.shape[2]) for item in planned)
    for name, given in (("minutes", minutes), ("patience", config.patience)):
        if given is not None and dataset.val is None:
            raise needs_validation(name, dataset)
    require_writable(folder)
    progress.say(dataset.describe())
    yardstick = yardstick_of(HERE, TUNE_SECONDS, dataset.test, progress, (model_format,)) if tune else None
    tuning = tuning_for(None, yardstick) if yardstick else None
    plain = FORMATS[model_format].file_name(precision)
    work = NetworkWork(dataset, exporting, tuning, plain, folder, taken, progress)
    with said_of_a_sweep():
        limited = minutes is not None
        work.require_buildable([item for item in configs if limited or not work.is_trained(item, work.folder_of(item))])
        final, rungs = (configs, ()) if minutes is None else run_rungs(work, configs, minutes)
        swept = [work.network(item, f"{place + 1} of {len(final)}") for place, item in enumerate(final)]
    report = _measured(work, swept, policy, command)
    reach = None if reach_percent is None else reach_percent / 100
    kind = f"tuned, or the fastest plain {FORMATS[model_format].title} file" if tune else plain
    result = sweep_of(report, swept, reach, _shared(final) | {"file": kind}, rungs)
    with locked(folder, progress.say), replaced_together(folder) as new:
        (new / BENCH_NAME).write_bytes(to_json(report).encode())
        (new / "sweep.json").write_bytes(to_json(result).encode())
        save_sweep(new / "sweep.png", result, kind)
    return replace(result, report=report, picture=folder / "sweep.png")


def _require_interface(networks: Sequence[str], interface: Interface | None) -> None:
    """Check that it is stated how your own networks take pixels, and only if there are some."""
    own = next((name for name in networks if ":" in name), None)
    if own and interface is None:
        raise ConfigError(f"how {own} takes pixels is not known: state it with {HOW_TO_SAY}")
    if interface and not own:
        raise ConfigError(
            f"{field('interface')} applies to module:function, and edgecnn's own networks take pixel / 255: omit it"
        )


def _shared(configs: Sequence[TrainConfig]) -> dict[str, str]:
    """Return the settings that all networks have."""
    first, *others = [config.settings() for config in configs]
    same = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    return {name: value for name, value in same.items() if name not in _OF_EACH}


def _measured(work: NetworkWork, networks: Sequence[SweptNetwork], policy: Policy, command: str) -> Report:
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

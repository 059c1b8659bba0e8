"""Trains and measures networks of several kinds and sizes, to find which to ship."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.measure.candidates import models_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.results.sweep import Sweep, SweptNetwork, sweep_of
from edgecnn.benchmarks.runners.choose import HERE, TUNE_SECONDS, runner_of
from edgecnn.benchmarks.show.sweep import save_sweep
from edgecnn.commands.data import load_dataset
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.keras.load import kernels_to_train
from edgecnn.convert.sweep.settings_of_networks import settings_of_networks
from edgecnn.convert.training.checkpoint import needs_validation
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.files import require_writable
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import BENCH_NAME
from edgecnn.edge.model.interface import HOW_TO_SAY, Interface, as_interface
from edgecnn.edge.packages import versions
from edgecnn.edge.records import to_json
from edgecnn.edge.result import Progress
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.transaction import locked, replaced_together
from edgecnn.workflows.export import tuning_for
from edgecnn.workflows.networks import NetworkWork, in_words_of_a_sweep
from edgecnn.workflows.rungs import run_rungs

# What tells a sweep's networks apart.
_OF_EACH = ("network", "filters", "model", "arguments")


@dataclass(frozen=True)
class SweepCall:
    """The arguments of a call of `edgecnn.sweep`, which it describes."""

    filters: Sequence[tuple[int, ...]]
    data: Dataset | str | Path | None
    out: str | Path
    networks: Sequence[str]
    arguments: Mapping[str, Sequence[float | str]]
    config: TrainConfig
    minutes: float | None
    model_format: str
    precision: str
    tune: bool
    reach_percent: float | None
    allow: Sequence[str]
    images: FolderOptions
    interface: Interface | str | None
    command: str
    progress: Progress


@kernels_to_train()
def swept(call: SweepCall) -> Sweep:
    """Train and measure networks. Errors are those of `edgecnn.sweep`."""
    data, config, minutes, progress, images = call.data, call.config, call.minutes, call.progress, call.images
    networks, model_format, precision, tune = call.networks, call.model_format, call.precision, call.tune
    if tune and precision != "int8":
        raise ConfigError(f"{field('tune')} makes int8 files: use it with {field('precision')}=int8")
    taken = as_interface(call.interface, images.fit or "letterbox")
    _require_interface(networks, taken)
    policy, exporting, folder = Policy(tuple(call.allow)), ExportConfig((model_format,), (precision,)), Path(call.out)
    with in_words_of_a_sweep():
        planned = settings_of_networks(config, networks, call.filters, call.arguments)
    dataset = data if isinstance(data, Dataset) else load_dataset(data, images)
    configs = tuple(resolved(item, dataset.train.shape[2]) for item in planned)
    for name, given in (("minutes", minutes), ("patience", config.patience)):
        if given is not None and dataset.val is None:
            raise needs_validation(name, dataset)
    require_writable(folder)
    progress.say(dataset.describe())
    runner = runner_of(HERE, TUNE_SECONDS, dataset.test, progress, (model_format,)) if tune else None
    tuning = tuning_for(None, runner) if runner else None
    plain = FORMATS[model_format].file_name(precision)
    work = NetworkWork(dataset, exporting, tuning, plain, folder, taken, progress)
    with in_words_of_a_sweep():
        limited = minutes is not None
        work.require_buildable([item for item in configs if limited or not work.is_trained(item, work.folder_of(item))])
        final, rungs = (configs, ()) if minutes is None else run_rungs(work, configs, minutes)
        measured = [work.network(item, f"{place + 1} of {len(final)}") for place, item in enumerate(final)]
    report = _measured(work, measured, policy, call.command)
    reach = None if call.reach_percent is None else call.reach_percent / 100
    kind = f"tuned, or the fastest plain {FORMATS[model_format].title} file" if tune else plain
    result = sweep_of(report, measured, reach, _shared(final) | {"file": kind}, rungs)
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
    candidate_set = models_candidates(work.folder, files, options, {model_format: opener_for(model_format)}, work.dataset.test)
    budgets = load_budgets(None, {}, tuple(files))
    return benchmark(
        candidate_set,
        options,
        budgets,
        policy,
        command=command,
        versions=versions("numpy"),
        progress=work.progress,
    )

"""Trains and measures networks of several kinds and sizes, to find which to ship."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.measure.candidates import models_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.results.sweep import Sweep, SweptNetwork, sweep_of
from edgecnn.benchmarks.show.sweep import save_sweep
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.choices import Reasons, choose, chosen_text
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.builder import arguments_of, value_of
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.model.networks import CNN, NETWORKS
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.files import require_writable
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import BENCH_NAME
from edgecnn.edge.model.interface import HOW_TO_SAY, Interface
from edgecnn.edge.packages import versions
from edgecnn.edge.records import to_json
from edgecnn.edge.result import Progress
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.transaction import locked, replaced_together
from edgecnn.workflows.export import usual_tuning
from edgecnn.workflows.networks import NetworkWork, PlannedNetwork, errors_of_a_sweep, trainings_of
from edgecnn.workflows.ray_nodes import ray_nodes
from edgecnn.workflows.rungs import run_rungs

# What tells a sweep's networks apart.
_OF_EACH = ("network", "filters", "model", "arguments")


def network_work(
    dataset: Dataset,
    exporting: ExportConfig,
    tune: bool,
    folder: Path,
    interface: Interface | None,
    progress: Progress,
    device: str | None = None,
) -> NetworkWork:
    """Return what is done for each network, in a folder that can be written; `device` is where files are tuned."""
    require_writable(folder)
    progress.say(dataset.describe())
    tuning = usual_tuning(device, dataset, exporting.formats, progress) if tune else None
    return NetworkWork(dataset, exporting, tuning, folder, interface, progress)


def swept(
    work: NetworkWork,
    planned: Sequence[TrainConfig],
    beside: Sequence[Path],
    of_images: Reasons,
    minutes: float | None,
    reach_percent: float | None,
    policy: Policy,
    command: str,
    ray: str | None,
) -> Sweep:
    """Train, export and measure networks. Arguments and errors are those of `edgecnn.sweep`; `of_images` is `reasons_of`."""
    folder, plain, model_format = work.folder, work.plain, work.exporting.formats[0]
    _require_once("beside", [other.resolve() for other in beside])
    others = [work.beside(other) for other in beside]
    with errors_of_a_sweep():
        configs, limited = tuple(resolved(item, work.dataset.train) for item in planned), minutes is not None
        work = _with_reasons(work, planned, configs, of_images, limited)
        work.require_buildable([item for item in configs if limited or not work.is_trained(item, work.folder_of(item))])
        with ray_nodes(ray, work.progress) as nodes:
            work = replace(work, train_ahead=nodes.train if nodes else None)
            networks = tuple(PlannedNetwork(work, config) for config in configs)
            final, rungs = (networks, ()) if minutes is None else run_rungs(networks, minutes)
            trainings = trainings_of(final)
        # What measures needs this machine for itself, without Ray.
        measured = [*(work.network(training) for _, training in trainings), *others]
    report = _measured(work, measured, policy, command)
    reach = None if reach_percent is None else reach_percent / 100
    kind = f"tuned, or the fastest plain {FORMATS[model_format].title} file" if work.tuning else plain
    result = sweep_of(report, measured, reach, _shared([network.config for network in final]) | {"file": kind}, rungs)
    with locked(folder, work.progress.say), replaced_together(folder) as new:
        (new / BENCH_NAME).write_bytes(to_json(report).encode())
        (new / "sweep.json").write_bytes(to_json(result).encode())
        save_sweep(new / "sweep.png", result, kind)
    return replace(result, report=report, picture=folder / "sweep.png")


def _with_reasons(
    work: NetworkWork, planned: Sequence[TrainConfig], configs: Sequence[TrainConfig], of_images: Reasons, limited: bool
) -> NetworkWork:
    """Say what was chosen, once where it is the same for all networks, and return the work with it.

    Of a sweep that is `limited` in time, the limit plans the epochs later.
    """
    chosen: dict[str, Reasons] = {}
    for item, config in zip(planned, configs, strict=True):
        reasons = of_images | choose(item, work.dataset.train)[1]
        chosen[work.name_of(config)] = {name: why for name, why in reasons.items() if not (limited and name == "epochs")}
    texts: dict[str, list[str]] = {}
    for name, reasons in chosen.items():
        if reasons:
            texts.setdefault(chosen_text(reasons), []).append(name)
    for text, names in texts.items():
        work.progress.say(text if len(names) == len(chosen) else f"{'; '.join(names)}: {text}")
    return replace(work, chosen=chosen)


def require_interface(networks: Sequence[str], interface: Interface | None) -> None:
    """Raise a ConfigError unless it is stated how your own networks take pixels, and only if there are some."""
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
    options = BenchOptions()
    candidate_set = models_candidates(work.folder, files, options, opener_for(work.exporting.formats[0]), work.dataset.test)
    budgets, made_with = load_budgets(None, {}, tuple(files)), versions("numpy")
    return benchmark(candidate_set, options, budgets, policy, command=command, versions=made_with, progress=work.progress)


# What `arguments` may name for edgecnn's own networks; their filters belong together and have an argument of their own.
_OF_OWN = ("dropout",)


def settings_of_networks(
    base: TrainConfig,
    networks: Sequence[str],
    filters: Sequence[tuple[int, ...]],
    arguments: Mapping[str, Sequence[float | str]],
) -> tuple[TrainConfig, ...]:
    """Return the settings of each network, in the order of `networks`, then of `filters` and the arguments' values.

    All share those of `base`. Arguments are those of `edgecnn.sweep`; each network gets those `arguments` that it takes.

    Raises:
        ConfigError: If there is no such network, one is named twice, `filters` does not fit `networks`, no network takes an
            argument, or something is not a list.
    """
    sizes = [tuple(_listed("filters", stages, "(8, 16, 32) in a list", stages)) for stages in filters]
    given = {name: _listed("arguments", values, "[8, 16, 32]", f"{name}={values!r}") for name, values in arguments.items()}
    for name in networks:
        if name not in NETWORKS and ":" not in name:
            raise ConfigError(f"{field('networks')} must be {', '.join(NETWORKS)} or module:function, got {name}")
    if not networks:
        raise ConfigError(f"{field('networks')} names no network: name one of {', '.join(NETWORKS)}, or module:function")
    _require_once("networks", networks)
    _require_once("filters", sizes)
    for values in given.values():
        _require_once("arguments", list(map(_meant, values)))
    own = [name for name in networks if name in NETWORKS]
    if own and not sizes:
        raise ConfigError(f"the {own[0]} network needs {field('filters')}, for example {field('filters')}=8,16,32")
    if sizes and not own:
        raise ConfigError(f"{field('filters')} applies to edgecnn's own networks, not to {networks[0]}: omit it")
    takes = {name: _OF_OWN if name in NETWORKS else _parameters_of(name) for name in networks}
    _require_taken(takes, given)
    nothing = replace(base, model=None, transfer=None, weights=None, fine_tune=False, arguments=())
    plain = replace(nothing, network=CNN, filters=TrainConfig.filters)
    found = []
    for name in networks:
        taken = {key: list(map(str, values)) for key, values in given.items() if _takes(takes[name], key)}
        combined = [dict(zip(taken, values, strict=True)) for values in product(*taken.values())]
        if name in NETWORKS:
            found += [_own(plain, name, stages, one) for stages in sizes for one in combined]
        else:
            texts = [tuple(f"{key}={value}" for key, value in one.items()) for one in combined]
            found += [replace(plain, dropout=None, model=name, arguments=text) for text in texts]
    return tuple(found)


def _listed(name: str, values: Any, example: str, got: object) -> list[Any]:
    """Return what should be a list of values; raise for anything else, also for a text, which Python takes for one."""
    with suppress(TypeError):
        if not isinstance(values, str) and (found := list(values)):
            return found
    raise ConfigError(f"{field(name)} needs a list of values, for example {example}, got {got}")


def _parameters_of(name: str) -> tuple[str, ...] | None:
    load_keras()  # The module imports Keras too, but not quietly.
    with errors_of_a_sweep():
        return arguments_of(name)


def _own(plain: TrainConfig, name: str, stages: tuple[int, ...], given: Mapping[str, str]) -> TrainConfig:
    dropout = _rate(given["dropout"]) if given else plain.dropout
    return replace(plain, network=next(own for own in NETWORKS if own == name), filters=stages, dropout=dropout)


def _rate(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (rate := float(text)) < 1:
            return rate
    raise ConfigError(f"{field('arguments')}: dropout must be 0 or more and less than 1, got {text}")


def _meant(value: float | str) -> str:
    """Return the same text for values that mean the same: 0.3, 0.30 and .3, or true and True, but not 1 and true."""
    try:
        return repr(float(str(value)))
    except ValueError:
        return repr(value_of(str(value)))


def _require_once(name: str, values: Sequence[object]) -> None:
    if len(set(values)) < len(values):
        what = {"arguments": "value", "beside": "folder"}.get(name, "network")
        raise ConfigError(f"{field(name)} names a {what} twice: name each once")


def _require_taken(takes: Mapping[str, tuple[str, ...] | None], arguments: Mapping[str, object]) -> None:
    for name in arguments:
        if not any(_takes(taken, name) for taken in takes.values()):
            known = "; ".join(f"{network} takes {', '.join(taken or ()) or 'none'}" for network, taken in takes.items())
            raise ConfigError(f"{field('arguments')}: no network takes {name}: {known}")


def _takes(taken: tuple[str, ...] | None, name: str) -> bool:
    return taken is None or name in taken

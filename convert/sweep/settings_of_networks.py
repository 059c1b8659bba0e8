"""The training settings of a sweep's networks: every combination of what was asked for."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.builder import arguments_of, value_of
from edgecnn.convert.training.model.networks import CNN, NETWORKS
from edgecnn.edge.errors import ConfigError, field

# What `arguments` may name for edgecnn's own networks; their filters belong together and have an argument of their own.
_OF_OWN = ("dropout",)


def settings_of_networks(
    base: TrainConfig,
    networks: Sequence[str],
    filters: Sequence[tuple[int, ...]],
    arguments: Mapping[str, Sequence[float | str]],
) -> tuple[TrainConfig, ...]:
    """Return the settings of each network, in the order of `networks`, then of `filters` and the arguments' values.

    Args:
        base: The settings that all share.
        networks: Names of edgecnn's own networks, and functions as `module:function`.
        filters: Filters of the three stages, one for each size of edgecnn's own networks.
        arguments: Values of each keyword argument; each network gets those that it takes.

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
    plain = _without_model(base)
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
    return arguments_of(name)


def _without_model(base: TrainConfig) -> TrainConfig:
    nothing = replace(base, model=None, transfer=None, weights=None, fine_tune=False, arguments=())
    return replace(nothing, network=CNN, filters=TrainConfig.filters)


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
        what = "value" if name == "arguments" else "network"
        raise ConfigError(f"{field(name)} names a {what} twice: name each once")


def _require_taken(takes: Mapping[str, tuple[str, ...] | None], arguments: Mapping[str, object]) -> None:
    for name in arguments:
        if not any(_takes(taken, name) for taken in takes.values()):
            known = "; ".join(f"{network} takes {', '.join(taken or ()) or 'none'}" for network, taken in takes.items())
            raise ConfigError(f"{field('arguments')}: no network takes {name}: {known}")


def _takes(taken: tuple[str, ...] | None, name: str) -> bool:
    return taken is None or name in taken

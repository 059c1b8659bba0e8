"""The settings of a sweep's networks: every combination, and what no network takes is refused."""

from typing import Any

import numpy as np
import pytest

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.model.networks import FILTERS
from edgecnn.edge.errors import ConfigError
from edgecnn.workflows.sweep import settings_of_networks
from tests.drawings import blank_split

pytestmark = pytest.mark.usefixtures("module")
SIZES = ((4, 4, 4), (2, 3, 4))


def found(networks: tuple[str, ...], sizes: Any = (), arguments: Any = None) -> list[tuple[Any, ...]]:
    planned = settings_of_networks(TrainConfig(epochs=3), networks, sizes, arguments or {})
    settings = [resolved(one, blank_split()) for one in planned]
    assert {config.epochs for config in settings} == {3}
    return [(config.model or config.network, config.filters, config.arguments, config.dropout) for config in settings]


def test_every_network_has_every_size_and_its_usual_dropout() -> None:
    expected = [(name, size, (), dropout) for name, dropout in (("cnn", 0.3), ("strided", 0.0)) for size in SIZES]
    assert found(("cnn", "strided"), SIZES) == expected


def test_a_function_has_every_combination_of_its_arguments_in_any_kind_of_list() -> None:
    assert found(("own_nets:sized",), (), {"width": [2, 3], "norm": ["true"]}) == [
        ("own_nets:sized", FILTERS, ("width=2", "norm=true"), None),
        ("own_nets:sized", FILTERS, ("width=3", "norm=true"), None),
    ]
    assert found(("cnn",), [[4, 4, 4]]) == found(("cnn",), ((4, 4, 4),))
    assert found(("own_nets:sized",), (), {"width": np.array([2, 3])}) == found(("own_nets:sized",), (), {"width": (2, 3)})


def test_each_network_gets_the_arguments_that_it_takes() -> None:
    given = {"dropout": [0, 0.5], "width": [2], "rate": [0.1]}
    assert found(("strided", "own_nets:sized", "own_nets:grey"), SIZES[:1], given) == [
        ("strided", (4, 4, 4), (), 0.0),
        ("strided", (4, 4, 4), (), 0.5),
        ("own_nets:sized", FILTERS, ("width=2", "rate=0.1"), None),
        ("own_nets:grey", FILTERS, (), None),
    ]


@pytest.mark.parametrize(
    ("networks", "sizes", "arguments", "message"),
    [
        (("own_nets:sized",), SIZES, {}, "filters applies to edgecnn's own networks, not to own_nets:sized: omit it"),
        (("cnn", "own_nets:sized"), (), {}, "the cnn network needs filters, for example filters=8,16,32"),
        (
            ("cnn", "own_nets:sized", "own_nets:grey"),
            SIZES,
            {"depth": [1]},
            "no network takes depth: cnn takes dropout; own_nets:sized takes width, activation, norm, rate; own_nets:grey ",
        ),
        ((), SIZES, {}, "networks names no network: name one of cnn, strided, separable, residual, or module:function"),
        (("own_nets:sized",), (), {"activation": "relu"}, "arguments needs a list of values, .*, got activation='relu'"),
        (("own_nets:sized",), (), {"width": []}, r"arguments needs a list of values, .*, got width=\[\]"),
        (("own_nets:sized",), (), {"width": 8}, "arguments needs a list of values, .*, got width=8"),
        (("cnn",), (8, 16, 32), {}, r"filters needs a list of values, for example \(8, 16, 32\) in a list, got 8"),
        (("own_nets:nothing",), (), {}, "own_nets has no function nothing"),
        (("own_nets:sized", "own_nets:sized"), (), {}, "networks names a network twice"),
        (("cnn",), ((4, 4, 4), [4, 4, 4]), {}, "filters names a network twice: name each once"),
        (("cnn",), SIZES, {"dropout": [0.3, ".30"]}, "arguments names a value twice"),
        (("cnn",), SIZES, {"dropout": ["much"]}, "arguments: dropout must be 0 or more and less than 1, got much"),
        (("cnn",), SIZES, {"dropout": ["nan"]}, "arguments: dropout must be 0 or more and less than 1, got nan"),
        (("model.keras",), (), {}, "networks must be cnn, strided, separable, residual or module:function, got model.keras"),
    ],
)
def test_what_does_not_fit_is_refused(networks: Any, sizes: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        found(networks, sizes, arguments)

"""A user's own function with arguments: what it takes, what its values mean, and that the records name them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.convert.training.model.builder import arguments_of, built_model
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Manifest
from tests.convert.training.own_nets import CONFIG, SHAPE, UNIT
from tests.convert.training.runs import train
from tests.drawings import blank_split

pytestmark = pytest.mark.usefixtures("module")


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("sized", "depth=2", "^arguments: own_nets:sized does not take depth: it takes width, activation, norm, rate$"),
        ("grey", "depth=2", "does not take depth: it takes only the images' shape and the number of classes$"),
        ("sized", "shape=2", "does not take shape"),
    ],
)
def test_an_argument_that_the_function_does_not_take_is_refused_with_those_that_it_takes(
    name: str, argument: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        resolved(replace(CONFIG, model=f"own_nets:{name}", arguments=(argument,)), blank_split())


def test_a_function_with_any_keyword_takes_any() -> None:
    assert arguments_of("own_nets:any_argument") is None
    resolved(replace(CONFIG, model="own_nets:any_argument", arguments=("depth=2",)), blank_split())


def test_a_value_is_a_number_a_truth_value_or_a_word() -> None:
    given = ("width=3", "activation=tanh", "norm=False", "rate=0.5")
    layers = built_model("own_nets:sized", given, SHAPE, 3).layers
    assert [type(layer).__name__ for layer in layers] == ["Conv2D", "Flatten", "Dropout", "Dense"]
    assert (layers[0].filters, layers[0].activation.__name__, layers[2].rate) == (3, "tanh", 0.5)
    normed = built_model("own_nets:sized", ("norm=true",), SHAPE, 3).layers
    assert (normed[0].filters, type(normed[1]).__name__) == (4, "BatchNormalization")


def test_a_function_that_fails_is_named_with_its_arguments() -> None:
    message = r"^model=own_nets:sized fails for images of \(12, 12, 1\) and 3 classes, width=wide \(.*\): fix it$"
    with pytest.raises(ConfigError, match=message):
        built_model("own_nets:sized", ("width=wide",), SHAPE, 3)


def test_the_arguments_are_recorded_and_a_resume_needs_the_same(bars: Dataset) -> None:
    config = replace(CONFIG, epochs=1, model="own_nets:sized", arguments=("width=3", "rate=0.25"))
    result = train(bars, config, Path("out"), UNIT)
    assert result.parameters == 9 * 3 + 3 + 4 * 3 + 10 * 10 * 3 * 3 + 3
    assert json.loads(Path("out/train.json").read_text())["config"]["arguments"] == ["width=3", "rate=0.25"]
    assert Manifest.load(Path("out")).provenance.train_config["arguments"] == "width=3,rate=0.25"
    longer = replace(config, epochs=2)
    with pytest.raises(ConfigError, match=r"trained with arguments=width=3,rate=0\.25, not width=3:"):
        train(bars, replace(longer, arguments=("width=3",)), Path("out"), UNIT, resume=True)
    given: Any = [*config.arguments]  # A list of the same is the same.
    assert len(train(bars, replace(longer, arguments=given), Path("out"), UNIT, resume=True).history) == 2


def test_a_network_without_arguments_has_none_in_its_manifest() -> None:
    assert "arguments" not in CONFIG.settings()
    assert "arguments" not in replace(CONFIG, model="a:b").settings()

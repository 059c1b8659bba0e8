"""What must be stated about a model file: Keras's own numbers, contradictions refused, nothing guessed."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Preprocessing, TensorSpec
from edgecnn.edge.model.interface import (
    SCHEMES,
    Interface,
    as_interface,
    class_names_of,
    formula,
    preprocessing,
    require_channels,
)
from edgecnn.edge.model.preprocess import input_table
from edgecnn.edge.model_file import ModelFile


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "vgg"}, r"^preprocess must be one of unit, raw, tf, torch, caffe, got vgg$"),
        ({"scheme": "tf", "scale": 1.0}, r"^preprocess=tf is complete: omit scale, or preprocess$"),
        ({"scheme": "raw", "mean": [1]}, "omit mean"),
        ({"scheme": "raw", "std": [1]}, "omit std"),
        ({"scheme": "raw", "bgr": True}, "omit bgr"),
        ({"mean": [0.5]}, "^mean needs scale too: 1 .* pixels 0 to 255, 0.00392156863 for 0 to 1$"),
        ({"std": [0.5]}, "^std needs scale too"),
        ({"bgr": True}, "^bgr needs scale too"),
        ({"scale": 0.0}, "^scale must be above 0 and finite, got 0"),
        ({"scale": -1.0}, "^scale must be above 0 and finite, got -1"),
        ({"scale": math.nan}, "^scale must be above 0 and finite, got nan$"),
        ({"scale": math.inf}, "^scale must be above 0 and finite, got inf$"),
        ({"scale": 1.0, "mean": [1, 2]}, "^mean must be one finite number or one for each of 3 channels, got 1 2$"),
        ({"scale": 1.0, "mean": [math.nan]}, "^mean must be one finite number"),
        (
            {"scale": 1.0, "std": [1, 2, 0]},
            "^std must be one finite number above 0 or one for each of 3 channels, got 1 2 0$",
        ),
        ({"scale": 1.0, "std": [-1]}, "^std must be one finite number above 0"),
        ({"scale": 1.0, "std": [math.inf]}, "^std must be one finite number above 0"),
        ({"scale": 1.0, "std": [1, 2, 3, 4]}, "got 1 2 3 4$"),
    ],
)
def test_options_that_contradict_or_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preprocessing(**options)


def test_no_option_is_no_preprocessing_and_numbers_are_kept_as_they_are_given() -> None:
    assert preprocessing(fit="crop") is None
    assert preprocessing(mean=[], std=[]) is None
    given = preprocessing(scale=1 / 128, mean=[1, 2, 3], std=[4.5], bgr=True, fit="crop", background="light")
    assert given == Preprocessing(1 / 128, "crop", "light", (1, 2, 3), (4.5,), "bgr")
    assert preprocessing(scale=2.0) == Preprocessing(2.0, "letterbox", "any", (0.0,), (1.0,), "rgb")
    assert preprocessing("torch", fit="stretch") == Preprocessing(
        1 / 255, "stretch", "any", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )


@pytest.mark.parametrize(("name", "low", "high"), [("unit", 0, 1), ("raw", 0, 255), ("tf", -1, 1)])
def test_black_and_white_are_what_the_schemes_names_say(name: str, low: float, high: float) -> None:
    table = input_table(SCHEMES[name], TensorSpec("image", (), "float32")).values
    assert table[[0, 255]].tolist() == pytest.approx([low, high])


def test_an_output_that_is_neither_probabilities_nor_logits_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"output .*probabilities, logits, got 'softmax'"):
        Interface(SCHEMES["unit"], "softmax")  # type: ignore[arg-type]  # As a user may.


@pytest.mark.parametrize(
    ("wrong", "channels", "message"),
    [
        (SCHEMES["torch"], 1, r"^mean has 3 values, the images have 1 channel: give one for all"),
        (Preprocessing(1.0, "crop", "any", std=(1.0, 2.0, 3.0)), 1, "^std has 3 values, the images have 1 channel"),
        (Preprocessing(1.0, "crop", "any", mean=(1.0, 2.0)), 3, "^mean has 2 values, the images have 3 channels"),
        (Preprocessing(1.0, "crop", "any", channel_order="bgr"), 1, "^grey images have no order of colours: omit bgr$"),
    ],
)
def test_a_preprocessing_of_another_number_of_channels_is_refused(wrong: Preprocessing, channels: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_channels(wrong, channels)


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_fits_colour_images(name: str) -> None:
    require_channels(SCHEMES[name], 3)


def test_a_scheme_may_be_named_in_place_of_an_interface() -> None:
    with pytest.raises(ConfigError, match="must be one of unit, raw, tf, torch, caffe, got nonsense"):
        as_interface("nonsense")
    assert as_interface("tf", "crop") == Interface(replace(SCHEMES["tf"], fit="crop"))
    given = Interface(SCHEMES["raw"], "logits")
    assert as_interface(given) is given
    assert as_interface(None) is None


@pytest.mark.parametrize(
    ("names", "apart"),
    [
        (("a", "b", "c"), ("a", "b", "c")),
        (("a", "b", "a"), ("a (0)", "b", "a (2)")),
        (("a", "a", "a (0)"), ("a (0)", "a (1)", "a (0) (2)")),
    ],
)
def test_no_two_classes_have_one_name(names: tuple[str, ...], apart: tuple[str, ...]) -> None:
    assert class_names_of(names, 3, ModelFile(Path("a.onnx"), "onnx", b"", None, None, None)) == apart


@pytest.mark.parametrize(
    ("scale", "mean", "std", "text"),
    [
        (2 / 255, (1.0,), (1.0,), "0.00784314 * pixel - 1"),
        (1.0, (0.0,), (2.0,), "pixel / 2"),
        (1.0, (0.5,), (0.25,), "(pixel - 0.5) / 0.25"),
        (1.0, (0.0, 0.0, 1.0), (1.0, 1.0, 1.0), "pixel - 0 0 1"),
        (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "pixel"),
    ],
)
def test_a_formula_has_no_part_that_changes_nothing(
    scale: float, mean: tuple[float, ...], std: tuple[float, ...], text: str
) -> None:
    assert formula(Preprocessing(scale, "letterbox", "any", mean, std)) == text

"""Of two .ncnn files, the layer that loses most comes first, also where integers go from layer to layer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.diagnosis.diagnose import diagnose
from edgecnn.convert.export.converters import Conversion, Converter, converter_for
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.edge.errors import ArtifactError

RandomInputs = Callable[[int], NDArray[np.float32]]


@pytest.fixture(scope="module")
def converter(residual: Any) -> Converter:
    return converter_for("ncnn", Conversion(KerasRuntime(residual), "logits", "minmax", None, False, "float32"))


def test_each_integer_tensor_is_compared_in_real_numbers(converter: Converter, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)
    files = converter.convert("float32"), converter.quantize("int8", converter.calibrate(inputs))
    found = diagnose(*files, "ncnn", inputs[:5])
    # What the four layers with weights read, of which the first reads the rescaled image.
    assert sorted(layer.operator for layer in found.layers) == ["BinaryOp", "Convolution", "ConvolutionDepthWise", "Squeeze"]
    assert all(layer.snr_db > 20 for layer in found.layers)
    arranged = inputs[:5].transpose(0, 3, 1, 2)  # As the file takes them.
    assert diagnose(*files, "ncnn", arranged) == found
    assert {*converter.operators()} <= {name for layer in found.layers for name in layer.keep}


@pytest.mark.parametrize("which", [1, 2])
def test_the_tensor_of_a_wrong_scale_comes_first(which: int, converter: Converter, random_inputs: RandomInputs) -> None:
    """A range a hundred times too wide leaves a tensor two steps."""
    inputs, names = random_inputs(20), converter.operators()
    ranges = dict(converter.calibrate(inputs))
    low, high = ranges[names[which]]
    ranges[names[which]] = 100 * low, 100 * high
    float32 = converter.convert("float32")
    found = diagnose(float32, converter.quantize("int8", ranges), "ncnn", inputs[:5])
    assert names[which] in found.layers[0].keep
    assert found.layers[0].introduced > 0.1
    mended = converter.quantize("int8", ranges, found.layers[0].keep)
    assert all(layer.snr_db > 20 for layer in diagnose(float32, mended, "ncnn", inputs[:5]).layers)


def test_files_of_two_networks_are_refused(converter: Converter, by_name: Any, random_inputs: RandomInputs) -> None:
    with pytest.raises(ArtifactError, match="different networks"):
        diagnose(converter.convert("float32"), (by_name / "int8.ncnn").read_bytes(), "ncnn", random_inputs(1))

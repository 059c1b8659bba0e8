"""Layers and operations that move, cut, fill and repeat, and those that do nothing in inference."""

from collections.abc import Sequence

import numpy as np

from edgecnn.convert.onnx.keras_graph.convolutions import require_channels_last
from edgecnn.convert.onnx.keras_graph.values import Handler, LayerCall, Layout, Value, axis_in, in_layout


def nothing(call: LayerCall, value: Value) -> Value:
    """Convert a layer that does something in training alone."""
    if value.dtype != call.dtype or value.shape != call.shape:
        raise call.refuse(f"makes {call.dtype} {call.shape} of {value.dtype} {value.shape}")
    return value


def flatten(call: LayerCall, value: Value) -> Value:
    """Convert Flatten, which a dense layer after it may read in another order."""
    require_channels_last(call)
    if len(value.shape) != 4 or None in value.shape[1:]:
        return reshape(call, value)
    return Value(call.graph, call.shape, call.dtype, {}, flattened=value)


def reshape(call: LayerCall, value: Value, *sizes: object, **named: object) -> Value:
    """Convert Reshape, Squeeze and ExpandDims, as layers or operations."""
    return call.result(call.graph.reshape(value.last(), value.shape, call.shape, call.name), "last")


def permute(call: LayerCall, value: Value) -> Value:
    """Convert Permute."""
    return _transposed(call, value, (0, *call.layer.dims))


def transpose(call: LayerCall, value: Value) -> Value:
    """Convert the operation."""
    axes = call.layer.axes
    if axes is None or axes[0] != 0:
        raise call.refuse("moves the batch")
    return _transposed(call, value, axes)


def _transposed(call: LayerCall, value: Value, order: Sequence[int]) -> Value:
    return call.result(call.graph.add("Transpose", [value.last()], call.name, perm=list(order)), "last")


def zero_padding(call: LayerCall, value: Value) -> Value:
    """Convert ZeroPadding2D."""
    call.require_floats(value)
    require_channels_last(call)
    (top, bottom), (left, right) = call.layer.padding
    pads = call.graph.constant(f"{call.name}/pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    return call.result(call.graph.add("Pad", [value.first(), pads], call.name), "first")


def cropping(call: LayerCall, value: Value) -> Value:
    """Convert Cropping2D."""
    call.require_type(value)
    require_channels_last(call)
    sizes = value.shape[1:3]
    if None in sizes:
        raise call.refuse("takes images of any size")
    (top, bottom), (left, right) = call.layer.cropping
    ends = (sizes[0] or 0) - bottom, (sizes[1] or 0) - right
    places = (("starts", (top, left)), ("ends", ends), ("axes", (2, 3)))
    inputs = [call.graph.constant(f"{call.name}/{key}", np.array(numbers, np.int64)) for key, numbers in places]
    return call.result(call.graph.add("Slice", [value.first(), *inputs], call.name), "first")


def up_sampling(call: LayerCall, value: Value) -> Value:
    """Convert UpSampling2D."""
    call.require_floats(value)
    require_channels_last(call)
    scales = call.graph.constant(f"{call.name}/scales", np.array([1, 1, *call.layer.size], np.float32))
    ways: dict[str, dict[str, str]] = {
        "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    }
    if call.layer.interpolation not in ways:
        raise call.refuse(f"has interpolation={call.layer.interpolation}")
    way = ways[call.layer.interpolation]
    return call.result(call.graph.add("Resize", [value.first(), "", scales], call.name, **way), "first")


def concatenate(call: LayerCall, values: Sequence[Value]) -> Value:
    """Convert Concatenate as a layer or an operation."""
    call.require_type(*values)
    layouts = [value.either()[1] for value in values]
    layout: Layout = "first" if "first" in layouts else "last"
    tensors = [in_layout(value, layout) for value in values]
    place = axis_in(layout, call.layer.axis, len(call.shape))
    return call.result(call.graph.add("Concat", tensors, call.name, axis=place), layout)


TRAINING_ALONE = (
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "Identity", "SpatialDropout2D",
    "AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness", "RandomColorDegeneration",
    "RandomColorJitter", "RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur",
    "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation",
    "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom",
)  # fmt: skip

LAYERS: dict[str, Handler] = {
    **dict.fromkeys(TRAINING_ALONE, nothing),
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
    "ZeroPadding2D": zero_padding,
    "Cropping2D": cropping,
    "UpSampling2D": up_sampling,
    "Concatenate": concatenate,
}
OPERATIONS: dict[str, Handler] = {
    "Reshape": reshape,
    "Squeeze": reshape,
    "ExpandDims": reshape,
    "Transpose": transpose,
    "Concatenate": concatenate,
}

"""Which channels of a Keras model belong together, and the model without some of them.

What a convolution writes is read in other places: by batch normalization, depthwise kernels, an addition, the next kernel. All
of a channel's places are cut, or none is: Fang and others, DepGraph, 2023, https://arxiv.org/abs/2301.12900.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_keras

Ids = NDArray[np.int64]
"""The channels of a tensor (channels,), each by the number of the channel of the model that it is."""
Axes = tuple[Ids | None, ...]
"""For each axis of a weight, the channels along it; None where it has none."""

_SAME = (
    "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout2D", "GaussianNoise", "MaxPooling2D",
    "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "ZeroPadding2D", "UpSampling2D", "Cropping2D",
)  # fmt: skip
_WITH_WEIGHTS = ("BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D", "SeparableConv2D")
_TOGETHER = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


@dataclass
class Channels:
    """The channels of a model.

    Attributes:
        weights: For each layer by name, the axes of its weights, in their order.
        writers: For each layer that makes channels, those that it makes.
    """

    weights: dict[str, list[Axes]] = field(default_factory=dict)
    writers: dict[str, Ids] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)
    _fixed: set[int] = field(default_factory=set)

    def roots(self, ids: Ids) -> Ids:
        """Return for each channel the one that stands for all that are cut together with it."""
        return np.array([self._root(one) for one in ids.tolist()], np.int64)

    @property
    def groups(self) -> dict[str, Ids]:
        """The channels that can be cut, each once, by the names of the layers that make them: `conv2d` or `conv2d+conv2d_3`."""
        fixed = {self._root(one) for one in self._fixed}
        by_roots: dict[tuple[int, ...], list[str]] = {}
        for name, ids in self.writers.items():
            by_roots.setdefault(tuple(dict.fromkeys(self.roots(ids).tolist())), []).append(name)
        return {
            "+".join(names): np.array(roots, np.int64) for roots, names in by_roots.items() if not fixed.intersection(roots)
        }

    def new(self, count: int, fixed: bool = False) -> Ids:
        """Return new channels."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        ids = np.arange(first, first + count)
        if fixed:
            self.fix(ids)
        return ids

    def fix(self, ids: Ids) -> None:
        """Say that channels can't be cut."""
        self._fixed.update(ids.tolist())

    def join(self, first: Ids, second: Ids) -> Ids:
        """Say that channels are cut together in pairs; return the first."""
        if len(first) != len(second):  # One of them is spread over all of the other's.
            self.fix(first)
            self.fix(second)
            return max(first, second, key=len)
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            self._parents[self._root(one)] = self._root(other)
        return first

    def _root(self, one: int) -> int:
        while self._parents[one] != one:
            self._parents[one] = self._parents[self._parents[one]]
            one = self._parents[one]
        return one


def channels_of(model: Any) -> Channels:
    """Return the channels of a functional or Sequential Keras model with channels last.

    What a layer of an unknown kind reads or writes can't be cut, nor can the model's input and output.
    """
    keras, found = load_keras(), Channels()
    graph = model._functional if type(model) is keras.Sequential else model
    known = {id(entry): found.new(int(entry.shape[-1] or 1), fixed=True) for entry in graph.inputs}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            given = [known[id(entry)] for entry in node.arguments.keras_tensors]
            (output,) = node.outputs if len(node.outputs) == 1 else (None,)
            ids = _written(found, node.operation, given, node.arguments.keras_tensors[0].shape) if output is not None else None
            for entry in node.outputs:
                width = int(entry.shape[-1] or 1)
                if ids is None or len(ids) != width:
                    for one in given:
                        found.fix(one)
                    known[id(entry)] = found.new(width, fixed=True)
                else:
                    known[id(entry)] = ids
    for entry in graph.outputs:
        found.fix(known[id(entry)])
    return found


def _written(found: Channels, layer: Any, given: Sequence[Ids], shape: tuple[int | None, ...]) -> Ids | None:
    """Return the channels of what a layer writes, and note those of its weights; None if its kind is not known."""
    kind, ids = type(layer).__name__, given[0]
    joined: Ids = ids
    if getattr(layer, "data_format", None) == "channels_first" or type(layer).__module__.startswith("keras.src.ops"):
        return None
    if kind in _SAME:
        return ids
    if kind in _TOGETHER:
        for other in given[1:]:
            joined = found.join(joined, other)
        return joined
    last = getattr(layer, "axis", -1) in (-1, len(shape) - 1)
    if kind == "Concatenate" and last:
        return np.concatenate(given)
    if kind == "Flatten" and None not in shape[1:]:
        return np.tile(ids, math.prod(size or 1 for size in shape[1:-1]))
    if kind not in _WITH_WEIGHTS or not last or not type(layer).__module__.startswith("keras."):
        return None
    earlier = found.weights.get(layer.name)
    written, axes = _weighted(found, layer, ids)
    if earlier is not None and written is not None:  # It is called again.
        for before, now in zip(earlier, axes, strict=True):
            for first, second in zip(before, now, strict=True):
                if first is not None and second is not None:
                    found.join(first, second)
        axes = earlier
    if written is not None:
        found.weights[layer.name] = axes
    return written


def _weighted(found: Channels, layer: Any, ids: Ids) -> tuple[Ids | None, list[Axes]]:
    """Return the channels of what a layer of `_WITH_WEIGHTS` writes, and those of its weights; None if not known."""
    kind = type(layer).__name__
    if getattr(layer, "groups", 1) != 1 or getattr(layer, "depth_multiplier", 1) != 1:
        return None, []
    if kind == "BatchNormalization":
        return ids, [(ids,) for _ in layer.weights]
    each: Axes = (None, None, ids, None)  # A kernel of one channel.
    if kind == "DepthwiseConv2D":
        return ids, [each, (ids,)][: len(layer.weights)]
    made = found.writers.setdefault(layer.name, found.new(layer.units if kind == "Dense" else layer.filters))
    every: Axes = (None, None, ids, made)
    kernels: dict[str, list[Axes]] = {"Conv2D": [every], "SeparableConv2D": [each, every], "Dense": [(ids, made)]}
    return made, [*kernels[kind], (made,)][: len(layer.weights)]


def importance(model: Any, channels: Channels, gradients: Iterator[Sequence[NDArray[np.float32]]]) -> NDArray[np.float64]:
    """Return how much the loss is expected to change without each channel (number of channels,), by its root.

    The first-order estimate of Molchanov and others, Importance Estimation for Neural Network Pruning, 2019,
    https://arxiv.org/abs/1906.10771: the square of the sum of weight times gradient, over all weights that write a channel.

    Args:
        model: The model.
        channels: Its channels.
        gradients: For each batch of images, the gradient of the loss for each of the model's trainable weights.
    """
    places = {id(weight): place for place, weight in enumerate(model.trainable_weights)}
    total = np.zeros(len(channels._parents))
    written = [
        (places[id(weight)], np.asarray(weight), axes[-1])
        for layer in model.layers
        for weight, axes in zip(layer.weights, channels.weights.get(layer.name, ()), strict=False)
        if id(weight) in places and axes[-1] is not None
    ]
    for batch in gradients:
        change = np.zeros(len(total))
        for place, weight, ids in written:
            sums = (weight * batch[place]).reshape(-1, weight.shape[-1]).sum(axis=0)
            np.add.at(change, channels.roots(ids), sums)
        total += change**2
    return total


def without(model: Any, channels: Channels, cut: Ids) -> Any:
    """Return a copy of a model without some of its channels, which are given by their roots; its other weights stay."""
    keras, gone = load_keras(), {*cut.tolist()}

    def stays(ids: Ids) -> NDArray[np.bool_]:
        return np.array([root not in gone for root in channels.roots(ids).tolist()], bool)

    def narrowed(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in channels.writers:
            config["units" if "units" in config else "filters"] = int(stays(channels.writers[layer.name]).sum())
        return type(layer).from_config(config)

    made = keras.models.clone_model(model, clone_function=narrowed)
    for layer in model.layers:  # A model or wrapper among them has the weights of those in it, which stay.
        axes = channels.weights.get(layer.name)
        if layer.weights:
            values = layer.get_weights()
            if axes:
                values = [
                    _kept(value, [None if ids is None else stays(ids) for ids in of])
                    for value, of in zip(values, axes, strict=True)
                ]
            made.get_layer(layer.name).set_weights(values)
    return made


def _kept(value: NDArray[Any], masks: Sequence[NDArray[np.bool_] | None]) -> NDArray[Any]:
    for axis, mask in enumerate(masks):
        if mask is not None:
            value = np.compress(mask, value, axis=axis)
    return value

"""What Keras 2 says of a model, in the words of Keras 3: the layers that both have, with the same numbers.

Keras 3 reads most of it by itself. Here is the rest: arguments that are gone, TensorFlow's own functions between layers
(`convert/keras/tensorflow_calls.py`), and `hard_sigmoid`, which has kept its name and computes something else.
"""

import re
from typing import Any

from edgecnn.convert.keras.layer_config import (
    HAS_LAMBDA,
    Config,
    Refused,
    in_a_row,
    made,
    node,
    slashless,
    without_own_calls,
    without_slashes,
)
from edgecnn.convert.keras.tensorflow_calls import CALLS, as_layers

_MODELS = ("Functional", "Model", "Sequential")
# Arguments that Keras 3 lacks, by the values that ask for nothing.
_GONE: dict[str, tuple[object, ...]] = {
    "time_major": (False,),
    "ragged": (False, None),
    "dynamic": (False, None),
    "renorm": (False, None),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "softmax_robust_masking": (False,),
    "input_dtype": ("float32", None),
}
# Arguments that choose how the same numbers are computed, or only apply to training.
_IDLE = (
    "fused",
    "renorm_clipping",
    "renorm_momentum",
    "experimental_autocast",
    "shared_object_id",
    "rng_type",
    "query_shape",
    "key_shape",
    "value_shape",
)
_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
_ONE_GROUP = ("DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", *_SEPARABLE)
_RENAMED = {"SyncBatchNormalization": "BatchNormalization", "BatchNormalizationV1": "BatchNormalization"}
# Layers whose activation is the last that they compute.
_ENDS_IN_ACTIVATION = re.compile(r"(Depthwise|Separable)?Conv[123]D(Transpose)?|Dense|EinsumDense|Activation")


def mended(config: Config) -> Config:
    """Return the model of a Keras 2 file as Keras 3 reads it.

    Raises:
        Refused: If it has a layer with code of its own, or one that Keras 3 can't compute as Keras 2 did.
    """
    return _layers(config)[-1]


def _layers(layer: Config) -> list[Config]:
    """Return what takes a layer's place: layers that follow each other, of which the last has its name."""
    layer = _with_names_of_keras_3(layer)
    kind, config = layer["class_name"], layer["config"]
    if kind == "Lambda":
        raise Refused(HAS_LAMBDA)
    if kind in CALLS:
        return as_layers(layer)
    if kind in _MODELS:
        return [_model(layer)]
    layer = {**layer, "class_name": _RENAMED.get(kind, kind), "config": _arguments(kind, config)}
    if _is_of_keras(layer):
        layer = _of_keras_3(layer, "keras.layers")
    if kind == "GRU":
        layer["config"].setdefault("reset_after", False)  # Before Keras 2.1.3 there was no other.
    if kind == "ThresholdedReLU":
        return [{**layer, "class_name": "ReLU", "config": {"name": config["name"], "threshold": config["theta"]}}]
    return _with_slopes_of_keras_2(layer)


def _with_names_of_keras_3(layer: Config) -> Config:
    new = dict(layer)
    if isinstance(layer["config"], dict) and "name" in layer["config"]:  # Of an old Sequential it is a list.
        new["config"] = {**layer["config"], "name": slashless(layer["config"]["name"])}
    if "inbound_nodes" in layer:
        nodes = without_slashes(layer["inbound_nodes"])
        new |= {
            "name": slashless(layer["name"]),
            "inbound_nodes": nodes if layer["class_name"] in CALLS else [*map(node, nodes)],
        }
    return new


def _is_of_keras(layer: Config) -> bool:
    """Return whether a class named with its module is Keras's own."""
    return str(layer.get("module", "")).partition(".")[0] in ("keras", "tf_keras")


def _of_keras_3(layer: Config, module: str) -> Config:
    return {key: value for key, value in layer.items() if key != "build_config"} | {"module": module, "registered_name": None}


def _model(layer: Config) -> Config:
    kind, config = layer["class_name"], layer["config"]
    if kind == "Sequential":
        if isinstance(config, list):  # Before Keras 2.2.
            config = {"name": "sequential", "layers": config}
        built = config.get("build_input_shape") or layer.get("build_config", {}).get("input_shape")
        inside = [new for old in _with_input(config["layers"], built) for new in _layers(old)]
    else:
        config = without_own_calls(config, _MODELS)
        inside = [new for old in config["layers"] for new in _layers(old)]
        # Of a list of one, Keras 3 makes a model that takes and gives lists.
        ends = {key: config[key] for key in ("input_layers", "output_layers")}
        config = {**config, **{key: value[0] if len(value) == 1 else value for key, value in ends.items()}}
    kept = {
        key: without_slashes(value) for key, value in config.items() if key not in ("batch_input_shape", "build_input_shape")
    }
    layer = {**layer, "config": {**kept, "layers": inside}}
    if not _is_of_keras(layer):  # Without a module, or the user's.
        return layer
    return _of_keras_3(layer, "keras" if kind == "Sequential" else "keras.src.models.functional")


def _with_input(layers: list[Config], built: list[int | None] | None) -> list[Config]:
    """Return a Sequential model's layers, of which the first tells the shape of its input, as far as that is known.

    `built` is the shape of the first batch that the model got.
    """
    first = layers[0]["config"] if layers else {}
    if not layers or layers[0]["class_name"] in ("InputLayer", *_MODELS) or not isinstance(first, dict):
        return layers
    shape = first.get("batch_input_shape") or (built and [None, *built[1:]])
    if not shape:
        return layers
    told = {"batch_shape": shape, "dtype": "float32", "name": f"{first.get('name', 'first')}_input"}
    return [made("InputLayer", told, layers[0]), *layers]


def _arguments(kind: str, config: Config) -> Config:
    """Return a layer's arguments without those that Keras 3 lacks."""
    new: Config = {}
    for key, value in config.items():
        if key == "batch_input_shape":
            if kind == "InputLayer":
                new["batch_shape"] = value
        elif key in _IDLE or (key == "groups" and kind in _ONE_GROUP and value == 1):
            pass
        elif key.startswith("kernel_") and key != "kernel_size" and kind in _SEPARABLE:
            pass  # Those of its two kernels have names of their own.
        elif key in _GONE and not (key == "ragged" and kind == "InputLayer"):
            if value not in _GONE[key]:
                raise Refused(f"its layer {config.get('name')} has {key}={value}, which Keras 3 lacks: save it without")
        else:
            new["negative_slope" if (kind, key) == ("LeakyReLU", "alpha") else key] = _argument(kind, key, value)
    return new


def _argument(kind: str, key: str, value: Any) -> Any:
    if key == "dtype" and isinstance(value, dict):  # A policy.
        return value.get("config", {}).get("name", "float32")
    if key == "axis" and isinstance(value, list) and len(value) == 1:
        return value[0]
    if key.endswith("_initializer") and isinstance(value, dict):
        return {**value, "config": {name: given for name, given in value.get("config", {}).items() if name != "dtype"}}
    if key in ("layer", "backward_layer", "cell") and isinstance(value, dict) and "class_name" in value:
        inner = _layers(value)
        if len(inner) > 1:
            raise Refused(
                f"its {kind} has a layer with activation hard_sigmoid, which Keras 3 computes otherwise: "
                "save it with another activation"
            )
        return inner[-1]
    return value


def _with_slopes_of_keras_2(layer: Config) -> list[Config]:
    """Return a layer, and after it what `hard_sigmoid` is in Keras 2: 0.2 x + 0.5 from 0 to 1. In Keras 3 it is x / 6 + 0.5."""
    config = layer["config"]
    uses = [key for key, value in config.items() if key.endswith("activation") and _function(value) == "hard_sigmoid"]
    if not uses:
        return [layer]
    if not _ENDS_IN_ACTIVATION.fullmatch(layer["class_name"]):
        raise Refused(
            f"its layer {config.get('name')} has {uses[-1]} hard_sigmoid, which Keras 3 computes otherwise: use sigmoid"
        )
    name = config["name"]
    plain = {**layer, "config": {**config, "activation": "linear", "name": f"{name}_linear"}}
    line = made("Rescaling", {"name": f"{name}_line", "scale": 0.2, "offset": 0.5}, layer)
    return in_a_row([plain, line, made("ReLU", {"name": name, "max_value": 1.0}, layer)], layer)


def _function(value: Any) -> str | None:
    """Return the name of an activation, which may be a dict with its module."""
    if isinstance(value, dict):
        value = value.get("config")
    return value if isinstance(value, str) else None

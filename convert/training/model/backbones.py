"""Networks of keras.applications that were trained on ImageNet, to transfer to other classes."""

import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from edgecnn.convert.keras.load import load_keras
from edgecnn.edge.errors import ArtifactError, ConfigError, field, why
from edgecnn.edge.files import libraries_folder, read_bytes
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import versions
from edgecnn.edge.sandbox.unverified import remember_tried, run_in_child, was_tried

_Shape = tuple[int, int, int]


# Standard deviations of red, green and blue in ImageNet, for pixels from 0 to 1.
_IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)


class Backbone(NamedTuple):
    """A network of keras.applications.

    Attributes:
        builder: Name of its function there.
        scheme: How it takes pixels: a name in `edgecnn.edge.model.interface.SCHEMES`.
        alpha: Share of its filters; None for a function without this argument.
        divides: Whether Keras has it divide normalized pixels by the root of ImageNet's deviations, but only if built with
            `weights="imagenet"`, not with a file of the same weights.
    """

    builder: str
    scheme: str
    alpha: float | None = None
    divides: bool = False


BACKBONES = {
    "mobilenet-0.25": Backbone("MobileNet", "tf", 0.25),
    "mobilenet": Backbone("MobileNet", "tf", 1.0),
    "mobilenetv2-0.35": Backbone("MobileNetV2", "tf", 0.35),
    "mobilenetv2": Backbone("MobileNetV2", "tf", 1.0),
    # These begin with layers that scale pixels.
    "mobilenetv3small": Backbone("MobileNetV3Small", "raw", 1.0),
    "efficientnetb0": Backbone("EfficientNetB0", "raw", divides=True),
    "efficientnetv2b0": Backbone("EfficientNetV2B0", "raw"),
}

LEAST_SIDE = 32
"""Smallest height and width of the images that Keras builds all of them for."""


def build_backbone(name: str, shape: _Shape, weights: str | None) -> Any:
    """Return a backbone without its last layers, as a Keras model: float32 (n, *shape) -> a feature map.

    Args:
        name: Its name in `BACKBONES`.
        shape: (height, width, channels) of the images.
        weights: An .h5 file of its weights without the last layers, which is first loaded in a child process if it is new here.
            None for those of ImageNet, which Keras keeps in ~/.keras, and downloads if they are not there.

    Raises:
        ConfigError: If the images don't suit it, or the weights of ImageNet can't be had.
        ArtifactError: If the file is missing or holds other weights, or the child did not survive it.
    """
    if shape[2] != 3:
        raise ConfigError(f"{field('transfer')}={name} takes colour images: add {field('channels')}=3")
    if weights is None:
        return _with_imagenet_weights(name, shape)
    data, how = read_bytes(Path(weights)), f"keras {versions('keras')['keras']}, weights of {name}"
    if not was_tried(data, how):
        run_in_child(partial(_loads, name, shape, weights, data), weights, len(data))
        remember_tried(data, how)
    return _with_weights(name, shape, weights, data)


def _loads(name: str, shape: _Shape, weights: str, data: bytes) -> None:
    _with_weights(name, shape, weights, data)  # The model itself can't be sent back.


def _with_weights(name: str, shape: _Shape, weights: str, data: bytes) -> Any:
    model = _built(name, shape)
    # Keras tells its two formats apart by the name.
    with libraries_folder() as folder:
        copy = folder / Path(weights).name
        copy.write_bytes(data)
        try:
            with quiet():
                model.load_weights(copy)
        except Exception as error:  # HDF5 raises whatever it likes.
            reason = why(error)
            raise ArtifactError(
                f"{field('weights')}={weights} does not hold the weights of {name} without its last layers ({reason}): name an "
                ".h5 file that Keras saved with include_top=False"
            ) from error
    if BACKBONES[name].divides:
        _divide_by_imagenet_s_deviations(model)
    return model


def _divide_by_imagenet_s_deviations(model: Any) -> None:
    """Have a network with a file of weights take pixels as with `weights="imagenet"`.

    Only then does Keras put a layer behind the normalization that divides by the root of ImageNet's standard deviations. To
    multiply the normalization's variances gives the same. Source: keras/src/applications/efficientnet.py of Keras 3.15.
    """
    layer = next(layer for layer in model.layers if isinstance(layer, load_keras().layers.Normalization))
    mean, variance, count = layer.get_weights()
    if not mean.any() and (variance == 1).all():  # As Keras creates it: these weights don't descend from ImageNet's.
        return
    layer.set_weights([mean, variance * _IMAGENET_DEVIATIONS, count])
    layer.finalize_state()


def _with_imagenet_weights(name: str, shape: _Shape) -> Any:
    try:
        with quiet(output=True):  # Keras says on standard output that it downloads.
            return _built(name, shape, "imagenet")
    except ConfigError:  # The size, which Keras checks first.
        raise
    except Exception as error:  # A download may raise anything.
        address = re.search(r"https?://[^\s:]+", str(error))
        which = f"the file {address[0]}" if address else "a file of them"
        reason = f"are not in Keras's folder, and can't be downloaded ({why(error)})"
        raise ConfigError(
            f"{field('transfer')}={name}: its ImageNet weights {reason}: get {which} elsewhere, and name it with "
            f"{field('weights')}"
        ) from error


def _built(name: str, shape: _Shape, weights: str | None = None) -> Any:
    row = BACKBONES[name]
    build = getattr(load_keras().applications, row.builder)
    options = {} if row.alpha is None else {"alpha": row.alpha}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Weights for another size are what one wants.
            return build(include_top=False, input_shape=shape, weights=weights, **options)
    except ValueError as error:
        reason = why(error)
        fix = f"set another {field('size')}"
        raise ConfigError(f"{field('transfer')}={name} does not take images of {shape} ({reason}): {fix}") from error

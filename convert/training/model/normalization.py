"""Batch normalisation in training: by one operator, and whether its averages have settled."""

from typing import Any

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.networks import QUICK

# The operator's smallest epsilon; it silently replaces smaller ones by this.
_LEAST_EPSILON = 1.001e-5
_FEW_BATCHES = 200


def fuse_batch_normalization(model: Any) -> int:
    """Make a Keras model's layers use the operator in training, and return how many do.

    Keras normalises with a dozen operators that each read and write the whole feature map, which takes much of a step's time
    in edgecnn's CNN. `tf.compat.v1.nn.fused_batch_norm` computes the same except for rounding. It replaces `call` in plain
    `BatchNormalization` of float32 feature maps (n, h, w, channels) in memory: what is saved, loaded and exported is Keras's.
    """
    chosen = [layer for layer in model._flatten_layers() if _fits(layer)]
    for layer in chosen:
        layer.call = _fused(layer)
    return len(chosen)


def _fits(layer: Any) -> bool:
    if type(layer) is not load_keras().layers.BatchNormalization or not layer.built:
        return False
    channels_last = len(layer.input_spec.axes) == 1 and layer.input_spec.ndim == 4 and layer.axis in (-1, 3)
    plain = layer.scale and layer.center and not layer.synchronized and not layer.renorm
    return bool(channels_last and plain and layer.compute_dtype == "float32" and layer.epsilon >= _LEAST_EPSILON)


def _fused(layer: Any) -> Any:
    tensorflow = load_tensorflow()
    plain_call = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and layer.trainable) or mask is not None:
            return plain_call(inputs, training=training, mask=mask)
        outputs, mean, variance = tensorflow.compat.v1.nn.fused_batch_norm(
            inputs, layer.gamma.value, layer.beta.value, epsilon=layer.epsilon, is_training=True
        )
        count = tensorflow.cast(tensorflow.size(inputs), "float32") / inputs.shape[-1]
        # The operator divides by n - 1; Keras divides the batch's variance by n.
        variance *= (count - 1.0) / count
        for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + batch * (1.0 - layer.momentum))
        return outputs

    return call


def settle_quickly(model: Any, batches: int) -> None:
    """Have batch normalisation's averages follow the last batches if an epoch has few, for which Keras's momentum is too slow.

    With 0.99 they are still 1 % their initial values after 460 batches, and the model is as wrong as they are.
    """
    if batches < _FEW_BATCHES:
        for layer in model.layers:
            if isinstance(layer, load_keras().layers.BatchNormalization):
                layer.momentum = min(layer.momentum, QUICK)


def unsettled_share(model: Any, config: TrainConfig, batches: int) -> float:
    """Return the share of batch normalisation's moving averages that is still their initial value, 0 to 1.

    Each batch keeps `momentum` of them (Keras: BatchNormalization). It is 0 for a model without such layers, or whose
    averages started elsewhere.
    """
    if config.learnt_before:
        return 0.0
    normalization = load_keras().layers.BatchNormalization
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, normalization) and layer.trainable]
    return float(max((layer.momentum**batches for layer in layers), default=0.0))

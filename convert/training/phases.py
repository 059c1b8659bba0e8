"""The phases of a run: the new last layer of a transferred model first, then all of it.

The gradients of a random last layer would spoil what the others have learnt: Keras, Transfer learning & fine-tuning
(https://keras.io/guides/transfer_learning/).
"""

from dataclasses import dataclass
from typing import Any

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.config import TrainConfig

HEAD = "transferred_classes"
"""Name of the new last layer."""
_HEAD_SHARE = 1 / 3
_FINE_RATE = 0.1


@dataclass(frozen=True)
class Phase:
    """Epochs in which the same layers are trained, with an optimizer of their own.

    Attributes:
        start: Number of epochs before it.
        end: Number of epochs up to its end.
        rate: Share of the learning rate.
        name: Its name for people; empty for the only one of a run.
    """

    start: int
    end: int
    rate: float = 1.0
    name: str = ""

    @property
    def epochs(self) -> int:
        """Number of its epochs."""
        return self.end - self.start


def phases_of(config: TrainConfig) -> tuple[Phase, ...]:
    """Return the phases of a run: two for a transferred model that is fine-tuned for more than one epoch.

    The new last layer has a third of the epochs, at least one. Then all layers are trained at a tenth of the learning rate.
    """
    if not config.fine_tune:
        return (Phase(0, config.epochs),)
    head = max(1, int(config.epochs * _HEAD_SHARE))
    phases = (Phase(0, head, name="the new last layer"), Phase(head, config.epochs, _FINE_RATE, "all layers"))
    return phases[: config.epochs]


def phase_at(config: TrainConfig, done: int) -> Phase:
    """Return the phase of the epoch after `done` epochs, or the last one."""
    phases = phases_of(config)
    return next((phase for phase in phases if done < phase.end), phases[-1])


def choose_layers(model: Any, config: TrainConfig, phase: Phase) -> None:
    """Set which layers of a transferred model are trained; compile it afterwards.

    Batch normalisation stays frozen, and so keeps its statistics: Keras runs it as in inference. A few thousand photos say
    less of them than ImageNet did.
    """
    if config.transfer is None:
        return
    normalization = load_keras().layers.BatchNormalization
    whole = config.fine_tune and phase.start > 0
    model.trainable = True  # Of all its layers, and of the models among them.
    for layer in model._flatten_layers():
        if layer.weights and not hasattr(layer, "layers"):
            layer.trainable = layer.name == HEAD or (whole and not isinstance(layer, normalization))

"""How the epochs of a run are shared; what the phases train: `test_backbones.py` and `test_custom_model_files.py`."""

import keras

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.phases import HEAD, Phase, choose_layers, phase_at, phases_of


def test_phases_share_the_epochs() -> None:
    assert phases_of(TrainConfig(epochs=9)) == (Phase(0, 9),)
    first, second = phases_of(TrainConfig(epochs=9, transfer="mobilenetv2", fine_tune=True))
    assert (first.start, first.end, second.start, second.end) == (0, 3, 3, 9)
    assert second.rate < first.rate
    assert phase_at(TrainConfig(epochs=9, transfer="mobilenetv2", fine_tune=True), 3) == second
    # One epoch is for the new last layer: the gradients of a random one would spoil the others.
    assert phases_of(TrainConfig(epochs=1, transfer="mobilenetv2", fine_tune=True)) == (Phase(0, 1, name=first.name),)
    assert len(phases_of(TrainConfig(epochs=2, transfer="mobilenetv2", fine_tune=True))) == 2


def test_a_single_epoch_trains_the_new_last_layer_alone() -> None:
    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dense(2, name=HEAD)]
    model = keras.Sequential([keras.layers.Input((4,)), *layers])
    for epochs, number, trained in ((1, 0, [False, False, True]), (2, 0, [False, False, True]), (2, 1, [True, False, True])):
        config = TrainConfig(epochs=epochs, transfer="mobilenetv2", fine_tune=True)
        choose_layers(model, config, phases_of(config)[number])
        assert [layer.trainable for layer in layers] == trained

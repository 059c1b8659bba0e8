"""Writes a .tflite file that keeps an LSTM's state in variable tensors: `python -m tools.faults.holes.state FILE`."""

import sys
from pathlib import Path

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.tflite.converter import to_tflite
from tools.faults.bases import CLASSES, SIDE


def write(file: Path) -> None:
    """Write the file; its weights are random, since only changes between calls matter."""
    keras = load_keras()
    from tests.remembering import FusedLstm  # noqa: PLC0415 - It imports TensorFlow, which must be quieted first.

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((SIDE, SIDE, 1)), layers.Reshape((SIDE, SIDE)), FusedLstm(), layers.Dense(CLASSES, activation="softmax")]
    )
    file.write_bytes(to_tflite(model, "float32", (SIDE, SIDE, 1), "float32"))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

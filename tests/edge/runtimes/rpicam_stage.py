"""The checks and the arithmetic of rpicam-apps' stage `object_classify_tf`, with LiteRT: what it refuses raises `Refused`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 224
_NUMBER = {"number_of_results": int, "number_of_threads": int, "refresh_rate": int, "display_labels": int, "verbose": int}


class Refused(Exception):
    """The program would end with this message."""


def interpreter_of(path: Path) -> Any:
    """Return whichever interpreter this machine has."""
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - One of the two is installed.
    except ModuleNotFoundError:
        from tflite_runtime.interpreter import Interpreter  # noqa: PLC0415
    if not path.is_file():
        raise Refused("the model can't be loaded")
    found = Interpreter(model_path=str(path), num_threads=1)
    found.allocate_tensors()
    return found


class Stage:
    """A stage set up from a settings file, started in that file's folder.

    Attributes:
        lores: (width, height) that the settings ask for.
        kept: Classes of the last results: one below the high threshold is shown only if it was shown before.
    """

    def __init__(self, settings: Path) -> None:
        whole = json.loads(settings.read_text())
        own = whole["object_classify_tf"]
        if wrong := [name for name, kind in _NUMBER.items() if not isinstance(own[name], kind)]:
            raise Refused(f"{wrong[0]} is no number")
        self.lores = (whole["rpicam-apps"]["lores"]["width"], whole["rpicam-apps"]["lores"]["height"])
        self._settings, self.kept = own, set[int]()
        self._interpreter = interpreter_of(settings.parent / own["model_file"])
        self._input = self._interpreter.get_input_details()[0]
        sizes = {np.uint8: 1, np.float32: 4}
        if self._input["dtype"] not in sizes:
            raise Refused("the input is neither uint8 nor float32")
        size_bytes = int(np.prod(self._input["shape"])) * sizes[self._input["dtype"]]
        if size_bytes != SIDE * SIDE * 3 * sizes[self._input["dtype"]]:
            raise Refused("the input has another size")
        labels = settings.parent / own["labels_file"]
        if not labels.is_file():
            raise Refused("the labels can't be read")
        text = labels.read_text(encoding="utf-8")
        self.labels = text.split("\n")[: -1 if text.endswith("\n") else None]
        self._output = self._interpreter.get_output_details()[0]
        if self._output["shape"][-1] != len(self.labels):
            raise Refused("there are other numbers of labels and outputs")
        if self._output["dtype"] is not np.uint8:
            raise Refused("the output is not uint8: its bytes would be read from nowhere")

    def results(self, frame: NDArray[np.uint8]) -> list[tuple[str, float]]:
        """Return what is shown for an RGB frame (height, width, 3): labels with their confidences, the surest first."""
        top, left = ((size - SIDE) // 2 & ~1 for size in frame.shape[:2])
        self._interpreter.set_tensor(self._input["index"], frame[np.newaxis, top : top + SIDE, left : left + SIDE])
        self._interpreter.invoke()
        confidences = self._interpreter.get_tensor(self._output["index"])[0] / 255
        low, high = self._settings["threshold_low"], self._settings["threshold_high"]
        shown = [index for index, sure in enumerate(confidences) if sure >= low and (sure >= high or index in self.kept)]
        shown = sorted(shown, key=lambda index: (-confidences[index], -index))[: self._settings["number_of_results"]]
        self.kept = set(shown)
        return [(self.labels[index], float(confidences[index])) for index in shown]

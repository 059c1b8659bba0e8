"""Predictions of named images: all classes for machines, the first few for people."""

import numpy as np

from edge.predicted import Predicted, PredictedImage, predicted_text

PIXELS = [np.zeros((4, 4, 1), np.uint8)]


def predicted(classes: int) -> Predicted:
    probabilities = {f"class {i}": (i + 1) / sum(range(classes + 1)) for i in range(classes)}
    image = PredictedImage("cat.png", None, f"class {classes - 1}", probabilities)
    return Predicted("int8.tflite", "ai-edge-litert 2.3.0", None, (image,))


def test_of_several_hundred_classes_the_ten_most_probable_are_shown_and_it_says_so() -> None:
    text = predicted_text(predicted(300), PIXELS)
    shown = [line.split()[1] for line in text.splitlines() if line.startswith("  class")]
    assert shown == [str(i) for i in range(299, 289, -1)]
    assert text.splitlines()[-3] == "  the 10 most probable of 300 classes"


def test_ten_classes_are_all_shown_and_nothing_is_said_of_more() -> None:
    text = predicted_text(predicted(10), PIXELS)
    assert sum(line.startswith("  class") for line in text.splitlines()) == 10
    assert "most probable of" not in text

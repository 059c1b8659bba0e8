"""How many photos of digits a model file answers right, and how many silently wrong: python -m tests.digit_photos FILE.

Silently wrong is another digit, with neither a refusal nor a warning. The sheets and light of the second line, and its seeds,
chose no threshold.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecnn.edge.data.digit import Polarity, unsure
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from tests.digit_photos.photo import HELD_OUT, TUNED, Kinds, photo

_SETS = {
    "own hands and MNIST, sheets that were tuned on": (TUNED, False, 2000),
    "own hands and MNIST, held-out sheets and light": (HELD_OUT, False, 5000),
    "MNIST's test images, sheets that were tuned on": (TUNED, True, 10000),
    "MNIST's test images, held-out sheets and light": (HELD_OUT, True, 15000),
}


class Figures(NamedTuple):
    """How many photos were answered how."""

    right: int
    warned: int
    silently_wrong: int


def judged(classifier: Classifier, seeds: range, kinds: Kinds, mnist: bool, verbose: bool = False) -> Figures:
    """Classify the photos of some seeds; `warned` counts the right ones that come with a warning."""
    right = warned = silently_wrong = 0
    for seed in seeds:
        taken, doubts = photo(seed, kinds, mnist), list[str]()
        try:
            image = read_image(taken.jpeg, classifier.shape, classifier.preprocessing, Polarity(on_doubt=doubts.append), "it")
            found = classifier.predict(image[np.newaxis])
            answer = found.labels[0]
            doubts += filter(None, [unsure("it", float(found.probabilities.max()))])
        except ArtifactError as error:
            answer, doubts = "refused", [str(error)]
        is_right = answer == str(taken.label)
        right, warned = right + is_right, warned + (is_right and bool(doubts))
        silently_wrong += not is_right and not doubts
        if verbose and not is_right:
            print(f"  seed {seed}, {taken.about}: {answer}{''.join('; ' + doubt for doubt in doubts)}", flush=True)
    return Figures(right, warned, silently_wrong)


def main(file: str, count: int = 100, verbose: bool = False) -> None:
    """Print the figures of each set of photos."""
    classifier = Classifier.load(Path(file))
    for name, (kinds, mnist, first) in _SETS.items():
        found = judged(classifier, range(first, first + count), kinds, mnist, verbose)
        print(f"{name}: right {found.right} of {count} ({found.warned} with a warning), silently wrong {found.silently_wrong}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100, "--verbose" in sys.argv)

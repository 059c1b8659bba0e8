"""How many photos of digits a model file answers right or silently wrong: python -m tests.digit_photos FILE [FOLDER].

Silently wrong is another digit, with neither a refusal nor a warning. The photos are those of a folder with a folder for each
digit; without one, a program's, of which the sheets and light of the second line, and its seeds, chose no threshold.
"""

import sys
from collections.abc import Iterable, Iterator
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


class Taken(NamedTuple):
    """A photo: its bytes, the digit, and what to say of it."""

    data: bytes
    label: str
    about: str


class Figures(NamedTuple):
    """How many photos were answered how."""

    photos: int
    right: int
    warned: int
    silently_wrong: int


def of_seeds(seeds: range, kinds: Kinds, mnist: bool) -> Iterator[Taken]:
    """Make the photos of some seeds."""
    for seed in seeds:
        made = photo(seed, kinds, mnist)
        yield Taken(made.jpeg, str(made.label), f"seed {seed}, {made.about}")


def of_folder(folder: Path) -> Iterator[Taken]:
    """Read the photos of a folder that has a folder for each digit."""
    for path in sorted(folder.glob("*/*")):
        yield Taken(path.read_bytes(), path.parent.name, str(path))


def judged(classifier: Classifier, photos: Iterable[Taken], verbose: bool = False) -> Figures:
    """Classify photos; `warned` counts the right ones that come with a warning."""
    count = right = warned = silently_wrong = 0
    for taken in photos:
        doubts = list[str]()
        try:
            image = read_image(taken.data, classifier.shape, classifier.preprocessing, Polarity(on_doubt=doubts.append), "it")
            found = classifier.predict(image[np.newaxis])
            answer = found.labels[0]
            doubts += filter(None, [unsure("it", float(found.probabilities.max()))])
        except ArtifactError as error:
            answer, doubts = "refused", [str(error)]
        is_right = answer == taken.label
        count, right, warned = count + 1, right + is_right, warned + (is_right and bool(doubts))
        silently_wrong += not is_right and not doubts
        if verbose and not is_right:
            print(f"  {taken.about}: {answer}{''.join('; ' + doubt for doubt in doubts)}", flush=True)
    return Figures(count, right, warned, silently_wrong)


def main(file: str, of: str = "100", *, verbose: bool = False) -> None:
    """Print the figures of each set of photos, of so many that a program makes for each, or of a folder's."""
    classifier = Classifier.load(Path(file))
    if of.isdigit():
        sets = {name: of_seeds(range(first, first + int(of)), kinds, mnist) for name, (kinds, mnist, first) in _SETS.items()}
    else:
        sets = {of: of_folder(Path(of))}
    for name, photos in sets.items():
        found = judged(classifier, photos, verbose)
        right = f"right {found.right} of {found.photos} ({found.warned} with a warning)"
        print(f"{name}: {right}, silently wrong {found.silently_wrong}")


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:3], verbose="--verbose" in sys.argv)

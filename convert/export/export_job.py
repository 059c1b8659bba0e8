"""One export: its model, its images and its judge."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.export.tuning.yardstick import Tuning
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.folder.model_file import ModelFile
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats

# Takes the manifest, how many test images are evidence (no copies of others or of training images) and how many of those Keras
# classifies correctly, and the model card that is there, or None. Returns the new card, or None if the earlier one must stay.
Card = Callable[[Manifest, tuple[int, int], str | None], str | None]
# Takes the Keras model's probabilities (n, classes) and the labels, and returns whether they are no better than a guess.
Guess = Callable[[Floats, Labels], bool]


@dataclass(frozen=True)
class ExportJob:
    """The inputs of one export.

    Attributes:
        source: The .keras file.
        runtime: The opened file, which takes any number of images at a time, or one.
        keras: The file as a classifier: it makes the inputs, and every exported file is compared with it.
        dataset: Test images to compare on, training images to calibrate with.
        config: Which files to write.
        folder: Where they will be.
        manifest: What it says of the model holds for every file made from it.
        judge: Quantized files that it does not pass are mended; None to take them as they come.
        tuning: Writes a file of least cost beside each format's int8 file too; None for none.
        card: Writes the model card; None for no card.
        is_a_guess: Says whether the Keras model is no better than a guess; None to say nothing of it.
        on_step: Gets a line for each step.
    """

    source: ModelFile
    runtime: KerasRuntime
    keras: Classifier
    dataset: Dataset
    config: ExportConfig
    folder: Path
    manifest: Manifest
    judge: Judge | None
    tuning: Tuning | None
    card: Card | None
    is_a_guess: Guess | None
    on_step: Callable[[str], None]

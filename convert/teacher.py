"""Learning from a trained model's answers beside the labels.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015 (https://arxiv.org/abs/1503.02531). The teacher
sees each image as the student does, varied alike (Beyer et al., Knowledge distillation: a good teacher is patient and
consistent, 2022, https://arxiv.org/abs/2106.05237).
"""

from pathlib import Path

import numpy as np

from convert.dataset import Dataset
from convert.keras_runtime import keras_opener
from convert.train_records import TrainConfig
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError
from edge.model_file import read_model
from edge.preprocess import Floats, Images
from edge.splits import Labels

# Of the teacher's answers in what is learnt; the rest is the label's. Below a half, the label stays the largest of all.
_WEIGHT = 0.45
# Answers are softened: a trained model is so sure that its second thoughts would not count.
_TEMPERATURE = 2.0


class Teacher:
    """A trained model that says more of an image than its label does.

    Raises:
        ArtifactError: If the file is missing, damaged, or nothing vouches for it.
        ConfigError: If it takes other images, or has other classes.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, trust: tuple[str, ...]) -> None:
        path = Path(str(config.teacher))
        if unverified := read_model(path).unverified:
            raise ArtifactError(f"--teacher {path}: {unverified}: name a model that edgecnn trained or exported")
        self._classifier = classifier = Classifier.load(path, opener=keras_opener(trust) if path.suffix == ".keras" else None)
        if classifier.shape != dataset.train.shape:
            raise ConfigError(
                f"--teacher {path} takes images of {classifier.shape}, {dataset.name} has {dataset.train.shape}: name another"
            )
        if classifier.class_names != dataset.class_names:
            raise ConfigError(f"--teacher {path} has other classes than {dataset.name}: name a model of the same ones")

    def targets(self, images: Images, labels: Labels) -> Floats:
        """Return what to learn, float32 (n, classes), each row adding up to 1.

        Args:
            images: uint8 (n, h, w, c).
            labels: int64 (n,).
        """
        softened = self._classifier.probabilities(images) ** np.float32(1 / _TEMPERATURE)
        softened /= softened.sum(axis=1, keepdims=True)
        targets: Floats = np.float32(_WEIGHT) * softened
        targets[np.arange(len(labels)), labels] += np.float32(1 - _WEIGHT)
        return targets

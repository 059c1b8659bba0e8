"""Learning from a trained model's answers in addition to the labels.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015 (https://arxiv.org/abs/1503.02531). The teacher
sees each image with the same variations as the student (Beyer
and others, Knowledge distillation: A good teacher is patient and consistent, 2022, https://arxiv.org/abs/2106.05237).
"""

from pathlib import Path

import numpy as np

from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Floats, Images
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for

# Share of the teacher's answers in the targets; the rest is the label's. Below a half, the label stays the largest.
_WEIGHT = 0.45
# Temperature that softens the answers: a trained model is so sure that its second choices would not count.
_TEMPERATURE = 2.0


class Teacher:
    """A trained model, whose answers say more about an image than its label.

    Raises:
        ArtifactError: If the file is missing, damaged or unverified.
        ConfigError: If it takes other images, or has other classes.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, trust: tuple[str, ...]) -> None:
        path = Path(str(config.teacher))
        model = read_model(path)
        if model.unverified:
            raise ArtifactError(f"{field('teacher')}={path}: {model.unverified}: name a model that edgecnn trained or exported")
        self._classifier = classifier = Classifier(model, opener_for(model.format, trust).open_file(model, 1))
        if classifier.shape != dataset.train.shape:
            raise ConfigError(
                f"{field('teacher')}={path} takes images of {classifier.shape}, but {dataset.name} has "
                f"{dataset.train.shape}: name "
                "another"
            )
        if classifier.class_names != dataset.class_names:
            raise ConfigError(
                f"{field('teacher')}={path} has other classes than {dataset.name}: name a model with the same classes"
            )

    def targets(self, images: Images, labels: Labels) -> Floats:
        """Return the targets, float32 (n, classes), each row summing to 1.

        Args:
            images: uint8 (n, h, w, c).
            labels: int64 (n,).
        """
        softened = self._classifier.probabilities(images) ** np.float32(1 / _TEMPERATURE)
        softened /= softened.sum(axis=1, keepdims=True)
        targets: Floats = np.float32(_WEIGHT) * softened
        targets[np.arange(len(labels)), labels] += np.float32(1 - _WEIGHT)
        return targets

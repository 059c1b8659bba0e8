"""The compiled model of a run (newly made, loaded from a file, or resumed) and its teacher."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.convert.training.checkpoint import load_last
from edgecnn.convert.training.config import Phase, TrainConfig, phase_at, phases_of
from edgecnn.convert.training.model.custom_model import choose_layers, compile_model, new_model, open_fitting
from edgecnn.convert.training.model.normalization import fuse_batch_normalization, settle_quickly
from edgecnn.convert.training.recipes import is_of_recipe, new_optimizer, optimizer_text, resumed_optimizer
from edgecnn.convert.training.records import Checkpoint, TrainingRun
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import MODEL_NAME
from edgecnn.edge.model.preprocess import Floats, Images
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.runtimes import opener_for

# Number of outputs checked before training: enough that logits never look like probabilities, or the reverse.
_LOOK = 32
# Columns of Keras's table of layers, and its mark of a name that does not fit.
_TABLE_WIDTH = 80
_CUT = "…"

# Share of the teacher's answers in the targets; the rest is the label's. Below a half, the label stays the largest.
_WEIGHT = 0.45
# Temperature that softens the answers: a trained model is so sure that its second choices would not count.
_TEMPERATURE = 2.0


class Teacher:
    """A trained model, whose answers say more about an image than its label.

    Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015 (https://arxiv.org/abs/1503.02531). It sees
    each image with the same variations as the student (Beyer and others, Knowledge distillation: A good teacher is patient
    and consistent, 2022, https://arxiv.org/abs/2106.05237).

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
                f"{dataset.train.shape}: name another"
            )
        if classifier.class_names != dataset.class_names:
            raise ConfigError(
                f"{field('teacher')}={path} has other classes than {dataset.name}: name a model with the same classes"
            )

    def targets(self, images: Images, labels: Labels) -> Floats:
        """Return the targets of uint8 (n, h, w, c) and int64 (n,), as float32 (n, classes), each row summing to 1."""
        softened = self._classifier.probabilities(images) ** np.float32(1 / _TEMPERATURE)
        softened /= softened.sum(axis=1, keepdims=True)
        targets: Floats = np.float32(_WEIGHT) * softened
        targets[np.arange(len(labels)), labels] += np.float32(1 - _WEIGHT)
        return targets


@dataclass(frozen=True)
class PreparedModel:
    """The model in training, and what belongs to it.

    Attributes:
        model: The Keras model, compiled.
        runtime: The model, opened like an exported file.
        classifier: Makes its inputs.
        teacher: Makes its targets; None for the labels alone.
        optimizer: Name and learning rate of the optimizer of each phase.
    """

    model: Any
    runtime: KerasRuntime
    classifier: Classifier
    teacher: Teacher | None
    optimizer: str


def prepared_model(run: TrainingRun, checkpoint: Checkpoint | None, done: int) -> PreparedModel:
    """Return the model, and print its layers and optimizer.

    The run's settings are `resolved`, and its `trust` includes the module of its model. `done` epochs are finished.

    Raises:
        ConfigError: If the model can't be made, or does not fit the images.
        ArtifactError: If a file is damaged, or the model's output is not what the run says.
    """
    config, dataset = run.config, run.dataset
    load_tensorflow().config.experimental.enable_op_determinism()
    utils = load_keras().utils
    # Layers are numbered from 1, even if a process trains several models. Collecting garbage would take longer than the rest.
    utils.clear_session(free_memory=False)
    utils.set_random_seed(config.seed)
    shape, classes = dataset.train.shape, len(dataset.class_names)
    wanted = (config, shape, classes, run.trust, run.interface.output)
    model = load_last(run.folder, checkpoint, run.trust) if checkpoint else new_model(*wanted)
    runtime = open_fitting(model, config, shape, classes, run.trust)
    # The same code makes the inputs in training and in deployment.
    nameless = ModelFile(Path(config.origin()), "keras", b"", None, None, "no file yet")
    classifier = Classifier(nameless, runtime, run.interface)
    classifier.probabilities(dataset.train.images(range(min(_LOOK, len(dataset.train.labels)))))
    own = model.compiled and not checkpoint and not is_of_recipe(model.optimizer)
    if own and int(model.optimizer.iterations) and not float(model.optimizer.learning_rate):
        raise ConfigError(f"{config.origin()}: the learning rate that it was compiled with has ended at 0: compile it again")
    phase = phase_at(config, done)
    optimizer = model.optimizer if own else _optimizer(run, phase)
    if checkpoint and done != phase.start:
        optimizer = resumed_optimizer(model, optimizer)
    teacher = Teacher(config, dataset, run.trust) if config.teacher else None
    choose_layers(model, config, phase)
    if not model.trainable_weights:
        raise ConfigError(
            f"{config.origin()}: no weight of it is trainable: set trainable=True on the layers that are to learn"
        )
    if not config.start:
        settle_quickly(model, run.batches)
    compile_model(model, _columns(runtime), optimizer, run.interface.output, taught=teacher is not None)
    fuse_batch_normalization(model)
    if run.summary:
        lines: list[str] = []
        model.summary(print_fn=lines.append, line_length=min(_TABLE_WIDTH, shutil.get_terminal_size().columns))
        if any(_CUT in line for line in lines):  # A name that is cut inside a word says nothing.
            lines = [f"{len(model.layers)} layers: edgecnn summary {run.folder / MODEL_NAME} has them, once it is trained"]
        run.on_text("\n".join(lines))
    texts = {each: optimizer_text(model.optimizer if each == phase else _optimizer(run, each)) for each in phases_of(config)}
    used = "; ".join(f"{each.name}: {text}" if each.name else text for each, text in texts.items())
    run.on_text(f"Optimizer: {used}" + (", as compiled with the model; the loss is the labels' cross-entropy" if own else ""))
    return PreparedModel(model, runtime, classifier, teacher, used)


def begin_phase(run: TrainingRun, prepared: PreparedModel, phase: Phase) -> None:
    """Set the layers to train in another phase, with a new optimizer."""
    model = prepared.model
    choose_layers(model, run.config, phase)
    taught = prepared.teacher is not None
    compile_model(model, _columns(prepared.runtime), _optimizer(run, phase), run.interface.output, taught)
    run.on_text(f"Epochs {phase.start + 1} to {phase.end} train {phase.name}: {optimizer_text(model.optimizer)}")


def _optimizer(run: TrainingRun, phase: Phase) -> Any:
    return new_optimizer(run.config.recipe, run.config.learning_rate * phase.rate, phase.epochs * run.batches)


def _columns(runtime: KerasRuntime) -> int:
    return int(runtime.output_spec.shape[-1] or 0)

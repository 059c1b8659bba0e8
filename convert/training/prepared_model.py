"""The compiled model of a run: newly made, loaded from a file, or resumed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.convert.training.checkpoint import load_last
from edgecnn.convert.training.fit.fused_norm import fuse_batch_normalization
from edgecnn.convert.training.model.custom_model import compile_model, new_model, open_fitting
from edgecnn.convert.training.phases import Phase, choose_layers, phase_at, phases_of
from edgecnn.convert.training.recipes import new_optimizer, optimizer_text, resumed_optimizer
from edgecnn.convert.training.records import Checkpoint
from edgecnn.convert.training.teacher import Teacher
from edgecnn.convert.training.training_run import TrainingRun
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model_file import ModelFile

# Number of outputs checked before training: enough that logits never look like probabilities, or the reverse.
_LOOK = 32


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

    Args:
        run: A run whose settings are `resolved`, and whose `trust` includes the module of its model.
        checkpoint: Checkpoint from which to continue; None to start, and on workers that write nothing.
        done: Number of finished epochs.

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
    model = load_last(run.folder, checkpoint, run.trust) if checkpoint else new_model(config, shape, classes, run.trust)
    runtime = open_fitting(model, config, shape, classes, run.trust)
    # The same code makes the inputs in training and in deployment.
    nameless = ModelFile(Path(config.origin()), "keras", b"", None, None, "no file yet")
    classifier = Classifier(nameless, runtime, run.interface)
    classifier.probabilities(dataset.train.images(range(min(_LOOK, len(dataset.train.labels)))))
    own = model.compiled and not checkpoint
    phase = phase_at(config, done)
    optimizer = model.optimizer if own else _optimizer(run, phase)
    if checkpoint and done != phase.start:
        optimizer = resumed_optimizer(model, optimizer)
    teacher = Teacher(config, dataset, run.trust) if config.teacher else None
    choose_layers(model, config, phase)
    compile_model(model, _columns(runtime), optimizer, run.interface.output, taught=teacher is not None)
    if run.cluster is None:  # Workers normalise over the images of all, which the operator can't.
        fuse_batch_normalization(model)
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
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

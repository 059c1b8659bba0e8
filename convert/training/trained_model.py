"""Turns a finished run into a measured model.keras with its record and its manifest."""

from dataclasses import dataclass, replace

import numpy as np

from edgecnn.convert.manifest import earlier_manifest, source_manifest
from edgecnn.convert.training.checkpoint import checkpoint_bytes, is_out_of_patience, kept_epoch
from edgecnn.convert.training.model.custom_model import needed_modules
from edgecnn.convert.training.model.normalization import unsettled_share
from edgecnn.convert.training.prepared_model import PreparedModel
from edgecnn.convert.training.records import Checkpoint, KeptFor, TrainingRun, TrainResult
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import MODEL_NAME, TRAIN_NAME, Manifest
from edgecnn.edge.model.preprocess import Floats, correct, cross_entropy
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.records import to_json
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.sandbox.unverified import remember_made
from edgecnn.edge.text import counted
from edgecnn.edge.transaction import locked, replaced_together

# Warn above this share of batch normalisation's initial averages.
_UNSETTLED = 0.01
_SURE = 2  # Standard deviations.


@dataclass(frozen=True)
class FinishedFit:
    """The end of the epochs.

    Attributes:
        checkpoint: Checkpoint after the last one.
        interrupted: Whether Ctrl-C ended them.
        log_folder: TensorBoard's folder, inside the model's.
    """

    checkpoint: Checkpoint
    interrupted: bool
    log_folder: str

    @property
    def kept(self) -> tuple[int, KeptFor]:
        """Number of the epoch whose weights are kept, and why."""
        return kept_epoch(self.checkpoint.config, self.checkpoint.history)

    @property
    def epoch(self) -> int:
        """Number of the epoch whose weights are kept."""
        return self.kept[0]


def write_trained_model(run: TrainingRun, prepared: PreparedModel, fit: FinishedFit, made_with: dict[str, str]) -> TrainResult:
    """Measure the kept epoch's model on the test images, and write model.keras, train.json and manifest.json together.

    Raises:
        ArtifactError: If the checkpoint is damaged, or a test image can't be read.
        ConfigError: If the folder can't be written.
    """
    folder, test, checkpoint = run.folder, run.dataset.test, fit.checkpoint
    data = checkpoint_bytes(folder, checkpoint.last if fit.epoch == len(checkpoint.history) else checkpoint.best)
    _warn_of_unsettled_averages(run, prepared, fit.epoch * run.batches)
    run.on_text(f"Measuring on {counted(test.labels, 'test image')}")
    manifest = source_manifest(
        "keras",
        data,
        prepared.runtime,
        run.interface,
        run.dataset.record(),
        trusted=needed_modules(data, run.trust),
        versions=made_with,
        seed=run.config.seed,
        train_config={**run.config.settings(), "optimizer": prepared.optimizer},
    )
    # Opened like every other file, so that `edgecnn evaluate` gives the same result.
    written = ModelFile(folder / MODEL_NAME, "keras", data, manifest, manifest.source(), None)
    remember_made(data)  # The file was made here.
    measured = Classifier(written, opener_for("keras", manifest.trusted).open_file(written, 1))
    try:
        probabilities = measured.split_probabilities(test)
    except ArtifactError:
        run.on_text(f"The epochs are finished and kept in {folder}: resume the training when the test images are mended")
        raise
    result = _result(run, prepared, fit, manifest, probabilities)
    with locked(folder, run.on_text), replaced_together(folder) as new:
        (new / MODEL_NAME).write_bytes(data)
        _with_exports(run, manifest).save(new)
        (new / TRAIN_NAME).write_bytes(to_json(result).encode())
    return result


def _result(
    run: TrainingRun, prepared: PreparedModel, fit: FinishedFit, manifest: Manifest, probabilities: Floats
) -> TrainResult:
    labels = run.dataset.test.labels
    right = correct(probabilities, labels)
    counts = np.bincount(labels)
    of_class = np.bincount(labels, right)[counts > 0] / counts[counts > 0]
    even = 1 / len(of_class)
    spread = _SURE * float(np.sqrt((even * (1 - even) / counts[counts > 0]).sum())) / len(of_class)
    return TrainResult(
        config=run.config,
        dataset=manifest.dataset,
        model_path=MODEL_NAME,
        model_sha256=manifest.source().sha256,
        parameters=prepared.model.count_params(),
        trainable_parameters=sum(int(np.prod(weight.shape)) for weight in prepared.model.trainable_weights),
        history=fit.checkpoint.history,
        epoch=fit.epoch,
        interrupted=fit.interrupted,
        seconds=sum(epoch.seconds for epoch in fit.checkpoint.history),
        test_images=len(labels),
        test_accuracy=float(right.mean()),
        test_loss=cross_entropy(probabilities, labels),
        optimizer=prepared.optimizer,
        versions=manifest.provenance.versions,
        log_folder=fit.log_folder,
        kept_for=fit.kept[1],
        stopped_early=len(fit.checkpoint.history) < run.config.epochs
        and is_out_of_patience(fit.checkpoint.history, run.config),
        val_images=len(run.dataset.val.labels) if run.dataset.val else None,
        chosen=dict(run.chosen),
        commonest=float(counts.max() / len(labels)),
        recall=float(of_class.mean()),
        guessed=even + spread,
    )


def _warn_of_unsettled_averages(run: TrainingRun, prepared: PreparedModel, batches: int) -> None:
    share = unsettled_share(prepared.model, run.config, batches)
    if share > _UNSETTLED and run.summary:  # Whoever trains many chooses their epochs by what they give.
        momentum = ", or with momentum=0.9 in its layers" if run.config.model else ""
        run.on_text(
            f"Batch normalisation's averages are still {share:.0%} their initial values after {counted(batches, 'batch')}, so "
            f"the model may be far less accurate than in training: train for more epochs, or with smaller batches{momentum}"
        )


def _with_exports(run: TrainingRun, manifest: Manifest) -> Manifest:
    """Return a manifest that keeps entries exported from an earlier model, even since the run began."""
    try:
        earlier = earlier_manifest(run.folder)
    except ArtifactError:  # This was reported when the run began.
        return manifest
    if earlier is None:
        return manifest
    return replace(manifest, reference=earlier.reference, for_programs=earlier.for_programs).with_artifacts(*earlier.exported)

"""Exports a float model to files in its folder, each compared with it before it counts as exported."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.config import Card, ExportConfig, ExportJob, Gain, Guess, OnBatch, Tuning
from edgecnn.convert.export.file_exporter import FileExporter, converters_of
from edgecnn.convert.export.keep_accuracy import Judge, judged_images
from edgecnn.convert.export.program_files import write_program_files
from edgecnn.convert.export.source import open_source, read_source
from edgecnn.convert.export.thresholds import Acceptance, require_enough_images, validation_of
from edgecnn.convert.export.tune import tuned_file, with_formats, with_settings
from edgecnn.convert.keras.load import saved_with
from edgecnn.convert.manifest import earlier_manifest, source_manifest
from edgecnn.convert.show import save_tried
from edgecnn.convert.training.model.custom_model import needed_modules
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.pixel_digests import evidence
from edgecnn.edge.data.recorded_images import require_recorded
from edgecnn.edge.errors import ArtifactError, ConfigError, field, setting
from edgecnn.edge.export_records import Reference
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import MODEL_CARD_NAME, REFERENCE_NAME, Artifact, Manifest
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model.preprocess import Floats, correct
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.packages import utc_now, versions
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.runtimes.installed import runtime_for
from edgecnn.edge.text import counted
from edgecnn.edge.transaction import locked, replaced_together

# A card is text that somebody wrote.
_MOST_CARD_BYTES = 2**20


def export(  # Longer than 50 lines: its arguments and their docs.
    model: Path | ModelFile,
    dataset: Dataset,
    config: ExportConfig,
    interface: Interface | None = None,
    out: Path | None = None,
    *,
    runtime: LoadedModel | None = None,
    trust: tuple[str, ...] = (),
    judge: Judge | None = None,
    tuning: Tuning | None = None,
    card: Card | None = None,
    is_a_guess: Guess | None = None,
    acceptance: Acceptance | None = None,
    gain: Gain | None = None,
    on_batch: OnBatch = lambda done, total, text, detail: None,
    on_step: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """Write the exported files, `reference.npy` and `manifest.json` next to the float model, and return the manifest.

    All appear together, after each file was loaded by its runtime and its outputs on the whole test set were compared with
    the model's; until then the earlier files stay whole. A model without a manifest was trained elsewhere: it is copied into a
    new folder, as `model.keras`, `model.tflite` or `model.onnx`, and gets a manifest there.

    Args:
        model: A .keras file or a float .tflite or .onnx file, or one that `read_source` returned.
        dataset: Its data: test images to compare on, training images to calibrate with. Read a few images at a time.
        config: Which files to write.
        interface: How the model takes pixels and what it computes, if it has no manifest.
        out: Output folder, if it has no manifest. Default: artifacts/ plus the file's name.
        runtime: The opened model, if it is open already.
        trust: Names of modules whose code the model needs.
        judge: Layers of a quantized file that it does not pass go back to float until it does. None to take them as they come.
        tuning: How to find which layers of an int8 file stay float for the least cost. None for no such file.
        card: Function that writes the model card into the same folder. None for no card.
        is_a_guess: Function that says whether the float model is no better than a guess. None to say nothing of it.
        acceptance: Which answers of each file are to be accepted. None to set no threshold.
        gain: When a file that was trained for its integers is written. None without `config.qat`.
        on_batch: Gets the progress of training for integers, and of the search for near-duplicates.
        on_step: Gets a line for each step.

    Raises:
        ArtifactError: If the model is missing, damaged or not an image classifier, or its output is not what it should be.
        ConfigError: If a folder can't be written, the dataset is not the model's, or the interface is missing or superfluous.
        ConversionError: If a converter fails, a float file differs from the model, or a file needs more than its target has.
        GateFailed: If a quantized file can't be made accurate enough, or no threshold is shown to hold: nothing is written.
        MissingDependency: If a package of the train extra is missing.
    """
    source = model if isinstance(model, ModelFile) else read_source(model, trust, on_step)
    config.require_made_of(source.format, source.path)
    runtime = runtime or open_source(source, trust)
    if interface and not interface.class_names:
        interface = replace(interface, class_names=dataset.class_names)
    classifier = Classifier(source, runtime, interface)
    folder = export_folder(source, out)
    manifest = source.manifest or _first_manifest(source, classifier, dataset, trust, folder)
    functions = judge, tuning, card, is_a_guess, acceptance, gain
    job = ExportJob(source, runtime, classifier, dataset, config, folder, manifest, *functions, None, on_batch, on_step)
    _require_fit(job)
    if acceptance:
        validation = validation_of(
            dataset, manifest, on_step, lambda done, total: on_batch(done, total, "looking for near-duplicates", "")
        )
        require_enough_images(acceptance, (validation[0], validation[1] * config.qat_choices), dataset, manifest)
        job = replace(job, validation=validation)
    with locked(folder):
        manifest = Manifest.load(folder) if source.manifest else _first_manifest(source, classifier, dataset, trust, folder)
        if manifest.source().sha256 != source.sha256:
            raise ConfigError(f"{source.path} was replaced while it was being read: run edgecnn export again")
        return _write(replace(job, manifest=manifest))


def export_folder(source: ModelFile, out: Path | None) -> Path:
    """Return the folder of a model's exports: its own if it has a manifest, else `out`, or artifacts/ plus its name.

    Raises:
        ConfigError: If `out` names a folder for a model with a manifest.
    """
    if source.manifest and out:
        raise ConfigError(f"{source.path} has a manifest, and its exports go into the same folder: omit {field('out')}")
    return source.path.parent if source.manifest else out or Path("artifacts") / source.path.stem


def _write(job: ExportJob) -> Manifest:
    tools = [package for name in (job.source.format, *job.config.formats) for package in FORMATS[name].made_with]
    # Files of other formats stay, and the versions that made them.
    export_versions = {**job.manifest.provenance.export_versions, **versions(*tools, "numpy")}
    converters = converters_of(job)
    job.on_step(f"{job.manifest.source_name} on {counted(job.dataset.test.labels, 'test image')}")
    probabilities = job.model.split_probabilities(job.dataset.test)
    judge = job.tuning.judge if job.tuning else job.judge
    images = judged_images(judge, job.dataset.test, probabilities, job.learnt) if judge else None
    every = images.every if images else evidence(job.dataset.test, job.learnt)[0]
    exporter = FileExporter(job, converters, probabilities, images)
    made = [exporter.make(model_format, precision) for model_format, precision in job.config.files()]
    reference, stored = _reference(probabilities, job, every)
    if job.tuning and images:
        for model_format in job.config.formats:
            plain = [one for one in made if one[0].format == model_format]
            tuned = tuned_file(job, exporter, job.tuning, images, (reference, stored), plain)
            own = with_settings(job, exporter, job.tuning, (reference, stored), [*plain, *filter(None, [tuned])])
            made = [one for one in made if one[0].format != model_format] + own
        made = with_formats(job, exporter, job.tuning, (reference, stored), made)
    used = {package for artifact, _ in made if artifact.onnx_conversion for package in artifact.onnx_conversion.packages}
    export_versions |= versions(*sorted(used))
    provenance = replace(
        job.manifest.provenance,
        exported=utc_now(),
        export_versions=export_versions,
        calibration=exporter.calibrator.record(job.manifest.provenance.calibration),
    )
    gone = _outdated(job, [artifact for artifact, _ in made])
    _say_lost(job, [artifact for artifact, _ in made])
    with replaced_together(job.folder) as new:
        if not job.source.manifest:
            (new / job.manifest.source().path).write_bytes(job.source.data)
        for artifact, data in made:
            (new / artifact.path).write_bytes(data)
            if artifact.tuned:
                save_tried(new / f"{artifact.path}.png", artifact.tuned, artifact.path)
        (new / REFERENCE_NAME).write_bytes(stored)
        kept = tuple(_no_longer_beside(artifact) for artifact in job.manifest.artifacts if artifact.path not in gone)
        dataset = replace(job.manifest.dataset, learnt=job.learnt)
        manifest = replace(job.manifest, dataset=dataset, provenance=provenance, reference=reference, artifacts=kept)
        manifest = manifest.with_artifacts(*(artifact for artifact, _ in made))
        manifest, outdated = write_program_files(new, manifest, job)
        manifest.save(new)
        _write_card(new, manifest, job, probabilities, every)
    for name in (*gone, *outdated):
        (job.folder / name).unlink(missing_ok=True)
        (job.folder / f"{name}.png").unlink(missing_ok=True)
    return manifest


def _no_longer_beside(artifact: Artifact) -> Artifact:
    """Return a file's entry without its comparison with files that may be others now."""
    return replace(artifact, settings=replace(artifact.settings, beside=None)) if artifact.settings else artifact


def _say_lost(job: ExportJob, made: Sequence[Artifact]) -> None:
    """Say which files had a threshold or were trained for integers before this export, and are no longer."""
    for artifact in made:
        earlier = job.manifest.artifact(artifact.path)
        if earlier and earlier.threshold and not artifact.threshold:
            on = f"{100 * earlier.threshold.max_error:g}"
            job.on_step(f"{artifact.path} has no threshold any more, as none was asked for: add {setting('max_error', on)}")
        if earlier and earlier.qat and earlier.qat.taken and not artifact.qat:
            again = setting("qat", earlier.qat.epochs)
            job.on_step(f"{artifact.path} is no longer trained for integers, as that was not asked for: add {again}")


def _outdated(job: ExportJob, made: Sequence[Artifact]) -> tuple[str, ...]:
    """Return the earlier tuned files that no longer hold, and say so: they were tuned again for the same machine and runtime,
    the plain file that they were compared with is another one now, or they are not what was written.
    """
    new, gone = {artifact.path: artifact.sha256 for artifact in made}, []
    for earlier in job.manifest.exported:
        if earlier.tuned is None or earlier.path in new:
            continue
        path, plain = job.folder / earlier.path, job.manifest.artifact(earlier.tuned.compared_with)
        again = job.tuning is not None and earlier.format in job.config.formats and _like(earlier, job.tuning)
        other = plain is None or new.get(plain.path, plain.sha256) != plain.sha256
        if again:
            reason = "tuning it again showed no gain"
        elif other:
            reason = f"{earlier.tuned.compared_with} was made again"
        elif not path.is_file() or sha256(path.read_bytes()) != earlier.sha256:
            reason = "it is missing or altered, so tune again"
        else:
            continue
        job.on_step(f"{earlier.path}, tuned on {earlier.tuned.where}, is deleted: {reason}")
        gone.append(earlier.path)
    return tuple(gone)


def _like(earlier: Artifact, tuning: Tuning) -> bool:
    """Return whether a file was tuned for the machine and the runtime of this tuning."""
    machine, runtime = tuning.runner.machine, runtime_for(earlier.format, tuning.runner.runtime)
    return earlier.tuned is not None and (earlier.tuned.machine, earlier.tuned.runtime) == (machine, runtime)


def _write_card(folder: Path, manifest: Manifest, job: ExportJob, probabilities: Floats, every: NDArray[np.bool_]) -> None:
    """Write the model card; `every` tells which test images are evidence. If none is, the card says so of all distinct ones."""
    if not every.any():
        every = evidence(job.dataset.test, ())[0]
    path = job.folder / MODEL_CARD_NAME
    # What its author wrote in another encoding keeps its bytes.
    earlier = read_bytes(path, _MOST_CARD_BYTES).decode(errors="surrogateescape") if path.exists() else None
    right = correct(probabilities, job.dataset.test.labels)[every]
    card = job.card(manifest, (len(right), int(right.sum())), earlier) if job.card else None
    if card is not None:
        (folder / MODEL_CARD_NAME).write_bytes(card.encode(errors="surrogateescape"))
    elif job.card:
        job.on_step(f"{path} stays as it is, since the part that edgecnn writes was edited: delete it to get a new one")


def _require_fit(job: ExportJob) -> None:
    """Raise if the images are not the model's."""
    model, dataset, model_path = job.model, job.dataset, job.source.path
    if model.batch and model.batch > 1:
        raise ArtifactError(
            f"{model_path} takes {model.batch} images at a time, no more and no less: build it with a free batch, or for one"
        )
    if model.shape != dataset.train.shape:
        raise ConfigError(
            f"{model_path} takes images of {model.shape}, but {dataset.name} has {dataset.train.shape}: name others "
            f"with {field('data')}"
        )
    if dataset.fit not in (None, model.preprocessing.fit):
        raise ConfigError(
            f"{dataset.name} was fitted by {dataset.fit}, and {model_path} is stated to take {model.preprocessing.fit}: "
            f"use the same {field('fit')} for both"
        )
    require_classes(model_path, len(model.class_names), dataset)
    require_recorded(job.manifest.dataset, dataset.test)
    if dataset.train.sha256 != job.manifest.dataset.train_sha256:
        raise ConfigError(f"{dataset.source} does not have the training images of {model_path}: name them with {field('data')}")
    if job.config.any_batch and model.batch is not None:
        raise ConfigError(
            f"{model_path} takes one image at a time: build it with a free batch, or omit {field('batch')}=dynamic"
        )


def require_classes(path: Path, classes: int, dataset: Dataset) -> None:
    """Raise ConfigError unless a model at `path` has as many classes as the images."""
    theirs = len(dataset.class_names)
    if classes != theirs:
        raise ConfigError(
            f"{path} has {classes} classes, {dataset.name} has {theirs}: name its data with {field('data')}, or all its "
            f"classes with {field('labels')}"
        )


def _first_manifest(source: ModelFile, model: Classifier, dataset: Dataset, trust: tuple[str, ...], folder: Path) -> Manifest:
    """Return the manifest of a model trained elsewhere: that of an earlier export, as long as it still applies."""
    interface = Interface(model.preprocessing, model.interface.output, model.class_names)
    is_keras = not FORMATS[source.format].on_device
    manifest = source_manifest(
        source.format,
        source.data,
        model.runtime,
        interface,
        dataset.record(),
        versions=saved_with(source.data) if is_keras else {},
        trusted=needed_modules(source.data, trust) if is_keras else (),
        name=source.path.name,
    )
    earlier = earlier_manifest(folder)
    if earlier is None:
        return manifest
    if earlier.provenance.train_config:
        raise ConfigError(f"{folder} has a model that edgecnn trained: name another folder with {field('out')}")
    if earlier.source().sha256 != source.sha256:
        # Files exported from another model stay; loading one reports that it is stale.
        return replace(manifest, for_programs=earlier.for_programs).with_artifacts(*earlier.exported)
    # If the interface changes, files exported with the former one are no longer verified.
    bare = replace(earlier, provenance=manifest.provenance, reference=None, artifacts=manifest.artifacts, for_programs=())
    return earlier if bare == manifest else manifest


def _reference(probabilities: Floats, job: ExportJob, every: NDArray[np.bool_]) -> tuple[Reference, bytes]:
    """Return the record of the model's probabilities, and the file; of the test images, `every` (n,) are evidence."""
    buffer = io.BytesIO()
    np.save(buffer, probabilities, allow_pickle=False)
    data = buffer.getvalue()
    test = job.dataset.test
    right = int(correct(probabilities, test.labels).sum())
    doubtful = job.is_a_guess(probabilities[every], test.labels[every]) if job.is_a_guess and every.any() else None
    hashes = sha256(data), job.source.sha256, test.sha256
    return Reference(REFERENCE_NAME, *hashes, len(probabilities), right, doubtful), data

"""The manifest of a float model, trained by edgecnn or elsewhere."""

from pathlib import Path

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import Provenance
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import FORMATS, is_exported
from edgecnn.edge.manifest import MANIFEST_NAME, MODEL_STEM, SCHEMA, Artifact, DatasetRecord, Manifest, is_foreign
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.packages import utc_now
from edgecnn.edge.runtimes.base import LoadedModel


def source_manifest(
    model_format: str,
    data: bytes,
    runtime: LoadedModel,
    interface: Interface,
    dataset: DatasetRecord,
    *,
    versions: dict[str, str],
    trusted: tuple[str, ...] = (),
    seed: int = 0,
    train_config: dict[str, str] | None = None,
    name: str | None = None,
) -> Manifest:
    """Return the manifest of a float model without exports.

    Args:
        model_format: Its format.
        data: Its bytes.
        runtime: The opened file.
        interface: How it takes pixels, what it computes, and its classes.
        dataset: Dataset it was trained on.
        versions: Version of each package that made it, as far as that is known.
        trusted: Names of the modules whose code it needs.
        seed: Seed of its training.
        train_config: Every setting of its training; None for a model trained elsewhere.
        name: Name of the file that it came from; None for a model trained here.
    """
    digest, path = sha256(data), f"{MODEL_STEM}{FORMATS[model_format].suffix}"
    of_itself = digest if is_exported(model_format) else None
    specs = (runtime.input_spec, runtime.output_spec)
    return Manifest(
        schema=SCHEMA,
        class_names=interface.class_names,
        preprocessing=interface.preprocessing,
        output=interface.output,
        trusted=trusted,
        dataset=dataset if train_config else dataset.of_unknown_training(),
        provenance=Provenance(
            created=utc_now(),
            exported=None,
            seed=seed,
            train_config=train_config or {},
            versions=versions,
            export_versions={},
            calibration=None,
            source=name,
        ),
        reference=None,
        artifacts=(Artifact(model_format, "float32", path, len(data), digest, of_itself, *specs, None, None),),
    )


def earlier_manifest(folder: Path) -> Manifest | None:
    """Return the manifest already in a folder, or None.

    Raises:
        ConfigError: If the folder has another program's `manifest.json`.
        ArtifactError: If the manifest is damaged.
    """
    if is_foreign(folder):
        raise ConfigError(f"{folder / MANIFEST_NAME} is not edgecnn's: name another folder with {field('out')}")
    return Manifest.load(folder) if (folder / MANIFEST_NAME).exists() else None

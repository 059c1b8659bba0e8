"""Counts what files cost, without running them."""

from collections.abc import Sequence

from edgecnn.api.usage import Target
from edgecnn.edge.anatomy.summary import Summaries, summarize
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.folder.model_folder import opened
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.progress import SILENT, Progress


def summary(
    target: Target, *, trust: Sequence[str] = (), signature: str | None = None, progress: Progress = SILENT
) -> Summaries:
    """Count a file's layers, parameters, multiply-accumulates, and bytes of weights and activations; nothing is measured.

    Args:
        target: A model file, a folder with a manifest, a bundle, a file in a bundle, or the result of `edgecnn.open`.
        trust: Names of Python modules that define a Keras model's own layers. Their code runs.
        signature: Name of the signature to read, if a TFLite file has several.
        progress: Receives the progress.

    Returns:
        A `Summary` for each file. The text is a table of the layers of one file, or has a row for each of several.

    Raises:
        ArtifactError: If a file is missing or damaged.
        ConfigError: If the file has no such signature, or a trusted module can't be imported.
        MissingDependency: If the package that reads a file's format is not installed.
    """
    with opened(target) as models:
        here, skipped = models.runnable()
        found = []
        for name in here:
            model = models.model(name)
            reader = FORMATS[model.format].reader
            if models.is_folder and (reader is None or not reader.is_installed):
                skipped[name] = str(reader.missing) if reader else f"the layers of .{model.format} files can't be read"
                continue
            progress.say(f"{models.shown(name)}: reading")
            found.append(summarize(models.shown(name), model, tuple(trust), signature))
    if not found:
        raise MissingDependency("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
    return Summaries(tuple(found), skipped)

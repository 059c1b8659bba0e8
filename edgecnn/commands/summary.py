"""Count layers, parameters, multiply-accumulates and bytes.

Nothing is measured. Of several files, the totals of each are shown.

Example: edgecnn summary artifacts/mnist/int8.tflite
"""

from typing import TYPE_CHECKING

from edgecnn.commands.shared import AnyTarget, Signature, Trust
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.option import checked
from edgecnn.edge.result import SILENT, Progress

if TYPE_CHECKING:
    from edgecnn.edge.graph.summary import Summaries


@checked
def summary(target: AnyTarget, *, trust: Trust = (), signature: Signature = None, progress: Progress = SILENT) -> "Summaries":
    """Count a file's layers, parameters, multiply-accumulates, and bytes of weights and activations; nothing is measured.

    Returns:
        A `Summary` for each file. The text is a table of the layers of one file, or has a row for each of several.

    Raises:
        ArtifactError: If a file is missing or damaged.
        ConfigError: If the file has no such signature, or a trusted module can't be imported.
        MissingDependency: If the package that reads a file's format is not installed.
    """
    from edgecnn.edge.graph.summary import Summaries, summarize
    from edgecnn.edge.model_folder import opened

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

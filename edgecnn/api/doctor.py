"""Checks whether this machine and its files will work."""

from pathlib import Path

from edgecnn.api.usage import Target
from edgecnn.benchmarks.doctor.examine import Examination, examine
from edgecnn.edge.progress import SILENT, Progress


def doctor(target: Target | None = None, *, signature: str | None = None, progress: Progress = SILENT) -> Examination:
    """Examine this machine and, if named, whether exported files will work on it. Nothing is installed or changed.

    It takes some seconds: each runtime is imported, and each file is run once, in a child process.

    Args:
        target: A model file, a folder with a manifest, a bundle, a file in a bundle, or the result of `edgecnn.open`.
        signature: Name of the signature to run, if a TFLite file has several.
        progress: Receives the progress.

    Returns:
        Findings; `problems` are those that keep something from working, each with its fix.

    Raises:
        ArtifactError: If the target does not exist, has no valid manifest, or is a damaged bundle.
    """
    progress.say("examining this machine, importing each runtime")
    return examine(Path(target) if isinstance(target, str) else target, signature)

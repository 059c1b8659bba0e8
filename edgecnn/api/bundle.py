"""Writes one file with everything that another machine needs."""

from collections.abc import Sequence
from pathlib import Path

from edgecnn.api.usage import Target
from edgecnn.benchmarks.proof.write_bundle import Bundled, write_bundle
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.folder.file_names import BUNDLE_SUFFIX
from edgecnn.edge.folder.model_folder import opened
from edgecnn.edge.formats import format_of
from edgecnn.edge.progress import SILENT, Progress


def bundle(
    folder: Target,
    out: str | Path | None = None,
    *,
    files: Sequence[str] = (),
    test_images: int | None = None,
    data: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    progress: Progress = SILENT,
) -> Bundled:
    """Write one file with models, test images and the proof of what they compute, for another machine.

    There, bench, evaluate, predict, serve, summary, verify and doctor accept it in place of a folder.

    Args:
        folder: A folder with a manifest and exported files.
        out: The .zip file. Default: the folder's name, next to the folder.
        files: Names of the files to include. Default: all exported ones.
        test_images: Number of test images to include, spread evenly. Default: all.
        data: Where the test images are now. Default: the place in the manifest.
        images: How a folder of images is read.
        progress: Receives the progress.

    Returns:
        The written bundle, with its path, size in bytes and SHA-256.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        ConfigError: If a name or a number does not fit, or the bundle can't be written.
        MissingDependency: If a runtime is not installed: its golden outputs can't be computed without it.
    """
    with opened(folder) as models:
        if not models.is_folder and format_of(models.path):
            raise ConfigError(f"{models.named} is one file: name its folder")
        path = Path(out) if out else bundle_path(models.named)
        if path.suffix.lower() != BUNDLE_SUFFIX:
            raise ConfigError(f"{path} is not a {BUNDLE_SUFFIX} name: a bundle is a zip file")
        test = models.test_images(data, images)
        return write_bundle(path, models, test, tuple(files), test_images=test_images, on_progress=progress.say)


def bundle_path(folder: Path) -> Path:
    """Return the default name of a folder's bundle."""
    return folder.parent / f"{folder.name or folder.resolve().name}{BUNDLE_SUFFIX}"

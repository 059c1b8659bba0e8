"""Pack everything that another machine needs into one file.

It holds models, test images, and the proof of what they compute. On the device, bench, evaluate, predict, serve,
summary, verify and doctor accept it in place of a folder.

Example: edgecnn bundle artifacts/mnist --images 2000
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.commands.shared import DEFAULT_FOLDER, Data, Images, SigningKey
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.formats import format_of
from edgecnn.edge.manifest import BUNDLE_SUFFIX
from edgecnn.edge.option import Option, checked
from edgecnn.edge.result import SILENT, Progress

if TYPE_CHECKING:
    from edgecnn.benchmarks.bundle.write_bundle import Bundled
    from edgecnn.edge.inference.usage import Target


@checked
def bundle(  # Longer than 50 lines: its arguments and their docs.
    folder: Annotated[
        "Target", Option("A folder with a manifest and exported files.", metavar="DIR", argument=True, kind=Path)
    ] = DEFAULT_FOLDER,
    out: Annotated[
        str | Path | None,
        Option("Bundle to write.", metavar="ZIP", default="the folder's name with .zip, next to the folder", writes=True),
    ] = None,
    *,
    files: Annotated[Sequence[str], Option("File to include.", name="--file", default="all exported files")] = (),
    test_images: Annotated[
        int | None,
        Option("Number of test images to include, spread evenly.", name="--images", default="all"),
    ] = None,
    sign: SigningKey = None,
    data: Data = None,
    images: Images = NO_OPTIONS,
    progress: Progress = SILENT,
) -> "Bundled":
    """Write one file with models, test images and the proof of what they compute, for another machine.

    There, bench, evaluate, predict, serve, summary, verify and doctor accept it in place of a folder.

    Returns:
        The written bundle, with its path, size in bytes and SHA-256.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        ConfigError: If a name or a number does not fit, the bundle can't be written, or the key can't sign it.
        MissingDependency: If a runtime is not installed: its golden outputs can't be computed without it. Or ssh-keygen.
    """
    from edgecnn.benchmarks.bundle.signature import require_key, signature_path
    from edgecnn.benchmarks.bundle.signature import sign as signed
    from edgecnn.benchmarks.bundle.write_bundle import write_bundle
    from edgecnn.edge.files import read_bytes, sha256
    from edgecnn.edge.model_folder import opened

    if sign:
        require_key(Path(sign))
    with opened(folder) as models:
        if not models.is_folder and format_of(models.path):
            raise ConfigError(f"{models.named} is one file: name its folder")
        path = Path(out) if out else bundle_path(models.named)
        if path.suffix.lower() != BUNDLE_SUFFIX:
            raise ConfigError(f"{path} is not a {BUNDLE_SUFFIX} name: a bundle is a zip file")
        test = models.test_images(data, images)
        before = sha256(read_bytes(path)) if path.is_file() else None
        written = write_bundle(path, models, test, tuple(files), test_images=test_images, on_progress=progress.say)
    if sign:
        return replace(written, signature=str(signed(path, Path(sign))))
    if written.sha256 != before:
        signature_path(path).unlink(missing_ok=True)  # Of the earlier bundle.
    return written


def bundle_path(folder: Path) -> Path:
    """Return the default name of a folder's bundle."""
    return folder.parent / f"{folder.name or folder.resolve().name}{BUNDLE_SUFFIX}"

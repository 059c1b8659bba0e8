"""What a user names, opened once and passed on: a folder with a manifest, a bundle, a file in a bundle, or a model file."""

import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.files import read_bytes, sha256, temporary_folder
from edgecnn.edge.formats import format_of
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_file import ModelFile, bundle_of, read_model
from edgecnn.edge.records import to_json, to_value
from edgecnn.edge.result import Result
from edgecnn.edge.runtimes.installed import is_installed, runtimes_of

if TYPE_CHECKING:
    from edgecnn.edge.data.folder_options import FolderOptions
    from edgecnn.edge.data.splits import Split


class ModelFolder(Result):
    """Model files with what is known about them; each is read, hashed and parsed at most once.

    A bundle is checked as a whole and unpacked into a temporary folder. The folder is removed when this object is closed, at
    the end of its `with` block, or when nothing refers to the object any more.

    Attributes:
        named: Path as the caller wrote it.
        path: The folder, or the single model file; for a bundle, the folder where it was unpacked.
        bundle: The bundle, or None.
    """

    def __init__(self, path: str | Path, written: Sequence[str] = (), manifest: Manifest | None = None) -> None:
        """Open a folder with a manifest, a bundle, a model file or a file in a bundle (`mnist.zip/int8.tflite`).

        Args:
            path: What to open.
            written: Names of the files that were just exported, which the text shows. Default: all of them.
            manifest: The folder's, if it was just written. Default: it is read.

        Raises:
            ArtifactError: If a folder has no valid manifest, or a bundle is damaged.
            ConfigError: If a bundle can't be unpacked, or has no such file.
        """
        self.named = Path(path)
        self.bundle = bundle_of(self.named)
        self.written = tuple(written)
        self._read: dict[str, ModelFile] = {}
        self._manifest = manifest
        with ExitStack() as stack:
            if self.bundle is not None:
                from edgecnn.edge.archive import unpack  # noqa: PLC0415 - Only a bundle needs it, and zipfile.

                folder = stack.enter_context(temporary_folder()) / self.bundle.name
                self._manifest = unpack(self.bundle, folder)
                self.path = folder if self.bundle == self.named else folder / self.named.name
                if self.path != folder and self.path.name not in self._in_bundle():
                    raise ConfigError(f"{self.bundle} has no {self.path.name}: it has {', '.join(self._in_bundle())}")
            else:
                self.path = self.named
                if self.is_folder and manifest is None:
                    self._manifest = Manifest.load(self.path)
            self._finalizer = weakref.finalize(self, stack.pop_all().close)

    def __enter__(self) -> "ModelFolder":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ModelFolder {self.named}: {', '.join(self.names)}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as dicts, lists, numbers and text; an empty dict without a manifest."""
        manifest: dict[str, Any] = to_value(self.manifest) if self.manifest else {}
        return manifest

    def to_json(self) -> str:
        """Return the manifest as JSON."""
        return to_json(self.manifest) if self.manifest else "{}\n"

    def close(self) -> None:
        """Remove the folder into which a bundle was unpacked; a second call does nothing."""
        self._finalizer()

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder or a whole bundle, and not one file."""
        if self.bundle is not None:
            return self.bundle == self.named
        return self.path.is_dir() or (format_of(self.path) is None and not self.path.is_file())

    @property
    def folder(self) -> Path:
        """Folder that holds the files."""
        return self.path if self.is_folder else self.path.parent

    @property
    def manifest(self) -> Manifest | None:
        """The manifest that lists the files; None for a file that no manifest lists."""
        return self._manifest if self._manifest or self.is_folder else self.model().manifest

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the model files, in the manifest's order; a bundle holds no Keras model."""
        if self._manifest is None or not self.is_folder:
            return (self.path.name,)
        return self._in_bundle() if self.bundle else tuple(artifact.path for artifact in self._manifest.artifacts)

    def runnable(self) -> tuple[list[str], dict[str, str]]:
        """Return the names of the files that have a runtime here, and the reason for each other file.

        A single file is returned as it is: opening it reports what is missing.

        Raises:
            MissingDependency: If no file of a folder has a runtime here.
        """
        if self._manifest is None or not self.is_folder:
            return [self.path.name], {}
        formats = {artifact.path: artifact.format for artifact in self._manifest.artifacts}
        here = [name for name in self.names if is_installed(formats[name])]
        skipped = {name: f"no runtime for {formats[name]} is installed" for name in self.names if name not in here}
        if not here:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
            packages = dict.fromkeys(runtimes_of(formats[name])[0].package for name in self.names)
            raise MissingDependency(f"{self.named}: {reasons}: {' or '.join(package.command for package in packages)}")
        return here, skipped

    def model(self, name: str | None = None) -> ModelFile:
        """Return the file `name`, or the only one with a runtime here; the first call reads it and checks it by the manifest.

        Raises:
            ArtifactError: As in `edgecnn.edge.model_file.read_model`.
            ConfigError: If there is no such file, or several and none is named.
        """
        if name is None:
            here, _ = self.runnable()
            if len(here) > 1:
                raise ConfigError(f"{self.named} has several files: name one, for example {self.shown(here[-1])}")
            name = here[0]
        if name not in self._read:
            if name not in self.names:
                raise ConfigError(f"{self.named} has no {name}: it has {', '.join(self.names)}")
            self._read[name] = read_model(self.folder / name, self._manifest)
        return self._read[name]

    def program_file(self, file: ProgramFile) -> bytes:
        """Read a file for other programs.

        Raises:
            ArtifactError: If it is missing, not the one that the manifest lists, or made from an earlier model.
        """
        path, manifest = self.folder / file.path, self.manifest
        data = read_bytes(path, fix="export it again")
        if sha256(data) != file.sha256:
            raise ArtifactError(f"{path} was changed after it was exported: export it again")
        if manifest and file.source_sha256 not in {artifact.sha256 for artifact in manifest.artifacts}:
            raise ArtifactError(f"{path} is stale: it was made from an earlier file. Export it again")
        return data

    def shown(self, name: str) -> str:
        """Return the name of a file for results: as the caller would write it."""
        return str(self.named / name if self.is_folder else self.named)

    def test_images(self, data: str | Path | None = None, options: "FolderOptions | None" = None) -> "Split":
        """Load the test images that the manifest records, and check that they are the same.

        Args:
            data: Where the images are now. Default: the bundle, or the place that the manifest records.
            options: How a folder of images is read.

        Raises:
            ConfigError: If no manifest records them, or they are other images.
            ArtifactError: If they can't be loaded.
        """
        from edgecnn.edge.data.folder_options import NO_OPTIONS  # noqa: PLC0415 - A classifier on a device reads no dataset.
        from edgecnn.edge.data.recorded_images import recorded_images  # noqa: PLC0415 - As above.

        manifest = self.manifest
        if manifest is None:
            raise ConfigError(f"{self.named}: {self.model().unverified}: name a file that edgecnn exported")
        return recorded_images(manifest.dataset, data or self.bundle, manifest.class_names, options or NO_OPTIONS)

    def _in_bundle(self) -> tuple[str, ...]:
        # The Keras model is listed as the source of the others.
        return tuple(artifact.path for artifact in self._manifest.exported) if self._manifest else ()


def open_models(path: str | Path) -> ModelFolder:
    """Open a folder with a manifest, a bundle, a model file or a file in a bundle, to pass to several functions.

    Args:
        path: For example `artifacts/mnist`, `mnist.zip`, `mnist.zip/int8.tflite` or `int8.tflite`.

    Returns:
        The files, each read and checked at most once. If it is a bundle, close it or use it in a `with` block.

    Raises:
        ArtifactError: If a folder has no valid manifest, or a bundle is damaged.
        ConfigError: If a bundle can't be unpacked, or has no such file.
    """
    return ModelFolder(path)


def opened(target: str | Path | ModelFolder) -> AbstractContextManager[ModelFolder]:
    """Open what a path names, for a block that closes it; a folder that is already open stays open."""
    return nullcontext(target) if isinstance(target, ModelFolder) else ModelFolder(target)


open = open_models  # Its public name, which would hide Python's in this module.

"""What a command is pointed at: a model file, a folder with a manifest, a bundle, or a file of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import bundle_of, unpacked
from edge.errors import ConfigError, MissingDependency
from edge.manifest import Manifest
from edge.runtimes import is_installed


@dataclass(frozen=True)
class Target:
    """Where the files are.

    Attributes:
        named: As the user wrote it.
        path: A model file, or a folder with a manifest.
        bundle: The bundle that it was unpacked from, or None.
        data: Where the test images are, if not where the manifest says.
    """

    named: Path
    path: Path
    bundle: Path | None
    data: str | Path | None

    @property
    def in_folder(self) -> bool:
        """Whether it is a folder and not one file."""
        return self.path.is_dir()

    def files(self) -> tuple[list[Path], dict[str, str]]:
        """Return the file, or a folder's files that have a runtime here, and why the others have not.

        Raises:
            ArtifactError: If a folder has no good manifest.
            MissingDependency: If none of its files has a runtime here.
        """
        if not self.in_folder:
            return [self.path], {}
        here, skipped = [], {}
        for artifact in Manifest.load(self.path).artifacts:
            if artifact.format == "keras" and self.bundle:
                continue  # Named as what the others came from; no bundle holds it.
            if is_installed(artifact.format):
                here.append(self.path / artifact.path)
            else:
                skipped[artifact.path] = f"no runtime for {artifact.format} is installed"
        if not here:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
            raise MissingDependency(f"{self.named}: {reasons}: pip install 'edgecnn[tflite]' or 'edgecnn[onnx]'")
        return here, skipped

    def name_of(self, file: Path) -> str:
        """Return what results call one of `files`."""
        return str(self.named / file.name if self.in_folder else self.named)

    def one_file(self) -> Path:
        """Return the one file that this is or has.

        Raises:
            ConfigError: If it is several.
        """
        here, _ = self.files()
        if len(here) == 1:
            return here[0]
        raise ConfigError(f"{self.named} has several files: name one, as {self.name_of(here[-1])}")


@contextmanager
def opened(named: Path, data: str | None = None) -> Iterator[Target]:
    """Give what a path stands for; a bundle is checked and unpacked for as long as the block lasts.

    Args:
        named: A model file, a folder, a bundle or, as `mnist.zip/int8.tflite`, a file of one.
        data: Images that the user named instead.

    Raises:
        ArtifactError: If a bundle is not as it must be.
        ConfigError: If it can't be unpacked, or has no such file.
    """
    bundle = bundle_of(named)
    if bundle is None:
        yield Target(named, named, None, data)
        return
    with unpacked(bundle) as folder:
        path = folder if bundle == named else folder / named.name
        models = [artifact.path for artifact in Manifest.load(folder).artifacts if artifact.format != "keras"]
        if path != folder and path.name not in models:
            raise ConfigError(f"{bundle} has no {named.name}: it has {', '.join(models)}")
        yield Target(named, path, bundle, data or bundle)

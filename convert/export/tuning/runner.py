"""What a search measures with, this machine, a board or an emulated core, and the settings that suit its best file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.edge.export_records import Interval, Reference, Setting
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.manifest import REFERENCE_NAME, Artifact, Manifest

Made = tuple[Artifact, bytes]
"""A file's entry in the manifest, and its bytes."""


@contextmanager
def folder_of(manifest: Manifest, record: Reference, reference: bytes, files: Sequence[Made]) -> Iterator[Path]:
    """Write files into a folder that has a manifest and lasts as long as the block.

    Args:
        manifest: Manifest of the export.
        record: Record of Keras's probabilities on the test images.
        reference: File of these probabilities.
        files: The files.
    """
    with temporary_folder() as scratch:
        folder = Path(scratch) / "tuning"
        folder.mkdir()
        for artifact, data in files:
            (folder / artifact.path).write_bytes(data)
        (folder / REFERENCE_NAME).write_bytes(reference)
        entries = (manifest.keras_model(), *(artifact for artifact, _ in files))
        # The files for other programs are not there.
        replace(manifest, artifacts=entries, reference=record, for_programs=()).save(folder)
        yield folder


class Runner(Protocol):
    """Compares files by what one image costs on the machine that they are for."""

    @property
    def unit(self) -> Literal["time", "instructions"]:
        """What it measures."""
        ...

    @property
    def seconds(self) -> float:
        """Longest time of a search for one format."""
        ...

    @property
    def most_files(self) -> int:
        """Largest number of files that a comparison takes, 2 to 33."""
        ...

    @property
    def machine(self) -> str:
        """The machine in words; known after the first comparison."""
        ...

    @property
    def runtime(self) -> str | None:
        """Name of the runtime to tune for; None for the default one of each format."""
        ...

    def compare(self, folder: Path, base: str, *, thorough: bool) -> Mapping[str, Interval]:
        """Return each file's cost divided by that of the file `base`.

        Args:
            folder: A folder with a manifest, whose exported files are measured side by side.
            base: Name of one of them.
            thorough: Measure until intervals are narrow, however busy the machine; else as briefly as a search can use.

        Raises:
            EdgeCnnError: If the machine can't be reached, or a file does not run there.
        """
        ...

    def settings(self, folder: Path, max_drop_points: float) -> Sequence[Setting]:
        """Measure the one exported file of a folder with more threads, and with the runtimes that run it only if named.

        Args:
            folder: As in `compare`; called after it.
            max_drop_points: Percentage points that the file may lose, for the verdicts.

        Returns:
            The settings: one thread of the default runtime, then the others, without runtimes that are missing there.

        Raises:
            EdgeCnnError: As in `compare`.
        """
        ...


@dataclass(frozen=True)
class Tuning:
    """How to tune an export's files.

    Attributes:
        runner: What measures them.
        judge: Decides whether a file is accurate enough.
        seed: Seed of the search.
    """

    runner: Runner
    judge: Judge
    seed: int

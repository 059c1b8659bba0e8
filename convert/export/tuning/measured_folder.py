"""The files of a comparison, in a folder of their own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edgecnn.edge.export_records import Reference
from edgecnn.edge.folder.file_names import REFERENCE_NAME
from edgecnn.edge.manifest import Artifact, Manifest
from edgecnn.edge.temporary import temporary_folder

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

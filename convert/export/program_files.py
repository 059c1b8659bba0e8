"""Writes the files of an export that other programs read, and forgets earlier ones that no longer hold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgecnn.convert.export.config import ExportJob
from edgecnn.convert.integrations import write_files
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import Parity, ProgramFile
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import LABELS_NAME, Manifest
from edgecnn.edge.text import has_controls, printable


def labels_text(class_names: Sequence[str]) -> str:
    """Return the content of a file of class names: each on a line of its own.

    Raises:
        ConfigError: If a name has a line break or another control character, or there are no names.
    """
    for index, name in enumerate(class_names):
        if has_controls(name) or not name.strip():
            told = f"class {index} is named '{printable(name)}'" if name.strip() else f"class {index} has no name"
            raise ConfigError(f"{told}, which is no line of {LABELS_NAME}: give other {field('labels')}, or rename it")
    return "".join(f"{name}\n" for name in class_names)


def program_file(path: Path, source_sha256: str, program: str | None = None, parity: Parity | None = None) -> ProgramFile:
    """Return the record of a written file. The arguments are those of `ProgramFile`."""
    data = path.read_bytes()
    return ProgramFile(path.name, len(data), sha256(data), source_sha256, program, parity)


def write_program_files(folder: Path, manifest: Manifest, job: ExportJob) -> tuple[Manifest, tuple[str, ...]]:
    """Write the labels, and the files of each program that was named.

    Args:
        folder: Folder to write into, which holds the new files.
        manifest: Manifest that lists the models.
        job: The export.

    Returns:
        The manifest that lists these files too, and the names of earlier ones to delete: what they were made from is
        another file now.

    Raises:
        ConfigError: If a class name is no line of text.
        ConversionError: If the model can't be made into what a program takes.
    """
    labels = folder / LABELS_NAME
    text = labels_text(manifest.class_names)
    _require_own(job.folder / LABELS_NAME, text.encode(), manifest)
    labels.write_bytes(text.encode())
    written = [program_file(labels, manifest.keras_model().sha256)]
    for program in job.config.programs():
        job.on_step(f"files for {program.title}")
        written += write_files(program, folder, manifest, job)
    new, sources = {file.path for file in written}, {artifact.sha256 for artifact in manifest.artifacts}
    others = [file for file in manifest.for_programs if file.path not in new]
    gone = tuple(file.path for file in others if file.source_sha256 not in sources)
    for name in gone:
        job.on_step(f"{name} is deleted: it was made from another file than the present one")
    kept = [file for file in others if file.path not in gone]
    return replace(manifest, for_programs=tuple(sorted([*written, *kept], key=lambda file: file.path))), gone


def _require_own(path: Path, data: bytes, manifest: Manifest) -> None:
    """Raise if another file is there that no export wrote."""
    listed = path.name in {file.path for file in manifest.for_programs}
    if not listed and path.exists() and path.read_bytes() != data:
        raise ConfigError(f"{path} is not edgecnn's, and other programs must find the class names there: move it elsewhere")

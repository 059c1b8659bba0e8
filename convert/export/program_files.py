"""What an export says to other programs: inside each file, where its format has a place for it, and in files of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from edgecnn.convert.export.config import ExportConfig, ExportJob
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import Parity, ProgramFile
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import LABELS_NAME, Manifest, Output, Preprocessing
from edgecnn.edge.model.preprocess import Floats, correct
from edgecnn.edge.packages import versions
from edgecnn.edge.records import to_value
from edgecnn.edge.text import counted, has_controls, printable


@dataclass(frozen=True)
class Description:
    """What a file says of itself. It has no time and no path, so that the same file always says the same.

    Attributes:
        name: What the model classifies: the name of its dataset.
        class_names: One for each output.
        preprocessing: How pixels go in.
        output: What comes out.
        source_sha256: SHA-256 of the float model.
        edgecnn: Version of edgecnn.
        images: Number of test images.
        correct: Number of them that this file classifies correctly, before the description was added.
        author: Who made the model; None if nobody said so.
        license: Its licence; None if nobody said so.
        kind: `DatasetRecord.kind`: images that the model may have learned are no test images.
        source: Name of the float model: `Keras`, or the name of a file.
    """

    name: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    output: Output
    source_sha256: str
    edgecnn: str
    images: int
    correct: int
    author: str | None = None
    license: str | None = None
    kind: str = "test image"
    source: str = "Keras"

    def text(self) -> str:
        """Return the description as a sentence or two."""
        source = "a Keras model" if self.source == "Keras" else self.source
        return (
            f"Image classifier ({self.name}), exported by edgecnn {self.edgecnn} from {source} with SHA-256 "
            f"{self.source_sha256}. It is right on {self.correct:,} of {counted(self.images, self.kind)} "
            f"({self.correct / max(1, self.images):.2%})."
        )

    def record(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {
            "version": self.edgecnn,
            "source_sha256": self.source_sha256,
            "labels": list(self.class_names),
            "preprocessing": to_value(self.preprocessing),
            "output": self.output,
            "test_images": self.images,
            "correct": self.correct,
        }


def describe(manifest: Manifest, config: ExportConfig, probabilities: Floats, labels: Labels) -> Description:
    """Return the description of a file that computed these probabilities (n, classes) of the test images."""
    return Description(
        name=manifest.dataset.name,
        class_names=manifest.class_names,
        preprocessing=manifest.preprocessing,
        output=manifest.output,
        source=manifest.source_name,
        source_sha256=manifest.source().sha256,
        edgecnn=versions()["edgecnn"],
        images=len(labels),
        correct=int(correct(probabilities, labels).sum()),
        kind=manifest.dataset.kind,
        author=config.author,
        license=config.license,
    )


def described(data: bytes, model_format: str, description: Description) -> bytes:
    """Return a file with a description, or the file itself if its format has no place for one.

    A format's describer has `described(data, description)`, which returns a file that computes what it did, bit for bit.
    """
    module = FORMATS[model_format].describer
    return cast(bytes, import_module(module).described(data, description)) if module else data


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
    """Write the labels, and the files of each program that was named, into the folder that holds the manifest's new files.

    Returns:
        The manifest that lists these files too, and the names of earlier ones to delete: what they were made from is
        another file now.

    Raises:
        ConfigError: If a class name is no line of text, or another file of labels is there that no export wrote.
        ConversionError: If the model can't be made into what a program takes.
    """
    present, text = job.folder / LABELS_NAME, labels_text(manifest.class_names).encode()
    listed = {file.path for file in manifest.for_programs}
    if LABELS_NAME not in listed and present.exists() and present.read_bytes() != text:
        raise ConfigError(f"{present} is not edgecnn's, and other programs must find the class names there: move it elsewhere")
    (folder / LABELS_NAME).write_bytes(text)
    written = [program_file(folder / LABELS_NAME, manifest.source().sha256)]
    for program in job.config.programs():
        job.on_step(f"files for {program.title}")
        written += import_module(program.module).write(folder, manifest, job)
    new, sources = {file.path for file in written}, {artifact.sha256 for artifact in manifest.artifacts}
    others = [file for file in manifest.for_programs if file.path not in new]
    gone = tuple(file.path for file in others if file.source_sha256 not in sources)
    for name in gone:
        job.on_step(f"{name} is deleted: it was made from another file than the present one")
    kept = [file for file in others if file.path not in gone]
    return replace(manifest, for_programs=tuple(sorted([*written, *kept], key=lambda file: file.path))), gone

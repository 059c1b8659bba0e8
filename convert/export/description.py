"""What a model file says of itself to other programs: written into the file, where its format has a place for it."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from edgecnn.convert.export.config import ExportConfig
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import Manifest, Output, Preprocessing
from edgecnn.edge.model.preprocess import Floats, correct
from edgecnn.edge.packages import versions
from edgecnn.edge.records import to_value


@dataclass(frozen=True)
class Description:
    """What a file says of itself. It has no time and no path, so that the same file always says the same.

    Attributes:
        name: What the model classifies: the name of its dataset.
        class_names: One for each output.
        preprocessing: How pixels go in.
        output: What comes out.
        source_sha256: SHA-256 of the .keras file.
        edgecnn: Version of edgecnn.
        images: Number of test images.
        correct: Number of them that this file classifies correctly, before the description was added.
        author: Who made the model; None if nobody said so.
        license: Its licence; None if nobody said so.
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

    def text(self) -> str:
        """Return the description as a sentence or two."""
        return (
            f"Image classifier ({self.name}), exported by edgecnn {self.edgecnn} from a Keras model with SHA-256 "
            f"{self.source_sha256}. It is right on {self.correct:,} of {self.images:,} test images "
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
        source_sha256=manifest.keras_model().sha256,
        edgecnn=versions()["edgecnn"],
        images=len(labels),
        correct=int(correct(probabilities, labels).sum()),
        author=config.author,
        license=config.license,
    )


class Describer(Protocol):
    """Writes a description into a file of one format."""

    def __call__(self, data: bytes, description: Description) -> bytes:
        """Return the file with the description; it computes what it did, bit for bit."""
        ...


def described(data: bytes, model_format: str, description: Description) -> bytes:
    """Return a file with a description, or the file itself if its format has no place for one."""
    module: Any = FORMATS[model_format].describer
    return cast(Describer, import_module(module).described)(data, description) if module else data

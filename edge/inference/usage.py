"""A caller's statements about models and images, and opening models with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions, read_labels
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import Interface, agreed, as_interface, formula, interface_of, stated_interface
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.text import counted

if TYPE_CHECKING:
    from edgecnn.edge.data.splits import Split

Target = str | Path | ModelFolder
"""A folder with a manifest, a bundle, a file in it (`mnist.zip/int8.tflite`), a model file, or a result of `edgecnn.open`."""


@dataclass(frozen=True)
class Usage:
    """How models are run, and on which images.

    Attributes:
        data: The images, as in `edgecnn.load_dataset`; None for those in the manifest.
        images: How image files are fitted to the model, and the class names.
        interface: Preprocessing and output of a file without a manifest: an `Interface`, or a name in `SCHEMES`.
        trust: Names of Python modules that define a Keras model's own layers. Their code runs.
        signature: Name of the signature to run, if a TFLite file has several.
        threads: Number of threads of the runtime.
    """

    data: str | Path | None = None
    images: FolderOptions = NO_OPTIONS
    interface: Interface | str | None = None
    trust: Sequence[str] = ()
    signature: str | None = None
    threads: int = 1

    def opener(self, name: str) -> Opener:
        """Return the opener of a runtime, or of a format's default runtime."""
        return opener_for(name, tuple(self.trust))

    def said_interface(self) -> Interface | None:
        """Return the statements about files without a manifest, with the class names of `images.labels`; None without any.

        Raises:
            ConfigError: If the scheme is unknown, or the labels can't be read.
        """
        said = as_interface(self.interface, self.images.fit or "letterbox")
        if said is None or said.class_names or self.images.labels is None:
            return said
        return replace(said, class_names=read_labels(self.images.labels))

    def interface_for(self, model: ModelFile, progress: Progress = SILENT) -> Interface | None:
        """Return the statements about a file, or else what its layers say beyond doubt, of which `progress` gets a line.

        Raises:
            ConfigError: As in `said_interface`, and if they contradict each other.
            ArtifactError: If the file is damaged.
        """
        said, stated = self.said_interface(), stated_interface(model)
        if said is not None or stated is None:
            return agreed(stated, said, model)
        names = read_labels(self.images.labels) if self.images.labels else stated.class_names
        taken = replace(stated.preprocessing, fit=self.images.fit or stated.preprocessing.fit)
        progress.say(f"{model.path}: pixels go in as {formula(taken)}, {taken.fit}, as its layers say")
        return replace(stated, preprocessing=taken, class_names=names)

    def classifier(self, model: ModelFile, others: Sequence[ModelFile] = ()) -> Classifier:
        """Open a model file. `interface` may be meant for one of the `others` instead.

        Raises:
            ConfigError: As in `Classifier.load`, and if labels are named that are not the manifest's.
        """
        interface = self.interface_for(model)
        if model.manifest and any(other.manifest is None for other in others):
            interface = None
        # Missing settings are reported before a runtime's import, which takes seconds for Keras.
        interface_of(model, interface)
        classifier = Classifier(model, self.opener(model.format).open_file(model, self.threads, self.signature), interface)
        if self.images.labels and model.manifest:
            own, said = classifier.class_names, read_labels(self.images.labels)
            # A model with class numbers was trained on arrays, but a folder's classes may have names.
            if said != own and own != tuple(map(str, range(len(own)))):
                few = ", ".join(own[:3])
                raise ConfigError(
                    f"{self.images.labels} contradicts the classes of {model.path} ({few}, ...): omit {field('labels')}"
                )
            if len(said) != len(own):
                many = f"{len(own)} classes, not {counted(said, 'name')}"
                raise ConfigError(f"{model.path} has {many}: give {field('labels')}, one name per line")
            classifier.class_names = said
        return classifier

    def test_images(self, models: ModelFolder, name: str, classifier: Classifier, progress: Progress = SILENT) -> "Split":
        """Return the model's own test images, or those of `data`, and check that they have the model's shape.

        `classifier` is a file of `models`, which messages call `name`. `progress` receives the search for near-duplicates.

        Raises:
            ConfigError: If the images have another shape, are unknown, or are not the model's own although none were named.
            ArtifactError: If they can't be loaded.
        """
        # Imported late, since predicting image files needs no dataset.
        from edgecnn.edge.inference.model_test_images import model_test_images  # noqa: PLC0415

        return model_test_images(name, classifier, self.data or models.bundle, self.images, progress)


def reservations(classifier: Classifier) -> tuple[str, ...]:
    """Return notes that a reader of a result must know: doubts about the file's use, and why it is unverified."""
    lines = [f"doubtful: {doubt}" for doubt in classifier.doubts]
    if classifier.unverified is not None:
        lines.append(f"unverified: {classifier.unverified}; pixels go in as {formula(classifier.preprocessing)}")
    return tuple(lines)

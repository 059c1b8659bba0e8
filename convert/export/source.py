"""The float model that an export is made of: a Keras model, or a float .tflite or .onnx file from elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from edgecnn.edge.compatibility.requirements import narrow_numbers
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.sandbox.unverified import run_in_child


def read_source(path: Path, trust: tuple[str, ...], on_step: Callable[[str], None]) -> ModelFile:
    """Read the float model that is to be exported.

    What its format's importer makes of a file from elsewhere has its bytes: an .onnx file gets the weights that it keeps in
    others beside it, a file of Keras 2 becomes one of Keras 3, with the modules in `trust`. `on_step` gets a line for each
    change.

    Raises:
        ArtifactError: As in `read_model`, and if it can't be imported.
        ConfigError: If it is not a float model, but made of one.
    """
    model = read_model(path)
    if model.artifact and model.artifact.exported and model.manifest:
        source = path.parent / model.manifest.source().path
        raise ConfigError(f"{path} is already exported: name the model that it was made of, {source}")
    row = FORMATS[model.format]
    if model.format in row.sources or not row.on_device:
        try:
            narrow = narrow_numbers(model.data, model.format)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error.marked}") from error
        if narrow:
            raise ConfigError(
                f"{path} is already quantized (it has numbers in {narrow}), and what that lost can't be won back: name the "
                "float32 file that it was made of"
            )
        if row.importer and model.manifest is None:
            call = partial(import_module(row.importer).imported, model.data, path, trust)
            data, changes = run_in_child(call, str(path), len(model.data))
            for change in changes:
                on_step(f"{path}: {change}")
            model = replace(model, data=data)
        return model
    sources = " or ".join(name for name, other in FORMATS.items() if name in other.sources or not other.on_device)
    raise ConfigError(f"{path} can't be exported, since no other format is made of {row.title}: name a {sources} file")


def open_source(model: ModelFile, trust: tuple[str, ...]) -> LoadedModel:
    """Open the float model with its format's runtime. Errors are those of `Opener.open_file`.

    Raises:
        ConfigError: If modules are trusted for a file that has no code.
    """
    if trust and not FORMATS[model.format].trusted:
        raise ConfigError(f"{model.path} has no layers of its own: omit {field('trust')}")
    return opener_for(model.format, trust).open_file(model, 1)

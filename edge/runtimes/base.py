"""The contract that every runtime meets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError
from edge.manifest import TensorSpec
from edge.model_file import ModelFile

# More is a slip of the finger: a runtime starts them all, and hundreds make a small board stand still.
MOST_THREADS = 64


class Runtime(Protocol):
    """An opened model with one input and one output, of any shape.

    Attributes:
        name: The package that runs it, as installed.
        version: That package's version.
        input_spec: The input.
        output_spec: The output.
    """

    name: str
    version: str
    input_spec: TensorSpec
    output_spec: TensorSpec

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return the raw output, a fresh array each time.

        Args:
            batch: In the input's own dtype and full shape, with as many images as the file takes in one call.
        """
        ...


class OpenModel(Protocol):
    """Opens a model's bytes. `signature` names one of several in a TFLite file."""

    def __call__(self, data: bytes, threads: int, signature: str | None = None) -> Runtime:
        """Return the opened model. Raises ArtifactError for bytes that the runtime refuses, ConfigError for `signature`."""
        ...


@dataclass(frozen=True)
class Opener:
    """How to open a format. Module-level functions or classes, so that it can be sent to a child process.

    Attributes:
        import_library: Imports the package, so that its cost can be told from the model's. Raises MissingDependency.
        open_model: (model bytes, threads, signature) -> Runtime.
    """

    import_library: Callable[[], None]
    open_model: OpenModel

    def open_file(self, model: ModelFile, threads: int, signature: str | None = None) -> Runtime:
        """Open a model file, naming it in any error.

        Raises:
            ConfigError: If `threads` is not 1 to 64, or the file has not this signature or several and none is named.
            ArtifactError: If the runtime refuses the file.
            MissingDependency: If the runtime is not installed.
        """
        if not 1 <= threads <= MOST_THREADS:
            raise ConfigError(f"--threads must be 1 to {MOST_THREADS}, got {threads}")
        try:
            return self.open_model(model.data, threads, signature)
        except (ArtifactError, ConfigError) as error:
            raise type(error)(f"{model.path}: {error}") from error


def require_one_each(title: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse a model that has not one input and one output.

    Raises:
        ArtifactError: Naming them.
    """
    if len(inputs) != 1 or len(outputs) != 1:
        raise ArtifactError(
            f"the {title} model has {len(inputs)} inputs ({', '.join(inputs)}) and {len(outputs)} outputs "
            f"({', '.join(outputs)}): give one with one each"
        )

"""The contract that every runtime meets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError
from edge.manifest import TensorSpec
from edge.model_file import ModelFile

# More is a slip of the finger: a runtime starts them all, and hundreds make a small board stand still.
MOST_THREADS = 64


class Runtime(Protocol):
    """An opened model with one input and one output.

    Attributes:
        name: The package that runs it, as installed.
        version: That package's version.
        input_spec: The image input.
        output_spec: The class output.
    """

    name: str
    version: str
    input_spec: TensorSpec
    output_spec: TensorSpec

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return the raw output for a batch in the input's own dtype, shape (n, h, w, c); a fresh array each time."""
        ...


@dataclass(frozen=True)
class Opener:
    """How to open a format. Module-level functions or classes, so that it can be sent to a child process.

    Attributes:
        import_library: Imports the package, so that its cost can be told from the model's. Raises MissingDependency.
        open_model: (model bytes, threads) -> Runtime. Raises ArtifactError for bytes that the runtime refuses.
    """

    import_library: Callable[[], None]
    open_model: Callable[[bytes, int], Runtime]

    def open_file(self, model: ModelFile, threads: int) -> Runtime:
        """Open a model file, naming it in any error.

        Raises:
            ConfigError: If `threads` is not 1 to 64.
            ArtifactError: If the runtime refuses the file.
            MissingDependency: If the runtime is not installed.
        """
        if not 1 <= threads <= MOST_THREADS:
            raise ConfigError(f"--threads must be 1 to {MOST_THREADS}, got {threads}")
        try:
            return self.open_model(model.data, threads)
        except ArtifactError as error:
            raise ArtifactError(f"{model.path}: {error}") from error

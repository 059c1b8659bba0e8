"""The contract that every runtime meets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edge.manifest import TensorSpec


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
    """How to open a format. Module-level functions, so that it can be sent to a child process.

    Attributes:
        import_library: Imports the package, so that its cost can be told from the model's. Raises MissingDependency.
        open_model: (model bytes, threads) -> Runtime. Raises ArtifactError for bytes that the runtime refuses.
    """

    import_library: Callable[[], None]
    open_model: Callable[[bytes, int], Runtime]

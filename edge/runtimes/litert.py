"""TFLite files through ai-edge-litert."""

from edgecnn.edge.runtimes.tflite_interpreter import InterpretedModel, library


def import_library() -> None:
    """Import the package.

    Raises:
        MissingDependency: If it is not installed.
    """
    library("litert")


def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> InterpretedModel:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`."""
    return InterpretedModel(library("litert"), data, threads, signature, streaming)

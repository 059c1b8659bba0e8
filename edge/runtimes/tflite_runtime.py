"""TFLite files through tflite-runtime, the predecessor of ai-edge-litert and the only one for 32-bit ARM."""

from typing import Any

import numpy as np

from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.runtimes.base import imported
from edgecnn.edge.runtimes.litert import InterpretedModel


def import_library() -> tuple[str, Any]:
    """Import tflite-runtime. See `edgecnn.edge.runtimes.base.imported`."""
    return imported("tflite-runtime")


def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> InterpretedModel:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`.

    Raises:
        MissingDependency: Also if numpy 2 is installed, which it does not support.
    """
    try:
        return InterpretedModel("tflite-runtime", data, threads, signature, streaming)
    except (AttributeError, SystemError) as error:
        # Its extension looks for numpy 1's _ARRAY_API. Any other cause of these errors keeps its traceback.
        if np.lib.NumpyVersion(np.__version__) < "2.0.0":
            raise
        version, _ = import_library()
        raise MissingDependency(
            f"tflite-runtime {version} is built for numpy 1, but numpy {np.__version__} is installed: pip install 'numpy<2'"
        ) from error

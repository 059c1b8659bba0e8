"""What executes a model file: one module per runtime, imported only when a file needs it."""

from functools import partial
from importlib import import_module

from edgecnn.edge.formats import FORMATS
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.runtimes.installed import installed_runtime


def opener_for(name: str, trust: tuple[str, ...] = ()) -> Opener:
    """Return the opener of a runtime; it can be sent to a child process.

    Args:
        name: Name of a runtime (`litert`), or of a format (`tflite`) for its default: its first installed runtime.
        trust: Names of Python modules that define a model's own layers, if its format may need any. Their code runs.

    Raises:
        ConfigError: If there is no such runtime or format.
        MissingDependency: If it is not installed.
    """
    row = installed_runtime(name)
    module = import_module(row.module)
    trusting = trust and any(FORMATS[model_format].trusted for model_format in row.formats)
    open_model = partial(module.open_model, trust=trust) if trusting else module.open_model
    return Opener(module.import_library, open_model, row)

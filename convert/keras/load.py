"""Imports TensorFlow and Keras late and quietly, and modules that a user names, which run with the user's rights."""

import importlib
import io
import json
import logging
import os
import platform
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from edgecnn.edge.errors import ConfigError, MissingDependency, field, parsing, why
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import install_command


def import_named(name: str, option: str) -> ModuleType:
    """Import a module of the working directory or of Python's path; `option` is what the user typed, for messages.

    Raises:
        ConfigError: If there is no such module, or its code raises.
    """
    try:
        with working_directory():
            return importlib.import_module(name)
    except Exception as error:  # The module's code may raise anything.
        # A missing module that it imports is another error.
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{option}: no module {name} in {Path.cwd()} or on Python's path: write it as in "
                f"`import {name.removesuffix('.py')}`"
            ) from error
        reason = why(error, named=True)
        raise ConfigError(f"{option}: importing {name} fails ({reason}): fix the module") from error


@contextmanager
def working_directory() -> Iterator[None]:
    """Put the working directory first on Python's path, as `python -m` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def custom_objects(trust: tuple[str, ...]) -> dict[str, Any]:
    """Return the classes and functions of the trusted modules by name, for Keras. Errors are those of `import_named`."""
    found: dict[str, Any] = {}
    for name in trust:
        package = name.partition(".")[0]
        for key, value in vars(import_named(name, f"{field('trust')}={name}")).items():
            # A module's own names exclude what it imports, which may be all of Keras.
            if callable(value) and str(getattr(value, "__module__", "")).partition(".")[0] == package:
                found[key] = value
    return found


_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


@cache  # Batches are prepared in a thread, which must not hold back what the others write.
def load_tensorflow() -> Any:
    """Import TensorFlow without its start-up notices, and return the module.

    Raises:
        MissingDependency: If TensorFlow is not installed.
    """
    # Errors stay; notices and warnings from C++ (one of them after every Ctrl-C) don't help a user.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with quiet(), _without_matplotlib():
            import tensorflow

            # The device search prints too, at its first use.
            tensorflow.config.list_physical_devices()
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise MissingDependency(f"TensorFlow is not installed. On the workstation: {install_command('train')}") from error
    logging.getLogger("tensorflow").addFilter(_is_news)
    return tensorflow


@contextmanager
def kernels_to_train() -> Iterator[None]:
    """Have TensorFlow take oneDNN's kernels on x86-64, whoever imports it in the block first: a user's module, or Keras.

    TensorFlow takes them by itself on CPUs with AVX512_VNNI, AVX512_BF16 or AMX. On others training takes down to half
    the time with them (docs/explanation/training.md), but a single image takes longer, so commands that don't train leave the
    choice to TensorFlow. It is made at the import: if TensorFlow is imported already, or the user sets the variable, this
    changes nothing. Child processes that start later, such as those that measure a .keras file, choose for themselves.
    """
    if _ONEDNN in os.environ or "tensorflow" in sys.modules or platform.machine() not in ("x86_64", "AMD64"):
        yield
        return
    os.environ[_ONEDNN] = "1"
    try:
        yield
    finally:
        del os.environ[_ONEDNN]


def kernels_of_training() -> dict[str, str]:
    """Return the environment that gives another process the kernels that a training in this one has: these round otherwise."""
    with kernels_to_train():
        if "tensorflow" not in sys.modules:
            return {name: value for name, value in os.environ.items() if name == _ONEDNN}
    from tensorflow.python.util import _pywrap_util_port as port

    return {_ONEDNN: str(int(port.IsMklEnabled()))}


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out that functions are traced often, and where the files were that a conversion has deleted again.

    Each network of a sweep has a step of its own. A notebook shows both in red.
    """
    return not any(text in record.getMessage() for text in ("triggered tf.function retracing", "Assets written to"))


@contextmanager
def _without_matplotlib() -> Iterator[None]:
    """Hide matplotlib from Keras, which imports it for pictures of its own: a seventh of TensorFlow's start.

    Keras takes it for missing, and its functions that draw say so. Without a home folder, each process that imports
    matplotlib makes a folder in TMPDIR, which a child that ends without Python's shutdown would leave.
    """
    name = "matplotlib"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # An import of it then raises ModuleNotFoundError.
    try:
        yield
    finally:
        del sys.modules[name]


def load_keras() -> Any:
    """Import Keras on TensorFlow and return the module. Errors are those of `load_tensorflow`."""
    load_tensorflow()
    import keras

    return keras


@contextmanager
def functions_inlined() -> Iterator[None]:
    """Trace what is called in the block without functions of its own: Keras's grouped convolution is one."""
    config = load_tensorflow().config
    before = config.functions_run_eagerly()
    config.run_functions_eagerly(True)
    try:
        yield
    finally:
        config.run_functions_eagerly(before)


CONVERTED = "converted_from"
"""Where the metadata of a .keras file made of another file says which Keras wrote that, and its SHA-256."""


def saved_with(data: bytes) -> dict[str, str]:
    """Return the package and version that wrote a .keras file, or the file that it was made of.

    Raises:
        ArtifactError: If it can't be read.
    """
    with parsing("the .keras file can't be read", "save it again"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        metadata = json.loads(archive.read("metadata.json"))
        return {"keras": str(metadata.get(CONVERTED, metadata)["keras_version"])}

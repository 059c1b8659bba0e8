"""The contract that every runtime meets: its module has `open_model`, an `OpenModel`, and `import_library`."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from numbers import Integral
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency, field, why
from edgecnn.edge.formats import MOST_THREADS, RUNTIMES, Runtime
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.layout import has_batch
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.sandbox.unverified import lacks_memory, remember_tried, run_in_child, was_made, was_tried
from edgecnn.edge.text import counted, last_line, printable

# Limit for one image or its output: a colour image of 4,700 x 4,700 pixels, 256 MiB in float32.
_MOST_NUMBERS = 2**26
# What one call of a file with a free batch gets at most: enough for its fixed cost to vanish, and cheap to try.
_CALL_IMAGES = 32
_CALL_BYTES = 2**22


class LoadedModel(Protocol):
    """An opened model with one input and one output, of any shape.

    Attributes:
        name: Package that runs it, as installed.
        version: Version of that package.
        input_spec: The input.
        output_spec: The output.
    """

    name: str
    version: str
    input_spec: TensorSpec
    output_spec: TensorSpec

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return the raw output, a new array each time. A run never sees the state of an earlier one, unless it streams.

        A batch has images in the input's dtype and full shape, as many as the file takes in one call.
        """
        ...


class OpenModel(Protocol):
    """Opens a model's bytes. `signature` names one of several in a TFLite file; `streaming` keeps state between runs."""

    def __call__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> LoadedModel:
        """Return the opened model.

        Raises:
            MissingDependency: If the runtime is not installed.
            ArtifactError: If the runtime refuses the bytes, or can't reset the state that they keep.
            ConfigError: If `signature` does not fit, or `streaming` for a file that keeps no state.
        """
        ...


class Opener(NamedTuple):
    """How to open files with a runtime. Its functions are module-level, so that it can be sent to a child process.

    Attributes:
        import_library: Imports the package, so that its cost can be separated from the model's. Raises MissingDependency. What
            it returns is for its own module.
        open_model: Function from (model bytes, threads, signature, streaming) to LoadedModel.
        runtime: Its row in `edgecnn.edge.formats`; None for a runtime that is in no table.
    """

    import_library: Callable[[], object]
    open_model: OpenModel
    runtime: Runtime | None = None

    def open_file(
        self, model: ModelFile, threads: int, signature: str | None = None, streaming: bool = False, trusted: bool = False
    ) -> LoadedModel:
        """Open a model file, naming it in any error.

        A file may crash a runtime's native code or keep it busy for ever. So a file that is new on this machine is first
        opened and run in a child process with limits on memory and time: once per signature and release.

        Args:
            model: The file.
            threads: Number of threads of the runtime.
            signature: Name of the signature to run, if a TFLite file has several.
            streaming: Keep a TFLite file's state between runs.
            trusted: Open the file at once; for your own files.

        Raises:
            ConfigError: If `threads` is not 1 to 64, the file lacks this signature or has several and none is named, or
                `streaming` is set and it keeps no state.
            ArtifactError: If the runtime refuses the file or can't reset its state, the child did not survive the file, or
                its input or output is too large.
            MissingDependency: If the runtime is not installed.
        """
        if not isinstance(threads, Integral) or not 1 <= threads <= MOST_THREADS:
            raise ConfigError(f"{field('threads')} must be 1 to {MOST_THREADS}, got {threads!r}")
        if not trusted:
            self.try_first(model, threads, signature, streaming)
        try:
            return _bounded(self.open_model(model.data, threads, signature, streaming))
        except (ArtifactError, ConfigError) as error:
            raise type(error)(f"{model.path}: {error.marked}") from error

    def try_first(self, model: ModelFile, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        """Open a file and run it in a child process, unless that was done before. Errors are those of `open_file`.

        A file that was made here ran in its own format's runtimes then, but never in one that only runs it if named.
        """
        how = f"{self._ran_by()} {signature or ''} {'streaming' if streaming else ''}"
        ran_here = not (self.runtime and self.runtime.by_name) and was_made(model.data)
        if not ran_here and not was_tried(model.data, how):
            open_trusted = partial(self.open_file, model, threads, signature, streaming, trusted=True)
            run_in_child(partial(_run_trial, open_trusted, str(model.path)), str(model.path), len(model.data))
            remember_tried(model.data, how)

    def _ran_by(self) -> str:
        """Return the runtime and its release without importing it."""
        if self.runtime is None:
            return str(self.open_model)
        package = self.runtime.package.name
        return f"{self.runtime.name} {package} {installed_version(package)}"


def _bounded(runtime: LoadedModel) -> LoadedModel:
    for spec, what in ((runtime.input_spec, "takes"), (runtime.output_spec, "gives")):
        numbers = math.prod(size or 1 for size in spec.shape)
        if numbers > _MOST_NUMBERS:
            raise ArtifactError(f"it {what} {numbers:,} numbers at once, more than {_MOST_NUMBERS:,}: use a smaller model")
    return runtime


def most_images(image_bytes: int) -> int:
    """Return how many images one call of a file with a free batch gets at most, by the size of one as its input: 1 to 32."""
    return min(_CALL_IMAGES, max(1, _CALL_BYTES // max(1, image_bytes)))


def _run_trial(open_trusted: Callable[[], LoadedModel], origin: str) -> None:
    """Open a file, and run it on zeros and on noise, as many images at a time as it will get at most.

    What an operator does may depend on its numbers and on how many there are: a loop may end for zeros alone, and memory grow
    with the cube of the batch.

    Raises:
        ArtifactError: If the runtime refuses the file, can't run it on zeros, or needs more memory than there is.
    """
    runtime = open_trusted()
    shape = list(runtime.input_spec.shape)
    if has_batch(runtime.input_spec.shape) and shape[0] is None:
        item = math.prod(size or 1 for size in shape[1:])
        shape[0] = most_images(item * np.dtype(runtime.input_spec.dtype).itemsize)
    if None in shape:
        return  # A size that nobody knows yet: whoever runs it has to say.
    sizes = [size or 0 for size in shape]
    try:
        runtime.run(np.zeros(sizes, runtime.input_spec.dtype))
    except Exception as error:  # Each runtime has errors of its own, with no common base class but this one.
        raise _cannot_run(origin, runtime, error) from error
    for noise in _noises(runtime.input_spec, sizes):
        try:
            runtime.run(noise)
        except Exception as error:
            # Numbers may mean something, as of words: what noise makes a runtime refuse does no harm.
            if lacks_memory(error):
                raise _cannot_run(origin, runtime, error) from error


def _cannot_run(origin: str, runtime: LoadedModel, error: Exception) -> ArtifactError:
    fix = "copy it again, or convert it again for this runtime"
    return ArtifactError(f"{origin}: {runtime.name} can't run it ({why(error, 200)}): {fix}")


def _noises(spec: TensorSpec, sizes: list[int]) -> Iterator[NDArray[Any]]:
    """Yield two inputs, the same each time: of floats the ranges that pixels are scaled to, of others all that there are."""
    dtype = np.dtype(spec.dtype)
    for seed, (low, high) in enumerate(((-1, 1), (0, 255))):
        rng = np.random.default_rng(seed)
        if dtype.kind == "f":
            yield rng.uniform(low, high, sizes).astype(dtype)
        elif dtype.kind in "iu":
            yield rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, sizes, dtype, endpoint=True)
        elif dtype.kind == "b":
            yield rng.integers(0, 2, sizes).astype(dtype)


def imported(name: str) -> tuple[str, Any]:
    """Import a runtime's package.

    Args:
        name: Name of the runtime.

    Returns:
        The package's version, and the module.

    Raises:
        MissingDependency: If it is not installed, or can't be imported here.
    """
    package = RUNTIMES[name].package
    try:
        module = import_module(package.module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package.module.partition(".")[0]:
            raise package.missing from error
        raise MissingDependency(
            f"{package.name} is installed, but can't be imported here ({last_line(str(error))}): edgecnn doctor says more"
        ) from error
    return _version(package.name), module


def installed_version(package: str) -> str:
    """Return a package's version without importing it; "" if it is not installed, which the import will report."""
    try:
        return _version(package)
    except ModuleNotFoundError:  # PackageNotFoundError is one.
        return ""


@cache  # Looking up a version takes milliseconds, which would count as loading the model.
def _version(package: str) -> str:
    """Return what `importlib.metadata.version` does, mostly without importing it: that takes longer than opening a model.

    A wheel's version is in the name of the folder next to its package:
    https://packaging.python.org/specifications/recording-installed-packages.
    """
    start, end = f"{package.replace('-', '_')}-", ".dist-info"
    for place in sys.path:
        with suppress(OSError):
            names = os.listdir(place)  # noqa: PTH208 - To make a Path of each of hundreds takes longer.
            found = [name for name in names if name.startswith(start) and name.endswith(end)]
            if len(found) == 1:
                return found[0].removeprefix(start).removesuffix(end)
    installed: str = import_module("importlib.metadata").version(package)
    return installed


def require_one_each(title: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Raise unless a model has one input and one output.

    Raises:
        ArtifactError: If it has others; the message names them.
    """
    if len(inputs) != 1 or len(outputs) != 1:
        raise ArtifactError(
            f"the {title} model has {counted(inputs, 'input')} ({', '.join(inputs)}) and {counted(outputs, 'output')} "
            f"({', '.join(outputs)}): give a model with one input and one output"
        )


def refuse_signature_and_state(what: str, signature: str | None, streaming: bool) -> None:
    """Raise a ConfigError if a signature is named or streaming is set, for files without, which it calls `an ONNX model`."""
    if signature is not None:
        raise ConfigError(f"{what} has no signatures: omit {field('signature')}")
    if streaming:
        raise ConfigError(f"{what} keeps no state between runs: omit streaming")


def refuse_random(title: str, operators: Sequence[str]) -> None:
    """Raise if a model has operators that draw random numbers.

    Raises:
        ArtifactError: If there is such an operator: a model that answers differently each time can't be judged.
    """
    if operators:
        raise ArtifactError(
            f"the {title} model draws random numbers ({', '.join(map(printable, operators))}), so an image gets another "
            "answer each time: convert it in inference mode, without these operators"
        )

"""What a float .onnx file is made of: a Keras model, or an .onnx or .tflite file from elsewhere; and what makes it."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.compatibility.onnx import external_names
from edgecnn.edge.errors import ArtifactError, ConversionError, MissingDependency, parsing, why
from edgecnn.edge.files import libraries_folder
from edgecnn.edge.manifest import OnnxConversion
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import install_command
from edgecnn.edge.runtimes import onnxruntime as ort
from edgecnn.edge.sandbox.unverified import run_in_child

OPSET = 17
"""Opset of files without a target: ONNX Runtime 1.12 and later run it, and it has layer normalisation as one operator."""


@dataclass(frozen=True)
class KerasSource:
    """A Keras image classifier that becomes float32 ONNX with a free batch. Its input is `image`.

    Attributes:
        model: The Keras model.
        shape: Shape of one image, without the batch.
        dtype: numpy's name of the model's input type, for example float32 or uint8.
        output: Name for the output: `probabilities` or `logits`.
        opset: Opset of ai.onnx, at least 13, the first with per-channel scales in QuantizeLinear.
        channels_first: Whether the input becomes (n, channels, height, width), from (n, height, width, channels).
    """

    model: Any
    shape: tuple[int, ...]
    dtype: str
    output: str
    opset: int = OPSET
    channels_first: bool = False


class OnnxMade(NamedTuple):
    """An .onnx file, and how it was made."""

    data: bytes
    conversion: OnnxConversion


# The first opset with per-channel scales in QuantizeLinear.
_LEAST_OPSET = 13
# The first opset of which ONNX Runtime has all operators.
_LEAST_RUN = 7
_AXES = 4  # Of a batch of images.


def imported(data: bytes, path: Path, trust: tuple[str, ...] = ()) -> tuple[bytes, tuple[str, ...]]:
    """Return an .onnx file as an export needs it, and what was changed, one clause each.

    Weights that PyTorch's exporter keeps in other files, which must be plain ones beside `path`, are put inside. A file of an
    opset before 7 becomes one of a later opset, and one of several images at a time becomes one of any number, if it can. See
    `edgecnn.convert.export.source`.

    Raises:
        ArtifactError: If such a file is elsewhere or missing, or has too few bytes.
        MissingDependency: If onnx is not installed.
    """
    with parsing(f"{path} can't be read as an ONNX model", "copy it again"):
        names = external_names(data)
    for name in names:
        beside = path.parent / name
        if name != Path(name).name or beside.is_symlink() or not beside.is_file():
            raise ArtifactError(
                f"{path} keeps its weights in {name}, which is no file beside it: copy both into one folder, or write the "
                "model whole with onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
            )
    changes = []
    if names:
        data = _made(lambda onnx: onnx.load(str(path)), f"read {path} and {', '.join(names)}")
        changes.append(f"its weights in {', '.join(names)} are put inside")
    with suppress(Exception):  # What opens the file says what is wrong with it.
        import onnx

        model = onnx.load_from_string(data)
        if (opset := _opset(model)) < _LEAST_RUN:
            model = _raised(model, _LEAST_OPSET)
            data = bytes(model.SerializeToString())
            changes.append(f"ONNX Runtime can't run its opset {opset}, so it is raised to {_LEAST_OPSET}")
        if whole := _of_any_batch(model, data):
            data = whole
            changes.append("it takes several images at a time, and is made to take any number: its answers stay the same")
    return data, tuple(changes)


def _opset(model: Any) -> int:
    return min(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _raised(model: Any, opset: int) -> Any:
    from onnx import version_converter

    return version_converter.convert_version(model, opset)


def _of_any_batch(model: Any, data: bytes) -> bytes | None:
    """Return a model that takes several images at a time, no more and no less, as a file that takes any number.

    So PyTorch writes a model with its example's batch. None if there is no such batch, or if the answers to as many pictures of
    noise, one at a time, are not those of `data`, the model's file.
    """
    import onnx

    graph = model.graph
    (entry,), (output,) = _entries(graph), graph.output
    sizes, columns = (value.type.tensor_type.shape.dim for value in (entry, output))
    count = sizes[0].dim_value
    if len(sizes) != _AXES or count < 2 or columns[0].dim_value != count:
        return None
    shape = [size.dim_value for size in sizes]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    images = np.random.default_rng(0).uniform(0, 1 if dtype.kind == "f" else 256, shape).astype(dtype)
    expected = _answers(data, entry.name, [images])
    for first in (sizes[0], columns[0]):
        first.dim_param = "batch"
    del graph.value_info[:]
    constants = {value.name: value for value in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for name in {node.input[1] for node in graph.node if node.op_type == "Reshape" and node.input[1] in constants}:
        to = onnx.numpy_helper.to_array(constants[name]).copy()
        if to[0] == count:
            to[0] = 0  # As many as come in.
            constants[name].CopyFrom(onnx.numpy_helper.from_array(to, constants[name].name))
    found = bytes(model.SerializeToString())
    same = np.allclose(_answers(found, entry.name, images[:, np.newaxis]), expected, rtol=1e-4, atol=1e-5)
    return found if same else None


def _answers(data: bytes, entry: str, calls: Iterable[NDArray[Any]]) -> NDArray[Any]:
    session = ort.inference_session(data, ort.session_options(1))
    return np.concatenate([session.run(None, {entry: call})[0] for call in calls])


def cleaned(data: bytes, opset: int, origin: str) -> bytes:
    """Return a float .onnx file from elsewhere as the quantizer needs it: simplified, and of opset 13 at least.

    Other tools' code parses it, so that happens in a child process.

    Args:
        data: The file.
        opset: Opset of a file that has an older one than 13.
        origin: What messages call the file.

    Raises:
        ArtifactError: If the child does not survive it.
        ConversionError: If a step fails.
        MissingDependency: If a package of the train extra is missing.
    """
    return run_in_child(partial(_made, partial(_cleaned, data, opset), f"simplify {origin}"), origin, len(data))


def from_tflite(data: bytes, opset: int, output: str, origin: str) -> bytes:
    """Return a float .tflite file as .onnx, whose images stay (n, height, width, channels). `output` is the output's name.

    tf2onnx converts it. Errors and other arguments are those of `cleaned`.
    """
    return run_in_child(partial(_made, partial(_from_tflite, data, opset, output), f"convert {origin}"), origin, len(data))


@contextmanager
def onnx_tools(failure: str, fix: str) -> Iterator[Path]:
    """Yield a folder in which to use onnx, its tools and its quantizer, whose output goes to stderr.

    Their errors become one line: `failure`, why, and `fix`.

    Raises:
        ConversionError: If a tool fails.
        MissingDependency: If a package of the train extra is missing.
    """
    ort.import_library()  # onnxslim imports onnxruntime itself, which would send telemetry.
    try:
        with libraries_folder() as folder, quiet(), redirect_stdout(sys.stderr):
            yield folder
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: {install_command('train')}") from error
    except Exception as error:  # Several libraries, each with its own errors.
        raise ConversionError(f"{failure} ({why(error, 200)}): {fix}") from error


def _made(step: Callable[[Any], Any], what: str) -> bytes:
    """Return the bytes of the model that a step makes with onnx."""
    with onnx_tools(f"ONNX float32: onnx and its tools can't {what}", "write it with other operators"):
        import onnx

        return bytes(step(onnx).SerializeToString(deterministic=True))


def _entries(graph: Any) -> list[Any]:
    """Return the inputs of a graph. An old file lists its constants as inputs too."""
    constants = {value.name for value in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def _cleaned(data: bytes, opset: int, onnx: Any) -> Any:
    import onnxslim

    model = onnx.load_from_string(data)
    graph = model.graph
    inputs = _entries(graph)  # Every tool takes all that are listed for variable.
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)
    if _opset(model) < _LEAST_OPSET:
        model = _raised(model, opset)
    model = onnxslim.slim(model)
    ask_for_no_more(model)
    return model


def _from_tflite(data: bytes, opset: int, output: str, onnx: Any) -> Any:
    import onnxslim
    import tf2onnx

    with libraries_folder() as folder:
        path = folder / "source.tflite"
        path.write_bytes(data)
        model, _ = tf2onnx.convert.from_tflite(str(path), opset=opset)
    onnx.checker.check_model(model)
    model = named(onnxslim.slim(model), output)
    ask_for_no_more(model)
    return model


def with_channels_first(data: bytes) -> bytes:
    """Return an .onnx file that takes (n, height, width, channels) as one that takes (n, channels, height, width)."""
    import onnx

    model = onnx.load_from_string(data)
    graph = model.graph
    (entry,) = graph.input
    inner = f"{entry.name}_channels_last"
    for node in graph.node:
        node.input[:] = [inner if name == entry.name else name for name in node.input]
    graph.node.insert(0, onnx.helper.make_node("Transpose", [entry.name], [inner], f"{inner}_transpose", perm=(0, 2, 3, 1)))
    sizes = entry.type.tensor_type.shape.dim
    last = type(sizes[3])()
    last.CopyFrom(sizes[3])
    for place in (3, 2):
        sizes[place].CopyFrom(sizes[place - 1])
    sizes[1].CopyFrom(last)
    return bytes(model.SerializeToString())


def of_one_image(data: bytes) -> bytes:
    """Return an .onnx file with a free batch as one that takes one image at a time."""
    import onnx

    model = onnx.load_from_string(data)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return bytes(model.SerializeToString())


def ask_for_no_more(model: Any) -> None:
    """Remove the domains that no node uses, and set the lowest IR version that the rest allows.

    The tools list every domain they know and write the newest IR version; both needlessly require a newer runtime.
    """
    import onnx

    used = {node.domain for node in model.graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.ir_version = onnx.helper.find_min_ir_version_for(kept, ignore_unknown=True)


def named(model: Any, output: str) -> Any:
    """Give the free batch and the output readable names instead of generated ones."""
    graph = model.graph
    old = graph.output[0].name
    for node in graph.node:
        node.output[:] = [output if name == old else name for name in node.output]
    graph.output[0].name = output
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def session_with(model: Any, names: Iterable[str]) -> Any:
    """Open a model, an onnx.ModelProto, so that it can give these tensors too."""
    import onnx

    given = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in given)
    return ort.inference_session(model.SerializeToString(), ort.session_options(1))


# A convolution, dense layer or matrix product: what comes before it prepares the image.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def first_layer_input(data: bytes, images: NDArray[Any]) -> NDArray[Any] | None:
    """Return what enters the first layer with weights for model inputs (n, ...). See `edgecnn.convert.export.evidence`."""
    import onnx

    model = onnx.load_from_string(data)
    (given,) = _entries(model.graph)
    entry, sizes = given.name, given.type.tensor_type.shape.dim
    made = {entry}
    for node in model.graph.node:
        first = next((name for name in node.input if name in made), None)
        if first is None:
            continue
        if node.op_type in _LAYERS:
            if first == entry:
                return images
            session = session_with(model, [first])
            if len(sizes) < images.ndim:  # The input has no batch axis.
                return np.stack([session.run([first], {entry: image})[0] for image in images])
            calls = (np.repeat(image[np.newaxis], max(1, sizes[0].dim_value), 0) for image in images)
            return np.stack([session.run([first], {entry: call})[0][0] for call in calls])
        made |= set(node.output)
    return None

"""An .onnx or .tflite file from elsewhere as the float .onnx file that an export is made of."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.compatibility.onnx import external_names
from edgecnn.edge.errors import ArtifactError, ConversionError, MissingDependency, parsing, why
from edgecnn.edge.files import libraries_folder
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import install_command
from edgecnn.edge.runtimes import onnxruntime as ort
from edgecnn.edge.sandbox.unverified import run_in_child

# The first opset with per-channel scales in QuantizeLinear.
_LEAST_OPSET = 13


def imported(data: bytes, path: Path, trust: tuple[str, ...] = ()) -> bytes:
    """Return an .onnx file with all its weights inside; PyTorch's exporter keeps them in another file.

    These files must be plain ones beside `path`. See `edgecnn.convert.export.source`.

    Raises:
        ArtifactError: If one is elsewhere or missing, or has too few bytes.
        MissingDependency: If onnx is not installed.
    """
    with parsing(f"{path} can't be read as an ONNX model", "copy it again"):
        names = external_names(data)
    if not names:
        return data
    for name in names:
        beside = path.parent / name
        if name != Path(name).name or beside.is_symlink() or not beside.is_file():
            raise ArtifactError(
                f"{path} keeps its weights in {name}, which is no file beside it: copy both into one folder, or write the "
                "model whole with onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
            )
    return _made(lambda onnx: onnx.load(str(path)), f"read {path} and {', '.join(names)}")


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


def _made(step: Callable[[Any], Any], what: str) -> bytes:
    """Return the bytes of the model that a step makes with onnx."""
    ort.import_library()  # onnxslim imports onnxruntime itself, which would send telemetry.
    try:
        with libraries_folder(), quiet():
            import onnx

            return bytes(step(onnx).SerializeToString(deterministic=True))
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: {install_command('train')}") from error
    except Exception as error:  # Three libraries, each with its own errors.
        raise ConversionError(
            f"ONNX float32: onnx and its tools can't {what} ({why(error, 200)}): write it with other operators"
        ) from error


def _cleaned(data: bytes, opset: int, onnx: Any) -> Any:
    import onnxslim

    from onnx import version_converter

    model = onnx.load_from_string(data)
    graph = model.graph
    # An old file lists its constants as inputs too, and every tool then takes them for variable.
    constants = {value.name for value in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)
    if min(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) < _LEAST_OPSET:
        model = version_converter.convert_version(model, opset)
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


# A convolution, dense layer or matrix product: what comes before it prepares the image.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def first_layer_input(data: bytes, images: NDArray[Any]) -> NDArray[Any] | None:
    """Return what enters the first layer with weights for model inputs (n, ...). See `edgecnn.convert.export.evidence`."""
    import onnx

    model = onnx.load_from_string(data)
    constants = {value.name for value in model.graph.initializer}
    (entry,) = [value.name for value in model.graph.input if value.name not in constants]
    made = {entry}
    for node in model.graph.node:
        first = next((name for name in node.input if name in made), None)
        if first is None:
            continue
        if node.op_type in _LAYERS:
            if first == entry:
                return images
            model.graph.output.append(onnx.ValueInfoProto(name=first))
            session = ort.inference_session(model.SerializeToString(), ort.session_options(1))
            return np.concatenate([session.run([first], {entry: image[np.newaxis]})[0] for image in images])
        made |= set(node.output)
    return None

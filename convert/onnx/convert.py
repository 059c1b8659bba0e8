"""Converts a Keras model to .onnx bytes, for ONNX Runtime or as the source of other runtimes' files."""

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.convert.export.converters import Conversion, of_batches
from edgecnn.convert.export.program_files import Description
from edgecnn.convert.keras.load import functions_inlined, load_tensorflow
from edgecnn.convert.onnx.source import ask_for_no_more, cleaned, named, of_one_image, with_channels_first
from edgecnn.edge.errors import ConversionError, MissingDependency, field, why
from edgecnn.edge.files import libraries_folder
from edgecnn.edge.model.layout import image_layout
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import install_command
from edgecnn.edge.runtimes import onnxruntime as ort


def channels_first(conversion: Conversion, title: str) -> tuple[bytes, tuple[int, int, int]]:
    """Return a float32 .onnx file with the input (1, channels, height, width), and these three sizes.

    Args:
        conversion: The model, which takes float32 images (height, width, channels).
        title: Name of the format that is made of it, for messages.

    Raises:
        ConversionError: If the model takes other images, any number of images is asked for, or a step fails.
        MissingDependency: If a package of the train extra is missing.
    """
    source, spec = conversion.source, conversion.runtime.input_spec
    layout, dtype = image_layout(spec, str(source.path)), spec.dtype
    height, width, channels = layout.shape
    if conversion.any_batch:
        raise ConversionError(f"{title} files take one image at a time: omit {field('batch')}=dynamic")
    if source.format == "onnx" and dtype == "float32" and layout.batch != 0:
        data = cleaned(source.data, OPSET, str(source.path))
        if layout.item == layout.shape:
            data = with_channels_first(data)
        return _with_sizes(of_one_image(data)), (channels, height, width)
    shape = layout.item if source.format == "keras" else ()
    if dtype != "float32" or shape != layout.shape:
        raise ConversionError(
            f"{title} files are made of models that take float32 images (height, width, 1 or 3), and this one takes {dtype} "
            f"{layout.item}: use other {field('formats')}"
        )
    model = of_batches(conversion.runtime)[0]
    data = of_one_image(to_onnx(model, shape, dtype, conversion.output, OPSET, channels_first=True))
    return _with_sizes(data), (channels, height, width)


def _with_sizes(data: bytes) -> bytes:
    """Return a file of one image with the sizes of every reshape: pnnx makes formulas of what a -1 leaves open."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(data), data_prop=True)
    graph: Any = model.graph
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in graph.value_info}
    for node in graph.node:
        sizes = shapes.get(node.output[0])
        if node.op_type == "Reshape" and sizes and 0 not in sizes:
            name = f"{node.output[0]}_sizes"
            graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(sizes)], sizes))
            node.input[1] = name
    # Others' readers expect no constant that nobody reads.
    read = {name for node in graph.node for name in node.input}
    kept = [value for value in graph.initializer if value.name in read]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    return bytes(model.SerializeToString())


def described(data: bytes, description: Description) -> bytes:
    """Return the file with `metadata_props`. See `edgecnn.convert.export.program_files.described`.

    A protobuf message that follows another is merged with it: the file stays as it is, and the properties follow it.
    """
    import onnx

    # ONNX lists these two names in its MetadataProps.md.
    said = {"model_author": description.author, "model_license": description.license}
    properties = {name: text for name, text in said.items() if text is not None}
    for name, value in description.record().items():
        properties[f"edgecnn.{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    added = onnx.ModelProto(doc_string=description.text())
    for name, text in properties.items():
        added.metadata_props.add(key=name, value=text)
    return data + bytes(added.SerializeToString(deterministic=True))


OPSET = 17
"""Opset of files without a target: ONNX Runtime 1.12 and later run it, and it has layer normalisation as one operator."""


def to_onnx(  # Longer than 50 lines: one conversion, step by step.
    model: Any, shape: tuple[int, ...], dtype: str, output: str, opset: int = OPSET, *, channels_first: bool = False
) -> bytes:
    """Convert a Keras image classifier to float32 ONNX with a free batch. Its input is `image`.

    tf2onnx leaves batch normalisation as Mul and Add after each Conv, and computes the shape of a reshape at run time;
    onnxslim folds the first into the weights and the second into a constant.

    Args:
        model: The Keras model.
        shape: Shape of one image, without the batch.
        dtype: numpy's name of the model's input type, for example float32 or uint8.
        output: Name for the output: `probabilities` or `logits`.
        opset: Opset of ai.onnx, at least 13, the first with per-channel scales in QuantizeLinear.
        channels_first: Whether the input becomes (n, channels, height, width), from (n, height, width, channels).

    Raises:
        ConversionError: If a step fails.
        MissingDependency: If a package of the train extra is missing.
    """
    ort.import_library()  # onnxslim imports onnxruntime itself, which would send telemetry.
    tensorflow = load_tensorflow()
    first = ["image:0"] if channels_first else None
    signature = [tensorflow.TensorSpec((None, *shape), dtype, name="image")]
    try:
        with libraries_folder(), quiet():
            import onnxslim
            import tf2onnx

            import onnx

            # from_keras fails on a Keras 3 Sequential.
            function = tensorflow.function(lambda image: model(image, training=False), input_signature=signature)
            with functions_inlined():  # tf2onnx can't convert them.
                concrete = function.get_concrete_function()
            handlers: dict[str, Any] = {"Erfc": (_erfc, [])}
            graph, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=opset, custom_op_handlers=handlers, inputs_as_nchw=first
            )
            _give_constants(graph.graph, concrete)
            # tf2onnx keeps an operator that it can't convert.
            onnx.checker.check_model(graph)
            graph = named(onnxslim.slim(graph), output)
            ask_for_no_more(graph)
            return bytes(graph.SerializeToString())
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: {install_command('train')}") from error
    except Exception as error:  # Three libraries, each with its own errors.
        reason = why(error, 200)
        raise ConversionError(
            f"ONNX float32: tf2onnx or onnxslim can't convert the model ({reason}): replace that layer, or use "
            f"{field('formats')}=tflite"
        ) from error


def _give_constants(graph: Any, function: Any) -> None:
    """Put the plain tensors captured by the function into the graph; tf2onnx would turn them into inputs.

    A Normalization layer keeps its mean and variance as such tensors, not as variables.
    """
    import onnx

    for outer, inner in function.graph.captures:
        for value in [value for value in graph.input if value.name == inner.name]:
            graph.initializer.append(onnx.numpy_helper.from_array(outer.numpy(), inner.name))
            graph.input.remove(value)


def _erfc(graph: Any, node: Any, name: str, args: list[Any]) -> None:
    """Convert TensorFlow's Erfc, which Keras uses for the exact GELU, to 1 - Erf. tf2onnx lacks it."""
    node.type = "Erf"
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    left = graph.make_node("Sub", [one.output[0], node.output[0]], name=f"{name}_left", op_name_scope=name)
    graph.replace_all_inputs(node.output[0], left.output[0], ops=[other for other in graph.get_nodes() if other is not left])


def run_pnnx(onnx: bytes, shape: tuple[int, int, int], folder: Path) -> tuple[int, str]:
    """Write what pnnx makes of a network into an empty folder, under names that begin with `model`.

    `onnx` is a float32 .onnx file with one input (1, channels, height, width), of which `shape` is (channels, height, width).

    Returns:
        Its exit code, and what it said.

    Raises:
        MissingDependency: If pnnx is not installed.
    """
    found = find_spec("pnnx")
    if found is None or not found.submodule_search_locations:
        # Its Python functions need torch, a gigabyte; its program does not.
        raise MissingDependency("pnnx is not installed. On the workstation: pip install --no-deps pnnx")
    (folder / "model.onnx").write_bytes(onnx)
    sizes = ",".join(map(str, (1, *shape)))
    command = [str(Path(found.submodule_search_locations[0]) / "pnnx"), "model.onnx", f"inputshape=[{sizes}]", "fp16=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, done.stdout + done.stderr

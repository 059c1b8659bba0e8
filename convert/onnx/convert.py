"""Converts a Keras model to .onnx bytes, for ONNX Runtime or as the source of other runtimes' files."""

import json
import subprocess
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from edgecnn.convert.export.converters import Conversion, Converter, of_batches
from edgecnn.convert.export.program_files import Description
from edgecnn.convert.onnx.keras_graph.emit import emitted
from edgecnn.convert.onnx.keras_graph.graph import Unsupported
from edgecnn.convert.onnx.source import (
    OPSET,
    KerasSource,
    OnnxMade,
    ask_for_no_more,
    cleaned,
    of_one_image,
    with_channels_first,
)
from edgecnn.convert.onnx.with_tf2onnx import traced
from edgecnn.edge.errors import ConversionError, field
from edgecnn.edge.manifest import ONNXSLIM, OWN_ONNX_CONVERTER, TF2ONNX, OnnxConversion, OnnxConverterName
from edgecnn.edge.model.layout import image_layout
from edgecnn.edge.packages import versions


def channels_first(conversion: Conversion, title: str) -> tuple[OnnxMade, tuple[int, int, int]]:
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
    if source.format == "onnx" and dtype == "float32" and layout.batch != 0 and len(layout.item) > 1:
        data = cleaned(source.data, OPSET, str(source.path))
        if layout.item == layout.shape:
            data = with_channels_first(data)
        return OnnxMade(_with_sizes(of_one_image(data)), OnnxConversion(ONNXSLIM)), (channels, height, width)
    shape = layout.item if source.format == "keras" else ()
    if dtype != "float32" or shape != layout.shape:
        raise ConversionError(
            f"{title} files are made of models that take float32 images (height, width, 1 or 3), and this one takes {dtype} "
            f"{layout.item}: use other {field('formats')}"
        )
    model = of_batches(conversion.runtime)[0]
    made = converted(KerasSource(model, shape, dtype, conversion.output, channels_first=True), conversion.onnx_converter)
    return made._replace(data=_with_sizes(of_one_image(made.data))), (channels, height, width)


class ChannelsFirstConverter(Converter):
    """What converters share whose files are made of `channels_first`; their `_title` is that of their format."""

    _title: str

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion

    @cached_property
    def _onnx(self) -> tuple[OnnxMade, tuple[int, int, int]]:
        return channels_first(self._conversion, self._title)

    def onnx_conversion(self) -> OnnxConversion:
        """Return what made the ONNX graph."""
        return self._onnx[0].conversion


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


def converted(source: KerasSource, converter: OnnxConverterName | None) -> OnnxMade:
    """Convert a Keras model to an .onnx file.

    Args:
        source: The model, and what the file takes and gives.
        converter: What converts it; None for edgecnn's own converter if it knows all layers, otherwise tf2onnx.

    Raises:
        ConversionError: If a step fails, or edgecnn's converter is asked for and does not know a layer.
        MissingDependency: If a package of the train extra is missing.
    """
    reason = None
    if converter != TF2ONNX:
        try:
            return OnnxMade(_written(emitted(source)), OnnxConversion(OWN_ONNX_CONVERTER))
        except Unsupported as error:
            reason = str(error)
            if converter:
                raise ConversionError(
                    f"ONNX float32: edgecnn's converter does not know this: {reason}. Replace that, or use "
                    f"{field('onnx_converter')}={TF2ONNX}"
                ) from error
    return OnnxMade(_written(traced(source)), OnnxConversion(TF2ONNX, reason))


def _written(model: Any) -> bytes:
    ask_for_no_more(model)
    return bytes(model.SerializeToString())


def to_onnx(model: Any, shape: tuple[int, ...], dtype: str, output: str, opset: int = OPSET) -> bytes:
    """Return a Keras model as an .onnx file. Arguments are the attributes of `KerasSource`, errors those of `converted`."""
    return converted(KerasSource(model, shape, dtype, output, opset), None).data


def run_pnnx(onnx: bytes, shape: tuple[int, int, int], folder: Path) -> tuple[int, str]:
    """Write what pnnx makes of a network into an empty folder, under names that begin with `model`.

    `onnx` is a float32 .onnx file with one input (1, channels, height, width), of which `shape` is (channels, height, width).

    Returns:
        Its exit code, and what it said.

    Raises:
        MissingDependency: If pnnx is not installed.
    """
    versions("pnnx")  # Raises if it is missing.
    program = distribution("pnnx").locate_file("pnnx/pnnx")
    (folder / "model.onnx").write_bytes(onnx)
    sizes = ",".join(map(str, (1, *shape)))
    command = [str(program), "model.onnx", f"inputshape=[{sizes}]", "fp16=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, done.stdout + done.stderr

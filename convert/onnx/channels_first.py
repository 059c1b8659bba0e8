"""The .onnx file from which other runtimes' files are made: one image, channels first, as those runtimes keep images."""

from typing import Any

from edgecnn.convert.export.converters import Conversion, of_batches
from edgecnn.convert.onnx.convert import OPSET, of_one_image, to_onnx
from edgecnn.edge.errors import ConversionError, field


def channels_first(conversion: Conversion, title: str) -> tuple[bytes, tuple[int, int, int]]:
    """Return a float32 .onnx file with the input (1, channels, height, width), and these three sizes.

    Args:
        conversion: The model, which takes float32 images (height, width, channels).
        title: Name of the format that is made of it, for messages.

    Raises:
        ConversionError: If the model takes other images, any number of images is asked for, or a step fails.
        MissingDependency: If a package of the train extra is missing.
    """
    model, shape, _ = of_batches(conversion.runtime)
    dtype = conversion.runtime.input_spec.dtype
    if conversion.any_batch:
        raise ConversionError(f"{title} files take one image at a time: omit {field('batch')}=dynamic")
    if dtype != "float32" or len(shape) != 3 or shape[2] not in (1, 3):
        raise ConversionError(
            f"{title} files are made of models that take float32 images (height, width, 1 or 3), and this one takes {dtype} "
            f"{shape}: use other {field('formats')}"
        )
    height, width, channels = shape
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
    whole: bytes = model.SerializeToString()
    return whole

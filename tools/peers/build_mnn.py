"""Converts float32.onnx to MNN's files with the converter and the quantizer in its wheel."""

import json
from pathlib import Path
from typing import Any

from edgecnn.edge.model.preprocess import Images


def build_mnn(source: Path, precision: str, images: Images, mean: list[float], normal: list[float]) -> Path:
    """Return the .mnn file.

    The native functions are called directly: the commands `mnnconvert` and `mnnquant` install a package for telemetry with
    whichever pip is on the path, and the second passes arguments that the function no longer accepts.

    Args:
        source: float32.onnx.
        precision: `float32` or `int8`.
        images: uint8 (n, h, w, c) to calibrate with.
        mean: Mean subtracted from pixels, one per channel.
        normal: Factor applied after that, one per channel.
    """
    import _tools
    import onnx

    folder = source.parent
    onnx.save(channels_first(onnx.load(source)), folder / "channels-first.onnx")
    float32, int8 = folder / "float32.mnn", folder / "int8.mnn"
    arguments = ["-f", "ONNX", "--modelFile", str(folder / "channels-first.onnx"), "--MNNModel", str(float32)]
    _tools.mnnconvert(["mnnconvert", *arguments, "--bizCode", "peers"])
    if precision == "float32":
        return _written(float32)
    pictures = folder / "calibration"
    pictures.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        (pictures / f"{index}.pnm").write_bytes(pnm(image))
    recipe = {
        "format": "GRAY" if images.shape[3] == 1 else "RGB",
        "mean": mean,
        "normal": normal,
        "height": images.shape[1],
        "width": images.shape[2],
        "path": str(pictures),
        "used_image_num": len(images),
        # The most accurate of its three methods here: KL, the default, lost 7 points, and ADMM crashes.
        "feature_quantize_method": "EMA",
        "weight_quantize_method": "MAX_ABS",
        "batch_size": 32,
        "model": str(float32),
    }
    (folder / "recipe.json").write_text(json.dumps(recipe))
    _tools.mnnquant(["mnnquant", str(float32), str(int8), str(folder / "recipe.json")])
    return _written(int8)


def channels_first(model: Any) -> Any:
    """Return an ONNX model for one image with channels first, from one for any number with channels last.

    MNN's quantizer fills the input as if channels came first, whatever the file says.

    Raises:
        ValueError: If the model does not begin by transposing its input.
    """
    graph = model.graph
    taken = graph.input[0].name
    first = next(node for node in graph.node if taken in node.input)
    if first.op_type not in ("Reshape", "Transpose"):
        raise ValueError(f"float32.onnx must begin with a Reshape or Transpose of its input, got {first.op_type}")
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == first.output[0]:
                node.input[place] = taken
    graph.node.remove(first)
    sizes = graph.input[0].type.tensor_type.shape.dim
    height, width, channels = (size.dim_value for size in sizes[1:])
    for size, value in zip(sizes, (1, channels, height, width), strict=True):
        size.dim_value = value
    return model


def pnm(image: Images) -> bytes:
    """Return a uint8 image (h, w, 1 or 3) as a binary PGM or PPM file."""
    height, width, channels = image.shape
    return f"P{5 if channels == 1 else 6} {width} {height} 255\n".encode() + image.tobytes()


def _written(path: Path) -> Path:
    # The converter always reports success.
    if not path.exists():
        raise RuntimeError(f"MNN's tool wrote no {path.name}")
    return path

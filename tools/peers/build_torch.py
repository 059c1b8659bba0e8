"""Converts float32.onnx to ncnn's and ExecuTorch's files. pnnx reads ONNX and writes ncnn's files and a PyTorch module."""

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# For each layer, the key of its number of weights in ncnn's text.
_WEIGHTS = {"Convolution": "6", "InnerProduct": "2"}


def build_ncnn(source: Path, precision: str, inputs: Floats) -> Path:
    """Return ncnn's .param file, whose .bin file is in the same folder.

    No package contains ncnn's own quantizer. Its int8 file is its float file with a scale for each channel of the weights
    and for each layer's input, with which it quantizes while loading. These scales are computed here from the largest
    absolute values (127 / largest), as ncnn2table does for weights.
    """
    _pnnx(source, inputs.shape[1:])
    if precision == "float32":
        return source.with_name("float32.ncnn.param")
    text = source.with_name("float32.ncnn.param").read_text()
    weights = source.with_name("float32.ncnn.bin").read_bytes()
    quantized_text, quantized_weights = ncnn_int8(text, weights, _ncnn_input_scales(source, text, inputs))
    target = source.with_name("int8.ncnn.param")
    target.write_text(quantized_text)
    target.with_suffix(".bin").write_bytes(quantized_weights)
    return target


def ncnn_int8(text: str, weights: bytes, input_scales: dict[str, float]) -> tuple[str, bytes]:
    """Return ncnn's two files with int8 scales.

    Args:
        text: The .param file, one line per layer.
        weights: The .bin file: for each layer with weights, a 4-byte tag, the weights and the bias, all float32.
        input_scales: Input scale of each layer with weights, by the layer's name.

    Raises:
        ValueError: If `weights` does not match `text`.
    """
    lines, parts, place = [], [], 0
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in _WEIGHTS:
            kind, name = words[:2]
            options = dict(word.split("=") for word in words if "=" in word)
            outputs, count = int(options["0"]), int(options[_WEIGHTS[kind]])
            if weights[place : place + 4] != bytes(4):
                raise ValueError(f"weights of {name} must be float32")
            end = place + 4 + 4 * (count + outputs)
            values = np.frombuffer(weights, np.float32, count, place + 4).reshape(outputs, -1)
            scales = (127 / np.abs(values).max(axis=1)).astype(np.float32)
            parts += [weights[place:end], scales.tobytes(), np.float32(input_scales[name]).tobytes()]
            place = end
            line += " 8=2"
        lines.append(line)
    if place != len(weights):
        raise ValueError(f"weights must be {place} bytes, got {len(weights)}")
    return "\n".join(lines) + "\n", b"".join(parts)


def _ncnn_input_scales(source: Path, text: str, inputs: Floats) -> dict[str, float]:
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.load_param(str(source.with_name("float32.ncnn.param")))
    net.load_model(str(source.with_name("float32.ncnn.bin")))
    taken = {words[1]: words[4] for words in map(str.split, text.splitlines()) if words and words[0] in _WEIGHTS}
    largest = dict.fromkeys(taken, 0.0)
    for image in inputs:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(np.ascontiguousarray(image)))
        for layer, blob in taken.items():
            largest[layer] = max(largest[layer], float(np.abs(np.array(extractor.extract(blob)[1])).max()))
    return {layer: 127 / value for layer, value in largest.items()}


def build_executorch(source: Path, precision: str, inputs: Floats) -> Path:
    """Return the .pte file: all of the network in XNNPACK, for int8 quantized by XNNPACKQuantizer with scales per channel."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    module = _torch_module(source, inputs.shape[1:])
    example = (torch.from_numpy(inputs[:1].copy()),)
    program = torch.export.export(module, example)
    if precision == "int8":
        from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantizer = xnnpack_quantizer.XNNPACKQuantizer()
        quantizer.set_global(xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(program.module(), quantizer)
        for index in range(len(inputs)):
            prepared(torch.from_numpy(inputs[index : index + 1].copy()))
        program = torch.export.export(convert_pt2e(prepared), example)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    target = source.with_name(f"{precision}.pte")
    target.write_bytes(lowered.to_executorch().buffer)
    return target


def _torch_module(source: Path, shape: tuple[int, ...]) -> Any:
    _pnnx(source, shape)
    spec = importlib.util.spec_from_file_location("float32_pnnx", source.with_name("float32_pnnx.py"))
    assert spec
    assert spec.loader
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    os.chdir(source.parent)  # The module that pnnx wrote reads its weights from the current folder.
    return written.Model().eval()


def _pnnx(source: Path, shape: tuple[int, ...]) -> None:
    found = importlib.util.find_spec("pnnx")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'pnnx'", name="pnnx")
    # Called directly: the package imports torch, which the program does not need.
    program = Path(found.submodule_search_locations[0]) / "pnnx"
    sizes = ",".join(str(size) for size in (1, *shape))
    command = [str(program), source.name, f"inputshape=[{sizes}]", "fp16=0"]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=False)
    if done.returncode or not source.with_name("float32.ncnn.param").exists():
        raise RuntimeError(f"pnnx ended with code {done.returncode}: {done.stderr.strip()[-200:]}")

"""Wraps each runtime's Python interface in the same three calls.

`prepare` turns a numpy array into the runtime's own kind of input, and is not timed. `run` is timed: it passes the input,
infers, and returns an output that the caller may keep. `numbers` turns that into numpy, and is not timed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Runner(Protocol):
    """An opened file for one image at a time."""

    def prepare(self, array: Array) -> Any:
        """Return one image (1, h, w, c), in the file's input dtype, as the runtime's own kind of input."""

    def run(self, prepared: Any) -> Any:
        """Return the output, in the runtime's own type."""

    def numbers(self, output: Any) -> Array:
        """Return that output as float probabilities (classes,)."""


class _Ours:
    """Our files through `edge.runtimes`, as an application runs them."""

    def __init__(self, path: Path, threads: int) -> None:
        from edgecnn.edge.runtimes import opener_for

        self._runtime = opener_for(path.suffix.lstrip(".")).open_model(path.read_bytes(), threads)
        self.run = self._runtime.run

    def prepare(self, array: Array) -> Array:
        return array

    def numbers(self, output: Array) -> Array:
        quantization = self._runtime.output_spec.quantization
        if quantization is None:
            return np.asarray(output[0])
        values: Array = (output[0].astype(np.float32) - quantization.zero_points[0]) * np.float32(quantization.scales[0])
        return values


class _OpenVino:
    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # Not bfloat16, the default on newer CPUs.
        }
        self._request = openvino.Core().compile_model(str(path), "CPU", options).create_infer_request()
        self._input, self._output = self._request.get_input_tensor(), self._request.get_output_tensor()

    def prepare(self, array: Array) -> Array:
        return array

    def run(self, prepared: Array) -> Array:
        # Takes half the time of `infer([array])`, which makes and checks new tensors.
        self._input.data[:] = prepared
        self._request.infer()
        output: Array = self._output.data.copy()
        return output

    def numbers(self, output: Array) -> Array:
        return np.asarray(output[0])


class _Ncnn:
    def __init__(self, path: Path, threads: int) -> None:
        import ncnn

        self._mat, self._net = ncnn.Mat, ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        # float32 must stay float32.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = options.use_bf16_storage = False
        if self._net.load_param(str(path)) or self._net.load_model(str(path.with_suffix(".bin"))):
            raise RuntimeError(f"ncnn can't load {path.name}")

    def prepare(self, array: Array) -> Any:
        # ncnn has no batch axis. Its Mat does not own the numbers: keep both.
        image = np.ascontiguousarray(array[0])
        return self._mat(image), image

    def run(self, prepared: Any) -> Any:
        extractor = self._net.create_extractor()
        extractor.input("in0", prepared[0])
        return extractor.extract("out0")[1]

    def numbers(self, output: Any) -> Array:
        return np.array(output).reshape(-1)


class _Mnn:
    def __init__(self, path: Path, threads: int) -> None:
        import MNN

        self._mnn, self._net = MNN, MNN.Interpreter(str(path))
        self._session = self._net.createSession({"numThread": threads, "backend": "CPU", "precision": "normal"})
        self._input = self._net.getSessionInput(self._session)
        self._output = self._net.getSessionOutput(self._session)

    def prepare(self, array: Array) -> Any:
        image = np.ascontiguousarray(np.moveaxis(array, 3, 1))
        tensor = self._mnn.Tensor(image.shape, self._mnn.Halide_Type_Float, image, self._mnn.Tensor_DimensionType_Caffe)
        return tensor, image

    def run(self, prepared: Any) -> Array:
        self._input.copyFrom(prepared[0])
        self._net.runSession(self._session)
        return np.array(self._output.getNumpyData())

    def numbers(self, output: Array) -> Array:
        return output.reshape(-1)


class _ExecuTorch:
    def __init__(self, path: Path, threads: int) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib

        self._from_numpy = torch.from_numpy
        portable_lib._unsafe_reset_threadpool(threads)  # The only way: anything else keeps a thread per core.
        self._module = portable_lib._load_for_executorch(str(path))

    def prepare(self, array: Array) -> Any:
        return (self._from_numpy(array),)

    def run(self, prepared: Any) -> Any:
        return self._module.forward(prepared)[0]

    def numbers(self, output: Any) -> Array:
        numbers: Array = output.numpy()[0]
        return numbers


# For each runtime, the modules whose import is timed, and the class that opens a file with this number of threads.
RUNNERS: dict[str, tuple[tuple[str, ...], Callable[[Path, int], Runner]]] = {
    "LiteRT": (("edgecnn.edge.runtimes", "ai_edge_litert.interpreter"), _Ours),
    "ONNX Runtime": (("edgecnn.edge.runtimes", "onnxruntime"), _Ours),
    "OpenVINO": (("openvino",), _OpenVino),
    "ncnn": (("ncnn",), _Ncnn),
    "MNN": (("MNN",), _Mnn),
    "ExecuTorch": (("executorch.extension.pybindings.portable_lib",), _ExecuTorch),
}

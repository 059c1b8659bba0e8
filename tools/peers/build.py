"""Builds one peer's file: `python -m tools.peers.build RUNTIME PRECISION CALIBRATION FOLDER` with float32.onnx in FOLDER.

It runs in a separate process, since converters crash, change the current folder and leave threads. Prints the path last.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.peers.build_mnn import build_mnn
from tools.peers.build_torch import build_executorch, build_ncnn


def build_openvino(source: Path, precision: str, inputs: NDArray[Any]) -> Path:
    """Return OpenVINO's .xml with its .bin: converted from ONNX, and quantized by NNCF with its defaults."""
    import openvino

    model = openvino.Core().read_model(str(source))
    model.reshape([1, *inputs.shape[1:]])
    if precision == "int8":
        import nncf

        samples = nncf.Dataset([inputs[index : index + 1] for index in range(len(inputs))])
        model = nncf.quantize(model, samples, subset_size=len(inputs))
    target = source.with_name(f"{precision}.xml")
    openvino.save_model(model, str(target), compress_to_fp16=False)
    return target


def main(runtime: str, precision: str, calibration: str, folder: str) -> None:
    """Build the file of one row."""
    stored = np.load(calibration)
    source, inputs = Path(folder) / "float32.onnx", stored["inputs"]
    if runtime == "OpenVINO":
        built = build_openvino(source, precision, inputs)
    elif runtime == "MNN":
        built = build_mnn(source, precision, stored["images"], stored["mean"].tolist(), stored["normal"].tolist())
    else:
        built = {"ncnn": build_ncnn, "ExecuTorch": build_executorch}[runtime](source, precision, inputs)
    print(json.dumps(str(built)))


if __name__ == "__main__":
    main(*sys.argv[1:])

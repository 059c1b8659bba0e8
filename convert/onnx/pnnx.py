"""Runs pnnx, which turns an .onnx file of one image into ncnn's files and a PyTorch module."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

from edgecnn.edge.errors import MissingDependency


def run_pnnx(onnx: bytes, shape: tuple[int, int, int], folder: Path) -> tuple[int, str]:
    """Write what pnnx makes of a network into a folder, under names that begin with `model`.

    Args:
        onnx: A float32 .onnx file with one input (1, channels, height, width).
        shape: (channels, height, width).
        folder: An empty folder.

    Returns:
        Its exit code, and what it said.

    Raises:
        MissingDependency: If pnnx is not installed.
    """
    (folder / "model.onnx").write_bytes(onnx)
    sizes = ",".join(map(str, (1, *shape)))
    command = [str(_program()), "model.onnx", f"inputshape=[{sizes}]", "fp16=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, done.stdout + done.stderr


def _program() -> Path:
    found = find_spec("pnnx")
    if found is None or not found.submodule_search_locations:
        # Its Python functions need torch, a gigabyte; its program does not.
        raise MissingDependency("pnnx is not installed. On the workstation: pip install --no-deps pnnx")
    return Path(found.submodule_search_locations[0]) / "pnnx"

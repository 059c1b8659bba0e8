"""Finds what altered files really compute, without edgecnn, and whether a PASS agrees."""

import io
import json
import lzma
import re
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.faults.bases import environment, parts
from tools.faults.mutators.arrays import members

Floats = NDArray[np.float64]

# edgecnn's limit is smaller; a PASS beyond this one is wrong, however the machine rounds.
_FLOAT, _QUANTIZED = 1e-3, 0.1
_DROP_POINTS = 0.5
_SECONDS = 120.0


def compute(file: Path, pixels: Path, out: Path, scale: float, mean: float, std: float) -> None:
    """Write a model's probabilities (n, classes) of uint8 images (n, h, w) to an .npy file."""
    images = np.load(pixels)
    inputs = ((images.astype(np.float32) * np.float32(scale) - np.float32(mean)) / np.float32(std))[..., None]
    rows = _tflite(file, inputs) if file.suffix == ".tflite" else _onnx(file, inputs)
    np.save(out, rows)


def _tflite(file: Path, inputs: NDArray[np.float32]) -> Floats:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=file.read_bytes())
    runner.allocate_tensors()
    entry, end = runner.get_input_details()[0], runner.get_output_details()[0]
    batch = int(entry["shape"][0])
    rows = []
    for call in np.resize(inputs, (-(-len(inputs) // batch), batch, *inputs.shape[1:])):
        runner.set_tensor(entry["index"], _stored(call, entry))
        runner.invoke()
        rows.append(_real(runner.get_tensor(end["index"]), end))
    return np.concatenate(rows)[: len(inputs)]


def _stored(real: NDArray[np.float32], entry: Any) -> NDArray[Any]:
    scale, zero = entry["quantization"]
    if not scale:
        return real
    limits = np.iinfo(entry["dtype"])
    stored: NDArray[Any] = np.clip(np.rint(real / scale) + zero, limits.min, limits.max).astype(entry["dtype"])
    return stored


def _real(row: NDArray[Any], end: Any) -> Floats:
    scale, zero = end["quantization"]
    real: Floats = row.astype(np.float64)
    return (real - zero) * scale if scale else real


def _onnx(file: Path, inputs: NDArray[np.float32]) -> Floats:
    import onnxruntime

    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    shape = session.get_inputs()[0].shape
    taken = inputs if shape[-1] == 1 else inputs.transpose(0, 3, 1, 2)
    batch = shape[0] if isinstance(shape[0], int) else 1
    calls = np.resize(taken, (-(-len(taken) // batch), batch, *taken.shape[1:]))  # The last call repeats the first images.
    return np.concatenate([session.run(None, {name: call})[0] for call in calls])[: len(taken)].astype(np.float64)


def probabilities(file: Path, images: NDArray[np.uint8], scratch: Path, taken: dict[str, Any]) -> Floats | None:
    """Run a file in its own process; None if its runtime refuses it, crashes or hangs.

    Args:
        file: A .tflite or .onnx file.
        images: Images, uint8 (n, h, w).
        scratch: Folder for temporary files.
        taken: `preprocessing` of a manifest.
    """
    pixels, out = scratch / "truth.pixels.npy", scratch / "truth.rows.npy"
    np.save(pixels, images)
    out.unlink(missing_ok=True)
    numbers = [str(value) for value in (taken["scale"], taken["mean"][0], taken["std"][0])]
    command = [sys.executable, "-m", "tools.faults.truth", str(file), str(pixels), str(out), *numbers]
    try:
        subprocess.run(command, env=environment(), capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    return np.load(out) if out.exists() else None


def wrong_verdict(folder: Path, model: str, command: str, out: str, scratch: Path) -> str:
    """Return what is wrong with a command's success on a folder whose hashes all match; empty if nothing is.

    Args:
        folder: The model folder, altered.
        model: Name of the file in it that the command named.
        command: `verify`, `bench` or `evaluate`; other commands are not judged.
        out: Its output.
        scratch: Folder for temporary files.
    """
    if command not in ("verify", "bench", "evaluate"):
        return ""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    pixels, labels = parts()["test"]
    rows = probabilities(folder / model, pixels, scratch, manifest["preprocessing"])
    if rows is None:
        return f"{model} can't be run, but {command} says it can"
    if manifest["output"] == "logits":
        rows = np.exp(rows - rows.max(axis=1, keepdims=True))
        rows /= rows.sum(axis=1, keepdims=True)
    right = float((rows.argmax(axis=1) == labels).mean())
    if command == "evaluate":
        said = re.search(r"accuracy\s+([\d.]+)", out)
        return "" if said and abs(float(said[1]) - right) < 5e-3 else f"accuracy is {right:.4f}, not {said and said[1]}"
    reference, problem = _reference(folder, manifest, labels)
    if reference is None:
        return problem
    if command == "verify":
        largest = float(np.abs(rows - reference).max())
        allowed = _QUANTIZED if "int8" in model else _FLOAT
        return "" if largest <= allowed else f"PASS although probabilities differ by {largest:.3g}"
    if not out.startswith("PASS"):
        return ""
    drop = 100 * (float((reference.argmax(axis=1) == labels).mean()) - right)
    return "" if drop <= _DROP_POINTS else f"PASS although {model} loses {drop:.2f} points"


def _reference(folder: Path, manifest: dict[str, Any], labels: NDArray[np.uint8]) -> tuple[Floats | None, str]:
    """Return the reference's rows, or what is wrong with them."""
    record = manifest["reference"]
    try:
        rows = np.load(io.BytesIO((folder / record["path"]).read_bytes()), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError):
        return None, "a reference that can't be read was used for judging"
    if rows.shape != (len(labels), len(manifest["class_names"])) or rows.dtype != np.float32:
        return None, f"a reference {rows.dtype} {rows.shape} was used for judging"
    if not np.isfinite(rows).all() or np.abs(rows.sum(axis=1) - 1).max() > 1e-2:
        return None, "a reference that is not probabilities was used for judging"
    correct = int((rows.argmax(axis=1) == labels).sum())
    if correct != record["correct"] or record["images"] != len(labels):
        return None, f"a reference that is right on {correct} images, not {record['correct']}, was used for judging"
    return rows.astype(np.float64), ""


def wrong_bundle(valid: Path, altered: Path, arguments: list[str], out: str) -> str:
    """Return what is wrong with a command's success on a bundle; empty if nothing is."""
    try:
        before, after = (members(path.read_bytes()) for path in (valid, altered))
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError):
        return "a bundle that Python can't unpack was accepted"
    command, model = arguments[0], arguments[1].partition("/")[2]
    if command == "bench" and not out.startswith("PASS"):
        return ""
    read = {
        "verify": ["golden.images.npy", *(name for name in before if name.startswith("golden.") and model in name)],
        "evaluate": ["x_test.npy", "y_test.npy"],
        "bench": ["x_test.npy", "y_test.npy", "reference.npy"],
    }.get(command, [])
    found = sorted(name for name in {*read} if _differs(before[name], after.get(name, b"")))
    return f"{command} accepts a bundle whose {', '.join(found)} is not what was exported" if found else ""


def _differs(before: bytes, after: bytes) -> bool:
    """Return whether more than a tenth of an array's values differ, or any is NaN."""
    try:
        ours, theirs = (np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64) for data in (before, after))
    except (ValueError, EOFError, OSError, SyntaxError):
        return True
    return ours.shape != theirs.shape or bool((~np.isclose(ours, theirs, atol=0.02, rtol=0.01)).mean() > 0.1)


if __name__ == "__main__":
    _named, _pixels, _out, *_numbers = sys.argv[1:]
    compute(Path(_named), Path(_pixels), Path(_out), *map(float, _numbers))

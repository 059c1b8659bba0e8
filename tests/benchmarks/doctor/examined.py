"""Machines and files to examine."""

from collections.abc import Callable
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.edge.compatibility.tflite_graph import from_object
from tests.onnx_text import onnx_bytes

OP = schema.BuiltinOperator
Fake = Callable[..., None]


def findings(diagnosis: Examination, name: str) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.name == name]


def finding(diagnosis: Examination, name: str) -> Finding:
    (found,) = findings(diagnosis, name)
    return found


def tflite(path: Path, version: int = 1, code: int = OP.RELU, release: str | None = None, kind: int = 0) -> Path:
    """Return a file of one operator on float32 (1, 4), or on another type."""
    model = schema.ModelT(version=3, buffers=[schema.BufferT()])
    model.operatorCodes = [schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)]
    scale = schema.QuantizationParametersT(scale=[0.1], zeroPoint=[0]) if kind else None
    tensors = [schema.TensorT(shape=[1, 4], type=kind, buffer=0, name=name, quantization=scale) for name in ("x", "y")]
    operators = [schema.OperatorT(opcodeIndex=0, inputs=[0], outputs=[1])]
    model.subgraphs = [schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=operators)]
    if release:
        model.buffers.append(schema.BufferT(data=list(release.encode())))
        model.metadata = [schema.MetadataT(name="min_runtime_version", buffer=1)]
    path.write_bytes(from_object(model))
    return path


def onnx_file(path: Path, ir_version: int = 8, opset: int = 17, shape: str = "N, 4") -> Path:
    text = f"(float[{shape}] x) => (float[{shape}] y) {{y = Relu (x)}}"
    path.write_bytes(onnx_bytes(text, opset=opset, ir_version=ir_version))
    return path

"""Small ONNX files without a manifest, and a benchmark of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.measure.candidates import BareFile, CandidateSet, LabelledImages
from edgecnn.benchmarks.measure.options import BenchOptions, Plan
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.records import Report
from edgecnn.edge.data.splits import ArraySplit, Split
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import DatasetRecord
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for

ONNX, TFLITE = opener_for("onnx"), opener_for("tflite")
UNIT = Interface(SCHEMES["unit"])
PLAN = Plan(min_seconds=0, min_runs=100, launches=2, rounds=2)
OPTIONS = BenchOptions(plan=PLAN)
IMAGES = np.random.default_rng(0).integers(0, 256, (300, 6, 5, 3)).astype(np.uint8)


def classifier(path: Path, seed: int = 0, batch: int | str = 1, classes: int = 3) -> Path:
    """Write a linear classifier of colour images of 6 x 5, channels first."""
    weights = np.random.default_rng(seed).standard_normal((3 * 6 * 5, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["classes"]),
    ]
    return write(path, nodes, [batch, 3, 6, 5], [batch, classes], TensorProto.FLOAT, weights)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    takes: Sequence[int | str],
    gives: Sequence[int | str],
    dtype: int,
    weights: np.ndarray | None = None,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(nodes[0].input[0], dtype, takes)],
        [helper.make_tensor_value_info(nodes[-1].output[0], dtype, gives)],
        [] if weights is None else [onnx.numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def labelled(path: Path, wrong: int = 0) -> ArraySplit:
    """Return images that the file gets right, all but the first so many."""
    labels = Classifier.load(path, interface=UNIT).probabilities(IMAGES).argmax(axis=1)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return ArraySplit(IMAGES, labels)


def images_of(test: Split) -> LabelledImages:
    return LabelledImages(test, DatasetRecord("noise", "/data/noise", "", test.sha256))


def bare(*paths: Path, interface: Interface | None = None) -> list[BareFile]:
    return [BareFile(read_model(path), opener_for(path.suffix[1:]), interface) for path in paths]


def run(
    candidate_set: CandidateSet,
    options: BenchOptions = OPTIONS,
    judged: bool = False,
    limits: Mapping[str, float | None] = MappingProxyType({}),
) -> Report:
    budgets = load_budgets(None, limits, (), beside_reference=judged)
    return benchmark(candidate_set, options, budgets, Policy(("noise",)), command="edgecnn bench", versions={})

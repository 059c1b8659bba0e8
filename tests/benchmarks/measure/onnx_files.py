"""Small ONNX files without a manifest, and a benchmark of them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

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
from tests.onnx_text import onnx_bytes

ONNX, TFLITE = opener_for("onnx"), opener_for("tflite")
UNIT = Interface(SCHEMES["unit"])
PLAN = Plan(min_seconds=0, min_runs=100, launches=2, rounds=2)
OPTIONS = BenchOptions(plan=PLAN)
IMAGES = np.random.default_rng(0).integers(0, 256, (300, 6, 5, 3)).astype(np.uint8)


def classifier(path: Path, seed: int = 0, batch: int | str = 1, classes: int = 3) -> Path:
    """Write a linear classifier of colour images of 6 x 5, channels first."""
    weights = np.random.default_rng(seed).standard_normal((3 * 6 * 5, classes)).astype(np.float32)
    nodes = "flat = Flatten (image) logits = MatMul (flat, weights) classes = Softmax (logits)"
    return write(path, f"(float[{batch}, 3, 6, 5] image) => (float[{batch}, {classes}] classes) {{{nodes}}}", weights=weights)


def write(path: Path, text: str, **constants: Any) -> Path:
    path.write_bytes(onnx_bytes(text, opset=13, **constants))
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

"""Figures to judge."""

from dataclasses import replace
from typing import Any

from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE, Accuracy
from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import Figures, Verdict
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.percentiles import LaunchPercentile, Percentile
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.edge.export_records import Parity

LOAD = Noise("load", None, "other processes used 0.50 cores")
DRIFT = Noise("drift", "int8.tflite", "the last rounds of int8.tflite are slower")
EACH = (LaunchPercentile(2_000_000, 1_900_000, 2_100_000), LaunchPercentile(1_990_000, 1_950_000, 2_050_000))
STEADY = Percentile(90, 1000, 64, 2_000_000, 1_900_000, 2_100_000, EACH)
FAST = Budget(max_p90_ms=3)


def measured(lost: int, gained: int, images: int = 10_000) -> Accuracy:
    correct = images * 9 // 10
    same = images - lost - gained
    return Accuracy(
        images=images,
        correct=correct + gained - lost,
        reference_correct=correct,
        lost=lost,
        gained=gained,
        same_class=same,
        drop=drop_interval(lost, gained, images),
        agreement=binomial.interval(same, images),
        mcnemar_p=1.0,
        loss=0.1,
        largest_confidence_change=0.0,
        mean_confidence_change=0.0,
        classes=(),
        confusion=(),
        flips=(),
    )


PERFECT = measured(0, 0)


def figures(accuracy: Accuracy | None = PERFECT, **changes: Any) -> Figures:
    return replace(Figures("int8.tflite", True, 10 * 1024, 50 * 2**20, STEADY, accuracy, KERAS_REFERENCE), **changes)


CLASSES = 10
DIGITS = tuple(f"digit {number}" for number in range(CLASSES))


def judged(accuracy: Accuracy, recorded: Parity | None = None, **limits: float | None) -> Verdict:
    """Judge a file of digits that is compared with float32.tflite."""
    beside = figures(accuracy, reference="float32.tflite", class_names=DIGITS, recorded=recorded)
    return judge(beside, Budget(**limits))

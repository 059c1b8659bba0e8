"""What is allowed, and the judgement."""

from dataclasses import dataclass
from fractions import Fraction

from benchmarks.accuracy import Accuracy
from edge.errors import ConfigError

PASS = "PASS"
FAIL = "FAIL"


@dataclass(frozen=True)
class Budget:
    """What a file may cost.

    Attributes:
        max_drop_points: Percentage points of accuracy below the float Keras model, 0 to 100.

    Raises:
        ConfigError: If out of range.
    """

    max_drop_points: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop_points <= 100:
            raise ConfigError(f"--max-drop must be 0 to 100 percentage points, got {self.max_drop_points}")


@dataclass(frozen=True)
class Verdict:
    """The judgement of one file, or of all.

    Attributes:
        status: `PASS` or `FAIL`.
        reasons: A sentence for each budget that is not met; none with `PASS`.
    """

    status: str
    reasons: tuple[str, ...]


def judge(name: str, accuracy: Accuracy, budget: Budget) -> Verdict:
    """Judge one file. A drop equal to the budget is within it; counts are compared, so that no rounding decides."""
    lost = accuracy.reference_correct - accuracy.correct
    # As typed, 0.57 is 57 hundredths; as a binary fraction it is less, and 57 of 10,000 images would fail it.
    if lost * 100 <= Fraction(str(budget.max_drop_points)) * accuracy.images:
        return Verdict(PASS, ())
    reason = (
        f"{name}: accuracy {accuracy.accuracy:.2%} is {accuracy.drop_points:.2f} points below the float Keras model, "
        f"allowed are {budget.max_drop_points:.2f}"
    )
    return Verdict(FAIL, (reason,))


def join(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Return the verdict on all files: PASS where every file passes.

    Raises:
        ValueError: If there is no verdict to join: nothing measured is nothing passed.
    """
    if not verdicts:
        raise ValueError("verdicts must have at least one, got none")
    reasons = tuple(reason for verdict in verdicts for reason in verdict.reasons)
    failed = any(verdict.status == FAIL for verdict in verdicts)
    return Verdict(FAIL if failed else PASS, reasons)

"""The limits of a file."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Annotated

from edgecnn.edge.options.option import Option, check, described

# Limits that compare a file with its reference, and all limits on accuracy.
BESIDE_REFERENCE = ("max_drop_points", "min_agreement_percent", "max_class_drop_points", "max_brier_increase")
ACCURACY_LIMITS = ("min_accuracy_percent", *BESIDE_REFERENCE)


@described
@dataclass(frozen=True)
class Budget:
    """The limits of a file. None means no limit. The Brier score rises when confidence is destroyed.

    Raises:
        ConfigError: If a limit is out of range.
    """

    max_drop_points: Annotated[
        float | None,
        Option("Largest drop of accuracy from the reference.", name="--max-drop", metavar="POINTS", low=0, high=100),
    ] = 0.5
    min_agreement_percent: Annotated[
        float | None,
        Option("Minimum share with the reference's class.", name="--min-agreement", metavar="PERCENT", low=0, high=100),
    ] = None
    max_p90_ms: Annotated[float | None, Option("Largest 90th percentile of latency.", metavar="MS", above=0)] = None
    max_size_kib: Annotated[float | None, Option("Largest size of an exported file.", metavar="KIB", above=0)] = None
    max_memory_mib: Annotated[float | None, Option("Largest peak memory of a file's process.", metavar="MIB", above=0)] = None
    min_accuracy_percent: Annotated[
        float | None, Option("Minimum accuracy.", name="--min-accuracy", metavar="PERCENT", low=0, high=100)
    ] = None
    max_class_drop_points: Annotated[
        float | None,
        Option("Largest drop of accuracy of any one class.", name="--max-class-drop", metavar="POINTS", low=0, high=100),
    ] = None
    max_brier_increase: Annotated[float | None, Option("Largest rise of the mean Brier score.", metavar="N", low=0, high=2)] = (
        None
    )

    def __post_init__(self) -> None:
        check(self)

    def of_accuracy(self) -> tuple[str, ...]:
        """Return the names of the limits that are set and need labelled images."""
        return self._set(ACCURACY_LIMITS)

    def beside_reference(self) -> tuple[str, ...]:
        """Return the names of those that compare the file with its reference."""
        return self._set(BESIDE_REFERENCE)

    def of_exported(self) -> tuple[str, ...]:
        """Return the names of the limits that are set and apply only to exported files, not to the reference."""
        return self._set(item.name for item in fields(self) if item.name not in ACCURACY_LIMITS)

    def _set(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if getattr(self, name) is not None)

"""The limits of a file, and the file that states them."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from edgecnn.edge.errors import ArtifactError, ConfigError, field, in_python, parsing, spelling
from edgecnn.edge.files import read_bytes
from edgecnn.edge.formats import format_of, is_exported
from edgecnn.edge.option import Option, check, described

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


_KEYS = tuple(field.name for field in fields(Budget))
_FILES = "files"
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Budgets:
    """A budget for all files, and those of single files.

    Attributes:
        general: Budget of every file that is not named below.
        files: Budgets by file name.
    """

    general: Budget
    files: Mapping[str, Budget]

    def of(self, file: str) -> Budget:
        """Return a file's own budget, or the general one."""
        return self.files.get(file, self.general)


def load_budgets(
    path: Path | None,
    options: Mapping[str, float | None],
    known: tuple[str, ...],
    beside_reference: bool = True,
    reference: str | None = None,
) -> Budgets:
    """Combine a TOML file's budgets with those of the command line, which take precedence.

    The file has the fields of `Budget` at its top, for all files, and in tables such as `[files."int8.tflite"]`, which
    override them for one file.

    Args:
        path: The TOML file, or None.
        options: Values from the command line by field name, None if not given.
        known: Names of the measured files.
        beside_reference: Whether accuracy is compared with a reference; otherwise the drop has no default limit.
        reference: The measured file that the others are compared with; None if it is not one of them.

    Raises:
        ConfigError: If the file can't be read, is not TOML, has an unknown name or a value out of range, or has a limit
            that would judge nothing, such as one of a file that is not measured.
    """
    given = {name: value for name, value in options.items() if value is not None}
    _budget(given, None)  # The command line's errors come first: each error names its place.
    table = _read(path) if path else {}
    per_file = table.pop(_FILES, {})
    if not isinstance(per_file, dict):
        raise ConfigError(f'{path}: {_FILES} must be tables such as [files."int8.tflite"]')
    general = ({} if beside_reference else {"max_drop_points": None}) | _numbers(table, f"{path}")
    everyone = _budget({**general, **given}, f"{path}")
    own: dict[str, Budget] = {}
    for name, values in per_file.items():
        if name not in known:
            measured = ", ".join(dict.fromkeys(known))
            raise ConfigError(f'{path}: [files."{name}"] names no measured file: measure it, or use one of {measured}')
        where = f'{path}, [files."{name}"]'
        if not isinstance(values, dict):
            raise ConfigError(f"{where} must be a table")
        numbers = _numbers(values, where)
        if name == reference and (idle := [limit for limit in numbers if limit in BESIDE_REFERENCE]):
            raise ConfigError(f"{where}: {idle[0]} compares a file with its reference, which is {name} itself: remove it")
        own[name] = _budget({**general, **numbers, **given}, where)
        if not is_exported(format_of(Path(name))) and (idle := [limit for limit in numbers if limit not in ACCURACY_LIMITS]):
            raise ConfigError(f"{where}: {idle[0]} applies only to exported files: remove it")
    return Budgets(everyone, own)


def _read(path: Path) -> dict[str, object]:
    try:
        data = read_bytes(path, _MOST_BYTES)
    except ArtifactError as error:
        raise ConfigError(f"{field('budget')}: {error.marked}") from error
    with parsing(f"{path} is not valid TOML", "fix it", ConfigError):
        return tomllib.loads(data.decode())


def _numbers(table: Mapping[str, object], where: str) -> dict[str, float]:
    numbers = {}
    for name, value in table.items():
        if name not in _KEYS:
            raise ConfigError(f'{where}: {name} is unknown: use {", ".join(_KEYS)}, or a table [{_FILES}."NAME"]')
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{where}: {name} must be a number, got {value!r}")
        try:
            numbers[name] = float(value)
        except OverflowError:
            raise ConfigError(f"{where}: {name} is too large") from None
    _budget(numbers, where)  # Also of a value that the command line overrides.
    return numbers


def _budget(values: Mapping[str, float | None], where: str | None) -> Budget:
    try:
        return Budget(**values)
    except ConfigError as error:
        if where is None:
            raise
        with spelling(in_python):  # The file's word is the field's name, not the option's.
            raise ConfigError(f"{where}: {error}") from error

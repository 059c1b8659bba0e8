"""Budgets from the command line and from a TOML file that is kept under version control."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.gate import Budget
from edge.errors import ConfigError

_KEYS = tuple(field.name for field in fields(Budget))
_FILES = "files"


@dataclass(frozen=True)
class Budgets:
    """A budget for all files, and what is different for some.

    Attributes:
        general: For every file that is not named below.
        files: By file name.
    """

    general: Budget
    files: Mapping[str, Budget]

    def of(self, file: str) -> Budget:
        """Return a file's own budget, or the general one."""
        return self.files.get(file, self.general)


def load_budgets(
    path: Path | None, options: Mapping[str, float | None], known: tuple[str, ...], beside_reference: bool = True
) -> Budgets:
    """Join a TOML file's budgets with those of the command line, which go first.

    The file has the field names of `Budget` at its top, for all files, and in tables such as `[files."int8.tflite"]`,
    for one, on top of those.

    Args:
        path: The TOML file, or None.
        options: Field name -> value from the command line, None where not given.
        known: Names of files that there are.
        beside_reference: Whether accuracy is compared; without it there is no drop to limit unless it is asked for.

    Raises:
        ConfigError: If the file can't be read, is no TOML, has an unknown name or a value that is out of range.
    """
    given = {name: value for name, value in options.items() if value is not None}
    _budget(given, None)  # The command line's own errors first: each error names its place.
    table = _read(path) if path else {}
    per_file = table.pop(_FILES, {})
    if not isinstance(per_file, dict):
        raise ConfigError(f'{path}: {_FILES} must be tables such as [files."int8.tflite"]')
    general = ({} if beside_reference else {"max_drop_points": None}) | _numbers(table, f"{path}")
    everyone = _budget({**general, **given}, f"{path}")
    own: dict[str, Budget] = {}
    for name, values in per_file.items():
        if name not in known:
            raise ConfigError(f'{path}: [files."{name}"] names no file: there are {", ".join(known)}')
        where = f'{path}, [files."{name}"]'
        if not isinstance(values, dict):
            raise ConfigError(f"{where} must be a table")
        numbers = _numbers(values, where)
        own[name] = _budget({**general, **numbers, **given}, where)
        if name.endswith(".keras") and Budget(**numbers).of_exported():
            raise ConfigError(f"{where}: {Budget(**numbers).of_exported()[0]} judges exported files only: take it away")
    return Budgets(everyone, own)


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"--budget: {path} can't be read ({error.strerror}): check the path") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML ({error}): mend it") from error


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
    return numbers


def _budget(values: Mapping[str, float | None], where: str | None) -> Budget:
    try:
        return Budget(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from error

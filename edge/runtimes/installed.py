"""Finds the runtime for the files of a format on this machine."""

from collections.abc import Sequence
from pathlib import Path

from edgecnn.edge.errors import ConfigError, MissingDependency, field
from edgecnn.edge.formats import FORMATS, RUNTIMES, Runtime

CPUINFO = Path("/proc/cpuinfo")


def runtimes_of(model_format: str) -> tuple[Runtime, ...]:
    """Return the runtimes that a format has by default, the first that is installed; not those that must be named."""
    return tuple(row for row in RUNTIMES.values() if model_format in row.formats and not row.by_name)


def runtime_for(model_format: str, tuned_for: str | None) -> str | None:
    """Return the name of the runtime that files are tuned for; None if it is the default one of this format."""
    return tuned_for if tuned_for and model_format in RUNTIMES[tuned_for].formats else None


def is_installed(name: str) -> bool:
    """Return whether a runtime, or any runtime of a format, is installed, without importing it.

    Raises:
        ConfigError: If there is no such runtime or format.
    """
    return any(row.package.is_installed for row in _named(name))


def installed_runtime(name: str) -> Runtime:
    """Return a runtime by its name, or the first installed runtime of a format.

    Raises:
        ConfigError: If there is no such runtime or format.
        MissingDependency: If it is not installed, no runtime of the format is, or the CPU lacks what it needs.
    """
    rows = _named(name)
    for row in rows:
        if row.package.is_installed:
            if row.cpu and not cpu_has(row.cpu):
                raise MissingDependency(
                    f"{row.name} needs a CPU with {row.cpu} in {CPUINFO}, as a Raspberry Pi 5 has, and this one has none: "
                    f"use {runtimes_of(row.formats[0])[0].name}"
                )
            return row
    if len(rows) == 1:
        raise rows[0].package.missing
    small = next((f" (32-bit: {row.package.command.removeprefix('pip install ')})" for row in rows if 32 in row.bits), "")
    raise MissingDependency(f"no {FORMATS[name].title} runtime is installed: {rows[0].package.command}{small}")


def runtime_formats(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return, for each format, those of `names` that run its files: runtimes, or the format's own name for its default one.

    Raises:
        ConfigError: If a name is neither a runtime nor a format, or two names are for the same runtime.
    """
    chosen: dict[str, dict[str, str]] = {}
    for name in names:
        rows = _named(name)
        # The default one of a format is its first that is installed.
        row = next((row for row in rows if row.package.is_installed), rows[0])
        for model_format in row.formats:
            named = chosen.setdefault(model_format, {})
            if named.setdefault(row.name, name) != name:
                raise ConfigError(f"{field('runtime')}={named[row.name]} and {name} are the same runtime: name one of them")
    return {model_format: tuple(chosen[model_format].values()) for model_format in FORMATS if model_format in chosen}


def cpu_has(*instructions: str) -> bool:
    """Return whether the CPU has all these instructions, by the names that /proc/cpuinfo gives them; without it, False."""
    try:
        return set(instructions) <= set(CPUINFO.read_text(encoding="utf-8", errors="replace").split())
    except OSError:  # Only Linux has this file.
        return False


def extras(names: Sequence[str], bits: int) -> list[str]:
    """Return the extras of edgecnn that install these runtimes on an ARM system with words of 32 or 64 bits.

    For the name of a format, that is its first runtime with such a package.

    Raises:
        ConfigError: If there is no such runtime or format.
    """
    rows = (next((row for row in _named(name) if bits in row.bits), None) for name in names)
    return sorted({row.package.extra for row in rows if row})


def _named(name: str) -> tuple[Runtime, ...]:
    """Return a format's runtimes, or the runtime with this name."""
    rows = runtimes_of(name) or tuple(row for row in RUNTIMES.values() if row.name == name)
    if not rows:
        known = dict.fromkeys((*RUNTIMES, *FORMATS))
        raise ConfigError(f"{field('runtime')}={name} is unknown: use {', '.join(known)}")
    return rows

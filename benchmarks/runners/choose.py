"""What an export is tuned with: by a word of the user."""

from collections.abc import Sequence
from pathlib import Path

from edgecnn.benchmarks.deploy.checks import measuring_on
from edgecnn.benchmarks.runners.emulated import CORES, Emulated
from edgecnn.benchmarks.runners.timed import Here, OverSsh, installed_by
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.formats import FORMATS, RUNTIMES
from edgecnn.edge.result import Progress
from edgecnn.edge.runtimes.installed import installed_runtime, runtime_for, runtimes_of

HERE = "here"
TUNE_SECONDS = 120.0
"""Longest time of the search for one format, in seconds."""


def runner_of(
    where: str, seconds: float, test: Split, progress: Progress, formats: tuple[str, ...], runtime: str | None = None
) -> Here | OverSsh | Emulated:
    """Return what files are measured with, once it is shown to be there.

    Args:
        where: `here`, a host as ssh takes it, or an emulated core.
        seconds: Longest time of the search for one format.
        test: Test images.
        progress: Receives each step.
        formats: Names of the formats that are measured: an emulated board gets their default runtimes.
        runtime: Name of the runtime to tune for; None for the default one of each format.

    Raises:
        ConfigError: As in `require_runner`.
        EdgeCnnError: If the host can't be reached, or has no edgecnn of this version or lacks a runtime.
        MissingDependency: If this machine can't emulate the core, or does not have the runtime.
    """
    require_runner(where, seconds, formats, runtime)
    if where == HERE:
        if runtime:
            installed_runtime(runtime)
        return Here(test, seconds, runtime)
    if where in CORES:
        emulated = Emulated(where, seconds, progress.say, formats, runtime)
        emulated.prepare()
        return emulated
    progress.say(f"{where}: connecting")
    there = measuring_on(where, installed_by(where, formats, runtime))
    for model_format in formats:
        _require_runtime(where, there.runtimes, model_format, runtime_for(model_format, runtime))
    return OverSsh(where, test, seconds, runtime, there.machine)


def _require_runtime(host: str, there: Sequence[str], model_format: str, named: str | None) -> None:
    """Raise unless one of the board's runtimes runs files of a format, or the one that is named does."""
    usual = [row for row in runtimes_of(model_format) if row.name in there]
    if named is None and not usual:
        title = FORMATS[model_format].title
        raise EdgeCnnError(f"{host} has no runtime for {title} files: type {installed_by(host, [model_format])}")
    if named is None or named in there:
        return
    row = RUNTIMES[named]
    if row.cpu and row.package in [other.package for other in usual]:
        raise ConfigError(f"{named} needs a CPU with {row.cpu}, and that of {host} has none: omit {field('tune_runtime')}")
    raise EdgeCnnError(f"{host} has no {named}: type {installed_by(host, [model_format], named)}")


def require_runner(where: str, seconds: float, formats: tuple[str, ...], runtime: str | None = None) -> None:
    """Check the arguments of `runner_of`, as far as that takes no time.

    Raises:
        ConfigError: If `where` names no machine, `seconds` is out of range, or an emulated core never has the runtime.
    """
    if not 1 <= seconds <= 86_400:
        raise ConfigError(f"{field('tune_seconds')} must be 1 s to 24 hours, got {seconds:g} s")
    if where.startswith("cortex-") and where not in CORES:
        raise ConfigError(f"{field('tune')}={where} can't be emulated: use {', '.join(CORES)}, or a board over ssh")
    if not where or Path(where).exists():
        raise ConfigError(f"{field('tune')}={where or repr('')} names no machine: use {HERE}, a host, or {', '.join(CORES)}")
    packages = {runtimes_of(model_format)[0].package for model_format in formats}
    if where in CORES and runtime and RUNTIMES[runtime].package not in packages:
        raise ConfigError(f"{field('tune_runtime')}={runtime} is not installed on emulated cores: tune on a board, or omit it")

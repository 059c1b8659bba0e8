"""The target runtimes of an export, and whether a file needs more than they support.

What each release supports is data in `edgecnn.edge.compatibility`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from edgecnn.convert.integrations import PROGRAMS
from edgecnn.edge.compatibility.requirements import known_releases, read_needs, release_key
from edgecnn.edge.errors import ConfigError, ConversionError, field
from edgecnn.edge.formats import RUNTIMES, Runtime


@dataclass(frozen=True)
class RuntimeRelease:
    """A release of a runtime's package, as pip names both."""

    package: str
    release: str

    def __str__(self) -> str:
        return f"{self.package} {self.release}"

    @property
    def model_format(self) -> str:
        """Name of the format that it runs."""
        return _known()[self.package][0].formats[0]  # Only runtimes of one format are in the tables.


def _known() -> dict[str, tuple[Runtime, str, str]]:
    """Return the runtime of each package, and the oldest and the newest release in the tables.

    If a runtime has not ended, a later release supports what the newest one here does.
    """
    releases = {row.package.name: (row, known_releases(row)) for row in RUNTIMES.values()}
    return {package: (row, *known) for package, (row, known) in releases.items() if known}


def parse_target(text: str) -> RuntimeRelease:
    """Read `package` or `package==version`; without a version it is the newest release in the tables.

    Raises:
        ConfigError: If the package or the version is unknown.
    """
    name, equals, release = text.partition("==")
    releases = [f"{package}=={oldest} to {newest}" for package, (_, oldest, newest) in _known().items()]
    known = ", ".join([*releases, *PROGRAMS])
    if name not in _known():
        raise ConfigError(f"{field('targets')}={text} is unknown: use one of {known}")
    row, oldest, newest = _known()[name]
    if not equals:
        return RuntimeRelease(name, newest)
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}", release):
        raise ConfigError(f"{field('targets')}={text} needs a version such as 2.14 after its name and ==: use one of {known}")
    too_new = row.ended and release_key(release) > release_key(newest)
    if release_key(release) < release_key(oldest) or too_new:
        raise ConfigError(f"{field('targets')}={text}: no table covers that release: use {name}=={oldest} to {newest}")
    return RuntimeRelease(name, release)


def parse_targets(texts: Sequence[str], formats: Sequence[str]) -> dict[str, RuntimeRelease]:
    """Return the target runtime of each exported format that has one, from texts that `parse_target` reads.

    Raises:
        ConfigError: If one can't be read, two are for one format, or one is for a format that is not exported.
    """
    targets: dict[str, RuntimeRelease] = {}
    for target in map(parse_target, texts):
        if target.model_format not in formats:
            raise ConfigError(
                f"{field('targets')}={target.package} is for {target.model_format} files, which are not exported: "
                f"add {field('formats')}={target.model_format}, or omit it"
            )
        if target.model_format in targets:
            both = f"{targets[target.model_format]} and {target}"
            raise ConfigError(f"{field('targets')} names {both}, both for {target.model_format} files: name the older one")
        targets[target.model_format] = target
    return targets


def require_runs(name: str, data: bytes, target: RuntimeRelease) -> None:
    """Check that a target supports what a file, which the installed runtime has run, needs.

    Raises:
        ConversionError: If it does not; the message names the operator, opset or IR version.
    """
    if _ran_here(target):
        return
    lack = read_needs(data, target.model_format).lack(target.package, target.release)
    if lack:
        precision = name.partition(".")[0]
        other = "replace that layer" if precision == "float32" else f"omit {field('precisions')}={precision}"
        raise ConversionError(f"{name}: {lack}: {other}, or name a newer runtime with {field('targets')}")


def _ran_here(target: RuntimeRelease) -> bool:
    """Return whether the target is the runtime that ran the file here, or a later release: then no table knows better."""
    try:
        installed = re.match(r"[0-9]+(\.[0-9]+)*", version(target.package))
    except PackageNotFoundError:
        return False
    return installed is not None and release_key(target.release) >= release_key(installed.group())

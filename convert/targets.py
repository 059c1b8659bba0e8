"""The runtimes that an export is for: what each knows, and whether a file asks for more.

What which release knows is data: `edge/releases.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from edge.errors import ConfigError, ConversionError
from edge.needs import ONNX_DOMAIN, Needs, read_needs
from edge.releases import (
    LITERT_BASE,
    LITERT_RELEASES,
    LITERT_VERSIONS,
    ONNX_RUNTIMES,
    TFLITE_SINCE,
    oldest_tflite,
    release_key,
)

# Package -> its format, and the oldest and the newest release that the tables know. tflite-runtime ended; of the others a
# later release knows what the newest one here does.
_PACKAGES = {
    "ai-edge-litert": ("tflite", LITERT_RELEASES[0], LITERT_RELEASES[-1]),
    "tflite-runtime": ("tflite", "2.7.0", "2.14.0"),
    "onnxruntime": ("onnx", ONNX_RUNTIMES[0][0], ONNX_RUNTIMES[-1][0]),
}
_ENDED = "tflite-runtime"


@dataclass(frozen=True)
class Target:
    """A release of a runtime.

    Attributes:
        package: As pip names it.
        release: Its version.
    """

    package: str
    release: str

    def __str__(self) -> str:
        return f"{self.package} {self.release}"

    @property
    def model_format(self) -> str:
        """`tflite` or `onnx`."""
        return _PACKAGES[self.package][0]

    @property
    def opset(self) -> int:
        """The highest opset of ai.onnx that it runs, if it is for ONNX files."""
        return self._onnx()[1]

    @property
    def ir_version(self) -> int:
        """The highest IR version that it reads, if it is for ONNX files."""
        return self._onnx()[2]

    def highest(self, operator: str) -> int:
        """Return the highest version of a TFLite operator that it has; 0 if it has none, or no table says."""
        release = self.release
        if self.package == "ai-edge-litert":
            if operator in LITERT_VERSIONS:
                column = sum(release_key(measured) <= release_key(release) for measured in LITERT_RELEASES) - 1
                return LITERT_VERSIONS[operator][column]
            release = LITERT_BASE
        return sum(release_key(since) <= release_key(release) for since in TFLITE_SINCE.get(operator, ()))

    def _onnx(self) -> tuple[str, int, int]:
        return [row for row in ONNX_RUNTIMES if release_key(row[0]) <= release_key(self.release)][-1]


def parse_target(text: str) -> Target:
    """Read `package` or `package==version`; without a version it is the newest that the tables know.

    Raises:
        ConfigError: If the package or the version is none of those.
    """
    name, equals, release = text.partition("==")
    known = ", ".join(f"{package}=={oldest} to {newest}" for package, (_, oldest, newest) in _PACKAGES.items())
    if name not in _PACKAGES:
        raise ConfigError(f"--for {text} is unknown: use one of {known}")
    _, oldest, newest = _PACKAGES[name]
    if not equals:
        return Target(name, newest)
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}", release):
        raise ConfigError(f"--for {text} has no version as 2.14 after its name and ==: use one of {known}")
    too_new = name == _ENDED and release_key(release) > release_key(newest)
    if release_key(release) < release_key(oldest) or too_new:
        raise ConfigError(f"--for {text}: what that release knows is not known: use {name}=={oldest} to {newest}")
    return Target(name, release)


def parse_targets(texts: Sequence[str], formats: Sequence[str]) -> dict[str, Target]:
    """Return the target of each format that has one.

    Args:
        texts: As `parse_target` takes them.
        formats: Those that are exported.

    Raises:
        ConfigError: If one can't be read, two are of one format, or one is of a format that is not exported.
    """
    targets: dict[str, Target] = {}
    for target in map(parse_target, texts):
        if target.model_format not in formats:
            raise ConfigError(
                f"--for {target.package} is for {target.model_format} files, which are not exported: "
                f"add --format {target.model_format}, or leave it away"
            )
        if target.model_format in targets:
            both = f"{targets[target.model_format]} and {target}"
            raise ConfigError(f"--for names {both}, both for {target.model_format} files: name the older one")
        targets[target.model_format] = target
    return targets


def require_runs(name: str, data: bytes, target: Target) -> None:
    """Check that a target knows what a file asks for.

    Args:
        name: The file's, `precision.format`.
        data: Its bytes, which the installed runtime has run.
        target: Of its format.

    Raises:
        ConversionError: If it does not, naming the operator, opset or IR version that stands in the way.
    """
    if _ran_here(target):
        return
    needs = read_needs(data, target.model_format)
    lack = _onnx_lack(needs, target) if needs.ir_version is not None else _tflite_lack(needs, target)
    if lack:
        precision = name.partition(".")[0]
        other = "replace that layer" if precision == "float32" else f"leave --quantize {precision} away"
        raise ConversionError(f"{name}: {lack}: {other}, or name a newer runtime with --for")


def _ran_here(target: Target) -> bool:
    """Tell whether the target is what ran the file here, or a later release of it: then no table knows better."""
    try:
        installed = re.match(r"[0-9]+(\.[0-9]+)*", version(target.package))
    except PackageNotFoundError:
        return False
    return installed is not None and release_key(target.release) >= release_key(installed.group())


def _tflite_lack(needs: Needs, target: Target) -> str | None:
    for operator, wanted in needs.operators.items():
        highest = target.highest(operator)
        if operator in needs.unknown:
            return f"no table says which release of {target.package} computes {operator} in integers"
        if wanted > highest:
            since = oldest_tflite({operator: wanted})
            came = f" (TensorFlow Lite {since} and later)" if since else ""
            return f"{operator} is of version {wanted}{came}, and {target} has {f'up to {highest}' if highest else 'none'}"
    return None


def _onnx_lack(needs: Needs, target: Target) -> str | None:
    found = {"IR version": (needs.ir_version or 0, target.ir_version)}
    for domain, opset in needs.opsets.items():
        found[f"opset of {domain}"] = (opset, target.opset if domain == ONNX_DOMAIN else 0)
    for what, (wanted, highest) in found.items():
        if wanted > highest:
            return f"{what} is {wanted}, and {target} has {f'up to {highest}' if highest else 'none'}"
    return None

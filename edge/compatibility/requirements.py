"""What a file requires of its runtime, read from its bytes, and which releases meet it. Each format has a reader module."""

from importlib import import_module
from typing import ClassVar, Protocol, cast

from edgecnn.edge.errors import parsing
from edgecnn.edge.formats import FORMATS, Runtime


class Needs(Protocol):
    """What a runtime must support to run a file.

    Attributes:
        title: Product whose releases the fields below name, as people write it.
        numbered: Package that has the same release numbers.
    """

    title: ClassVar[str]
    numbered: ClassVar[str]

    @property
    def int8(self) -> bool:
        """Whether operators compute in 8-bit integers."""
        ...

    @property
    def written(self) -> str | None:
        """The oldest release that loads it, as written by its converter; None if it wrote none."""
        ...

    def text(self) -> str:
        """Return the requirements in one line."""
        ...

    def oldest_runtime(self) -> str | None:
        """Return the oldest release that runs the file, as `package>=version`; None if the tables don't tell."""
        ...

    def at_least(self) -> str | None:
        """Return a release before which none runs the file; it may itself be too old. None if the tables don't tell."""
        ...

    def lack(self, package: str, release: str) -> str | None:
        """Return what a release of a package in `RELEASES`, not older than those, lacks for the file; None for nothing.

        That is an operator, opset or IR version.
        """
        ...


def read_needs(data: bytes, model_format: str) -> Needs:
    """Read the requirements of a file in a format that has `requirements`.

    Raises:
        ArtifactError: If the bytes are not such a file.
    """
    module = import_module(str(FORMATS[model_format].requirements))
    with parsing(f"it is no {model_format} file, or is damaged", "copy it again"):
        return cast(Needs, module.read_needs(data))


def narrow_numbers(data: bytes, model_format: str) -> str | None:
    """Return what a file's numbers are stored in if it is not float32: `int8`, `float16` or alike; else None.

    Raises:
        ArtifactError: If the bytes are not such a file.
    """
    module = FORMATS[model_format].requirements
    if module is None:
        return None
    with parsing(f"it is no {model_format} file, or is damaged", "copy it again"):
        return cast(str | None, import_module(module).narrow_numbers(data))


def known_releases(runtime: Runtime) -> tuple[str, str] | None:
    """Return the oldest and the newest release of a runtime in the tables; None if it is not in them."""
    modules = filter(None, (FORMATS[model_format].requirements for model_format in runtime.formats))
    found = (import_module(module).RELEASES.get(runtime.package.name) for module in modules)
    return next((releases for releases in found if releases), None)


def release_key(release: str) -> tuple[int, ...]:
    """Return a release's numbers for comparison: 2.14 is 2.14.0.

    Raises:
        ValueError: If it is not numbers separated by dots.
    """
    numbers = [int(number) for number in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)

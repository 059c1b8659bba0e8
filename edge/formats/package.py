"""Packages that may or may not be installed."""

from importlib.util import find_spec
from typing import NamedTuple

from edgecnn.edge.errors import MissingDependency

WORKSTATION = "train"
"""The extra that installs what training and conversion need."""


class Package(NamedTuple):
    """A package that may or may not be installed.

    Attributes:
        name: Name for pip.
        module: Name for `import`.
        extra: The extra of edgecnn that installs it.
    """

    name: str
    module: str
    extra: str

    @property
    def is_installed(self) -> bool:
        """Whether it is installed. This does not import it."""
        try:
            return find_spec(self.module.partition(".")[0]) is not None
        except ModuleNotFoundError:  # A finder that hides a package raises this.
            return False
        except ValueError:  # Its module in sys.modules has no spec: a stand-in.
            return True

    @property
    def missing(self) -> MissingDependency:
        """The error for a missing package."""
        where = ". On the workstation" if self.extra == WORKSTATION else ""
        return MissingDependency(f"{self.name} is not installed{where}: {self.command}")

    @property
    def command(self) -> str:
        """The command that installs it."""
        from edgecnn.edge.install_command import install_command  # noqa: PLC0415 - Only an error needs it.

        return install_command(self.extra)

"""The errors that a user can cause and mend, each with its exit code.

Every message is one line: what is wrong, with which thing, and what to type to mend it. `edgecnn.main` prints it and
exits; nothing else in the project exits.
"""


class EdgeCnnError(Exception):
    """Something that the user can mend; its subclasses say what kind of thing."""

    exit_code = 1


class ConfigError(EdgeCnnError):
    """An option or a path that cannot work as given."""

    exit_code = 2


class GateFailed(EdgeCnnError):
    """A measured file is outside its budget."""

    exit_code = 3


class ArtifactError(EdgeCnnError):
    """A file that is missing, damaged, stale or not what it should be."""

    exit_code = 4


class ConversionError(EdgeCnnError):
    """A converter failed, or what it wrote does not compute what the model computes."""

    exit_code = 5


class MissingDependency(EdgeCnnError):
    """A package that the command needs is not installed."""

    exit_code = 6


class InvalidMeasurement(EdgeCnnError):
    """A measurement that must not be used."""

    exit_code = 7

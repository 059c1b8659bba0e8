"""How a bundle goes into service."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgecnn.edge.option import Option, check, described, seconds


@described
@dataclass(frozen=True)
class DeployOptions:
    """How a bundle goes into service.

    Raises:
        ConfigError: If a value is out of range.
    """

    install: Annotated[bool, Option("Install edgecnn there, in a virtual environment of its own.")] = False
    budget: Annotated[
        Path | None, Option("TOML file with limits that edgecnn bench must confirm there first.", metavar="TOML")
    ] = None
    watch_seconds: Annotated[
        float,
        Option(
            "How long the service is watched before the model is kept.",
            name="--watch",
            metavar="TIME",
            parse=seconds,
            example="10s",
            low=0,
            high=86_400,
        ),
    ] = 10.0
    canary: Annotated[bool, Option("Deploy to the first board alone, and to the others if that succeeded.")] = False

    def __post_init__(self) -> None:
        check(self)

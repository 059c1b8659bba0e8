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
    service: Annotated[bool, Option("Also run it as a systemd service, and start that at boot.")] = False
    host: Annotated[
        str,
        Option(
            "Address on which the service listens; 0.0.0.0 for all, which needs a token.", metavar="ADDRESS", panel="Service"
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Option("Port on which the service listens.", low=1, high=65_535, panel="Service")] = 8000
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
    shadow: Annotated[
        int,
        Option(
            "Number of live pictures that it must answer like the one in service before it replaces that.",
            default="none",
            low=0,
            high=10**7,
            panel="Shadow",
        ),
    ] = 0
    min_agreement_percent: Annotated[
        float,
        Option(
            "Minimum share of these with the same class, which they must show (95 %).",
            name="--shadow-agreement",
            metavar="PERCENT",
            above=0,
            below=100,
            panel="Shadow",
        ),
    ] = 95.0
    shadow_keep_mib: Annotated[
        float,
        Option("Largest size of the pictures that are kept there if the two disagree.", metavar="MIB", low=0, panel="Shadow"),
    ] = 0.0

    def __post_init__(self) -> None:
        check(self)

"""What of a machine's noise a result is judged in spite of: for the commands that measure."""

from typing import Annotated

import typer

from benchmarks.noise import NAMES

Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help=f"Judge in spite of this noise ({', '.join(NAMES)}; noise for all); may be repeated."),
]

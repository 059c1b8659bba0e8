"""What an export wrote, as text."""

import io
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from edge.manifest import Manifest


def to_table(manifest: Manifest, folder: Path, files: list[tuple[str, str]]) -> str:
    """Return a table of the (format, precision) pairs in `files`, at most 100 columns wide."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("file", no_wrap=True)
    for heading in ("KiB", "largest difference", "same class as Keras"):
        table.add_column(heading, justify="right")
    for heading in ("input", "oldest runtime"):
        table.add_column(heading)
    for artifact in manifest.artifacts:
        parity = artifact.parity
        if (artifact.format, artifact.precision) in files and parity:
            table.add_row(
                artifact.path,
                f"{artifact.size_bytes / 1024:.1f}",
                f"{parity.max_difference:.2g}",
                f"{parity.same_class:,} of {parity.images:,}",
                artifact.input.dtype,
                artifact.oldest_runtime or "not known",
            )
    text = io.StringIO()
    Console(file=text, width=100, highlight=False, markup=False).print(table)
    rows = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
    return "\n".join([*rows, "", f"Exported to {folder}. Next: edgecnn bench {folder}"])

"""A bar while files are measured, or lines where nobody watches."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from benchmarks.launches import Progress as OnProgress


@contextmanager
def bench_progress() -> Iterator[OnProgress]:
    """Show steps on standard error. Nothing is drawn between two of them: only the measured process may work then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("")

        def show(done: int, steps: int, text: str) -> None:
            progress.update(task, total=steps, completed=done, description=text, refresh=True)

        yield show


class _Lines:
    """Prints a line for each launch, and for each file that is asked for more."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""

    def __call__(self, done: int, steps: int, text: str) -> None:
        part = text.split(", ")[0]
        if part.startswith("launch"):
            part = part.split(":")[0]
        if part != self._said:
            self._said = part
            self._console.print(part, highlight=False)

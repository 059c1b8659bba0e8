"""A bar while a model is trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from convert.train import TrainState


@contextmanager
def training_progress() -> Iterator[Callable[[TrainState], None]]:
    """Show a bar while an epoch runs, and leave a line for each finished one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting TensorFlow", total=None)

        def show(state: TrainState) -> None:
            epoch = f"epoch {state.epoch}/{state.epochs}"
            figures = f"loss {state.loss:.4f}  accuracy {state.accuracy:.4f}"
            progress.update(task, description=f"{epoch}  {figures}", total=state.batches, completed=state.batch)
            if state.batch == state.batches:
                progress.console.print(f"{epoch}  {figures}  {state.seconds:.1f} s", highlight=False)

        yield show

"""Finds which convolutions of an int8 file cost less if several columns are folded into one, by measurement.

Folding changes no answer, so nothing is judged. The convolutions hardly influence each other: each number of columns is
measured alone, then the best ones together, without each one in turn.
"""

from collections.abc import Callable, Mapping, Sequence

from edgecnn.edge.export_records import GAIN

Folds = Mapping[str, int]
"""Name of a convolution's output tensor -> number of columns that are folded into one."""


def cheapest_folds(
    foldable: Mapping[str, Sequence[int]], measure: Callable[[Sequence[Folds]], Sequence[float]], over: Callable[[], bool]
) -> Folds:
    """Return the folds that cost least; none of them if nothing gains a percent, or the time is up.

    Args:
        foldable: Numbers of columns that each convolution allows.
        measure: Function from folds to their costs, each divided by the cost of the file without folds.
        over: Function that returns whether the time is up.
    """
    alone: list[Folds] = [{name: columns} for name, numbers in foldable.items() for columns in numbers]
    if not alone or over():
        return {}
    best: dict[str, tuple[float, int]] = {}
    for folds, cost in zip(alone, measure(alone), strict=True):
        for name, columns in folds.items():
            best[name] = min(best.get(name, (GAIN, 1)), (cost, columns))
    together = {name: columns for name, (_, columns) in best.items() if columns > 1}
    if len(together) < 2 or over():
        return together
    fewer = [{name: columns for name, columns in together.items() if name != left_out} for left_out in together]
    cost, *costs = measure([together, *fewer])
    # What the others cost without it tells whether a fold gains a percent among them.
    return {name: columns for (name, columns), without in zip(together.items(), costs, strict=True) if cost < GAIN * without}

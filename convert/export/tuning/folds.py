"""Finds which convolutions of an int8 file cost less if several columns are folded into one, by measurement.

Folding changes no answer, so nothing is judged. The convolutions hardly influence each other: each number of columns is
measured alone, then the best ones together, then all of these except one. What was measured to cost least is taken.
"""

from collections.abc import Callable, Mapping, Sequence

from edgecnn.edge.export_records import GAIN

Folds = Mapping[str, int]
"""Name of a convolution's output tensor -> number of columns that are folded into one."""


def cheapest_folds(
    foldable: Mapping[str, Sequence[int]], measure: Callable[[Sequence[Folds]], Sequence[float]]
) -> tuple[Folds, float]:
    """Return the folds that cost least, and their cost; no folds, and 1, if nothing gains a percent.

    Args:
        foldable: Numbers of columns that each convolution allows.
        measure: Function from folds to their costs, each divided by the cost of the file without folds; infinity for what
            there is no time for.
    """
    alone: list[Folds] = [{name: columns} for name, numbers in foldable.items() for columns in numbers]
    costs = list(zip(measure(alone), alone, strict=True)) if alone else []
    best: dict[str, tuple[float, int]] = {}
    for cost, folds in costs:
        for name, columns in folds.items():
            best[name] = min(best.get(name, (GAIN, 1)), (cost, columns))
    together = {name: columns for name, (_, columns) in best.items() if columns > 1}
    if len(together) > 1:
        # Of two, all except one are those that were measured alone.
        fewer = [{name: columns for name, columns in together.items() if name != left_out} for left_out in together]
        several: list[Folds] = [together, *(fewer if len(together) > 2 else [])]
        costs += zip(measure(several), several, strict=True)
    cost, folds = min(costs, key=lambda one: one[0], default=(1.0, {}))
    return (folds, cost) if cost < GAIN else ({}, 1.0)

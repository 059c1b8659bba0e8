"""Searches, by measurement, the float layers and folded columns that make a quantized file cheapest."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.export_records import GAIN

Placement = frozenset[str]
"""The operators of a file that stay float, by the names of their output tensors."""

# Standard deviations, as shares of the cost of the file without floats: of a measurement; and, before anything is measured, of
# what an average operator saves in float, and of a border.
_MEASUREMENT, _OPERATOR, _BORDER = 0.01, 1.0, 0.5


class AdditiveCosts:
    """A file's cost as the sum of what each operator saves in float and of what each border between floats and integers takes.

    Args:
        operators: The operators in the order in which they run.
        costs: Cost of each measured placement, divided by that of the file without floats.
    """

    def __init__(self, operators: Sequence[str], costs: Mapping[Placement, float]) -> None:
        self._operators = operators
        count = len(operators)
        expected = np.array([_OPERATOR / count] * count + [_BORDER / count])
        rows, more = self._rows(list(costs)), np.array(list(costs.values())) - 1
        precision = rows.T @ rows / _MEASUREMENT**2 + np.diag(expected**-2.0)
        self._factor = np.linalg.cholesky(precision)
        self._weights = np.linalg.solve(precision, rows.T @ more / _MEASUREMENT**2)

    def predict(self, placements: Sequence[Placement]) -> NDArray[np.float64]:
        """Return the expected costs (n,) of placements, less 1."""
        found: NDArray[np.float64] = self._rows(placements) @ self._weights
        return found

    def cheapest(self, rng: np.random.Generator | None = None) -> Placement:
        """Return the placement of least cost: under the expected weights, or under weights drawn from those still possible."""
        weights = self._weights
        if rng is not None:
            weights = weights + np.linalg.solve(self._factor.T, rng.standard_normal(len(weights)))
        return self._shortest(weights[:-1].tolist(), max(0.0, float(weights[-1])))

    def _shortest(self, weights: Sequence[float], border: float) -> Placement:
        # What all operators so far cost at least, if the last of them computes integers, and if it computes floats.
        integer, floating = 0.0, border
        came_from_float: list[tuple[bool, bool]] = []
        for weight in weights:
            came_from_float.append((floating + border < integer, floating <= integer + border))
            integer, floating = min(integer, floating + border), min(floating, integer + border) + weight
        is_float, kept = floating + border < integer, []
        for operator, before in zip(reversed(self._operators), reversed(came_from_float), strict=True):
            if is_float:
                kept.append(operator)
            is_float = before[is_float]
        return Placement(kept)

    def _rows(self, placements: Sequence[Placement]) -> NDArray[np.float64]:
        """Return what the cost is linear in: whether each operator is in float, and the number of borders."""
        kept = np.array([[name in one for name in self._operators] for one in placements]).reshape(-1, len(self._operators))
        borders = np.abs(np.diff(kept.astype(int), axis=1, prepend=0, append=0)).sum(axis=1)
        return np.column_stack([kept, borders]).astype(np.float64)


Folds = Mapping[str, int]
"""Name of a convolution's output tensor -> number of columns that are folded into one."""


def cheapest_folds(
    foldable: Mapping[str, Sequence[int]], measure: Callable[[Sequence[Folds]], Sequence[float]]
) -> tuple[Folds, float]:
    """Return the folds that cost least, and their cost; no folds, and 1, if nothing gains a percent.

    Each convolution allows some numbers of columns. `measure` returns the costs of folds, each divided by that of the file
    without; infinity for what there is no time for.
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


# As many batches without a new cheapest placement, and the search ends.
_PATIENCE = 3
# Placements to change further.
_PARENTS = 2
# Draws from the model for each placement of a batch: many are the same.
_DRAWS = 4
# What is this close to the cheapest is measured again, as often.
_CLOSE, _MOST_CLOSE, _AGAIN = 0.05, 4, 2
# Costs that vary less are counts of instructions, which are the same each time.
_EXACT = 1e-3


class Search:
    """Searches placements of a file's operators.

    Args:
        operators: The operators in the order in which they run, by the name of their output tensor.
        measure: Function from placements to their costs, each divided by the cost of the file without floats.
        accepts: Function that returns whether a placement's file is accurate enough; it is asked once of each.
        over: Function that returns whether the time is up.
        batch: Number of placements that are measured at a time.
        seed: Seed of the draws from the model.
    """

    def __init__(
        self,
        operators: Sequence[str],
        measure: Callable[[Sequence[Placement]], Sequence[float]],
        accepts: Callable[[Placement], bool],
        over: Callable[[], bool],
        batch: int,
        seed: int = 0,
    ) -> None:
        self._operators, self._measure, self._accepts, self._over = tuple(operators), measure, accepts, over
        self._batch = batch
        self._random = np.random.default_rng(seed)
        self._costs: dict[Placement, list[float]] = {frozenset(): [0.0]}
        self._accepted: dict[Placement, bool] = {}
        self._runs = tuple(runs_of(self._operators))

    @property
    def measured(self) -> int:
        """Number of placements that were measured."""
        return len(self._costs) - 1

    def cost(self, placement: Placement) -> float:
        """Return a measured placement's cost, divided by that of the file without floats: the geometric mean of all times."""
        return math.exp(fmean(self._costs[placement]))

    def cheapest(self, most: int) -> list[Placement]:
        """Return the cheapest placements, whether accurate enough or not."""
        return self._by_cost()[:most]

    def run(self, starts: Sequence[Placement] = ()) -> Placement | None:
        """Return the cheapest placement that is accurate enough; None if that is the file without floats, or no choice is.

        It begins with `starts`, and with none and all in float.
        """
        everything = frozenset(self._operators)
        coarse = [run for run in self._runs if len(run) == len(self._runs[0])]
        self._look([*starts, *coarse, *(everything - run for run in coarse)])
        best, idle = self._best(), 0
        while not self._over() and idle < _PATIENCE:
            batch = self._next()
            if not batch:
                break
            self._look(batch)
            found = self._best()
            idle = 0 if found != best else idle + 1
            best = found
        self._look_again()
        return self._best() or None

    def _next(self) -> list[Placement]:
        """Return a batch of placements that promise most: half are the best of all by the model, half change one run."""
        model = AdditiveCosts(self._operators, {one: self.cost(one) for one in self._costs})
        draws = (model.cheapest(self._random) for _ in range(_DRAWS * self._batch))
        best = list(islice(self._unmeasured(chain([model.cheapest()], draws)), max(1, self._batch // 2)))
        parents = [placement for placement in self._by_cost() if self._may_lead(placement)][:_PARENTS]
        changed = list(self._unmeasured(parent ^ run for parent in parents for run in self._runs))
        ranked = [changed[place] for place in np.argsort(model.predict(changed), kind="stable")]
        return list(dict.fromkeys([*best, *ranked]))[: self._batch]

    def _unmeasured(self, placements: Iterable[Placement]) -> Iterator[Placement]:
        """Yield each placement once that was not measured and has both integers and floats."""
        seen = {frozenset(self._operators), *self._costs}
        for placement in placements:
            if placement not in seen:
                seen.add(placement)
                yield placement

    def _look(self, placements: Sequence[Placement]) -> None:
        fresh = [one for one in dict.fromkeys(placements) if one and one not in self._costs]
        for start in range(0, len(fresh), self._batch):
            if self._over():
                return
            self._add(fresh[start : start + self._batch])

    def _look_again(self) -> None:
        """Measure what is close to the cheapest accepted choice again: which of them is cheapest may be chance."""
        for _ in range(_AGAIN):
            best = self._best()
            if best is None:
                return
            limit = self.cost(best) * (1 + _CLOSE)
            close = [one for one in self._by_cost() if one and self.cost(one) <= limit and self._is_accepted(one)]
            if close:
                self._add(close[:_MOST_CLOSE])
            if all(max(self._costs[one]) - min(self._costs[one]) < _EXACT for one in close):
                return

    def _add(self, placements: Sequence[Placement]) -> None:
        for placement, cost in zip(placements, self._measure(placements), strict=True):
            self._costs.setdefault(placement, []).append(math.log(cost))

    def _best(self) -> Placement | None:
        """Return the cheapest placement that is accurate enough, which may be that without floats; None if no choice is."""
        return next((one for one in self._by_cost() if self._is_accepted(one)), None)

    def _by_cost(self) -> list[Placement]:
        return sorted(self._costs, key=lambda one: (self.cost(one), len(one)))

    def _may_lead(self, placement: Placement) -> bool:
        """Return whether to change a placement further. One that loses too much may be mended by more floats."""
        best = self._best()
        return self._accepted.get(placement, True) or best is None or self.cost(placement) < self.cost(best)

    def _is_accepted(self, placement: Placement) -> bool:
        if placement not in self._accepted:
            self._accepted[placement] = self._accepts(placement)
        return self._accepted[placement]


def runs_of(operators: Sequence[str]) -> Iterator[Placement]:
    """Yield runs of neighbours, the longest first: an eighth of all operators, half of that, and so on to single ones.

    Runs of more than one overlap by half, so that no border between layers is the only one.
    """
    length = max(1, -(-len(operators) // 8))
    seen: set[Placement] = set()
    while True:
        for start in range(0, len(operators), max(1, length // 2)):
            run = frozenset(operators[start : start + length])
            if run not in seen:
                seen.add(run)
                yield run
        if length == 1:
            return
        length = -(-length // 2)

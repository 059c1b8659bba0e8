"""A model of what placements cost: every operator saves or costs something in float, and every border costs the same.

A border is where integers become floats or floats integers, in the order in which the operators run. The model is a Bayesian
linear regression on the placements that were measured. The placement of least cost under given weights is a shortest path.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Placement = frozenset[str]
"""The operators of a file that stay float, by the names of their output tensors."""

# Standard deviations, as shares of the cost of the file without floats: of a measurement; and, before anything is measured, of
# what an average operator saves in float, and of a border.
_MEASUREMENT, _OPERATOR, _BORDER = 0.01, 1.0, 0.5


class AdditiveCosts:
    """The model.

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

"""How often `edgecnn serve` reports a difference from the test images by chance, and how soon it reports a real one.

Services are simulated as they run: each compares all its answers and those of the day every minute, for two months.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.serving.answered.difference import LEVEL, differs
from tools.claims.claims import Claim, at_most

# Answers an hour that are compared: of a camera's there are 360.
_RATES = (1, 60, 108_000)
_DAYS, _MINUTES = 60, 1440
_SERVICES = 100
_TEST_IMAGES = 5000
# Shares of classes, and of confidences of a model that is right on 99 %.
_CLASSES = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.03, 0.015, 0.005])
_CONFIDENCES = np.array([0.004, 0.004, 0.004, 0.005, 0.008, 0.008, 0.012, 0.015, 0.09, 0.85])
_MIXES = {"classes": _CLASSES, "confidences": _CONFIDENCES}
_REPEATS = 200


def measure(folder: Path) -> list[Claim]:
    """Simulate services without and with a difference. The folder is not used."""
    return [*(_false_alarms(rate, what) for rate in _RATES for what in _MIXES), *_delays()]


def _false_alarms(rate: float, what: str) -> Claim:
    """Let services answer pictures like the test images, each with test images of its own."""
    rng, mix = np.random.default_rng(0), _MIXES[what]
    expected = rng.multinomial(_TEST_IMAGES, mix, _SERVICES)
    always, found = np.zeros_like(expected), np.zeros(_SERVICES, bool)
    for day in range(1, _DAYS + 1):
        today = np.zeros_like(expected)
        for _ in range(_MINUTES):
            new = rng.multinomial(rng.poisson(rate / 60, _SERVICES), mix)
            always, today = always + new, today + new
            if seen := np.flatnonzero(new.any(1)).tolist():
                found[seen] |= differs(expected[seen], always[seen], today[seen], day)
    how = f"{found.sum()} of {_SERVICES} services of {_DAYS} days that compare every minute, {_TEST_IMAGES:,} test images each"
    text = f"serve: {what} wrongly said to differ, {rate} an hour, %"
    return at_most(text, 100 * found.mean(), 100 * LEVEL / len(_MIXES), how)


def _delays() -> list[Claim]:
    """Count the answers until a difference is said, on the first day."""
    doubled = _CLASSES.copy()
    doubled[[0, 4]] += -0.1, 0.1
    unsure = _CONFIDENCES.copy()
    unsure[[4, 9]] += 0.1, -0.1
    claims = []
    for name, mix, live, limit in (
        ("a class of 10 % becomes 20 %", _CLASSES, doubled, 1500),
        ("one answer in 10 becomes unsure", _CONFIDENCES, unsure, 400),
        ("only one class comes, of 10 %", _CLASSES, np.eye(len(_CLASSES))[4], 30),
    ):
        counts = [_answers_until_said(np.random.default_rng(seed), mix, live) for seed in range(_REPEATS)]
        how = f"median of {_REPEATS} services, {_TEST_IMAGES:,} test images each"
        claims.append(at_most(f"serve: answers until said that {name}", float(np.median(counts)), limit, how))
    return claims


def _answers_until_said(rng: np.random.Generator, mix: NDArray[np.float64], live: NDArray[np.float64]) -> int:
    expected = rng.multinomial(_TEST_IMAGES, mix)
    seen = np.zeros_like(expected)
    while not differs(expected, seen, seen, 1):
        seen = seen + rng.multinomial(10, live)
    return int(seen.sum())

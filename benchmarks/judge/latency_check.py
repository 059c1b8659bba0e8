"""The limit on latency, and how noise affects it."""

from edgecnn.benchmarks.judge.accuracy_checks import LimitCheck
from edgecnn.benchmarks.machine.noise import Noise, hidden_factor, texts
from edgecnn.benchmarks.statistics.percentiles import Percentile, launch_share, launches_needed


def p90_check(p90: Percentile, allowed: float, noise: tuple[Noise, ...]) -> LimitCheck | str:
    """Compare the p90 of every launch with its limit in milliseconds.

    Noise that can only have added time leaves an upper bound true, so p90 may still be within its limit. If noise may hide
    how slow a run can be, the bound times `hidden_factor` must be within the limit.

    Args:
        p90: 90th percentile of single-image latency.
        allowed: The limit in milliseconds.
        noise: Noise that disturbed these times and is not ignored.

    Returns:
        The limit compared with the measurement, or why it can't be judged.
    """
    if p90.value_ns is None:
        return f"p90 can't be judged: it needs {p90.needed_runs} runs, but has {p90.runs}: measure more runs"
    seen = f"p90 is {p90.value_ns / 1e6:.4g} ms, the limit is {allowed:g}"
    factor = hidden_factor(noise)
    if noise and (p90.high_ns is None or factor * p90.high_ns / 1e6 > allowed):
        return f"{seen}, but it can't be judged: {texts(noise)}"
    if len(p90.launches) < 2:
        return f"{seen}, but it can't be judged: one launch says nothing about others: measure more launches"
    if p90.low_ns is None or p90.high_ns is None:
        why = f"each launch needs {p90.needed_runs} runs, all {len(p90.launches)} have {p90.runs}: measure more runs"
        return f"{seen}, but it can't be judged: {why}"
    low, high, count = p90.low_ns / 1e6, p90.high_ns / 1e6, len(p90.launches)
    within, beyond = high <= allowed, low > allowed
    if not (within or beyond):
        return LimitCheck(False, False, f"{seen}; {_launches_apart(p90, allowed)}")
    bound, share = (f"at most {high:.4g}", "are within") if within else (f"at least {low:.4g}", "exceed")
    text = f"{seen}; all {count} launches have {bound}: {launch_share(count):.0%} of launches or more {share} it (95 %)"
    most = launches_needed(0.9)
    text += "" if count >= most else f"; {most} launches would cover 9 in 10"
    return LimitCheck(within, beyond, text + _despite(noise, factor))


def _despite(noise: tuple[Noise, ...], factor: int) -> str:
    """Return why a limit is kept despite noise."""
    if not noise:
        return ""
    why = "it can only have added time" if factor == 1 else f"even {factor} times these times are within the limit"
    return f"; the machine was noisy ({', '.join(dict.fromkeys(item.name for item in noise))}), but {why}"


def _launches_apart(p90: Percentile, allowed: float) -> str:
    """Return which launch prevents a PASS."""
    bounds = [(item.value_ns / 1e6, (item.low_ns or 0) / 1e6, (item.high_ns or 0) / 1e6) for item in p90.launches]
    number, (value, low, high) = max(enumerate(bounds, 1), key=lambda item: item[1])
    within = sum(item[2] <= allowed for item in bounds)
    mend = "find out what slows it" if low > allowed else "measure more runs"
    return (
        f"{within} of {len(bounds)} launches are within it, the slowest is launch {number} with {value:.4g} ms ({low:.4g} to "
        f"{high:.4g}, 99 % each side): {mend}"
    )

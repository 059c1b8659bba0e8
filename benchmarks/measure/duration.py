"""Formats durations for people."""


def duration_text(seconds: float) -> str:
    """Return a duration with two digits, for example `0.8 s`, `45 s`, `12 min` or `3.5 h`."""
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 1.5 * size or unit == "s":
            count = seconds / size
            return f"{count:.0f} {unit}" if count >= 9.95 else f"{count:.2g} {unit}"
    raise AssertionError(seconds)

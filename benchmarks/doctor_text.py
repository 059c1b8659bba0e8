"""A diagnosis as text."""

import textwrap
from collections import Counter

from benchmarks.doctor import Diagnosis, Finding
from benchmarks.known_problems import OK, PROBLEM, WARNING

_COLUMNS = 100
_STATUS_COLUMNS = max(len(status) for status in (OK, WARNING, PROBLEM)) + 2


def doctor_text(diagnosis: Diagnosis) -> str:
    """Return the findings in lines of at most 100 columns; what is to be typed, and an address, stay whole."""
    name_columns = min(30, max((len(finding.name) for finding in diagnosis.findings), default=0)) + 2
    lines = [line for finding in diagnosis.findings for line in _lines(finding, name_columns)]
    return "\n".join([*lines, "", _sum(diagnosis)])


def _lines(finding: Finding, name_columns: int) -> list[str]:
    indent = " " * (_STATUS_COLUMNS + name_columns)
    head = f"{finding.status:<{_STATUS_COLUMNS}}{finding.name:<{name_columns}}"
    lines = [head.rstrip()] if len(finding.name) + 2 > name_columns else []
    text = textwrap.wrap(finding.text, _COLUMNS - len(indent), break_on_hyphens=False)
    lines += [f"{indent if lines or place else head}{line}" for place, line in enumerate(text)]
    short = " " * _STATUS_COLUMNS
    lines += [f"{short}{label}{value}" for label, value in (("-> ", finding.fix), ("   see ", finding.source)) if value]
    return lines


def _sum(diagnosis: Diagnosis) -> str:
    counts = Counter(finding.status for finding in diagnosis.findings)
    told = [f"{counts[status]} {status}{'s' if counts[status] > 1 else ''}" for status in (PROBLEM, WARNING) if counts[status]]
    return " and ".join(told) or "all is well"

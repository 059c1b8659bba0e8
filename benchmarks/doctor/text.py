"""An examination as text."""

import textwrap
from collections import Counter

from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import OK, PROBLEM, WARNING
from edgecnn.edge.text import WIDTH, counted, printable

_ORDER = (PROBLEM, WARNING, OK)
_STATUS_COLUMNS = max(map(len, _ORDER)) + 2


def doctor_text(examination: Examination, width: int = WIDTH) -> str:
    """Return how many problems there are and the findings, problems first. A command or an address stays whole."""
    found = sorted(examination.findings, key=lambda finding: _ORDER.index(finding.status))
    name_columns = min(30, max((len(finding.name) for finding in found), default=0)) + 2
    lines = [printable(line) for finding in found for line in _lines(finding, name_columns, width)]
    return "\n".join([_sum(examination), "", *lines])


def _lines(finding: Finding, name_columns: int, width: int) -> list[str]:
    indent = " " * (_STATUS_COLUMNS + name_columns)
    head = f"{finding.status:<{_STATUS_COLUMNS}}{finding.name:<{name_columns}}"
    lines = [head.rstrip()] if len(finding.name) + 2 > name_columns else []
    text = textwrap.wrap(finding.text, width - len(indent), break_long_words=False, break_on_hyphens=False)
    lines += [f"{indent if lines or place else head}{line}" for place, line in enumerate(text)]
    short = " " * _STATUS_COLUMNS
    lines += [f"{short}{label}{value}" for label, value in (("-> ", finding.fix), ("   see ", finding.source)) if value]
    return lines


def _sum(examination: Examination) -> str:
    counts = Counter(finding.status for finding in examination.findings)
    told = [counted(counts[status], status) for status in (PROBLEM, WARNING) if counts[status]]
    return f"{' and '.join(told)}, each with its fix:" if told else "No problems found."

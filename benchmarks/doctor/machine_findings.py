"""The doctor's findings about the machine itself."""

import re
from pathlib import Path

from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import (
    OK,
    WARNING,
    Facts,
)
from edgecnn.benchmarks.machine.host import Machine, State
from edgecnn.benchmarks.machine.host_text import cpuinfo, text
from edgecnn.edge.text import counted

# Names of the instructions in /proc/cpuinfo of ARM and x86.
_INSTRUCTIONS = {"dot product": ("asimddp", "avx512_vnni", "avx_vnni"), "fp16": ("asimdhp", "avx512_fp16")}

# A process with a runtime and a small model needs 50 to 70 MB.
_LEAST_MEMORY_BYTES = 100 * 2**20


def machine_findings(machine: Machine, state: State, facts: Facts, root: Path) -> list[Finding]:
    """Return the findings about board, memory, clock, temperature and system."""
    throttled = [*facts["throttled"], *(f"{word} since boot" for word in facts["since-boot"])]
    told = "nothing now or since boot" if state.throttled is not None else "not reported"
    return [
        Finding("board", OK, machine.board or "not named by a device tree"),
        Finding("system", OK, f"{machine.system}, {machine.machine}, {facts['bits']}-bit Python"),
        Finding("cpu", OK, _cpu_text(machine, facts)),
        _memory_finding(machine, root),
        Finding("governor", OK, ", ".join(state.governors) or "not reported"),
        _temperature_finding(state),
        Finding("throttling", OK, ", ".join(sorted(throttled)) or told),
        Finding("python", OK, machine.python),
        Finding("glibc", OK, machine.glibc)
        if machine.glibc
        else Finding("glibc", WARNING, "another C library, for which runtimes have no packages", "use a system with glibc"),
    ]


def _cpu_text(machine: Machine, facts: Facts) -> str:
    features = facts.get("cpu")
    parts = [f"{machine.cpu or 'name not reported'}, {counted(machine.cores, 'core')}"]
    for title, names in _INSTRUCTIONS.items():
        has = next((name for name in names if features and name in features), None)
        parts.append(f"{title} {f'yes ({has})' if has else 'not reported' if features is None else 'no'}")
    return "; ".join(parts)


def _memory_finding(machine: Machine, root: Path) -> Finding:
    lines = dict(cpuinfo(text(root / "proc/meminfo") or ""))
    free = re.match(r"(\d+) kB", lines.get("MemAvailable", ""))
    free_bytes = int(free[1]) * 1024 if free else None
    parts = [
        f"{size / 2**20:,.0f} MiB{word}"
        for size, word in ((machine.memory_bytes, ""), (free_bytes, " available"))
        if size is not None
    ]
    told = ", ".join(parts) or "not reported"
    if free_bytes is not None and free_bytes < _LEAST_MEMORY_BYTES:
        return Finding("memory", WARNING, f"{told}: a runtime and a small model take up to 70", "top -o %MEM")
    return Finding("memory", OK, told)


def _temperature_finding(state: State) -> Finding:
    now, limit = state.temperature_celsius, state.temperature_limit_celsius
    if now is None:
        return Finding("temperature", OK, "not reported")
    told = f"{now:.0f} °C" + (f", slows down at {limit:.0f}" if limit is not None else "")
    if limit is not None and now >= limit:
        return Finding("temperature", WARNING, told, "fit a heat sink or a fan, and let it cool before measuring")
    return Finding("temperature", OK, told)

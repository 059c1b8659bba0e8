"""Known problems on devices: a table of conditions, consequences, fixes and sources.

A condition is a fact's name, an operator and a value. Facts are version numbers (`<`, `>=`, `==`) or sets of words (`has`,
`lacks`, and `beyond`: has any other word too); `edgecnn.benchmarks.doctor.examine` gathers them. A condition on a fact
that is not reported does not hold, so a row never applies to a machine that does not report its fact.

| fact | is |
|---|---|
| python, glibc, numpy | the version here |
| ai-edge-litert, tflite-runtime, onnxruntime | its version, if it runs files here |
| bits | of this Python: 32 or 64 |
| machine | words: `arm` on any ARM machine, and the kernel's name of the machine |
| cpu | words: the instructions listed in /proc/cpuinfo |
| installed | words: the packages of runtimes |
| environment | words: names of environment variables |
| governors | words: the CPU frequency governors |
| throttled, since-boot | words: what slows a Raspberry Pi down now, or did earlier |
| file | words: `int8` if the file computes in int8 |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from edgecnn.edge.compatibility.requirements import release_key
from edgecnn.edge.packages import install_command

Status = Literal["ok", "warning", "problem"]
OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"

Facts = Mapping[str, str | frozenset[str]]


@dataclass(frozen=True)
class KnownProblem:
    """A row of the table.

    Attributes:
        topic: Finding that it belongs to: a fact's name, a package or `file`.
        when: Conditions that all hold where the problem occurs.
        status: `warning` or `problem`.
        text: What happens.
        fix: Command to type, or what to do if no command helps.
        source: Where this is documented or was observed.
    """

    topic: str
    when: tuple[str, ...]
    status: Status
    text: str
    fix: str
    source: str


_64_BIT = "install the 64-bit Raspberry Pi OS: rpi-imager"
_NEWER_OS = "install a newer Raspberry Pi OS: rpi-imager"
_THROTTLED = "https://www.raspberrypi.com/documentation/computers/os.html#get_throttled"
_POWER = "use the board's own power supply, restart, then ask again: vcgencmd get_throttled"
_COOL = "fit a heat sink or a fan, then ask again: vcgencmd get_throttled"

KNOWN_PROBLEMS = (
    KnownProblem(
        topic="system",
        when=("bits == 32", "machine has aarch64"),
        status=WARNING,
        text="32-bit Python under a 64-bit kernel: the machine calls itself aarch64, but takes only 32-bit packages",
        fix=_64_BIT,
        source="https://github.com/pypa/pip/issues/8871",
    ),
    KnownProblem(
        topic="system",
        when=("bits == 32", "machine has arm", "python >= 3.12", "installed lacks tflite-runtime"),
        status=PROBLEM,
        text="no package runs .tflite files here: on 32-bit ARM there is only tflite-runtime, which stops at Python 3.11",
        fix=_64_BIT,
        source="https://github.com/dscripka/openWakeWord/pull/270",
    ),
    KnownProblem(
        topic="ai-edge-litert",
        when=("bits == 32", "machine has arm", "python < 3.12", "installed lacks tflite-runtime"),
        status=WARNING,
        text="it has no package for 32-bit ARM, but its predecessor has",
        fix=install_command("tflite-runtime"),
        source="https://github.com/google-ai-edge/LiteRT/issues/6043",
    ),
    KnownProblem(
        topic="onnxruntime",
        when=("bits == 32", "machine has arm", "installed lacks onnxruntime"),
        status=WARNING,
        text="it has no package for 32-bit ARM: .onnx files don't run here",
        fix="use .tflite files, on the workstation: edgecnn export MODEL.keras",
        source="https://github.com/microsoft/onnxruntime/issues/24511",
    ),
    KnownProblem(
        topic="glibc",
        when=("glibc < 2.27",),
        status=PROBLEM,
        text="the packages of ai-edge-litert need 2.27 (manylinux_2_27)",
        fix=_NEWER_OS,
        source="https://github.com/google-ai-edge/LiteRT/issues/6043",
    ),
    KnownProblem(
        topic="glibc",
        when=("glibc < 2.28",),
        status=WARNING,
        text="the packages of onnxruntime 1.32 need 2.28 (manylinux_2_28)",
        fix=_NEWER_OS,
        source="the tag in the package of onnxruntime 1.32.0",
    ),
    KnownProblem(
        topic="tflite-runtime",
        when=("tflite-runtime < 2.15", "numpy >= 2"),
        status=PROBLEM,
        text="it was built for numpy 1 and fails on the first file (_ARRAY_API not found, CreateWrapperFromBuffer)",
        fix="pip install 'numpy<2'",
        source="https://github.com/TexasInstruments/edgeai-tidl-tools/issues/84",
    ),
    KnownProblem(
        topic="onnxruntime",
        when=("onnxruntime >= 1.21", "onnxruntime < 1.21.1", "machine has arm", "cpu lacks atomics"),
        status=PROBLEM,
        text="1.21.0 crashes at import with an illegal instruction on ARMv8.0 cores (Raspberry Pi 3 and 4)",
        fix="pip install -U 'onnxruntime>=1.21.1'",
        source="https://github.com/microsoft/onnxruntime/issues/23957",
    ),
    KnownProblem(
        topic="onnxruntime",
        when=("onnxruntime >= 1.29", "environment lacks ORT_DISABLE_TELEMETRY"),
        status=WARNING,
        text="since 1.29 it sends telemetry; edgecnn turns that off for itself, your own programs must do so too",
        fix="export ORT_DISABLE_TELEMETRY=1",
        source="https://github.com/microsoft/onnxruntime/pull/27379",
    ),
    KnownProblem(
        topic="governor",
        when=("governors beyond performance",),
        status=WARNING,
        text="the clock follows the load, so times depend on the load",
        fix="echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        source="https://docs.kernel.org/admin-guide/pm/cpufreq.html",
    ),
    KnownProblem("throttling", ("throttled has under-voltage",), PROBLEM, "the supply is too weak now", _POWER, _THROTTLED),
    KnownProblem(
        "throttling", ("throttled has throttled",), PROBLEM, "the firmware throttles the cores now", _COOL, _THROTTLED
    ),
    KnownProblem("throttling", ("throttled has frequency capped",), WARNING, "the clock is capped now", _COOL, _THROTTLED),
    KnownProblem(
        "throttling",
        ("throttled has soft temperature limit",),
        WARNING,
        "the soft temperature limit is reached",
        _COOL,
        _THROTTLED,
    ),
    KnownProblem("throttling", ("since-boot has under-voltage",), WARNING, "the supply was too weak", _POWER, _THROTTLED),
    KnownProblem("throttling", ("since-boot has throttled",), WARNING, "the firmware throttled the cores", _COOL, _THROTTLED),
    KnownProblem(
        topic="file",
        when=("file has int8", "machine has arm", "cpu lacks asimddp"),
        status=WARNING,
        text="int8 may be no faster than float32 here: this CPU has no dot product instructions. Measure both. An export "
        "that is tuned for this CPU leaves the layers in float that are faster so",
        fix="edgecnn bench FOLDER",
        source="https://github.com/google/XNNPACK/issues/6653",
    ),
)


def matching(facts: Facts) -> tuple[KnownProblem, ...]:
    """Return the rows whose conditions all hold."""
    return tuple(row for row in KNOWN_PROBLEMS if all(holds(condition, facts) for condition in row.when))


def holds(condition: str, facts: Facts) -> bool:
    """Return whether a condition holds; False if its fact is unknown.

    Raises:
        ValueError: If the operator is not one for such a fact.
    """
    name, operator, wanted = condition.split(maxsplit=2)
    fact = facts.get(name)
    if fact is None:
        return False
    if isinstance(fact, str):
        here, there = version_key(fact), version_key(wanted)
        answers = {"<": here < there, ">=": here >= there, "==": here == there}
    else:
        answers = {"has": wanted in fact, "lacks": wanted not in fact, "beyond": bool(fact - {wanted})}
    if operator not in answers:
        raise ValueError(f"condition must have one of {', '.join(answers)}, got {condition!r}")
    return answers[operator]


def version_key(version: str) -> tuple[int, ...]:
    """Return a version as comparable numbers, without trailing zeros and anything after the first three."""
    return release_key(".".join(re.findall(r"\d+", version)[:3]) or "0")

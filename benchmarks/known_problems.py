"""What is known to go wrong on a device: a table of conditions, consequences, fixes and sources.

A condition is a fact's name, an operator and a value. Facts are version numbers (`<`, `>=`, `==`) or sets of words (`has`,
`lacks`, and `beyond`: has any other word too); `benchmarks.doctor` gathers them. A condition on a fact that nobody told
does not hold, so a row says nothing of a machine that does not tell.

| fact | is |
|---|---|
| python, glibc, numpy | the version here |
| ai-edge-litert, tflite-runtime, onnxruntime | its version, where it is what runs files here |
| CONV_2D and other operators of TFLite | the version that the file needs |
| bits | of this Python: 32 or 64 |
| machine | words: `arm` on any of its kinds, and the kernel's name of the machine |
| cpu | words: the instructions that /proc/cpuinfo tells |
| installed | words: the packages of runtimes |
| environment | words: names of the environment's variables |
| governors | words: the CPU frequency governors |
| throttled, since-boot | words: what slows a Raspberry Pi down now, or did earlier |
| file | words: `int8` if it computes so |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"

Facts = Mapping[str, str | frozenset[str]]


@dataclass(frozen=True)
class KnownProblem:
    """A row.

    Attributes:
        topic: The finding that it belongs to: a fact's name, a package or `file`.
        when: Conditions that all hold where it happens.
        status: `warning` or `problem`.
        text: What happens.
        fix: What to type, or what to do where no command helps.
        source: Where this is said or was seen.
    """

    topic: str
    when: tuple[str, ...]
    status: str
    text: str
    fix: str
    source: str


_64_BIT = "install the 64-bit Raspberry Pi OS: rpi-imager"
_NEWER_OS = "install a newer Raspberry Pi OS: rpi-imager"
_THROTTLED = "https://www.raspberrypi.com/documentation/computers/os.html#get_throttled"
_POWER = "use the board's own power supply, restart, then ask again: vcgencmd get_throttled"
_COOL = "fit a heat sink or a fan, then ask again: vcgencmd get_throttled"

# The first version of each operator that TensorFlow Lite 2.14.0 does not have; tflite-runtime stopped there. From
# tensorflow/compiler/mlir/lite/tools/versioning/runtime_version.cc.
_AFTER_2_14 = {
    "ADD": 6,
    "CAST": 6,
    "CONCATENATION": 5,
    "CONV_2D": 8,
    "DEQUANTIZE": 6,
    "DYNAMIC_UPDATE_SLICE": 2,
    "EMBEDDING_LOOKUP": 4,
    "EQUAL": 5,
    "FULLY_CONNECTED": 11,
    "GATHER": 7,
    "GATHER_ND": 5,
    "LOG": 2,
    "MUL": 8,
    "NOT_EQUAL": 4,
    "PAD": 5,
    "PADV2": 5,
    "QUANTIZE": 4,
    "RSQRT": 3,
    "SLICE": 7,
    "SQRT": 2,
    "TRANSPOSE": 7,
    "TRANSPOSE_CONV": 5,
    "UNPACK": 5,
}

KNOWN_PROBLEMS = (
    KnownProblem(
        topic="system",
        when=("bits == 32", "machine has aarch64"),
        status=WARNING,
        text="32-bit Python under a 64-bit kernel: the machine calls itself aarch64, yet takes 32-bit packages only",
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
        text="it has no package for 32-bit ARM; its predecessor has",
        fix="pip install 'edgecnn[tflite-runtime]'",
        source="https://github.com/google-ai-edge/LiteRT/issues/6043",
    ),
    KnownProblem(
        topic="onnxruntime",
        when=("bits == 32", "machine has arm", "installed lacks onnxruntime"),
        status=WARNING,
        text="it has no package for 32-bit ARM: .onnx files don't run here",
        fix="use .tflite files, on the workstation: edgecnn export MODEL.keras --format tflite",
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
        text="it was built for numpy 1 and fails at the first file (_ARRAY_API not found, CreateWrapperFromBuffer)",
        fix="pip install 'numpy<2'",
        source="https://github.com/TexasInstruments/edgeai-tidl-tools/issues/84",
    ),
    KnownProblem(
        topic="onnxruntime",
        when=("onnxruntime >= 1.21", "onnxruntime < 1.21.1", "machine has arm", "cpu lacks atomics"),
        status=PROBLEM,
        text="1.21.0 dies of an illegal instruction on ARMv8.0 cores (Raspberry Pi 3 and 4) when it is imported",
        fix="pip install --upgrade 'onnxruntime>=1.21.1'",
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
        text="the clock follows the load, and times follow the clock",
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
        text="int8 may be no faster than float32 here: this CPU has no dot product instructions. Measure both",
        fix="edgecnn bench FOLDER",
        source="https://github.com/google/XNNPACK/issues/6653",
    ),
    *(
        KnownProblem(
            topic="file",
            when=("tflite-runtime < 2.15", f"{name} >= {version}"),
            status=PROBLEM,
            text=f"tflite-runtime 2.14 has no {name} of version {version} or later",
            fix="pip install 'edgecnn[tflite]' (64-bit only), or export it again with edgecnn",
            source="runtime_version.cc in https://github.com/tensorflow/tensorflow",
        )
        for name, version in _AFTER_2_14.items()
    ),
)


def matching(facts: Facts) -> tuple[KnownProblem, ...]:
    """Return the rows whose conditions all hold."""
    return tuple(row for row in KNOWN_PROBLEMS if all(holds(condition, facts) for condition in row.when))


def holds(condition: str, facts: Facts) -> bool:
    """Tell whether a condition holds; False if its fact is not known.

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
    """Return a version as numbers that compare; what follows the first three is left out, and zeros at the end."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)

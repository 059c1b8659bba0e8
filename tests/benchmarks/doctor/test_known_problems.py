"""The table of known problems can be read, and each row applies to the right machines."""

import re

import pytest

from edgecnn.benchmarks.doctor.known_problems import KNOWN_PROBLEMS, PROBLEM, WARNING, Facts, KnownProblem, holds, matching

FACTS = {
    *("python", "glibc", "numpy", "bits", "machine", "cpu", "installed", "environment", "governors", "throttled"),
    *("since-boot", "file", "ai-edge-litert", "tflite-runtime", "onnxruntime"),
}
WORDS = {"machine", "cpu", "installed", "environment", "governors", "throttled", "since-boot", "file"}

PI_4: Facts = {
    "python": "3.11.2",
    "glibc": "2.36",
    "numpy": "1.26.4",
    "bits": "64",
    "machine": frozenset({"aarch64", "arm"}),
    "cpu": frozenset({"fp", "asimd", "crc32"}),
    "installed": frozenset({"ai-edge-litert", "onnxruntime"}),
    "environment": frozenset({"ORT_DISABLE_TELEMETRY"}),
    "governors": frozenset({"performance"}),
    "throttled": frozenset(),
    "since-boot": frozenset(),
    "ai-edge-litert": "2.3.0",
    "onnxruntime": "1.32.0",
}
PI_32: Facts = {
    **{name: fact for name, fact in PI_4.items() if name not in ("ai-edge-litert", "onnxruntime")},
    "bits": "32",
    "machine": frozenset({"armv7l", "arm"}),
    "installed": frozenset({"tflite-runtime"}),
    "tflite-runtime": "2.14.0",
}


def words(*names: str) -> frozenset[str]:
    return frozenset(names)


@pytest.mark.parametrize("row", KNOWN_PROBLEMS, ids=lambda row: row.text)
def test_a_row_can_be_read(row: KnownProblem) -> None:
    assert row.status in (WARNING, PROBLEM)
    assert row.when
    for condition in row.when:
        name, operator, wanted = condition.split(maxsplit=2)
        assert name in FACTS
        assert operator in (("has", "lacks", "beyond") if name in WORDS else ("<", ">=", "=="))
        assert name in WORDS or re.fullmatch(r"[\d.]+", wanted)
    assert row.text.strip()
    assert row.fix.strip()
    assert re.search(r"https://(github\.com|docs\.kernel\.org|www\.raspberrypi\.com)/|^the tag in the package", row.source)


@pytest.mark.parametrize("facts", [PI_4, {**PI_32, "installed": words("tflite-runtime", "onnxruntime")}, {}])
def test_a_good_machine_has_no_known_problem(facts: Facts) -> None:
    assert matching(facts) == ()


@pytest.mark.parametrize(
    ("base", "changes", "beside", "said"),
    [
        (PI_32, {"machine": words("aarch64", "arm")}, {"bits": "64"}, "32-bit Python under a 64-bit kernel"),
        (PI_32, {"python": "3.13.5", "installed": words()}, {"python": "3.11.2"}, "stops at Python 3.11"),
        (PI_32, {"python": "3.12.0", "installed": words()}, {"machine": words("i686")}, "stops at Python 3.11"),
        (PI_32, {"installed": words("onnxruntime")}, {"python": "3.12.1"}, "its predecessor has"),
        (PI_32, {}, {"bits": "64"}, "onnx files don't run here"),
        (PI_4, {"glibc": "2.24"}, {"glibc": "2.27"}, "need 2.27"),
        (PI_4, {"glibc": "2.27"}, {"glibc": "2.28"}, "need 2.28"),
        (PI_32, {"numpy": "2.0.0"}, {"numpy": "1.26.4"}, "built for numpy 1"),
        (PI_32, {"numpy": "2.4.6"}, {"tflite-runtime": "2.15.0"}, "built for numpy 1"),
        (PI_4, {"onnxruntime": "1.21.0"}, {"onnxruntime": "1.21.1"}, "illegal instruction"),
        (PI_4, {"onnxruntime": "1.21.0"}, {"onnxruntime": "1.20.1"}, "illegal instruction"),
        (PI_4, {"onnxruntime": "1.21"}, {"cpu": words("fp", "atomics")}, "illegal instruction"),
        (PI_4, {"environment": words()}, {"onnxruntime": "1.28.0"}, "telemetry"),
        (PI_4, {"onnxruntime": "1.29.0", "environment": words("HOME")}, {"onnxruntime": "1.9.9"}, "telemetry"),
        (PI_4, {"governors": words("ondemand")}, {"governors": words("performance")}, "clock follows the load"),
        (PI_4, {"governors": words("performance", "ondemand")}, {"governors": words()}, "clock follows the load"),
        (PI_4, {"throttled": words("under-voltage")}, {"throttled": words("throttled")}, "too weak now"),
        (PI_4, {"throttled": words("throttled")}, {"throttled": words()}, "throttles the cores now"),
        (PI_4, {"throttled": words("frequency capped")}, {"throttled": words()}, "clock is capped"),
        (PI_4, {"throttled": words("soft temperature limit")}, {"throttled": words()}, "soft temperature limit"),
        (PI_4, {"since-boot": words("under-voltage")}, {"since-boot": words()}, "was too weak"),
        (PI_4, {"since-boot": words("throttled")}, {"since-boot": words("frequency capped")}, "throttled the cores"),
        (PI_4, {"file": words("int8")}, {"file": words()}, "no dot product"),
        (PI_4, {"file": words("int8")}, {"cpu": words("asimddp")}, "no dot product"),
        (PI_4, {"file": words("int8")}, {"machine": words("x86_64")}, "no dot product"),
    ],
)
def test_a_row_is_for_its_machine_and_not_for_the_one_beside_it(base: Facts, changes: Facts, beside: Facts, said: str) -> None:
    facts = {**base, **changes}
    assert any(said in row.text for row in matching(facts))
    assert not any(said in row.text for row in matching({**facts, **beside}))


def test_a_machine_that_does_not_tell_has_no_known_problem() -> None:
    for condition in (condition for row in KNOWN_PROBLEMS for condition in row.when):
        assert not holds(condition, {})


@pytest.mark.parametrize(
    ("here", "condition", "answer"),
    [
        ("1.9.0", "onnxruntime < 1.21", True),
        ("1.21.0", "onnxruntime < 1.21", False),
        ("1.21.0", "onnxruntime >= 1.21", True),
        ("1.21", "onnxruntime >= 1.21.0", True),
        ("2.0.0rc1", "onnxruntime >= 2", True),
        ("1.26.4", "onnxruntime >= 2", False),
        ("32", "onnxruntime == 32", True),
        ("3.2", "onnxruntime == 32", False),
    ],
)
def test_versions_are_compared_number_by_number(here: str, condition: str, answer: bool) -> None:
    assert holds(condition, {"onnxruntime": here}) == answer


@pytest.mark.parametrize("condition", ["numpy has 2", "numpy > 2", "cpu < 2", "cpu is asimd"])
def test_an_operator_that_a_fact_does_not_have_is_our_bug(condition: str) -> None:
    with pytest.raises(ValueError, match="condition must have"):
        holds(condition, {"numpy": "2.0", "cpu": words("asimd")})

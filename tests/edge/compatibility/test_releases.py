"""The tables of releases, compared with the installed runtimes, and their consequences."""

from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise

import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgecnn.edge.compatibility.onnx import ONNX_RUNTIMES, OnnxNeeds
from edgecnn.edge.compatibility.requirements import known_releases, release_key
from edgecnn.edge.compatibility.tflite import (
    DENSE_BY_CHANNEL,
    FOUR_BITS,
    LITERT_BASE,
    LITERT_RELEASES,
    LITERT_VERSIONS,
    TFLITE_SINCE,
    TfliteNeeds,
    highest,
    oldest_tflite,
)
from edgecnn.edge.compatibility.tflite_graph import OPERATORS, from_object
from edgecnn.edge.formats import RUNTIMES, default_formats
from edgecnn.edge.runtimes import onnxruntime as ort
from tests.onnx_text import onnx_bytes

LAST = release_key(LITERT_RELEASES[-1])


def one_operator(name: str, version: int) -> bytes:
    code = OPERATORS.index(name)
    operator = schema.OperatorCodeT(builtinCode=code, version=version)
    tensors = [schema.TensorT(shape=[1, 4], type=schema.TensorType.FLOAT32, buffer=0, name=part) for part in "ab"]
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=[schema.OperatorT(inputs=[0], outputs=[1])])
    return from_object(schema.ModelT(version=3, buffers=[schema.BufferT()], operatorCodes=[operator], subgraphs=[graph]))


def has(name: str, version: int) -> bool:
    try:
        Interpreter(model_content=one_operator(name, version))
    except ValueError as error:
        return "Didn't find op for builtin opcode" not in str(error)
    return True


def runs(opset: int, ir_version: int) -> bool:
    ort.import_library()
    data = onnx_bytes("(float[1, 4] x) => (float[1, 4] y) {y = Relu (x)}", opset=opset, ir_version=ir_version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime's errors share no other public base class.
        return False
    return True


@pytest.mark.skipif(release_key(version("ai-edge-litert")) < LAST, reason="the table's last column is of a newer release")
@pytest.mark.parametrize("name", [name for name in TFLITE_SINCE if name != DENSE_BY_CHANNEL])
def test_the_installed_litert_has_the_versions_of_the_table(name: str) -> None:
    base = sum(release_key(since) <= release_key(LITERT_BASE) for since in TFLITE_SINCE.get(name, ()))
    highest = LITERT_VERSIONS[name][-1] if name in LITERT_VERSIONS else base
    assert has(name, highest)
    if release_key(version("ai-edge-litert")) == LAST:
        assert not has(name, highest + 1)


def test_the_releases_of_a_table_never_fall_and_its_operators_have_names() -> None:
    for name, versions in LITERT_VERSIONS.items():
        assert len(versions) == len(LITERT_RELEASES)
        assert list(versions) == sorted(versions)
        assert versions[0] >= sum(release_key(since) <= release_key(LITERT_BASE) for since in TFLITE_SINCE.get(name, ()))
    for name, releases in TFLITE_SINCE.items():
        assert name in OPERATORS or name == DENSE_BY_CHANNEL
        assert [*releases] == sorted(releases, key=release_key)
    assert list(ONNX_RUNTIMES) == sorted(ONNX_RUNTIMES, key=lambda row: release_key(row[0]))
    for earlier, later in pairwise(ONNX_RUNTIMES):
        assert earlier[1] <= later[1]
        assert earlier[2] <= later[2]
        assert earlier[1:] != later[1:]


def test_the_installed_onnx_runtime_has_the_opset_and_the_ir_version_of_the_table() -> None:
    here = release_key(version("onnxruntime"))
    row = [row for row in ONNX_RUNTIMES if release_key(row[0]) <= here][-1]
    _, opset, ir_version = row
    assert runs(opset, ir_version)
    if here[:2] == release_key(row[0])[:2]:
        assert not runs(opset + 1, ir_version)
        assert not runs(opset, ir_version + 1)


@pytest.mark.parametrize(
    ("operators", "oldest"),
    [
        ({"CONV_2D": 1, "FULLY_CONNECTED": 12}, "2.17.0"),
        ({"CONV_2D": 5, "FULLY_CONNECTED": 9}, "2.4.0"),
        ({"FULLY_CONNECTED": 10, "MEAN": 1}, "2.13.0"),  # 2.9 is older than 2.13, and greater as text.
        ({"CONV_2D": 3, "FULLY_CONNECTED": 4, DENSE_BY_CHANNEL: 1}, "2.10.0"),
        ({"CONV_2D": 9}, None),
        ({"CONV_2D": 1, "custom Mine": 1}, None),
        ({"CONV_2D": 0}, None),
        ({}, None),
    ],
)
def test_the_oldest_release_has_every_operator(operators: dict[str, int], oldest: str | None) -> None:
    assert oldest_tflite(operators) == oldest
    told = TfliteNeeds(operators, None, False).oldest_runtime()
    assert told == (oldest and f"tensorflow-lite>={oldest}")
    assert TfliteNeeds(operators, None, False, unknown=("CONV_2D",)).oldest_runtime() is None


@pytest.mark.parametrize(
    ("others", "oldest"),
    [
        ({"CONV_2D": 3}, "1.1.2"),
        ({"FULLY_CONNECTED": 14}, "2.1.0"),
        ({"ADD": 6}, "2.3.0"),
        ({"ADD": 7}, None),
        ({"custom A": 1}, None),
    ],
)
def test_a_file_of_4_bit_weights_needs_what_its_other_operators_do_too(others: dict[str, int], oldest: str | None) -> None:
    told = TfliteNeeds({FOUR_BITS: 1, **others}, None, True).oldest_runtime()
    assert told == (oldest and f"ai-edge-litert>={oldest}")


@pytest.mark.parametrize(("int8", "int16"), [(True, False), (False, True)])
def test_integers_are_right_from_2_5_on_whatever_their_operators_are(int8: bool, int16: bool) -> None:
    floats = TfliteNeeds({"CONV_2D": 3}, "1.5.0", False)
    assert floats.oldest_runtime() == "tensorflow-lite>=1.14.0"
    integers = replace(floats, int8=int8, int16=int16)
    assert integers.oldest_runtime() == "tensorflow-lite>=2.5.0"
    assert replace(integers, operators={"CONV_2D": 6}).oldest_runtime() == "tensorflow-lite>=2.9.0"


@pytest.mark.parametrize(
    ("opsets", "ir_version", "oldest"),
    [
        ({"ai.onnx": 17}, 8, "1.12"),
        ({"ai.onnx": 17}, 11, "1.23"),
        ({"ai.onnx": 19}, 9, "1.15"),
        ({"ai.onnx": 13}, 8, "1.9"),
        ({"ai.onnx": 24}, 8, "1.24"),
        ({"ai.onnx": 7}, 3, "1.6"),
        ({"ai.onnx": 99}, 8, None),
        ({"ai.onnx": 17}, 99, None),
        ({"ai.onnx": 17, "com.microsoft": 1}, 8, None),
    ],
)
def test_the_oldest_onnx_runtime_has_both(opsets: dict[str, int], ir_version: int, oldest: str | None) -> None:
    needs = OnnxNeeds(ir_version, opsets, False)
    assert needs.at_least() == oldest
    assert needs.oldest_runtime() == (oldest and f"onnxruntime>={oldest}")


@pytest.mark.parametrize("text", ["", "2.", "2.x", "2.14rc1"])
def test_a_release_is_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        release_key(text)


def test_zeros_at_the_end_of_a_release_say_nothing() -> None:
    assert release_key("2.14") == release_key("2.14.0") < release_key("2.14.4") < release_key("2.15")


@pytest.mark.parametrize(
    ("operators", "int8", "release"),
    [
        ({"CONV_2D": 1, "FULLY_CONNECTED": 12}, False, "2.17.0"),
        ({"CONV_2D": 9}, False, "2.15.0"),  # Newer than the table: not older than its last entry.
        ({"CONV_2D": 0}, False, "1.5.0"),
        ({"CONV_2D": 1, "custom Mine": 1}, False, "1.5.0"),
        ({"CONV_2D": 1}, True, "2.5.0"),
        ({"custom Mine": 1}, True, None),
        ({}, False, None),
    ],
)
def test_a_release_before_which_none_will_do_is_known_of_some_operators_alone(
    operators: dict[str, int], int8: bool, release: str | None
) -> None:
    assert TfliteNeeds(operators, None, int8, unknown=("CONV_2D",)).at_least() == release


@pytest.mark.parametrize(("name", "has"), [
    ("DYNAMIC_UPDATE_SLICE", (1, 2, 6)), ("EMBEDDING_LOOKUP", (3, 4, 5)), ("EQUAL", (4, 4, 5)), ("GATHER_ND", (4, 5, 6)),
    ("NOT_EQUAL", (3, 3, 4)),
])  # fmt: skip
def test_operators_that_few_image_classifiers_have_are_in_the_same_table(name: str, has: tuple[int, int, int]) -> None:
    """As it was seen on tflite-runtime 2.14.0 and on ai-edge-litert 1.0.1 and 2.3.0."""
    releases = (("tflite-runtime", "2.14"), ("ai-edge-litert", "1.0.1"), ("ai-edge-litert", "2.3.0"))
    assert tuple(highest(package, release, name) for package, release in releases) == has


def test_every_runtime_that_files_are_made_for_has_releases_in_the_tables_and_others_have_none() -> None:
    known = {name: known_releases(row) for name, row in RUNTIMES.items()}
    others = {name for name, row in RUNTIMES.items() if row.by_name or not {*row.formats} & {*default_formats()}}
    assert {"keras", "openvino", "ncnn"} <= others
    others.remove("litert-fp16")  # It must be named, but is litert's package.
    assert {known.pop(name) for name in others} == {None}
    assert len(known) == 4
    assert all(releases and release_key(releases[0]) < release_key(releases[1]) for releases in known.values())

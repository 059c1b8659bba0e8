"""Budgets from a TOML file and the command line."""

from pathlib import Path

import pytest

from edgecnn.benchmarks.gate.budget import Budget, load_budgets
from edgecnn.edge.errors import ConfigError

KNOWN = ("float32.tflite", "int8.tflite")
KEYS = (
    "max_drop_points, min_agreement_percent, max_p90_ms, max_size_kib, max_memory_mib, min_accuracy_percent, "
    "max_class_drop_points, max_brier_increase"
)


def write(folder: Path, text: str) -> Path:
    path = folder / "budget.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_drop = 1", f'{{}}: max_drop is unknown: use {KEYS}, or a table [files."NAME"]'),
        ("max_p90_ms = true", "{}: max_p90_ms must be a number, got True"),
        ('max_p90_ms = "2"', "{}: max_p90_ms must be a number, got '2'"),
        ("max_p90_ms = [2]", "{}: max_p90_ms must be a number, got [2]"),
        ("max_p90_ms = 0", "{}: max_p90_ms must be above 0, got 0.0"),
        ("max_size_kib = inf", "{}: max_size_kib must be above 0, got inf"),
        ("max_drop_points = 101", "{}: max_drop_points must be 0 to 100, got 101.0"),
        ("max_drop_points = nan", "{}: max_drop_points must be 0 to 100, got nan"),
        ("max_p90_ms = 0\n[files.'int8.tflite']\nmax_p90_ms = 2", "{}: max_p90_ms must be above 0, got 0.0"),
        ("max_size_kib = 1" + 400 * "0", "{}: max_size_kib is too large"),
        ("files = 3", '{}: files must be tables such as [files."int8.tflite"]'),
        (
            '[files."int8.onnx"]\nmax_p90_ms = 1',
            '{}: [files."int8.onnx"] names no measured file: measure it, or use one of float32.tflite, int8.tflite',
        ),
        (
            "[files.int8.tflite]\nmax_p90_ms = 1",
            '{}: [files."int8"] names no measured file: measure it, or use one of float32.tflite, int8.tflite',
        ),
        ('files."int8.tflite" = 5', '{}, [files."int8.tflite"] must be a table'),
        (
            '[files."int8.tflite"]\nfast = 1',
            f'{{}}, [files."int8.tflite"]: fast is unknown: use {KEYS}, or a table [files."NAME"]',
        ),
        ('[files."int8.tflite"]\nmax_p90_ms = false', '{}, [files."int8.tflite"]: max_p90_ms must be a number, got False'),
        ('[files."int8.tflite"]\nmax_memory_mib = -1', '{}, [files."int8.tflite"]: max_memory_mib must be above 0, got -1.0'),
        (
            '[files."int8.tflite"]\nmin_agreement_percent = 100.5',
            '{}, [files."int8.tflite"]: min_agreement_percent must be 0 to 100, got 100.5',
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_budgets(path, {}, KNOWN)
    assert str(caught.value) == message.format(path)


@pytest.mark.parametrize(
    "data",
    [b"max_p90_ms: 2", b"max_p90_ms = 1\nmax_p90_ms = 2", b"# \xff\n", b"a = " + 5_000 * b"[", b"a = " + 5_000 * b"1"],
    ids=["colon", "twice", "no text", "deep", "long"],
)
def test_a_file_that_is_no_toml_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "budget.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"budget\.toml.*not valid TOML \(.+\): fix"):
        load_budgets(path, {}, KNOWN)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"budget: .*budget\.toml does not exist"):
        load_budgets(tmp_path / "budget.toml", {}, KNOWN)


@pytest.mark.parametrize("text", [None, "max_p90_ms = 2"])
def test_the_command_lines_mistake_is_not_blamed_on_the_file(text: str | None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^max_p90_ms must.*above 0, got 0$"):
        load_budgets(write(tmp_path, text) if text else None, {"max_p90_ms": 0}, KNOWN)


def test_without_a_file_or_a_limit_in_it_all_files_have_the_command_lines_budget_or_the_usual_drop(tmp_path: Path) -> None:
    budgets = load_budgets(None, {"max_p90_ms": 2, "max_size_kib": None}, KNOWN)
    assert budgets.of("int8.tflite") == budgets.of("float32.tflite") == Budget(max_p90_ms=2)
    assert load_budgets(None, {"max_drop_points": None}, KNOWN).of("int8.tflite") == Budget(max_drop_points=0.5)
    budgets = load_budgets(write(tmp_path, 'max_p90_ms = 5\n[files."int8.tflite"]'), {}, KNOWN)
    assert budgets.of("int8.tflite") == Budget(max_p90_ms=5)


def test_a_files_own_table_goes_on_top_of_the_general_budget(tmp_path: Path) -> None:
    text = """
        max_drop_points = 1
        min_agreement_percent = 99
        max_p90_ms = 2.5
        max_size_kib = 64
        max_memory_mib = 128

        [files."int8.tflite"]
        max_p90_ms = 1
        max_size_kib = 32
    """
    budgets = load_budgets(write(tmp_path, text), {}, KNOWN)
    assert budgets.of("float32.tflite") == budgets.general == Budget(1, 99, 2.5, 64, 128)
    assert budgets.of("int8.tflite") == Budget(1, 99, 1, 32, 128)


def test_the_command_line_goes_over_both(tmp_path: Path) -> None:
    path = write(tmp_path, 'max_p90_ms = 5\nmax_size_kib = 9\n[files."int8.tflite"]\nmax_p90_ms = 1\nmax_drop_points = 2')
    budgets = load_budgets(path, {"max_p90_ms": 3, "max_drop_points": 0, "max_memory_mib": None}, KNOWN)
    assert budgets.of("float32.tflite") == Budget(max_drop_points=0, max_p90_ms=3, max_size_kib=9)
    assert budgets.of("int8.tflite") == Budget(max_drop_points=0, max_p90_ms=3, max_size_kib=9)


@pytest.mark.parametrize(("where", "place"), [("", ""), ('[files."model.keras"]\n', r', \[files\."model\.keras"\]')])
def test_a_value_out_of_range_that_the_command_line_overrides_is_the_files_error(
    where: str, place: str, tmp_path: Path
) -> None:
    path = write(tmp_path, f"{where}max_p90_ms = -1")
    with pytest.raises(ConfigError, match=rf"budget\.toml{place}: max_p90_ms must be above 0, got -1"):
        load_budgets(path, {"max_p90_ms": 3}, (*KNOWN, "model.keras"))


def test_without_a_reference_there_is_no_drop_to_limit_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert load_budgets(None, {"max_p90_ms": 2}, KNOWN, False).general == Budget(None, max_p90_ms=2)
    assert load_budgets(None, {"max_drop_points": 1}, KNOWN, False).general == Budget(1)
    path = write(tmp_path, 'max_drop_points = 2\n[files."int8.tflite"]\nmax_size_kib = 3')
    assert load_budgets(path, {}, KNOWN, False).of("int8.tflite") == Budget(2, max_size_kib=3)
    path = write(tmp_path, '[files."int8.tflite"]\nmax_size_kib = 3')
    assert load_budgets(path, {}, KNOWN, False).of("int8.tflite") == Budget(None, max_size_kib=3)


def test_a_limit_against_the_reference_is_not_for_the_reference_itself(tmp_path: Path) -> None:
    text = '[files."int8.tflite"]\nmin_accuracy_percent = 90\n[files."float32.tflite"]\nmin_agreement_percent = 99'
    with pytest.raises(ConfigError, match=r'\[files\."float32\.tflite"\]: min_agreement_percent.*its reference'):
        load_budgets(write(tmp_path, text), {}, KNOWN, reference="float32.tflite")
    assert load_budgets(write(tmp_path, text), {}, KNOWN, reference="int8.tflite").files

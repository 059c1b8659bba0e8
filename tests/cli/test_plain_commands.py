"""Options made from what a function declares: their values, ranges and help."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from edgecnn.benchmarks.measure.options import Plan
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.option import Group, Option, checked, whole_numbers
from edgecnn.shell.main import commands
from edgecnn.shell.settings import arguments_of, settings_of
from edgecnn.shell.typer_command import typer_command

EXAMPLE = f"edgecnn paint {'--index 1 ' * 20}--number 2"


@checked
def paint(
    file: Annotated[Path, Option("A file.", metavar="FILE", argument=True)],
    others: Annotated[Sequence[Path], Option("More.", argument=True)] = (),
    *,
    number: Annotated[int, Option("A number.", low=-2, high=9)] = 1,
    share: Annotated[float | None, Option("A share.", above=0, below=1)] = None,
    indices: Annotated[Sequence[int], Option("An index.", name="--index")] = (),
    sizes: Annotated[Sequence[int], Option("Sizes.", metavar="N,N", parse=whole_numbers, example="3,4")] = (),
    colour: Annotated[Literal["red", "blue"], Option("Colour of the paint.")] = "red",
    augment: Annotated[bool | None, Option("Whether to vary.")] = None,
    bgr: Annotated[bool, Option("Blue first.", panel="Pixels")] = False,
    plan: Annotated[Plan, Group("How long.", "Time", only=("launches",))] = Plan(0.5),
    unlisted: int = 0,
) -> dict[str, Any]:
    """Return what was given."""
    return {name: value for name, value in locals().items() if name != "unlisted"}


def context(*arguments: str) -> Any:
    return command().make_context("edgecnn", list(arguments))


def command(run: Callable[[Any], None] = lambda given: None) -> Any:
    settings = tuple(settings_of(paint))
    return typer_command("paint", settings, "Paint.", EXAMPLE, lambda given, context: run(given))


def parsed(*arguments: str) -> dict[str, Any]:
    """Return the arguments that the function gets."""
    seen: list[Any] = []
    command(seen.append).main(args=list(arguments), standalone_mode=False)
    return arguments_of(paint, seen[0])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("x", "--number", "many"), "'many' is not a valid int"),
        (("x", "--number", "1.5"), "'1.5' is not a valid int"),
        (("x", "--share", "half"), "'half' is not a valid float"),
        (("x", "--index", "1", "--index", "b"), "'b' is not a valid int"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_named(arguments: tuple[str, ...], part: str) -> None:
    with pytest.raises(typer.BadParameter, match=part) as caught:
        parsed(*arguments)
    assert arguments[-2] in caught.value.format_message()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("x", "--sizes", "3;4"), "sizes must be written like 3,4, got 3;4"),
        (("x", "--colour", "green"), "colour must be red or blue, got green"),
        (("x", "--number", "10"), "number must be -2 to 9, got 10"),
        (("x", "--share", "1"), "share must be above 0 and below 1, got 1"),
        (("x", "--share", "nan"), "share must be above 0 and below 1, got nan"),
        (("x", "--launches", "0"), "launches must be 1 to 100, got 0"),
    ],
)
def test_a_value_out_of_range_is_refused_alike_in_python_and_on_the_command_line(arguments: tuple[str, ...], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        paint(**parsed(*arguments))


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "x.tflite"
    there.write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(typer.BadParameter, match=r"x\.tflite' is not readable"):
        parsed(str(there))
    assert parsed(str(tmp_path / "new"))["file"] == tmp_path / "new"


def test_an_argument_that_is_missing_is_named() -> None:
    with pytest.raises(typer.TyperException) as caught:
        parsed("--number", "2")
    assert "Missing argument 'FILE'" in caught.value.format_message()


def test_values_get_the_kind_that_the_function_declares() -> None:
    typed = ("--number", "-2", "--share", "0.5", "--index", "3", "--index", "4", "--sizes", "5,6", "--launches", "7")
    assert parsed("x", "y", "z", *typed, "--colour", "blue", "--no-augment", "--bgr") == {
        "file": Path("x"),
        "others": (Path("y"), Path("z")),
        "number": -2,
        "share": 0.5,
        "indices": (3, 4),
        "sizes": (5, 6),
        "colour": "blue",
        "augment": False,
        "bgr": True,
        "plan": Plan(0.5, launches=7),
    }


def test_what_is_not_given_is_left_to_the_function() -> None:
    assert parsed("x") == {"file": Path("x")}


def test_help_says_what_a_value_is_and_keeps_its_panels_and_its_example() -> None:
    asked = context("x")
    lines = asked.command.get_help(asked).splitlines()
    written = {" ".join(line.split("  [default")[0].split()) for line in lines}
    assert written >= {"--number N A number.", "--index N An index; repeatable.", "--bgr Blue first."}
    assert "--colour NAME Colour of the paint: red or blue." in written
    assert "--launches N  Number of processes that open each side.  [default: 5]" in {line.strip() for line in lines}
    assert [line for line in lines if line.endswith(":")] == ["Arguments:", "Options:", "Pixels:", "Time:"]
    example = "\n".join(lines).rpartition("\n\n")[2].strip().split(" \\\n    ")
    assert " ".join(example) == f"Example: {EXAMPLE}"
    assert len(example) > 1
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith("--index") for line in example)


def test_no_help_and_no_refusal_imports_anything_heavy() -> None:
    heavy = "pydantic,rich,numpy,PIL,jinja2,matplotlib,tensorflow,keras,onnxruntime,ai_edge_litert"
    serving = "prometheus_client,starlette,uvicorn,multipart"
    typed = ["--help", *(f"{name} --help" for name in commands()), "evaluate x.tflite --size wide"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({f'{heavy},{serving}'!r}.split(',')))\n"
        "from edgecnn.__main__ import main\nprint([main(words.split()) for words in sys.argv[1:]])"
    )
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([0] * (len(typed) - 1) + [2])

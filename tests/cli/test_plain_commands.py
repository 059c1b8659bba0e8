"""Options that plain Python converts, and help as plain text, of commands as typer makes them."""

import os
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from edgecnn.cli.command_line import COMMANDS
from edgecnn.cli.plain_commands import PlainCommand


class Colour(StrEnum):
    RED = "red"


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    others: Annotated[list[Path] | None, typer.Argument()] = None,
    number: int = 1,
    share: float | None = None,
    indices: Annotated[list[int] | None, typer.Option("--index")] = None,
    colour: Colour = Colour.RED,
    augment: bool | None = None,
    bgr: Annotated[bool, typer.Option("--bgr", rich_help_panel="Pixels", help="Blue first.")] = False,
) -> None:
    pass


def context(*arguments: str) -> Any:
    made = typer.Typer(add_completion=False, rich_markup_mode=None)
    made.command(cls=PlainCommand, epilog=f"Example: {'long ' * 40}end")(command)
    return typer.main.get_command(made).make_context("edgecnn", list(arguments))


def parsed(*arguments: str) -> Any:
    return context(*arguments).params


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("x", "--number", "many"), "'many' is not a valid int"),
        (("x", "--number", "1.5"), "'1.5' is not a valid int"),
        (("x", "--share", "half"), "'half' is not a valid float"),
        (("x", "--index", "1", "--index", "b"), "'b' is not a valid int"),
        (("x", "--colour", "blue"), "'blue' is not one of 'red'"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_named(arguments: tuple[str, ...], part: str) -> None:
    with pytest.raises(typer.BadParameter, match=part) as caught:
        parsed(*arguments)
    assert arguments[-2] in caught.value.format_message()


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


def test_values_get_the_kind_that_the_command_declares() -> None:
    given = parsed(
        *("x", "y", "z", "--number", "-2", "--share", "0.5", "--index", "3", "--index", "4"), "--colour", "red", "--no-augment"
    )
    assert given == {
        "file": Path("x"),
        "others": (Path("y"), Path("z")),
        "number": -2,
        "share": 0.5,
        "indices": (3, 4),
        "colour": Colour.RED,
        "augment": False,
        "bgr": False,
    }
    assert isinstance(given["number"], int)


def test_what_is_not_given_stays_the_default() -> None:
    left = parsed("x")
    assert left.pop("colour") == Colour.RED
    assert left == {
        **{"file": Path("x"), "others": (), "number": 1, "share": None, "indices": ()},
        **{"augment": None, "bgr": False},
    }


def test_help_says_what_a_value_is_and_keeps_its_panels_and_its_example() -> None:
    asked = context("x")
    lines = asked.command.get_help(asked).splitlines()
    written = {line.split("  [default")[0].strip() for line in lines}
    assert written >= {"--number N", "--index N", "--colour <red>", "--augment / --no-augment", "--bgr  Blue first."}
    assert [line for line in lines if line.endswith(":")] == ["Arguments:", "Options:", "Pixels:"]
    assert lines[-1] == f"  Example: {'long ' * 40}end"


def without(modules: str, statement: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a statement in a process that can't import these modules, separated by commas."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}.split(','))); from edgecnn.__main__ import main; {statement}"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], "pydantic,rich,numpy"),
        (["predict", "{int8}", "--index", "0", "--threads", "1"], "pydantic,rich"),
        (["evaluate", "{int8}", "--size", "wide"], "pydantic"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_starts_without_what_it_does_not_need(arguments: list[str], unneeded: str, exported: Path) -> None:
    typed = [argument.format(int8=exported / "int8.tflite") for argument in arguments]
    done = without(unneeded, "sys.exit(main(sys.argv[1:]))", *typed)
    assert done.returncode == (2 if "wide" in typed else 0), done.stderr


def test_help_of_no_command_imports_anything_heavy() -> None:
    names = [command.name for command in COMMANDS]
    every = "sys.exit(next((name for name in sys.argv[1:] if main([name, '--help'])), 0))"
    done = without("pydantic,rich,numpy,PIL,tensorflow,keras,onnxruntime,ai_edge_litert", every, *names)
    assert done.returncode == 0, done.stderr

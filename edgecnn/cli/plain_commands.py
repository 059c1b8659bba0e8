"""typer commands whose options are converted by plain Python, and whose help is plain text.

Since 0.29 typer converts every option with pydantic, even options not given, and importing pydantic takes longer than
importing typer. Its messages are longer too: "unable to parse string as an integer" for "'x' is not a valid int".
"""

import inspect
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

_DESCRIBED = re.compile(r"\[default: \((.+)\)\]", re.DOTALL)
_REQUIRED = re.compile(r"^\{(.+)\}")
IMAGES = "Images"
PIXELS = "A model that edgecnn did not train or export"
FULL_PANELS = {IMAGES: {"data", "train"}, PIXELS: {"evaluate", "export"}}
"""Panels of several commands -> those whose help has them in full."""
VALUES = {"--tune": "here"}
"""Options that may stand without a value -> the value that they then have."""
_CONSTRUCTORS = (bool, int, float, str, Path)
_METAVARS = {int: "N", float: "NUMBER", str: "NAME", Path: "FILE"}


class PlainCommand(TyperCommand):
    """A command whose options are converted by plain Python."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        _convert_plainly(self, ctx)
        flags = {name for parameter in self.params if getattr(parameter, "is_flag", False) for name in parameter.opts}
        return super().parse_args(ctx, list(_with_values(args, VALUES.keys() - flags)))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options by panels: typer's plain text has no panels, and rich takes long to import.

        A panel that other commands have in full is brief: its first option, and the names of the rest.
        """
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            name, text = parameter.get_help_record(ctx) or ("", "")
            # typer puts a default that is described in words into parentheses.
            text = _DESCRIBED.sub(r"[default: \1]", text)
            if parameter.param_type_name == "argument":
                panels["Arguments"].append((parameter.metavar or name, text))
            elif name:
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append((name, text))
        for title in filter(panels.__contains__, FULL_PANELS):  # Those of all commands come last.
            panels[title] = panels.pop(title)
        for title, records in panels.items():
            if records:
                with formatter.section(title):
                    elsewhere = FULL_PANELS.get(title, {ctx.info_name})
                    brief = ctx.info_name not in elsewhere
                    formatter.write_dl(records[:1] if brief else records)
                    if brief:
                        others = ", ".join(name.split()[0] for name, _ in records[1:])
                        formatter.write_text(f"Also {others}: see edgecnn {min(elsewhere)} --help")

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line: typer puts what is required into braces."""
        return [_REQUIRED.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example as one line, to be copied."""
        formatter.write(f"\n  {self.epilog}\n")


def _with_values(arguments: Sequence[str], options: Set[str]) -> Iterator[str]:
    """Yield the arguments with the value of each of the options that stands without one: typer knows no such options."""
    for argument, after in itertools.zip_longest(arguments, arguments[1:], fillvalue="-"):
        yield argument
        if argument in options and after.startswith("-"):
            yield VALUES[argument]


class PlainGroup(TyperGroup):
    """A group of commands whose own options are converted by plain Python."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        _convert_plainly(self, ctx)
        return super().parse_args(ctx, args)


def _convert_plainly(command: TyperCommand | TyperGroup, context: typer.Context) -> None:
    declared = inspect.signature(command.callback).parameters if command.callback else {}
    for parameter in command.get_params(context):
        # The function does not know typer's own options, such as --help.
        name = parameter.name or ""
        kind = _kind(declared[name].annotation) if name in declared else None
        # Set on the object, since typer chooses its class; only once, since a misspelt command parses a group twice.
        vars(parameter).setdefault("process_value", _processing(parameter, kind))
        if parameter.metavar is None and getattr(parameter, "is_flag", False):
            parameter.metavar = ""  # typer writes <bool>, as if a flag took a value.
        elif parameter.metavar is None and kind in _METAVARS:
            parameter.metavar = _METAVARS[kind]  # typer writes <list[int]> for one that may be repeated.


def _kind(annotation: Any) -> Any:
    """Return the type of one value: int for Annotated[list[int] | None, ...]."""
    while get_origin(annotation) in (Annotated, Union, UnionType, list):
        annotation = get_args(annotation)[0]
    return annotation


def _processing(parameter: Any, kind: Any) -> Callable[[Any, Any], Any]:
    """Return the `process_value` for a parameter, which leaves types not in `_CONSTRUCTORS` to typer."""
    as_typer_does = parameter.process_value
    several = parameter.multiple or parameter.nargs == -1

    def process_value(context: Any, value: Any) -> Any:
        given = value is not None and value != ()
        if (given and kind not in _CONSTRUCTORS) or (parameter.required and not given):
            return as_typer_does(context, value)
        if several:
            value = tuple(_converted(kind, item, parameter, context) for item in value or ())
        elif given:
            value = _converted(kind, value, parameter, context)
        return parameter.callback(context, parameter, value) if parameter.callback else value

    return process_value


def _converted(kind: Any, value: Any, parameter: Any, context: Any) -> Any:
    try:
        made = kind(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a valid {kind.__name__}.", ctx=context, param=parameter) from None
    if kind is Path and made.exists() and not os.access(made, os.R_OK):
        raise typer.BadParameter(f"path {value!r} is not readable.", ctx=context, param=parameter)
    return made

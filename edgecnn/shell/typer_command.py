"""A typer command made from declarations, whose texts are converted here and whose help is plain text.

Since 0.29 typer converts every option with pydantic, even options not given, and importing pydantic takes longer than
importing typer; rich, which draws its help, takes longer still. So typer gets texts and flags only.
"""

import inspect
import itertools
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from edgecnn.edge.option import listed
from edgecnn.shell.settings import CommandOption, Given

_DESCRIBED = re.compile(r"\[default: \((.+)\)\]", re.DOTALL)
_REQUIRED = re.compile(r"^\{(.+)\}")
_METAVARS = {int: "N", float: "NUMBER", str: "NAME", Path: "FILE"}
FULL_PANELS = {"Images": ("data", "train"), "A model that edgecnn did not train or export": ("evaluate", "export")}
"""Panels of several commands -> those whose help has them in full."""


def typer_command(
    name: str, settings: Sequence[CommandOption], text: str, example: str, run: Callable[[Given, typer.Context], None]
) -> Any:
    """Return a command of typer, which calls `run` with the values that were typed. Its options have different names."""

    def callback(context: typer.Context, **texts: Any) -> None:
        given: Given = {}
        for setting in settings:
            typed = texts[setting.name]
            if typed not in (None, [], ()) and (typed is not False or setting.two_flags):
                given[setting.path] = _converted(setting, typed, context)
        run(given, context)

    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += map(_parameter, settings)
    # typer reads both.
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Python lets a function have one.
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    callback.__doc__ = text
    made = typer.Typer(add_completion=False, rich_markup_mode=None)
    made.command(name, cls=PlainCommand, epilog=f"Example: {example}")(callback)
    command: Any = typer.main.get_command(made)
    command.alone = {setting.typed: setting.option.flag for setting in settings if setting.option.flag}
    return command


def _parameter(setting: CommandOption) -> inspect.Parameter:
    option = setting.option
    metavar = option.metavar or _METAVARS.get(setting.kind)
    how: dict[str, Any] = {"help": _help(setting), "show_default": _default_text(setting), "metavar": metavar}
    default: Any = inspect.Parameter.empty if setting.required else None
    kind: Any = list[str] if setting.repeated else str
    if option.argument:
        described: Any = typer.Argument(**how)
    else:
        names = [setting.typed]
        if setting.two_flags:
            kind, names = bool, [f"{setting.typed}/--no-{setting.typed[2:]}"]
        elif setting.kind is bool:
            kind, default, how["show_default"] = bool, False, False
        names += [option.short] if option.short else []
        described = typer.Option(*names, rich_help_panel=setting.panel or None, **how)
    annotation: Any = Annotated[kind if default is inspect.Parameter.empty else kind | None, described]
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _help(setting: CommandOption) -> str:
    text, accepted = setting.option.help, setting.option.one_of
    if accepted and not all(str(word) in text for word in accepted):
        text = f"{text.rstrip('.')}: {listed(accepted)}."
    if setting.repeated and not setting.option.argument and "repeat" not in text:
        text = f"{text.rstrip('.')}; repeatable."
    return text


def _default_text(setting: CommandOption) -> str | bool:
    if setting.option.default:
        return setting.option.default
    default = setting.default
    if default in (None, (), inspect.Parameter.empty):
        return False
    several = default if isinstance(default, (tuple, list)) else (default,)
    return ",".join(f"{item:g}" if isinstance(item, float) else f"{item}" for item in several)


def _converted(setting: CommandOption, typed: Any, context: typer.Context) -> Any:
    try:
        value = setting.value(typed)
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and not setting.option.writes and path.exists() and not os.access(path, os.R_OK):
                raise ValueError(f"path '{path}' is not readable.")
    except ValueError as error:
        raise typer.BadParameter(str(error), ctx=context, param_hint=f"'{setting.shown}'") from None
    return value


class PlainCommand(TyperCommand):
    """A command that gets texts as they were typed."""

    alone: dict[str, str]
    """Options that may stand without a value -> the value that they then have."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        leave_texts(self, ctx)
        return super().parse_args(ctx, list(self._with_values(args)))

    def _with_values(self, arguments: Sequence[str]) -> Iterator[str]:
        """Yield the arguments with the value of each of the options that stands without one: typer knows no such options.

        An option is never the value of another, as typer would have it.
        """
        options = {
            flag: parameter
            for parameter in self.params
            for flag in (*parameter.opts, *parameter.secondary_opts)
            if flag.startswith("-")  # An argument has its name.
        }
        for argument, after in itertools.zip_longest(arguments, arguments[1:], fillvalue="-"):
            yield argument
            takes = argument in options and argument not in self.alone and not getattr(options[argument], "is_flag", False)
            if takes and after in options:
                raise typer.BadParameter(f"a value is missing before {after}.", param_hint=f"'{argument}'")
            if argument in self.alone and after.startswith("-"):
                yield self.alone[argument]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options by panels: typer's plain text has no panels.

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
                    elsewhere = FULL_PANELS.get(title, (ctx.info_name,))
                    brief = ctx.info_name not in elsewhere
                    formatter.write_dl(records[:1] if brief else records)
                    if brief:
                        others = ", ".join(name.split()[0] for name, _ in records[1:])
                        formatter.write_text(f"Also {others}: see edgecnn {elsewhere[0]} --help")

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line: typer puts what is required into braces."""
        return [_REQUIRED.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example, to be copied: a longer one than the terminal is wide goes on in further lines of the shell."""
        # An option stays with its value.
        text = re.sub(r"( -\S+) (?!-)", "\\1\N{NO-BREAK SPACE}", self.epilog or "")
        lines = textwrap.wrap(text, formatter.width - 4, break_long_words=False, break_on_hyphens=False)
        formatter.write("\n  " + " \\\n    ".join(lines).replace("\N{NO-BREAK SPACE}", " ") + "\n")


def leave_texts(command: TyperCommand | TyperGroup, context: typer.Context) -> None:
    """Have the options of a command or a group get texts as they were typed."""
    for parameter in command.get_params(context):
        # Set on the object, since typer chooses its class; only once, since a misspelt command parses a group twice.
        vars(parameter).setdefault("process_value", _processing(parameter))
        if parameter.metavar is None and getattr(parameter, "is_flag", False):
            parameter.metavar = ""  # typer writes <bool>, as if a flag took a value.


def _processing(parameter: Any) -> Callable[[Any, Any], Any]:
    as_typer_does = parameter.process_value

    def process_value(context: Any, value: Any) -> Any:
        if parameter.required and value in (None, ()):
            return as_typer_does(context, value)  # It says what is missing.
        if getattr(parameter, "is_flag", False) and isinstance(value, str):
            value = value == "True"
        return parameter.callback(context, parameter, value) if parameter.callback else value

    return process_value

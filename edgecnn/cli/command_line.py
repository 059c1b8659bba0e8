"""The commands by name, and `main`, which runs one and decides its exit code."""

import io
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from edgecnn.cli.fields import typed
from edgecnn.cli.plain_commands import PlainCommand, PlainGroup
from edgecnn.edge.errors import ConfigError, EdgeCnnError, refusal, why
from edgecnn.edge.text import has_controls, printable

_INTERRUPTED = 130  # typer's exit code for a KeyboardInterrupt.


class _Command(NamedTuple):
    """A command that is imported on demand: the list of commands must not wait for the imports of each.

    Attributes:
        name: Name of the command and its function.
        module: Module in `edgecnn.cli.commands`.
        text: Description in the list of commands.
        example: Example of a command line.
    """

    name: str
    module: str
    text: str
    example: str

    def load(self) -> Any:
        """Import the function and turn it into a command."""
        grouped: Any = import_module("edgecnn.cli.options").grouped
        function: Callable[..., None] = getattr(import_module(f"edgecnn.cli.commands.{self.module}"), self.name)
        made = typer.Typer(add_completion=False, rich_markup_mode=None)
        made.command(self.name, cls=PlainCommand, epilog=f"Example: {self.example}")(grouped(function))
        return typer.main.get_command(made)


COMMANDS = (
    _Command(
        "data",
        "data",
        "Describe a dataset: classes, sizes, broken and duplicate images.",
        "edgecnn data photos --save sheet.png",
    ),
    _Command("train", "train", "Train edgecnn's own network or your own model.", "edgecnn train --epochs 5 --seed 1"),
    _Command(
        "sweep",
        "sweep",
        "Train, export and measure networks of several kinds and sizes.",
        "edgecnn sweep --filters 32,32,32 --filters 8,16,16 --reach 99",
    ),
    _Command(
        "evaluate", "evaluate", "Print accuracy and loss on the test images.", "edgecnn evaluate artifacts/mnist/int8.tflite"
    ),
    _Command(
        "predict",
        "predict",
        "Classify test images or image files.",
        "edgecnn predict artifacts/mnist/int8.tflite --index 47 --save answer.png",
    ),
    _Command("serve", "serve", "Answer pictures with a page and an API.", "edgecnn serve artifacts/mnist"),
    _Command("export", "export", "Write TFLite and ONNX files, each compared with Keras.", "edgecnn export --quantize int8"),
    _Command(
        "bundle",
        "bundle",
        "Pack everything that another machine needs into one file.",
        "edgecnn bundle artifacts/mnist --images 2000",
    ),
    _Command("verify", "verify", "Check that files compute correctly on this machine.", "edgecnn verify artifacts/mnist.zip"),
    _Command(
        "summary",
        "summary",
        "Count layers, parameters, multiply-accumulates and bytes.",
        "edgecnn summary artifacts/mnist/int8.tflite",
    ),
    _Command(
        "bench",
        "bench",
        "Measure files, and judge them against a budget.",
        "edgecnn bench --runtime onnx --max-drop 0.5 --max-p90-ms 5",
    ),
    _Command(
        "diagnose",
        "diagnose",
        "Find the layers of a quantized file that lose most.",
        "edgecnn diagnose artifacts/mnist/int8.tflite --save layers.png",
    ),
    _Command("doctor", "doctor", "Check whether this machine and its files will work.", "edgecnn doctor artifacts/mnist"),
    _Command(
        "compare",
        "results",
        "Compare two results: what became faster or slower.",
        "edgecnn compare old.json new.json --max-slowdown 5",
    ),
    _Command(
        "selftest", "results", "Measure this machine's noise.", "edgecnn selftest artifacts/mnist/int8.tflite --trials 20"
    ),
    _Command(
        "report",
        "results",
        "Show a result again, or write it as an HTML page.",
        "edgecnn report result.json --html report.html",
    ),
)


TASKS = {
    "Commands that prepare a model": ("data", "train", "sweep", "export", "bundle"),
    "Commands that measure it": ("evaluate", "bench", "compare", "report", "selftest", "diagnose", "summary"),
    "Commands for the device": ("doctor", "verify", "predict", "serve"),
}
"""Headings in the list of commands -> the commands under each."""


def _show_version(wanted: bool) -> None:
    if wanted:
        version: Any = import_module("importlib.metadata").version
        _console().print_text(f"edgecnn {version('edgecnn')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deploy a Keras image classifier to a small device, and prove that it still works there."""


class _Group(PlainGroup):
    """The list of commands; only the one that runs, or whose options are completed, is imported."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands by task."""
        texts = {command.name: command.text for command in COMMANDS}
        for title, names in TASKS.items():
            with formatter.section(title):
                formatter.write_dl([(name, texts[name]) for name in names])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command's name, the command and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and next(known for known in COMMANDS if known.name == name).load(), rest


def app() -> typer.Typer:
    """Return the command line. Its help is plain text, since rich takes longer to import than everything else together."""
    made = typer.Typer(
        name="edgecnn",
        cls=_Group,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    made.callback()(_options)
    for command in COMMANDS:
        made.command(command.name, help=command.text)(_not_loaded)
    return made


def _not_loaded() -> None:
    raise AssertionError("the list of commands runs none of them")


def _require_working_directory() -> None:
    try:
        Path.cwd()
    except OSError as error:  # Relative paths lead nowhere, and no child process would start.
        raise ConfigError(f"the working directory can't be used ({error.strerror}): change to one that exists") from error


def _console() -> Any:
    return import_module("edgecnn.cli.console")


def main(arguments: list[str] | None = None) -> int:
    """See `edgecnn.__main__.main`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal without block characters shows question marks.
    given = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        for argument in given:
            if has_controls(argument):  # A newline in a name could add a line to a result.
                raise ConfigError(f"the argument {argument} has control characters: rename the file, or type it without")
        # A report recommends the command as typed for repeating.
        command = shlex.join(["edgecnn", *given])
        if not given[0].startswith("-"):
            _require_working_directory()
            import_module("edgecnn.edge.temporary").remove_stale()
        code = app()(args=given, prog_name="edgecnn", standalone_mode=False, obj=command)
        if code and given[0] in ("--install-completion", "--show-completion"):
            raise ConfigError("the shell that runs edgecnn has no completion: use bash, zsh, fish or PowerShell")
    except EdgeCnnError as error:
        _console().say(f"edgecnn: {typed(error)}")
        return error.exit_code
    except MemoryError as error:
        _console().say(f"edgecnn: there is not enough memory ({why(error, 120)}): give a smaller --size or --batch-size")
        return ConfigError.exit_code
    except typer.TyperException as error:
        if error.format_message():  # Empty if typer has shown the help instead.
            context = getattr(error, "ctx", None)
            named = context.command_path if context else "edgecnn"
            _console().say(f"edgecnn: {printable(error.format_message())} (see {named} --help)")
        return ConfigError.exit_code
    except Exception as error:
        if (found := refusal(error)) is None:
            raise
        _console().say(f"edgecnn: {found}")
        return found.exit_code
    if code == _INTERRUPTED:
        _console().say("edgecnn: interrupted")
    return code if isinstance(code, int) else 0

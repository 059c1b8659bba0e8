"""The commands by name, and `main`, which runs one and decides its exit code."""

import io
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

import edgecnn
from edgecnn.edge.errors import ConfigError, EdgeCnnError, refusal, spelling, why
from edgecnn.edge.option import option_of
from edgecnn.edge.text import has_controls, printable
from edgecnn.shell.settings import CommandOption, settings_of
from edgecnn.shell.typer_command import leave_texts, typer_command

_INTERRUPTED = 130  # typer's exit code for a KeyboardInterrupt.
_EXAMPLE = "Example: "
_HOME = "edgecnn.commands."


class Command(NamedTuple):
    """A command, known without being imported: the list of commands must not wait for the imports of each.

    Attributes:
        name: Name of the command and of its module in `edgecnn.commands`.
        task: Heading in the list of commands.
        function: Name of its public function.
        text: Description; the first line is its summary.
        example: A command line.
    """

    name: str
    task: str
    function: str
    text: str
    example: str

    def options(self) -> tuple[CommandOption, ...]:
        """Import the command and return its options."""
        return tuple(setting for part in self._parts() for setting in settings_of(part))

    def load(self) -> Any:
        """Import the command and turn it into one of typer."""
        settings = self.options()

        def run(given: Any, context: typer.Context) -> None:
            function, shows = self._parts()
            with spelling(self.spelled):
                import_module("edgecnn.shell.call").Call(function, settings, given, context.obj).run(shows)

        return typer_command(self.name, settings, self.text, self.example, run)

    def names(self) -> dict[str, str]:
        """Return the options by the names of arguments and fields in Python; the first of a group stands for the group."""
        settings = self.options()
        groups = {name: setting.shown for setting in reversed(settings) for name in setting.path[:-1]}
        return groups | {setting.name: setting.shown for setting in settings}

    def typed(self, error: EdgeCnnError) -> str:
        """Return an error's message with the command's options in place of the names in Python."""
        with spelling(self.spelled):
            return str(error)

    def spelled(self, name: str, value: object = None) -> str:
        """Return the option of a name in Python, with its value: `--prefer size`, `--strict` for True, `--no-...` for False.

        A result may recommend another command, whose option it then is. A board lacks those that train and convert.
        """
        typed = self.names().get(name)
        for command in commands().values():
            with suppress(ModuleNotFoundError):
                typed = typed or command.names().get(name)
        typed = typed or option_of(name)
        if value is False:
            return f"--no-{typed.removeprefix('--')}"
        return typed if value is None or value is True else f"{typed} {value}"

    def _parts(self) -> tuple[Any, Any]:
        """Import the command; return its public function, and the function that shows the result."""
        module = import_module(_HOME + self.name)
        return getattr(module, self.function), getattr(module, "command", import_module("edgecnn.shell.call").prints)


def commands() -> Mapping[str, Command]:
    """Return the commands by name, in the order of the public names; what a command does is read from its module's text."""
    found: dict[str, Command] = {}
    for name in edgecnn.NAMES:
        command = name.module.removeprefix(_HOME)
        if name.module.startswith(_HOME) and name.task and command not in found:
            source = Path(__file__).parents[1].joinpath("commands", f"{command}.py").read_text()
            text, _, example = source.split('"""')[1].partition(_EXAMPLE)
            found[command] = Command(command, name.task, name.public, text.strip(), example.strip())
    return found


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


class _Group(TyperGroup):
    """The list of commands; only the one that runs, or whose options are completed, is imported."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line up to the command."""
        leave_texts(self, ctx)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands by task."""
        known = commands().values()
        for task in dict.fromkeys(command.task for command in known):
            with formatter.section(task):
                formatter.write_dl([(item.name, item.text.splitlines()[0]) for item in known if item.task == task])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command's name, the command and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and commands()[str(name)].load(), rest


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
    for name, command in commands().items():
        made.command(name, help=command.text.splitlines()[0])(_not_loaded)
    return made


def _not_loaded() -> None:
    raise AssertionError("the list of commands runs none of them")


def _require_working_directory() -> None:
    try:
        Path.cwd()
    except OSError as error:  # Relative paths lead nowhere, and no child process would start.
        raise ConfigError(f"the working directory can't be used ({error.strerror}): change to one that exists") from error


def _console() -> Any:
    return import_module("edgecnn.shell.console")


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
            import_module("edgecnn.edge.files").remove_stale()
        code = app()(args=given, prog_name="edgecnn", standalone_mode=False, obj=command)
        if code and given[0] in ("--install-completion", "--show-completion"):
            raise ConfigError("the shell that runs edgecnn has no completion: use bash, zsh, fish or PowerShell")
    except EdgeCnnError as error:
        ran = commands().get(given[0])
        return _failed(ran.typed(error) if ran else str(error), error.exit_code)
    except MemoryError as error:
        return _failed(f"there is not enough memory ({why(error, 120)}): give a smaller --size or --batch-size")
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # typer has shown the help instead.
            return ConfigError.exit_code
        command = f"edgecnn {given[0]}" if given[0] in commands() else "edgecnn"
        return _failed(f"{printable(message)} (see {command} --help)")
    except Exception as error:
        if (found := refusal(error)) is None:
            raise
        return _failed(str(found), found.exit_code)
    if code == _INTERRUPTED:
        return _failed("interrupted", code)
    return code if isinstance(code, int) else 0


def _failed(message: str, code: int = ConfigError.exit_code) -> int:
    _console().say(f"edgecnn: {message}")
    return code

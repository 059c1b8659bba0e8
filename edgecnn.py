"""The command line: the commands by name, and `main`, the only place that decides an exit code."""

import io
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer

from edge.errors import ConfigError, EdgeCnnError

_INTERRUPTED = 130  # What typer makes of a KeyboardInterrupt.


@dataclass(frozen=True)
class _Command:
    """A command that is imported when it is asked for: the list of all of them must not wait for what each one needs.

    Attributes:
        name: Of the command and its function.
        module: Of `commands`.
        text: What the list of commands says of it.
        example: How it is typed.
    """

    name: str
    module: str
    text: str
    example: str

    def load(self) -> Callable[..., None]:
        """Import the function, in a form that typer takes."""
        grouped: Any = import_module("commands.options").grouped
        command: Callable[..., None] = grouped(getattr(import_module(f"commands.{self.module}"), self.name))
        return command


COMMANDS = (
    _Command("data", "data", "Say what is in a set of images.", "edgecnn data photos --save sheet.png"),
    _Command("train", "train", "Train the CNN, or a model of your own.", "edgecnn train --epochs 5 --seed 1"),
    _Command(
        "sweep",
        "sweep",
        "Train, export and measure the CNN in several sizes.",
        "edgecnn sweep --filters 32,32,32 --filters 8,16,16 --reach 99",
    ),
    _Command(
        "evaluate", "evaluate", "Print accuracy and loss on the test images.", "edgecnn evaluate artifacts/mnist/int8.tflite"
    ),
    _Command(
        "predict",
        "predict",
        "Classify test images or image files.",
        "edgecnn predict artifacts/mnist/int8.tflite --index 47 --save digit.png",
    ),
    _Command("export", "export", "Write TFLite and ONNX files, each compared with Keras.", "edgecnn export --quantize int8"),
    _Command(
        "bundle",
        "bundle",
        "Write one file with all that another machine needs.",
        "edgecnn bundle artifacts/mnist --images 2000",
    ),
    _Command("verify", "verify", "Check that files compute here what they should.", "edgecnn verify artifacts/mnist.zip"),
    _Command(
        "summary",
        "summary",
        "Count layers, parameters, multiply-accumulates, bytes.",
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
        "export",
        "Say which layers of a quantised file lose most.",
        "edgecnn diagnose artifacts/mnist/int8.tflite --save layers.png",
    ),
    _Command("doctor", "doctor", "Say whether this machine and its files will work.", "edgecnn doctor artifacts/mnist"),
    _Command(
        "compare",
        "results",
        "Say what became faster or slower between two results.",
        "edgecnn compare old.json new.json --max-slowdown 5",
    ),
    _Command(
        "selftest", "results", "Measure this machine's noise.", "edgecnn selftest artifacts/mnist/int8.tflite --trials 20"
    ),
    _Command(
        "report", "results", "Show a result again, or write it as a page.", "edgecnn report result.json --html report.html"
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        version: Any = import_module("importlib.metadata").version
        _console().print_text(f"edgecnn {version('edgecnn')}")
        raise typer.Exit


def _options(
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Take a Keras image classifier to a small device and prove that it still works there."""


def app(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line for these arguments: the command that they name, and the others by name and help alone.

    The list of commands is plain text, since rich takes longer to import than all else that it needs.
    """
    named = next((word for word in arguments if not word.startswith("-")), None)
    found = any(command.name == named for command in COMMANDS)
    made = typer.Typer(
        name="edgecnn",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if found else None,
    )
    made.callback()(_options)
    for command in COMMANDS:
        if command.name == named:
            made.command(command.name, epilog=f"Example: {command.example}")(command.load())
        else:
            made.command(command.name, help=command.text)(_not_loaded)
    return made


def _not_loaded() -> None:
    raise AssertionError("a command that the arguments do not name is not run")


def _console() -> Any:
    return import_module("edge.console")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. An exception that is nobody's mistake but ours keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal without block characters gets question marks.
    given = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        # The command as it was typed is what a report says to repeat.
        command = shlex.join(["edgecnn", *given])
        code = app(given)(args=given, standalone_mode=False, obj=command)
    except EdgeCnnError as error:
        _console().say(f"edgecnn: {error}")
        return error.exit_code
    except MemoryError as error:
        _console().say(
            f"edgecnn: there is not enough memory ({' '.join(str(error).split())[:120]}): give a smaller --size or --batch-size"
        )
        return ConfigError.exit_code
    except typer.TyperException as error:
        if error.format_message():  # Empty where typer has shown the help instead.
            context = getattr(error, "ctx", None)
            _console().say(f"edgecnn: {error.format_message()} (see {context.command_path if context else 'edgecnn'} --help)")
        return ConfigError.exit_code
    if code == _INTERRUPTED:
        _console().say("edgecnn: interrupted")
    return code if isinstance(code, int) else 0


def run() -> None:
    """Be the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()

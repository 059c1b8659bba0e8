"""The command line: the commands by name, and `main`, the only place that decides an exit code."""

import io
import shlex
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from commands.bench import bench
from commands.bundle import bundle
from commands.data import data
from commands.doctor import doctor
from commands.export import diagnose, export
from commands.file import evaluate, predict
from commands.options import grouped
from commands.results import compare, report, selftest
from commands.summary import summary
from commands.train import train
from commands.verify import verify
from edge.console import print_text, say
from edge.errors import ConfigError, EdgeCnnError

_INTERRUPTED = 130  # What typer makes of a KeyboardInterrupt.

_COMMANDS = (
    (data, "edgecnn data photos --save sheet.png"),
    (train, "edgecnn train --epochs 5 --seed 1"),
    (evaluate, "edgecnn evaluate artifacts/mnist/int8.tflite"),
    (predict, "edgecnn predict artifacts/mnist/int8.tflite --index 47 --save digit.png"),
    (export, "edgecnn export --quantize int8"),
    (bundle, "edgecnn bundle artifacts/mnist --images 2000"),
    (verify, "edgecnn verify artifacts/mnist.zip"),
    (summary, "edgecnn summary artifacts/mnist/int8.tflite"),
    (bench, "edgecnn bench --runtime onnx --max-drop 0.5 --max-p90-ms 5"),
    (diagnose, "edgecnn diagnose artifacts/mnist/int8.tflite --save layers.png"),
    (doctor, "edgecnn doctor artifacts/mnist"),
    (compare, "edgecnn compare old.json new.json --max-slowdown 5"),
    (selftest, "edgecnn selftest artifacts/mnist/int8.tflite --trials 20"),
    (report, "edgecnn report result.json --html report.html"),
)

app = typer.Typer(
    name="edgecnn",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_text(f"edgecnn {version('edgecnn')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Take a Keras image classifier to a small device and prove that it still works there."""


for command, example in _COMMANDS:
    app.command(epilog=f"Example: {example}")(grouped(command))


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. An exception that is nobody's mistake but ours keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal without block characters gets question marks.
    try:
        # The command as it was typed is what a report says to repeat.
        command = shlex.join(["edgecnn", *(sys.argv[1:] if arguments is None else arguments)])
        code = app(args=arguments, standalone_mode=False, obj=command)
    except EdgeCnnError as error:
        say(f"edgecnn: {error}")
        return error.exit_code
    except MemoryError as error:
        say(
            f"edgecnn: there is not enough memory ({' '.join(str(error).split())[:120]}): give a smaller --size or --batch-size"
        )
        return ConfigError.exit_code
    except typer.TyperException as error:
        if error.format_message():  # Empty where typer has shown the help instead.
            context = getattr(error, "ctx", None)
            say(f"edgecnn: {error.format_message()} (see {context.command_path if context else 'edgecnn'} --help)")
        return ConfigError.exit_code
    if code == _INTERRUPTED:
        say("edgecnn: interrupted")
    return code if isinstance(code, int) else 0


def run() -> None:
    """Be the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()

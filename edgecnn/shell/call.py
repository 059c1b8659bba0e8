"""One run of a command: what was typed, the function that it is for, and where its result goes."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import edgecnn.shell.console as console
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, field
from edgecnn.shell.settings import CommandOption, Given, arguments_of


class Call(NamedTuple):
    """The command line of a command, understood.

    Attributes:
        function: The public function.
        settings: All options of the command.
        given: What was typed.
        command: The whole command line, to be repeated.
    """

    function: Callable[..., Any]
    settings: Sequence[CommandOption]
    given: Given
    command: str

    def arguments(self) -> dict[str, Any]:
        """Return what was typed as arguments of the command's function.

        Raises:
            ConfigError: If a value is out of range.
        """
        return arguments_of(self.function, self.given)

    def beside(self, *arguments: str) -> str | None:
        """Return the first setting of the function that was typed, except those of some arguments; None if only those were."""
        own = inspect.signature(self.function).parameters
        return next((path[-1] for path in self.given if path[0] in own and path[0] not in arguments), None)

    def __call__(
        self, function: Callable[..., Any] | None = None, *, measuring: bool = False, quiet: bool = False, **others: Any
    ) -> Any:
        """Call the command's function with what was typed, show its progress, and return its result.

        Args:
            function: Another function, which gets `others` alone.
            measuring: As in `edgecnn.shell.console.Shown`.
            quiet: The same.
            others: Further arguments, which override what was typed.
        """
        given = others if function else {**self.arguments(), **others}
        function = function or self.function
        takes = inspect.signature(function).parameters
        if "command" in takes:
            given.setdefault("command", self.command)
        if "progress" not in takes:
            return function(**given)
        with console.Shown(measuring, quiet) as progress:
            return function(**given, progress=progress)

    def run(self, command: Callable[..., None]) -> None:
        """Check that the command's outputs can be written, then call it with what it declares itself."""
        own = arguments_of(command, self.given)
        outputs, inputs = [], []
        for setting in self.settings:
            values = self.given.get(setting.path, ())
            for value in values if isinstance(values, tuple) else (values,):
                if setting.option.writes and (setting.name, str(value)) != ("json", "-"):
                    outputs.append(Path(value))
                elif setting.kind is Path:
                    inputs.append(Path(value))
        console.check_writable(outputs, inputs)
        command(self, **own)


def prints(call: Call, *, json: console.Json = None) -> None:
    """Print the result: what a command does that declares nothing else."""
    console.emit(call(), json)


def on_boards(call: Call, function: Callable[..., Any], devices: Sequence[str], json: Path | None) -> None:
    """Ask boards instead of this machine, print what they say, and let the exit code say whether all work.

    Raises:
        ArtifactError: If something does not work on a board.
        ConfigError: If more than boards was given.
        EdgeCnnError: If a board does not answer.
    """
    if name := call.beside():
        raise ConfigError(f"{field('devices')} asks boards of the bundle in service there: omit {field(name)}")
    found = call(function, devices=devices)
    console.emit(found, json)
    if silent := [board.host for board in found.boards if board.error]:
        raise EdgeCnnError(f"no answer from {', '.join(silent)}: see the reasons above")
    if found.problem:
        raise ArtifactError(found.problem)

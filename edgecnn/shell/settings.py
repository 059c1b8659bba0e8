"""The options of a command, read from the functions and dataclasses that declare them, and the values put back there."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.option import Option, declared, kind_of, no_path, option_of

_REQUIRED = inspect.Parameter.empty
Given = dict[tuple[str, ...], Any]
"""The values that were typed, by the paths of their settings."""


class CommandOption(NamedTuple):
    """One option of a command.

    Attributes:
        path: Names of the argument and of the fields in it that the value is for, for example `options`, `plan`, `launches`.
        kind: Type of one value.
        repeated: Whether it may be typed several times.
        two_flags: Whether it is typed as `--NAME` or `--no-NAME`.
        option: Its declaration.
        default: Its default in Python.
        panel: Heading in the help.
    """

    path: tuple[str, ...]
    kind: Any
    repeated: bool
    two_flags: bool
    option: Option
    default: Any
    panel: str

    @property
    def name(self) -> str:
        """Name in Python."""
        return self.path[-1]

    @property
    def typed(self) -> str:
        """Name on the command line, for example `--max-drop`."""
        return option_of(self.name, self.option)

    @property
    def shown(self) -> str:
        """Name in messages: as it is typed, or for what is typed without a name, the word of the help."""
        return self.option.metavar or self.name.upper() if self.option.argument else self.typed

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is _REQUIRED

    def value(self, typed: Any) -> Any:
        """Return the value of what was typed: a text, several, or whether a flag was given.

        Raises:
            ConfigError: If a text does not have the form of the option.
            ValueError: If it is not of the option's type; the message says so.
        """
        return tuple(map(self._one, typed)) if self.repeated else self._one(typed)

    def _one(self, text: Any) -> Any:
        if self.option.parse is None:
            if text == "" and self.kind is Path:
                raise ConfigError(no_path(self.name))
            try:
                return self.kind(text)
            except ValueError:
                raise ValueError(f"{text!r} is not a valid {self.kind.__name__}.") from None
        try:
            return self.option.parse(text)
        except ValueError:
            raise ConfigError(f"{field(self.name)} must be written like {self.option.example}, got {text}") from None


def settings_of(owner: Callable[..., Any]) -> Iterator[CommandOption]:
    """Yield the options that a function declares, with those of its groups."""
    yield from _settings(owner, (), "", _defaults(owner))


def _settings(owner: Any, path: tuple[str, ...], panel: str, defaults: Mapping[str, Any]) -> Iterator[CommandOption]:
    for name, (annotation, item) in declared(owner).items():
        default = defaults.get(name, _REQUIRED)
        if isinstance(item, Option):
            kind, several, optional = kind_of(annotation)
            repeated, two_flags = item.repeat or (several and item.parse is None), kind is bool and optional
            yield CommandOption((*path, name), item.kind or kind, repeated, two_flags, item, default, item.panel or panel)
            continue
        kind = item.kind or kind_of(annotation)[0]
        # What a whole that may be missing can't do without is not required either: whoever makes it says so.
        missing = {} if default is _REQUIRED else dict.fromkeys(declared(kind))
        inner = missing | _defaults(kind)
        if is_dataclass(default):
            inner |= {part: getattr(default, part) for part in inner if hasattr(default, part)}
        for setting in _settings(kind, (*path, name), item.panel or panel, inner):
            first = setting.path[len(path) + 1]
            if (not item.only or first in item.only) and first not in item.omit:
                board = item.board or setting.option.board
                yield setting._replace(option=setting.option._replace(board=board))


def _defaults(owner: Any) -> dict[str, Any]:
    return {name: item.default for name, item in inspect.signature(owner).parameters.items() if item.default is not _REQUIRED}


def arguments_of(owner: Callable[..., Any], given: Given, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the arguments for a function: those typed, by the paths of their settings, and groups made of their fields.

    What is missing keeps its default. `path` is that of the function's own settings.

    Raises:
        ConfigError: If values are out of range, or exclude each other.
    """
    found: dict[str, Any] = {}
    defaults = _defaults(owner)
    for name, (annotation, item) in declared(owner).items():
        here = (*path, name)
        if isinstance(item, Option):
            if here in given:
                found[name] = given[here]
            continue
        kind = item.kind or kind_of(annotation)[0]
        inner = arguments_of(kind, given, here)
        if item.given:
            found[name] = inner
        elif inner:
            passed = {other: found[other] for other in item.passed if other in found}
            default = defaults.get(name)
            if item.make:
                found[name] = item.make(**inner, **passed)
            else:
                found[name] = replace(default, **inner) if isinstance(default, kind) else kind(**inner, **passed)
    return found

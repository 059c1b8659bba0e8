"""What a user may set, declared once: as the annotation of an argument or a field, with how text becomes its value."""

import functools
import inspect
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from edgecnn.edge.errors import ConfigError, field

_NONE = type(None)
Function = typing.TypeVar("Function", bound=Callable[..., Any])
Kind = typing.TypeVar("Kind", bound=Any)


class Option(NamedTuple):
    """How an argument or a field is typed on the command line, and which values it takes.

    Attributes:
        help: What the value is: a noun phrase.
        name: Name on the command line, where it is not the Python name.
        metavar: Word for the value in the help.
        default: Words for the default, where None stands for something.
        low: Least value, which is accepted.
        high: Largest value, which is accepted.
        above: The value must be larger.
        below: The value must be smaller.
        unit: Unit of the value in messages.
        one_of: Accepted words or numbers. Default: those of the annotation, if it is a Literal.
        kind: Type of one value on the command line, where it is not that of the annotation.
        parse: Turns the typed text into the value. Default: `kind`.
        example: A text of that form, for the message about another one.
        repeat: Whether an option with `parse` may be repeated, each time for one of several values.
        panel: Heading in the help, if it is not that of the whole group.
        board: What a benchmark on boards does with it: it is sent there, used here, refused, or used to make a folder's bundle
            (images), which bundles refuse.
        argument: Whether it is typed without a name.
        writes: Whether the value is a file to be written.
        flag: Value of the option if it is typed without one.
        short: A second name of one letter, as `-q`.
    """

    help: str
    name: str = ""
    metavar: str = ""
    default: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    unit: str = ""
    one_of: tuple[Any, ...] = ()
    kind: Any = None
    parse: Callable[[str], Any] | None = None
    example: str = ""
    repeat: bool = False
    panel: str = ""
    board: Literal["sent", "here", "images", "refused"] = "sent"
    argument: bool = False
    writes: bool = False
    flag: str = ""
    short: str = ""

    def range_text(self) -> str:
        """Return which values are accepted, for example `1 to 64`; empty if all are."""
        if self.one_of:
            return listed(self.one_of)
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and self.high is not None:
            return f"{_number(self.low)} to {_number(self.high)}{unit}"
        parts = [f"{text} {_number(bound)}" for text, _, bound in self._bounds]
        return " and ".join(parts) + (unit if parts else "")

    def accepts(self, value: Any) -> bool:
        """Return whether one value is in the range, or among the words."""
        if self.one_of:
            return value in self.one_of
        if not self._bounds:
            return True
        if isinstance(value, bool) or not isinstance(value, Real):  # numpy's numbers are Real.
            return False
        number = int(value) if isinstance(value, Integral) else float(value)  # A whole number may be too large for a float.
        return abs(number) < math.inf and all(holds(number, bound) for _, holds, bound in self._bounds)

    @property
    def _bounds(self) -> list[tuple[str, Callable[[Any, float], bool], float]]:
        """The bounds that there are: in words, as a comparison, and the number."""
        bounds = (
            ("at least", operator.ge, self.low),
            ("above", operator.gt, self.above),
            ("at most", operator.le, self.high),
            ("below", operator.lt, self.below),
        )
        return [(text, holds, bound) for text, holds, bound in bounds if bound is not None]


class Group(NamedTuple):
    """An argument that is a frozen dataclass, whose fields are options of their own.

    Attributes:
        help: What the argument is.
        panel: Heading of the options in the help.
        kind: The dataclass, where the annotation's type is not it alone.
        make: What is called with the fields that were given. Default: the dataclass.
        only: Names of the fields that are options. Default: all declared ones.
        omit: Names of the fields that are not.
        passed: Names of earlier arguments that `make` takes too, if they were given.
        given: Whether the argument receives a mapping of only the given fields.
        board: As in `Option`, for all of them.
    """

    help: str
    panel: str = ""
    kind: Any = None
    make: Callable[..., Any] | None = None
    only: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    given: bool = False
    board: Literal["sent", "here", "images", "refused"] | None = None


@functools.cache
def declared(owner: Any) -> Mapping[str, tuple[Any, Option | Group]]:
    """Return the declared fields of a dataclass, or arguments of a function: type and declaration by name."""
    found: dict[str, tuple[Any, Option | Group]] = {}
    for base in reversed(owner.__mro__) if isinstance(owner, type) else (inspect.unwrap(owner),):
        for name, annotation in inspect.get_annotations(base).items():
            if others := getattr(annotation, "__metadata__", ()):
                kind = get_args(annotation)[0]
                for item in others:
                    if isinstance(item, Option) and not item.one_of:
                        item = item._replace(one_of=_words(kind))
                    if isinstance(item, (Option, Group)):
                        found[name] = kind, item
    return types.MappingProxyType(found)


def option_of(name: str, option: Option | Group | None = None) -> str:
    """Return the name on the command line of a field or argument."""
    return (isinstance(option, Option) and option.name) or "--" + name.replace("_", "-")


def check(record: Any) -> None:
    """Check the declared fields of a dataclass; to be called in its `__post_init__`.

    Raises:
        ConfigError: If a value is out of range; the message names the field, or on the command line its option.
    """
    kind: Any = type(record)
    for name, (annotation, option) in declared(kind).items():
        if isinstance(option, Option):
            check_value(name, annotation, option, getattr(record, name))


def checked(function: Function) -> Function:
    """Return a function that checks the arguments that it declares before it runs. Errors are those of `check`."""
    parameters = inspect.signature(function)
    described(function)

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        for name, value in parameters.bind(*given, **named).arguments.items():
            annotation, option = declared(function).get(name, (None, None))
            if isinstance(option, Option):
                check_value(name, annotation, option, value)
        return function(*given, **named)

    return typing.cast(Function, call)


def described(owner: Kind) -> Kind:
    """Complete the docstring of a function or a dataclass by what it declares, and return it; `help` shows the types alone."""
    heading = "Attributes:" if isinstance(owner, type) else "Args:"
    text = inspect.cleandoc(owner.__doc__ or "")
    # What the docstring says itself comes first, and is not said again.
    missing = [(name, item) for name, (_, item) in declared(owner).items() if f"\n    {name}: " not in text]
    lines = [f"    {name}: {_description(item)}" for name, item in missing]
    if heading in text:
        text = text.replace(heading, "\n".join([heading, *lines]), 1)
    else:
        start, mark, rest = text.partition("\n\nR")  # Returns or Raises.
        text = "\n".join([f"{start}\n", heading, *lines]) + mark + rest
    owner.__doc__ = text
    signature = inspect.signature(owner)
    plain = [item.replace(annotation=_type_alone(item.annotation)) for item in signature.parameters.values()]
    owner.__signature__ = signature.replace(parameters=plain)
    return owner


def _type_alone(annotation: Any) -> Any:
    """Return an annotation without what it declares; a name as text."""
    alone = annotation.__origin__ if typing.get_origin(annotation) is typing.Annotated else annotation
    return alone.__forward_arg__ if isinstance(alone, typing.ForwardRef) else alone


def _description(option: Option | Group) -> str:
    if isinstance(option, Group):
        return option.help
    text = option.help.rstrip(".")
    if option.one_of and not all(str(word) in text for word in option.one_of):
        text += ": " + ", ".join(f"`{word}`" for word in option.one_of)
    elif (accepted := option.range_text()) and not option.one_of:
        text += f", {accepted}"
    return f"{text}. Default: {option.default}." if option.default else f"{text}."


def check_value(name: str, annotation: Any, option: Option, value: Any) -> None:
    """Check one value, or each of several, also of several in each; None is the default. Errors are those of `check`."""
    kind, takes_several, _ = kind_of(annotation)
    several, whole = isinstance(value, (tuple, list)), kind is int
    if takes_several and isinstance(value, (str, Path)):  # Each letter of a text would be one of them.
        raise ConfigError(f"{field(name)} must be a list, got {value}")
    for item in value if several else [value]:
        if item is None:
            continue
        if isinstance(item, (tuple, list)):
            check_value(name, annotation, option, item)
            continue
        text = ",".join(map(str, value)) if several and option.parse else item
        if whole and not isinstance(item, Integral):
            accepted = option.range_text()
            raise ConfigError(f"{field(name)} must be a whole number{f', {accepted}' if accepted else ''}, got {text}")
        if isinstance(item, str) and not item and Path in (kind, option.kind):
            raise ConfigError(no_path(name))
        if kind is bool and item not in (True, False):  # Else "no" would be true.
            raise ConfigError(f"{field(name)} must be True or False, got {item}")
        if not option.accepts(item):
            raise ConfigError(f"{field(name)} must be {option.range_text()}, got {text}")


def no_path(name: str) -> str:
    """Return what is wrong with an empty text where a path belongs: the current folder would be meant by nobody."""
    return f"{field(name)} is an empty text, as of a variable that is not set: name a file or a folder"


def kind_of(annotation: Any) -> tuple[Any, bool, bool]:
    """Return the type of one value, whether several are accepted, and whether None is: list[int] | None is int, True, True."""
    several = optional = False
    while True:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin in (Union, types.UnionType):
            kinds = [item for item in arguments if item is not _NONE]
            optional = optional or len(kinds) < len(arguments)
            annotation = Path if Path in kinds else kinds[0]  # What may be a path is one on the command line.
        elif words := _words(annotation):
            return type(words[0]), several, optional
        elif origin in (tuple, list) or getattr(origin, "__name__", "") == "Sequence":
            several, annotation = True, arguments[0]
        else:
            return annotation, several, optional


def listed(words: Sequence[Any]) -> str:
    """Return words as a list: `a, b or c`."""
    *first, last = map(str, words)
    return f"{', '.join(first)} or {last}" if first else last


def _words(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return next((found for item in get_args(annotation) if (found := _words(item))), ())
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else f"{value:g}"


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def whole_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of `8,16,32`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(map(str.isdecimal, parts)):
        raise ValueError(text)
    return tuple(map(int, parts))


def numbers(text: str) -> tuple[float, ...]:
    """Return the numbers of `0.485,0.456,0.406`."""
    return tuple(map(float, text.split(",")))


def height_width(text: str) -> tuple[int, int]:
    """Return height and width of `96x128`."""
    height, width = map(int, text.lower().split("x"))
    return height, width


def seconds(text: str) -> float:
    """Return the seconds of `90`, `90s`, `10m` or `1.5h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match:
        raise ValueError(text)
    return float(match[1]) * _SECONDS[match[2]]


def png(text: str) -> Path:
    """Return the path of a picture to write.

    Raises:
        ConfigError: If its name does not end in .png.
    """
    if not text.lower().endswith(".png"):
        raise ConfigError(f"{text} is not a .png name: {field('save')} writes PNG")
    return Path(text)

"""Your own function that builds a network: `module:function` of the images' shape, the number of classes, and arguments."""

import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import import_named, load_keras, working_directory
from edgecnn.edge.errors import ConfigError, field, why


def arguments_of(named: str) -> tuple[str, ...] | None:
    """Return the names of the keyword arguments that a `module:function` takes; None if it takes any.

    Raises:
        ConfigError: If there is no such function, or its module can't be imported.
    """
    try:
        parameters = list(inspect.signature(_builder(named)).parameters.values())
    except ValueError:  # A function in C may have no signature.
        return None
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return None
    # The first two are the shape and the number of classes.
    return tuple(one.name for one in parameters[2:] if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))


def require_taken(named: str, arguments: tuple[str, ...]) -> None:
    """Raise a ConfigError if a `module:function` does not take one of the arguments, each `name=value`."""
    taken = arguments_of(named)
    for name in (text.partition("=")[0] for text in arguments):
        if taken is not None and name not in taken:
            takes = ", ".join(taken) or "only the images' shape and the number of classes"
            raise ConfigError(f"{field('arguments')}: {named} does not take {name}: it takes {takes}")


def built_model(named: str, arguments: tuple[str, ...], shape: tuple[int, int, int], classes: int) -> Any:
    """Call a `module:function` and return its Keras model, built.

    Args:
        named: The function, as `module:function`.
        arguments: Its keyword arguments, each as `name=value`.
        shape: (height, width, channels) of the images.
        classes: Number of classes.

    Raises:
        ConfigError: If there is no such function, it fails, or it returns something else.
    """
    function = _builder(named)
    keywords = {name: value_of(value) for name, _, value in (text.partition("=") for text in arguments)}
    try:
        with working_directory():
            model = function(shape, classes, **keywords)
            if isinstance(model, load_keras().Model) and not model.built:
                _build(model, shape)
    except Exception as error:  # The function's code may raise anything.
        reason, given = why(error, named=True), "".join(f", {text}" for text in arguments)
        raise ConfigError(
            f"{field('model')}={named} fails for images of {shape} and {classes} classes{given} ({reason}): fix it"
        ) from error
    if not isinstance(model, load_keras().Model):
        raise ConfigError(f"{field('model')}={named} returns {type(model).__name__}, not a keras.Model: return the model")
    return model


def _builder(named: str) -> Callable[..., Any]:
    module, _, name = named.partition(":")
    function = getattr(import_named(module, f"{field('model')}={named}"), name, None)
    if not callable(function):
        raise ConfigError(
            f"{field('model')}={named}: {module} has no function {name}: write one that takes the images' shape and the number "
            "of classes"
        )
    return function  # type: ignore[no-any-return]  # It is a user's.


def value_of(text: str) -> float | str:
    """Return an argument's value: a number as in JSON, a truth value, or the text itself."""
    try:
        value = json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, (int, float)) and math.isfinite(value) else text


def _build(model: Any, shape: tuple[int, int, int]) -> None:
    if isinstance(model, load_keras().Sequential):
        model.build((None, *shape))
    else:
        # A subclassed model creates its layers when called.
        model(np.zeros((1, *shape), np.float32))

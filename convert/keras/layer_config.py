"""A layer as a Keras file's JSON has it, and layers of Keras 3 in the place of one."""

from collections.abc import Callable, Iterator
from typing import Any

from edgecnn.edge.errors import field

HAS_LAMBDA = (
    "it has a Lambda layer, whose code inside the file is never run: save the model with a layer "
    f"from your own module in its place, and name that module with {field('trust')}=MODULE"
)
Config = dict[str, Any]
"""A layer: `class_name`, `config`, in a functional model `name` and `inbound_nodes`, in a .keras file its `module`."""


class Refused(Exception):
    """A layer that Keras 3 can't compute as Keras 2 did, or with code of its own. The message ends with the fix."""


def made(kind: str, config: Config, old: Config, module: str = "keras.layers") -> Config:
    """Return a layer of Keras 3 that has no place in a graph yet.

    Its class is named with its module if that of `old`, a layer beside it, is: in .keras files, and in parts of .h5 files.
    """
    named = {"module": module, "registered_name": None} if "module" in old or module != "keras.layers" else {}
    return {**named, "class_name": kind, "config": config}


def in_a_row(layers: list[Config], old: Config) -> list[Config]:
    """Return layers that follow each other in the place of an old one, each called as often as that."""
    if "inbound_nodes" not in old:
        return layers
    placed = []
    for number, layer in enumerate(layers):
        before = layers[number - 1]["config"]["name"]
        nodes = [[[before, call, 0, {}]] for call, _ in enumerate(old["inbound_nodes"])] if number else old["inbound_nodes"]
        placed.append({**layer, "name": layer["config"]["name"], "inbound_nodes": nodes})
    return placed


def node(given: Any) -> Any:
    """Return a call of a layer as Keras 3 reads it: Keras 2 may give other layers' outputs by name too, as for attention."""
    if not isinstance(given, list) or not all(isinstance(entry, list) and len(entry) == 4 for entry in given):
        return given
    named = given[0][3]
    if not any(map(is_reference, named.values())):
        return given
    inputs = [_output(entry) for entry in given]
    kwargs = {key: _output(value) if is_reference(value) else value for key, value in named.items()}
    return {"args": [inputs[0] if len(inputs) == 1 else inputs], "kwargs": kwargs}


def _output(reference: list[Any]) -> Config:
    """Return a reference in Keras 3's words. It takes the shape from the layer."""
    return {"class_name": "__keras_tensor__", "config": {"shape": [], "dtype": "float32", "keras_history": reference[:3]}}


def without_own_calls(config: Config, models: tuple[str, ...]) -> Config:
    """Return a functional model in which calls of the models inside are counted as Keras 3 does.

    In Keras 2 the first call of a model is its own construction, so that a model's first call in another has number 1. Keras 3
    knows that of functional models that are outputs.
    """
    kinds = {layer["name"]: layer["class_name"] for layer in config["layers"] if layer["class_name"] in models}
    least: dict[str, int] = {}
    for reference in _references([layer.get("inbound_nodes") for layer in config["layers"]] + [config["output_layers"]]):
        least[reference[0]] = min(reference[1], least.get(reference[0], reference[1]))
    later = {name for name in kinds if least.get(name, 0) > 0}

    def counted(value: Any, later: set[str]) -> Any:
        return _changed(value, lambda name, call: [name, call - (name in later)])

    layers = [
        {**layer, "inbound_nodes": counted(layer["inbound_nodes"], later)} if "inbound_nodes" in layer else layer
        for layer in config["layers"]
    ]
    ends = counted(config["output_layers"], {name for name in later if kinds[name] == "Sequential"})
    return {**config, "layers": layers, "output_layers": ends}


def _references(value: Any) -> Iterator[list[Any]]:
    if is_reference(value):
        yield value
        value = value[3:]
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)


def without_slashes(value: Any) -> Any:
    """Return the references to layers (`[name, call, output, ...]`) in a value without the `/` that Keras 3 has in no name."""
    return _changed(value, lambda name, call: [slashless(name), call])


def _changed(value: Any, change: Callable[[str, int], list[Any]]) -> Any:
    """Return a value in which `change` has made the name and the call of each reference."""
    if is_reference(value):
        return [*change(*value[:2]), *(_changed(item, change) for item in value[2:])]
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    return value


def slashless(name: Any) -> Any:
    return name.replace("/", "_") if isinstance(name, str) else name


def is_reference(value: Any) -> bool:
    """Return whether a value names another layer's output."""
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and all(isinstance(number, int) for number in value[1:3])
    )

"""Changes layers of a quantized file back to float until it is accurate enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgecnn.convert.diagnosis.diagnose import LayerError
from edgecnn.edge.errors import GateFailed, field

MOST_TRIES = 20


@dataclass(frozen=True)
class MendedFile:
    """A quantized file that is accurate enough.

    Attributes:
        data: The file.
        layers: Operators that stay float, by the name of their output tensor, in the order in which they were changed back;
            empty if none had to be.
        plain: The file with no operator in float.
        tries: Number of files judged, including the plain one.
    """

    data: bytes
    layers: tuple[str, ...]
    plain: bytes
    tries: int


def mend(
    name: str,
    quantize: Callable[[Sequence[str]], bytes],
    rank: Callable[[bytes], Sequence[LayerError]],
    passes: Callable[[bytes], bool],
    *,
    others: Sequence[str] = (),
    on_step: Callable[[str], None] = lambda text: None,
    most: int = MOST_TRIES,
) -> MendedFile:
    """Change the worst layers back to float, one by one, until the file passes.

    The layers are ranked again after each one, since removing an error also removes its effect on later layers. A layer
    goes back together with its readers, which would otherwise still quantize its output.

    Args:
        name: Name of the file for messages.
        quantize: Function that makes the file with these operators left in float.
        rank: Function that returns a file's layers, the worst first, as `diagnose` does.
        passes: Function that judges a file.
        others: Other precisions that its format has, for the message.
        on_step: Called with a line of text for each try.
        most: Largest number of files to judge, including the plain one.

    Raises:
        GateFailed: If no file passes.
        ConversionError: If a file can't be made.
    """
    plain = data = quantize(())
    kept: list[str] = []
    for tries in range(1, most + 1):
        if passes(data):
            return MendedFile(data, tuple(kept), plain, tries)
        # A layer whose operators are all float has nothing left to change back.
        worst = next((layer for layer in rank(data) if not set(layer.keep) <= set(kept)), None)
        if worst is None or tries == most:
            break
        kept += [operator for operator in worst.keep if operator not in kept]
        on_step(f"{name}: {worst.operator} {worst.label} loses most: {len(kept)} operators in float")
        data = quantize(kept)
    another = f"use {field('precisions')}={' or '.join(others)}, " if others else ""
    raise GateFailed(
        f"{name} is not accurate enough with any of {tries} choices of layers in float, the last with {len(kept)}: ship "
        f"float32, {another}or allow more loss with {field('keep_accuracy')}"
    )

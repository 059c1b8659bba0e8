"""Taking layers of a quantised file back to float until it is accurate enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convert.diagnose import LayerError
from edge.errors import GateFailed

MOST_TRIES = 20


@dataclass(frozen=True)
class MendedFile:
    """A quantised file that is accurate enough.

    Attributes:
        data: Its bytes.
        layers: The operators that stay float, by the name of their output tensor, in the order in which they were taken
            back; empty if none had to be.
        plain: The bytes of the file with none taken back.
        tries: How many files were judged, the plain one included.
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
    on_step: Callable[[str], None] = lambda text: None,
    most: int = MOST_TRIES,
) -> MendedFile:
    """Take the worst layers back to float, one by one, until the file passes.

    After each, the layers are ranked anew: what an error did to the layers behind it goes with it. A layer goes back
    together with what reads it, or its numbers would be quantised for that all the same.

    Args:
        name: What to call the file in messages.
        quantize: Makes the file with these operators left float.
        rank: Returns a file's layers, the worst first, as `diagnose` does.
        passes: Judges a file.
        on_step: Gets a line for each try.
        most: Files to judge, the plain one included.

    Raises:
        GateFailed: If none passes.
        ConversionError: If a file can't be made.
    """
    plain = data = quantize(())
    kept: list[str] = []
    for tries in range(1, most + 1):
        if passes(data):
            return MendedFile(data, tuple(kept), plain, tries)
        # A layer whose operators are all float already has nothing left to take back.
        worst = next((layer for layer in rank(data) if not set(layer.keep) <= set(kept)), None)
        if worst is None or tries == most:
            break
        kept += [operator for operator in worst.keep if operator not in kept]
        on_step(f"{name}: {worst.operator} {worst.label} loses most: {len(kept)} operators in float")
        data = quantize(kept)
    raise GateFailed(
        f"{name} is not accurate enough with any of {tries} choices of layers in float, the last with {len(kept)}: ship "
        "float32, use --quantize float16, dynamic or int16x8, or allow more loss with --keep-accuracy"
    )

"""Pictures of more than 8 bits a pixel: scaled where their values say how, and refused where they would be read as black."""

from typing import Any

import numpy as np

from edgecnn.edge.errors import ArtifactError

# Of 16 bits, as a power of two: a picture that ends below is of 12 bits or fewer, or keeps less than 16 of 256 greys.
_LEAST_BITS = 12
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # Tags of a TIFF file.
_WHITE_IS_ZERO = 0


def eight_bits(file: Any, name: str) -> Any:
    """Return a loaded PIL image with at most 8 bits a pixel and channel.

    Of integers of 12 or 16 bits the high bits are taken. Floats that end at 1 or below are multiplied by 255, and whole numbers
    from 0 to 255 stay as they are.

    Args:
        file: The image, not yet turned, as its file's tags tell more of it.
        name: Name of the picture for messages.

    Raises:
        ArtifactError: If its values have another range.
    """
    from PIL import Image  # Which made `file`.

    tags = getattr(file, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (8 if file.mode.startswith("RGB") else 16,))[0]
    if file.mode.startswith("RGB") and bits > 8:
        # Pillow keeps the high bytes alone.
        high = int(np.asarray(file)[..., :3].max())
        if high >> (_LEAST_BITS - 8):
            return file
        raise _unknown_scale(name, "16-bit", 0, high << 8 | 255)
    if not file.mode.startswith(("I", "F")):
        return file
    values = np.asarray(file)
    low, high, is_float = values.min(), values.max(), values.dtype.kind == "f"
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise ArtifactError(f"{name} has deep pixels that count from white: save it with 8 bits a pixel, 0 to 255")
    # 16 bits of a PNG or PPM file become 32 in some releases of Pillow.
    if file.mode.startswith("I;16") or (file.format in ("PNG", "PPM") and not is_float):
        if high == 0 or high >> (bits + _LEAST_BITS - 16):
            return Image.fromarray((values >> (bits - 8)).astype(np.uint8))
    elif low >= 0 and (high == 0 or (is_float and high <= 1)):
        return Image.fromarray(np.rint(255 * values).astype(np.uint8))
    elif low >= 0 and 1 < high <= 255 and (values == np.rint(values)).all():
        return Image.fromarray(values.astype(np.uint8))
    raise _unknown_scale(name, "floating-point" if is_float else "integer", low, high)


def _unknown_scale(name: str, kind: str, low: Any, high: Any) -> ArtifactError:
    return ArtifactError(
        f"{name} has {kind} pixels from {low:g} to {high:g}, whose scale is unknown: save it with 8 bits a pixel, 0 to 255"
    )

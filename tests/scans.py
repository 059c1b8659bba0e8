"""JPEGs of many scans, each of which costs a decoder as much time as a picture, though it has only a few bytes."""

from io import BytesIO

from PIL import Image

START, END = b"\xff\xda", b"\xff\xd9"


def jpeg(mode: str = "L", size: tuple[int, int] = (64, 48), progressive: bool = True, exif: bytes = b"") -> bytes:
    stream = BytesIO()
    Image.new(mode, size).save(stream, "JPEG", progressive=progressive, exif=exif)
    return stream.getvalue()


def many_scans(count: int, size: tuple[int, int]) -> bytes:
    """Return a progressive JPEG whose last scan is repeated until there are `count`."""
    data = jpeg(size=size)
    last = data.rindex(START)
    return data[:last] + (1 + count - data.count(START)) * data[last : -len(END)] + END

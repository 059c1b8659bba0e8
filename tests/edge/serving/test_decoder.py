"""Pictures that strangers send are decoded in a child, whose death is an error of that picture alone."""

import os
import signal
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import Preprocessing
from edgecnn.edge.sandbox import child
from edgecnn.edge.serving import decoder as module
from edgecnn.edge.serving.decoder import Decoder, Rule, TakesLong
from tests.scans import END, START, jpeg, many_scans

GREY = Rule((28, 28, 1), Preprocessing(1.0, "letterbox", "any"))
COLOUR = Rule((8, 6, 3), Preprocessing(1.0, "stretch", "any"))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """One for all tests: none keeps it from decoding the next picture."""
    with closing(Decoder(module.PICTURE_SECONDS)) as made:
        yield made


def png(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_picture_becomes_the_image_of_its_rule_also_after_one_that_is_none(decoder: Decoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    assert np.array_equal(decoder.decode(png(pixels), GREY).image, pixels[..., np.newaxis])
    assert decoder.decode(png(pixels), COLOUR).image.shape == (8, 6, 3)
    with pytest.raises(ArtifactError, match="not an image"):
        decoder.decode(b"nothing", GREY)
    assert decoder.decode(png(np.zeros((28, 28), np.uint8)), GREY).image.max() == 0


def test_a_decompression_bomb_and_a_jpeg_of_too_many_scans_are_refused(decoder: Decoder) -> None:
    stream = BytesIO()
    Image.new("1", (8_000, 8_000)).save(stream, "PNG")
    bomb = stream.getvalue()
    assert len(bomb) < 100_000
    head = b"IHDR" + struct.pack(">II", 30_000, 30_000) + bomb[24:29]
    for picture in (bomb, bomb[:12] + head + struct.pack(">I", zlib.crc32(head)) + bomb[33:]):
        with pytest.raises(ArtifactError, match="pixels"):
            decoder.decode(picture, GREY)
    for count in (module.MOST_SCANS + 1, 20_000):
        with pytest.raises(ArtifactError, match="scans"):
            decoder.decode(many_scans(count, (2000, 1500)), GREY)
    assert decoder.decode(many_scans(module.MOST_SCANS, (64, 48)), GREY).image.shape == GREY.shape


@pytest.mark.parametrize("between", [b"\xff\x01", b"\xff\xff\x01", b"\xff\xd0", b"noise", b"\xff\x01\xff\xff"])
def test_scans_behind_markers_without_a_length_and_between_noise_count(between: bytes) -> None:
    data = many_scans(300, (64, 48))
    last = data.rindex(START)
    with pytest.raises(ArtifactError, match="scans"):
        module.require_few_parts(data.replace(data[last : -len(END)], between + data[last : -len(END)]))


def test_a_png_of_more_chunks_than_encoders_write_is_refused_before_it_is_decoded(decoder: Decoder) -> None:
    data, empty = png(np.zeros((28, 28), np.uint8)), b"\0\0\0\0zzZz\x8c$_\x9e"
    with pytest.raises(ArtifactError, match="chunks"):
        decoder.decode(data[:33] + module.MOST_CHUNKS * empty + data[33:], GREY)
    few = data[:33] + 1000 * empty + data[33:] + module.MOST_CHUNKS * empty
    assert decoder.decode(few, GREY).image.max() == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_what_only_looks_like_scans_is_none(decoder: Decoder, mode: str, progressive: bool) -> None:
    """It may be in a camera's notes, or in a film after the picture."""
    notes = b"Exif\0\0" + 100 * START
    picture = jpeg(mode, progressive=progressive, exif=notes) + 100 * START
    assert picture.count(START) > 200
    assert decoder.decode(picture, COLOUR).image.shape == COLOUR.shape


def test_a_picture_that_takes_long_is_ended_and_the_next_one_is_answered() -> None:
    with closing(Decoder(0.2, has_spare=True)) as decoder:
        for _ in range(2):
            with pytest.raises(TakesLong, match="longer"):
                decoder.decode(many_scans(60, (6000, 4000)), GREY)
            for _ in range(100):  # On a busy machine a small picture may take long, too.
                with suppress(TakesLong):
                    assert decoder.decode(png(np.zeros((28, 28), np.uint8)), GREY).image.max() == 0
                    break


def test_a_decoder_that_is_closed_ends_what_it_decodes() -> None:
    decoder = Decoder(600)
    decoder.decode(png(np.zeros((28, 28), np.uint8)), GREY)
    closing_soon = threading.Timer(0.3, decoder.close)
    closing_soon.start()
    with pytest.raises(ArtifactError):
        decoder.decode(many_scans(64, (8192, 6144)), GREY)
    closing_soon.join()
    with pytest.raises(ArtifactError, match="ends"):
        decoder.decode(png(np.zeros((28, 28), np.uint8)), GREY)


def test_a_child_that_is_killed_with_a_picture_is_that_picture_s_error_and_another_child_answers(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, exchange = png(np.zeros((28, 28), np.uint8)), decoder._exchange

    def killed(*given: Any) -> Any:
        os.kill(decoder._child.pid, signal.SIGKILL)
        return exchange(*given)

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_exchange", killed)
        with pytest.raises(ArtifactError, match="crashed"):
            decoder.decode(picture, GREY)
    assert decoder.decode(picture, GREY).image.shape == (28, 28, 1)


def test_a_child_that_died_between_two_pictures_is_started_again(decoder: Decoder) -> None:
    dead = decoder._child
    ends = [Path(f"/proc/self/fd/{end}") for end in (dead._requests, dead._answers)]
    pipes = [end.readlink() for end in ends]
    os.kill(dead.pid, signal.SIGKILL)
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    assert decoder.decode(png(np.zeros((28, 28), np.uint8)), GREY).image.shape == (28, 28, 1)
    assert decoder._child is not dead
    # Closed; another file may have the number by now.
    assert all(not end.is_symlink() or end.readlink() != pipe for end, pipe in zip(ends, pipes, strict=True))


@pytest.mark.parametrize("said", [r"\0\0\0\0\0\0\0\1\0", r"\0\xff\xff\xff\xff\0\0\3\x10", r"\0", ""])
def test_an_answer_of_another_size_is_not_read(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    lying = f"import os\ndef serve(requests, answers, seconds): os.read(requests, 8); os.write(answers, b'{said}')\n"

    def command(code: str) -> list[str]:
        return [sys.executable, "-c", lying + code.rpartition("; ")[2]]

    monkeypatch.setattr(child, "python_command", command)
    with closing(Decoder(module.PICTURE_SECONDS)) as decoder, pytest.raises(ArtifactError, match="crashed"):
        decoder.decode(b"anything", GREY)


def test_what_an_image_library_writes_holds_no_picture_up() -> None:
    code = """
from io import BytesIO
from PIL import Image
from edgecnn.edge.manifest import Preprocessing
from edgecnn.edge.sandbox import child
from edgecnn.edge.serving import decoder

command, started = child.python_command, []
child.python_command = lambda code: command("import os, threading; threading.Thread("
    "target=lambda: [os.write(2, b'warning ' * 128 + b'\\\\n') for _ in range(400)]).start(); " + code)
decoding, stream = decoder.Decoder(20), BytesIO()
Image.new("L", (9, 9)).save(stream, "PNG")
for _ in range(3):
    print(decoding.decode(stream.getvalue(), decoder.Rule((9, 9, 1), Preprocessing(1.0, "stretch", "any"))).image.shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "(9, 9, 1)\n" * 3
    assert done.stderr == ""


STARTS = """
import sys
import edgecnn
from edgecnn.edge.serving.decoder import Decoder

def started(self, *_, **options):
    print("numpy" in sys.modules)
    sys.exit()

Decoder.__init__ = started
edgecnn.serve("nothing")
"""


def test_a_server_starts_it_before_numpy_is_imported() -> None:
    assert subprocess.check_output([sys.executable, "-c", STARTS], text=True) == "False\n"

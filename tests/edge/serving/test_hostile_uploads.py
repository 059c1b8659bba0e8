"""Altered pictures, as `make torture` makes them, get an answer or a line, and never disturb the next picture's answer."""

import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.edge.serving.running import Reply, Server
from tests.scans import many_scans
from tools.faults.mutators.images import PNG

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
TRIES = 20


def told(reply: Reply) -> tuple[str, ...]:
    return tuple(answer["label"] for answer in reply.json["pictures"][0]["answers"])


@pytest.mark.parametrize("kind", FORMATS)
def test_an_altered_picture_is_answered_or_refused_and_the_next_one_is_right(server: Server, pictures: Path, kind: str) -> None:
    good = (pictures / "0.png").read_bytes()
    expected = told(server.classify(good))
    stream = BytesIO()
    Image.open(pictures / "1.png").convert("RGB").resize((40, 30)).save(stream, kind)
    rng = np.random.default_rng(FORMATS.index(kind))
    refused = 0
    for number in range(TRIES):
        reply = server.classify(PNG[rng.integers(len(PNG))](stream.getvalue(), rng), kind="application/octet-stream")
        assert reply.status in (200, 400, 422), reply
        if reply.status != 200:
            refused += 1
            assert reply.error
            assert "\n" not in reply.error
        if number % 5 == 0:
            assert told(server.classify(good)) == expected
    assert refused


def test_pictures_that_take_long_to_decode_don_t_keep_others_from_being_answered(server: Server, pictures: Path) -> None:
    good, slow = (pictures / "0.png").read_bytes(), many_scans(30, (8192, 6144))
    expected = told(server.classify(good))
    replies: list[Reply] = []
    clients = [threading.Thread(target=lambda: replies.append(server.classify(slow))) for _ in range(2)]
    for client in clients:
        client.start()
    for _ in range(3):
        assert told(server.classify(good)) == expected
    assert not replies  # Either takes several seconds.
    for client in clients:
        client.join()
    assert {reply.status for reply in replies} <= {200, 422}  # Refused if it takes longer than the limit, on a slow machine.
    assert all("longer than" in reply.error for reply in replies if reply.status == 422)


def test_each_of_many_clients_at_once_gets_the_answer_of_its_own_picture(server: Server, pictures: Path) -> None:
    """Some send pictures that can't be read, some go away before they are answered."""
    data = [(pictures / f"{number}.png").read_bytes() for number in range(8)]
    expected = [told(server.classify(picture)) for picture in data]
    wrong: list[object] = []

    def ask(client: int) -> None:
        for turn in range(8):
            number = (client + turn) % 8
            if client % 4 == 3:
                reply = server.classify(b"no picture" + bytes(turn))
                wrong.extend([reply] if reply.status != 422 else [])
                continue
            reply = server.classify(data[number])
            wrong.extend([reply] if reply.status != 503 and told(reply) != expected[number] else [])

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(16)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not wrong
    assert len(set(expected)) > 1

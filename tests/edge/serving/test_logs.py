"""A log that nobody reads holds up neither an answer nor the end: its lines are dropped and counted."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tests.edge.serving.running import COMMAND, Server

REQUESTS = 2000
"""Their lines are more than a pipe of Linux and the queue hold."""


def test_a_server_whose_log_nobody_reads_answers_and_counts_the_lines_it_drops(exported: Path, pictures: Path) -> None:
    with unread(exported, "--log-json") as server:
        dropped = asked_often(server, pictures)
        read = server.process.stderr
        assert read
        lines = iter(read.readline, "")
        told = next(line for line in lines if "dropped" in line)  # Others come first.
        found = re.search(r"(\d+) lines were dropped", json.loads(told)["message"])
        assert found
        assert int(found[1]) >= dropped
        server.process.terminate()
        assert "ending" in "".join(lines)  # What comes later is written again.
        assert server.process.wait(60) == 0


def test_a_server_whose_log_nobody_reads_ends_at_sigterm(exported: Path, pictures: Path) -> None:
    with unread(exported) as server:
        asked_often(server, pictures)
        server.process.terminate()
        assert server.process.wait(60) == 0


def test_what_an_image_library_writes_holds_no_picture_up() -> None:
    code = """
from io import BytesIO
from PIL import Image
from edgecnn.edge.manifest import Preprocessing
from edgecnn.edge.serving import decoder

command, started = decoder.python_command, []
decoder.python_command = lambda code: command("import os, threading; threading.Thread("
    "target=lambda: [os.write(2, b'warning ' * 128 + b'\\\\n') for _ in range(400)]).start(); " + code)
decoding, stream = decoder.Decoder(20), BytesIO()
Image.new("L", (9, 9)).save(stream, "PNG")
for _ in range(3):
    print(decoding.decode(stream.getvalue(), decoder.Rule((9, 9, 1), Preprocessing(1.0, "stretch", "any"))).image.shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "(9, 9, 1)\n" * 3
    assert done.stderr == ""


@contextmanager
def unread(exported: Path, *arguments: str) -> Iterator[Server]:
    """Start a server whose standard error is a pipe that nobody reads, and end it."""
    command = [*COMMAND, "--port", "0", str(exported / "int8.tflite"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            address = process.stdout.readline()
            found = re.search(r":(\d+)/", address)
            assert found, address
            yield Server(process, address, int(found[1]), Path("/dev/null"))
        finally:
            process.kill()


def asked_often(server: Server, pictures: Path) -> int:
    """Ask until lines of the log must be dropped, and return how many were."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        for _ in range(REQUESTS):
            client.request("GET", "/" + "x" * 200)
            answer = client.getresponse()
            assert (answer.status, bool(answer.read())) == (404, True)
    assert server.classify((pictures / "0.png").read_bytes()).status == 200
    found = re.search(r"^edgecnn_log_lines_dropped_total (\S+)$", server.get("/metrics").body.decode(), re.MULTILINE)
    assert found
    return int(float(found[1]))

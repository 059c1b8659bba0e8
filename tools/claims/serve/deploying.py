"""What `edgecnn deploy` takes, and what it lets into service: boards are ssh servers on this machine, with the real edgecnn."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.files import sha256
from tests.edge.serving.running import Server, serving
from tests.edge.serving.service.desk import clients
from tests.end_to_end.conftest import Device, Network
from tools.claims.claims import EDGECNN, Claim, at_least, at_most

_TURNS = 7
_UPDATES = 100
_CLIENTS = 16
_BOARDS = 20
_BAD = 200
_PLACE = ".local/share/edgecnn"
_REAL = f'#!/bin/sh\nexec {EDGECNN} "$@"\n'


def measure(folder: Path) -> list[Claim]:
    """Measure deployments of int8.tflite and float32.tflite."""
    with tempfile.TemporaryDirectory() as scratch, _network(Path(scratch)) as network:
        bundles = [_bundle(folder, Path(scratch), name) for name in ("int8.tflite", "float32.tflite")]
        board = network.add("pi", edgecnn=_REAL)
        _deploy(bundles[0], "pi")
        with _service(board, Path(scratch)) as server:
            claims = [*_times(bundles), *_under_clients(bundles, server)]
            claims.append(_bad_bundles(bundles, board, Path(scratch)))
        return [*claims, *_many_boards(bundles[0], network)]


def _times(bundles: list[Path]) -> list[Claim]:
    updates, rollbacks = [], []
    for turn in range(_TURNS):
        begin = time.perf_counter()
        (done,) = _deploy(bundles[(turn + 1) % 2], "pi", "--watch", "0s")
        updates.append(time.perf_counter() - begin - done["seconds"]["verify"])
        begin = time.perf_counter()
        _deploy(None, "pi", "--rollback")
        rollbacks.append(time.perf_counter() - begin)
        _deploy(bundles[(turn + 1) % 2], "pi", "--watch", "0s")
    how = f"median of {_TURNS}, the command's start included, ssh on this machine"
    return [
        at_most("deploy: an update in service, without edgecnn verify there, s", median(updates), 5, how),
        at_most("deploy: a rollback, s", median(rollbacks), 1, how),
    ]


def _under_clients(bundles: list[Path], server: Server) -> list[Claim]:
    picture = BytesIO()
    Image.fromarray(load_test().images([47])[0][..., 0]).save(picture, "png")
    with clients(server, picture.getvalue(), _CLIENTS) as many:
        for number in range(_UPDATES):
            _deploy(bundles[number % 2], "pi", "--watch", "0s")
    labels = {label for _, label in many.answers}
    wrong = sum(count for (_, label), count in many.answers.items() if label != "2")
    asked = sum(many.answers.values())
    how = (
        f"{_CLIENTS} clients, {asked:,} requests, answered by {len({name for name, _ in many.answers})} files: {sorted(labels)}"
    )
    claims = [at_most(f"deploy: requests refused in {_UPDATES} updates", len(many.failures), 0, how)]
    return [*claims, at_most(f"deploy: wrong answers in {_UPDATES} updates", wrong, 0, how)]


def _bad_bundles(bundles: list[Path], board: Device, scratch: Path) -> Claim:
    """Deploy bundles with altered bytes, and such that were cut off."""
    rng, data = random.Random(1), bundles[0].read_bytes()  # noqa: S311  # Nothing depends on its being unpredictable.
    good = {sha256(path.read_bytes()) for path in bundles}
    let_in = 0
    for number in range(_BAD):
        bad = bytearray(data)
        if number % 4 == 0:
            bad = bad[: rng.randrange(len(bad))]
        else:
            for _ in range(rng.choice((1, 4, 64))):
                bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path = scratch / "bad.zip"
        path.write_bytes(bad)
        _run(path, "pi", "--watch", "0s")
        let_in += sha256((board.home / _PLACE / "current/model.zip").read_bytes()) not in good
    return at_most(
        f"deploy: of {_BAD} altered or truncated bundles in service",
        let_in,
        0,
        "bits flipped, or cut off; seed 1; most are refused here, before a board",
    )


def _many_boards(bundle: Path, network: Network) -> list[Claim]:
    """Deploy to many boards at once, one of which lacks edgecnn."""
    names = [f"board-{number}" for number in range(_BOARDS)]
    boards = [network.add(name, edgecnn=None if name == names[-1] else _REAL) for name in names]
    found = _run(bundle, *names)
    outcomes = {item["host"]: item["outcome"] for item in found}
    failed = [name for name, outcome in outcomes.items() if outcome == "failed"]
    place = f"{_PLACE}/current/model.zip"
    right = sum(
        (board.home / place).exists() == (outcomes[board.name] == "deployed") for board in boards if board.name in outcomes
    )
    how = f"{sorted(outcomes.values()).count('deployed')} deployed, failed: {', '.join(failed)}, which has no edgecnn"
    return [
        at_least(f"deploy: of {_BOARDS} boards, one failing, those that are as the result says", right, _BOARDS, how),
        at_most(
            "deploy: failed boards that are not the failing one", len([name for name in failed if name != names[-1]]), 0, how
        ),
    ]


@contextmanager
def _network(scratch: Path) -> Iterator[Network]:
    """Yield a network of ssh servers, and let this process's ssh find them."""
    network = Network(scratch)
    program = scratch / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {network.config} "$@"\n')
    program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{program.parent}:{before}"
    try:
        yield network
    finally:
        os.environ["PATH"] = before
        for server in network.started:
            server.kill()
            server.wait()


@contextmanager
def _service(board: Device, scratch: Path) -> Iterator[Server]:
    place = board.home / _PLACE
    with serving(scratch, place / "current/model.zip", "--state", place / "service") as server:
        yield server


def _bundle(folder: Path, scratch: Path, name: str) -> Path:
    path = scratch / f"{name}.zip"
    subprocess.run([EDGECNN, "bundle", str(folder), "--file", name, "--out", str(path)], check=True, stdout=sys.stderr)
    return path


def _deploy(bundle: Path | None, *arguments: str) -> list[dict[str, Any]]:
    found = _run(bundle, *arguments)
    assert found, "the command failed"
    assert all(item["reason"] is None for item in found), found
    return found


def _run(bundle: Path | None, *arguments: str) -> list[dict[str, Any]]:
    hosts = [part for name in arguments if not name.startswith("-") and not name[0].isdecimal() for part in ("--device", name)]
    options = [name for name in arguments if name.startswith("-") or name[0].isdecimal()]
    command = [EDGECNN, "deploy", *([str(bundle)] if bundle else []), *hosts, *options, "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return list(json.loads(done.stdout)["boards"]) if done.stdout.strip() else []

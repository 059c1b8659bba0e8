"""Whose pictures take long waits for others of that kind, and does not keep others waiting."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from edgecnn.edge.inference.classifier import Prediction
from edgecnn.edge.inference.pictures import FittedPicture
from edgecnn.edge.manifest import Preprocessing
from edgecnn.edge.serving import engine as module
from edgecnn.edge.serving.body import Picture
from edgecnn.edge.serving.decoder import QUICK_SECONDS, UNNAMED, Decoder, Rule, TakesLong
from edgecnn.edge.serving.engine import Asked, Engine, Origin
from edgecnn.edge.serving.metrics import Metrics

RULE = Rule((1, 1, 1), Preprocessing(1.0, "stretch", "any"))
ASKED = Asked(cast(Any, (SimpleNamespace(rule=RULE),)), None, 1, pixels=False)
Decode = Callable[[float, bytes], None]


class _Decoder:
    """A decoder of a lane, whose time limit it knows."""

    def __init__(self, seconds: float, decode: Decode) -> None:
        self._seconds, self._decode = seconds, decode

    def decode(self, picture: bytes, rule: Rule) -> FittedPicture:
        self._decode(self._seconds, picture)
        return FittedPicture(np.zeros(rule.shape, np.uint8))

    def close(self) -> None:
        pass


class _Engine(Engine):
    def answered(self, fitted: dict[Rule, FittedPicture], asked: Asked, origin: Origin = "picture") -> dict[str, Any]:
        return {}


@pytest.fixture
def engine_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Engine]]:
    """Makes an engine of what stands for the decoding of a picture within a time limit."""
    made: list[Engine] = []

    def engine(decode: Decode, quick_seconds: float = QUICK_SECONDS) -> Engine:
        monkeypatch.setattr(module, "QUICK_SECONDS", quick_seconds)
        monkeypatch.setattr(module, "Decoder", lambda seconds: _Decoder(seconds, decode))
        quick = cast(Decoder, _Decoder(quick_seconds, decode))
        made.append(_Engine(cast(Any, None), quick, 64, Metrics()))
        return made[-1]

    yield engine
    for one in made:
        one.close()


def test_a_large_photo_does_not_wait_for_a_picture_that_takes_longer_than_any(engine_of: Any) -> None:
    released, begun = threading.Event(), threading.Event()

    def decode(seconds: float, picture: bytes) -> None:
        if seconds < {b"small": 0, b"photo": 2, b"hostile": 10}[picture]:
            raise TakesLong(f"{UNNAMED} took longer")
        if picture == b"hostile":
            begun.set()
            assert released.wait(60)

    async def asked(engine: Engine) -> None:
        hostile = asyncio.create_task(engine.classified([Picture("a", b"hostile")], ASKED))
        await asyncio.to_thread(begun.wait, 60)
        for other in (b"small", b"photo"):
            assert len((await asyncio.wait_for(engine.classified([Picture("b", other)], ASKED), 30))["pictures"]) == 1
        assert not hostile.done()
        released.set()
        assert len((await hostile)["pictures"]) == 1

    try:
        asyncio.run(asked(engine_of(decode)))
    finally:
        released.set()


def test_a_request_s_pictures_that_take_long_together_leave_the_quick_lane(
    engine_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[float] = []

    def decode(seconds: float, picture: bytes) -> None:
        decoded.append(seconds)
        time.sleep(0.02)

    many = [Picture(f"{number}", b"small") for number in range(16)]
    monkeypatch.setattr(module, "_SLOW_LANES", ((600.0, 1),))
    answered = asyncio.run(engine_of(decode, 0.05).classified(many, ASKED))
    assert [picture["name"] for picture in answered["pictures"]] == [picture.name for picture in many]
    assert 0 < decoded.count(0.05) < 4
    assert decoded.count(600.0) == 16
    monkeypatch.setattr(module, "_SLOW_LANES", ((0.06, 1),))
    with pytest.raises(HTTPException, match="16 pictures") as refused:
        asyncio.run(engine_of(decode, 0.05).classified(many, ASKED))
    assert refused.value.status_code == 422
    assert 0 < decoded.count(0.06) < 5


def test_files_that_are_replaced_during_an_answer_are_not_compared_with_their_successors() -> None:
    def file(name: str, *row: float) -> SimpleNamespace:
        about = SimpleNamespace(sha256="", runtime="")
        classifier = SimpleNamespace(class_names=("a", "b"), threshold=None)
        answer = Prediction(np.array([np.argmax(row)]), ("",), np.array([row], np.float32), "")
        return SimpleNamespace(
            name=name, rule=RULE, about=about, classifier=classifier, expected=None, timed=lambda _: (answer, 1)
        )

    asked = Asked(cast(Any, (file("old.tflite", 0, 1), file("int8.tflite", 1, 0))), "old.tflite", 1, pixels=False)
    successors = SimpleNamespace(reference="int8.tflite")
    engine = Engine(cast(Any, successors), cast(Decoder, _Decoder(1, lambda *_: None)), 64, Metrics())
    answered = engine.answered({RULE: FittedPicture(np.zeros(RULE.shape, np.uint8))}, asked)
    engine.close()
    assert [answer["agrees"] for answer in answered["answers"]] == [None, False]

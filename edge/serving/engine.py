"""Answers pictures with all files, in threads: one inference at a time for each file, and bounded queues.

There are several lanes. A request whose pictures take long to decode leaves the quick one, where others wait, for the next one,
which has a longer limit, and starts again there.
"""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from starlette.exceptions import HTTPException

from edgecnn.edge.data.digit import unsure
from edgecnn.edge.errors import ArtifactError, EdgeCnnError
from edgecnn.edge.inference.classifier import Prediction
from edgecnn.edge.inference.pictures import FittedPicture
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.serving.answered.answers import GivenAnswer
from edgecnn.edge.serving.body import Picture
from edgecnn.edge.serving.decoder import (
    PICTURE_SECONDS,
    QUICK_SECONDS,
    SLOW_SECONDS,
    UNNAMED,
    Decoder,
    Rule,
    TakesLong,
)
from edgecnn.edge.serving.logs import log
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import LoadedFile, Models
from edgecnn.edge.serving.service.shadow import Shadow

# One decodes while the other computes.
_WORKERS = 2
# For each lane after the first, the seconds that a picture may take, and the number of decoders, each with a thread. In the
# second one, a picture that takes too long is not in the way of a large photo; in the last one there are only such pictures.
_SLOW_LANES = ((SLOW_SECONDS, 2), (PICTURE_SECONDS, 1))

Origin = Literal["picture", "frame", "probe"]
"""Where a picture is from: a client, the camera, or `Engine.probe`, whose answers are not counted."""


@dataclass(frozen=True)
class Asked:
    """What a request wants to know.

    Attributes:
        files: The files that answer.
        reference: Name of the file that the others are compared with.
        top: Number of classes to name.
        pixels: Whether to return what the model saw.
    """

    files: tuple[LoadedFile, ...]
    reference: str | None
    top: int
    pixels: bool


class _Lane:
    """Threads, the decoders that they share, and the most requests that they may have at a time.

    Attributes:
        seconds: How long a picture may take, and after which time of decoding a request's next picture is not begun.
        most: Number of requests.
        waiting: Number of requests at the moment.
    """

    def __init__(self, seconds: float, threads: int, decoders: Sequence[Decoder], queue: int) -> None:
        self.seconds, self.most, self.waiting = seconds, queue + threads, 0
        self.threads = ThreadPoolExecutor(threads, f"within {seconds:g} s")
        self._decoders, self._free = decoders, SimpleQueue[Decoder]()
        for decoder in decoders:
            self._free.put(decoder)

    def decode(self, picture: bytes, rule: Rule) -> FittedPicture:
        """Decode a picture when a decoder is free. Errors are the decoder's."""
        decoder = self._free.get()
        try:
            return decoder.decode(picture, rule)
        finally:
            self._free.put(decoder)

    def end_decoding(self) -> None:
        """Refuse what is decoded at the moment, and what comes."""
        for decoder in self._decoders:
            decoder.close()

    def close(self) -> None:
        self.end_decoding()
        self.threads.shutdown(cancel_futures=True)


_Run = Callable[[_Lane, Callable[[], dict[str, Any]]], Awaitable[dict[str, Any]]]


class Engine:
    """The open models with the threads and the decoders that they need.

    Attributes:
        models: The models. They may be replaced: what is under way is answered with the earlier ones.
        shadow: Sees what was answered; None if nobody wants to.
    """

    def __init__(self, models: Models, decoder: Decoder, queue: int, metrics: Metrics) -> None:
        """Start the threads. In each lane a queue of requests may wait, and more are refused; the first one has the decoder."""
        self.models, self._metrics, self._queue = models, metrics, queue
        self.shadow: Shadow | None = None
        # Calls in the first lane, inferences so far, and those at the last `has_moved`.
        self._quick, self._steps, self._seen_steps = 0, 0, 0
        self._lanes = [_Lane(QUICK_SECONDS, _WORKERS, (decoder,), queue)]

    def close(self) -> None:
        """End the threads and the decoders, and what they decode at the moment."""
        for lane in self._lanes:
            lane.close()

    def end_decoding(self) -> None:
        """Refuse the pictures that are decoded at the moment, and those that wait for it."""
        for lane in self._lanes:
            lane.end_decoding()

    async def classified(self, pictures: Sequence[Picture], asked: Asked) -> dict[str, Any]:
        """Return the answers to pictures, for JSON, when it is their turn.

        Raises:
            HTTPException: If as many requests wait as may, a picture can't be read, or a file can't answer.
        """
        return await self._in_a_lane(self._run, partial(self._classify, pictures, asked))

    async def probe(self, models: Models) -> None:
        """Have all files answer the models' own picture, as in a request that is never refused for those that wait.

        Raises:
            HTTPException: If it can't be decoded, or a file can't answer.
        """
        try:
            await self._in_a_lane(self._in_thread, partial(self._probe, models))
        except ArtifactError as error:
            raise HTTPException(500, str(error)) from error

    async def _in_a_lane(self, run: _Run, call: Callable[[_Lane], dict[str, Any]]) -> dict[str, Any]:
        """Make a call in the first lane whose limit its pictures keep: on a slow board, that may not be the quick one."""
        for number in range(len(_SLOW_LANES) + 1):
            if number == len(self._lanes):  # Most servers never need it.
                seconds, decoders = _SLOW_LANES[number - 1]
                self._lanes.append(_Lane(seconds, decoders, [Decoder(seconds) for _ in range(decoders)], self._queue))
            lane = self._lanes[number]
            try:
                return await run(lane, partial(call, lane))
            except TakesLong as error:
                last = error
        raise HTTPException(422, str(last)) from last

    def has_moved(self) -> bool:
        """Return whether an inference has begun since the last call, or none has to.

        If not, a runtime may hang in native code; or a request came just before the call. Pictures in the slow lanes have none
        for a long time.
        """
        before, self._seen_steps = self._seen_steps, self._steps
        return self._steps != before or not self._quick

    async def run_apart(self, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Make a call in a thread without a place among the requests: its caller bounds how many there are."""
        return await self._in_thread(self._lanes[0], call)

    async def _run(self, lane: _Lane, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if lane.waiting >= lane.most:
            raise HTTPException(503, "too many requests are waiting: try again", {"Retry-After": "1"})
        lane.waiting += 1
        self._metrics.waiting.inc()
        try:
            return await self._in_thread(lane, call)
        finally:
            lane.waiting -= 1
            self._metrics.waiting.dec()

    async def _in_thread(self, lane: _Lane, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        quick = lane is self._lanes[0]
        self._quick += quick
        try:
            return await asyncio.get_running_loop().run_in_executor(lane.threads, call)
        finally:
            self._quick -= quick

    def _probe(self, models: Models, lane: _Lane) -> dict[str, Any]:
        fitted = {}
        for rule in {file.rule for file in models.files}:
            # The picture is a model's image already: nothing is looked for in it.
            plain = replace(rule.preprocessing, fit="stretch", background="any")
            fitted[rule] = lane.decode(models.picture, rule._replace(preprocessing=plain))
        return self.answered(fitted, Asked(models.files, models.reference, 1, pixels=False), "probe")

    def _classify(self, pictures: Sequence[Picture], asked: Asked, lane: _Lane) -> dict[str, Any]:
        start_ns = time.perf_counter_ns()
        decode_ns, answered = 0, []
        for picture in pictures:
            if decode_ns > lane.seconds * 1e9:
                raise TakesLong(f"{len(pictures)} pictures took longer than {lane.seconds:g} s to decode: send fewer at a time")
            decoding_ns = time.perf_counter_ns()
            fitted = _fitted(picture, asked.files, lane)
            decode_ns += time.perf_counter_ns() - decoding_ns
            answer = self.answered(fitted, asked)
            if shadow := self.shadow:
                shadow.offer(picture.data, fitted, answer["answers"])
            answered.append({"name": picture.name, **answer})
        total_ns = time.perf_counter_ns() - start_ns
        return {"pictures": answered, "decode_us": decode_ns / 1e3, "total_us": total_ns / 1e3}

    def answered(self, fitted: dict[Rule, FittedPicture], asked: Asked, origin: Origin = "picture") -> dict[str, Any]:
        """Return all files' answers to one picture, for JSON. Errors are those of `classified`.

        A file's `inference_us` is the time of `Classifier.predict` in microseconds. Its `agrees` says whether the reference
        file names the same class; it is None for the reference itself, or if that did not answer. Its `accepted` says whether
        the answer reaches the file's `threshold`; both are None for a file without one.
        """
        try:
            found = [self._timed(file, fitted) for file in asked.files]
        except EdgeCnnError as error:
            log(f"no answer: {error}")
            raise HTTPException(500, "the model could not answer: the server's log says why") from error
        first = asked.files[0].rule
        expected = next((int(answer.class_indices[0]) for file, answer, _ in found if file.name == asked.reference), None)
        seen = {rule: _seen(picture.image) for rule, picture in fitted.items()} if asked.pixels else {}
        answers, given = [], []
        for file, answer, inference_ns in found:
            row, threshold = answer.probabilities[0], file.classifier.threshold
            self._metrics.inference.labels(file.name).observe(inference_ns / 1e9)
            # Of equal probabilities the first class comes first, as in argmax.
            order = np.argsort(-row, kind="stable")[: asked.top].tolist()
            accepted = None if answer.accepted is None else bool(answer.accepted[0])
            given.append(GivenAnswer(file, order[0], float(row[order[0]]), accepted))
            top = [{"label": file.classifier.class_names[index], "probability": float(row[index])} for index in order]
            answers.append(
                {
                    "file": file.name,
                    "sha256": file.about.sha256,
                    "runtime": file.about.runtime,
                    **top[0],
                    "accepted": accepted,
                    "threshold": threshold.limits if threshold else None,
                    "top": top,
                    "inference_us": inference_ns / 1e3,
                    "agrees": None if expected is None or file.name == asked.reference else order[0] == expected,
                    # If it is another image than the first file's.
                    "seen": None if file.rule == first else seen.get(file.rule),
                }
            )
        if origin != "probe":
            self._metrics.picture(given, origin == "frame")
        doubts = dict.fromkeys(picture.doubt for picture in fitted.values() if picture.doubt)
        box = fitted[first].box
        hardly = unsure(UNNAMED, float(found[0][1].probabilities.max())) if box else None
        return {"doubt": "; ".join(doubts) or hardly, "box": box and list(box), "seen": seen.get(first), "answers": answers}

    def _timed(self, file: LoadedFile, fitted: dict[Rule, FittedPicture]) -> tuple[LoadedFile, Prediction, int]:
        self._steps += 1
        answer, inference_ns = file.timed(fitted[file.rule].image)
        return file, answer, inference_ns


def _fitted(picture: Picture, files: tuple[LoadedFile, ...], lane: _Lane) -> dict[Rule, FittedPicture]:
    try:
        return {rule: lane.decode(picture.data, rule) for rule in dict.fromkeys(file.rule for file in files)}
    except ArtifactError as error:
        text = str(error).replace(UNNAMED, picture.name, 1)
        raise TakesLong(text) if isinstance(error, TakesLong) else HTTPException(422, text) from error


def _seen(image: Images) -> dict[str, Any]:
    height, width, channels = image.shape
    pixels = base64.b64encode(image.tobytes()).decode()
    return {"height": height, "width": width, "channels": channels, "pixels": pixels}

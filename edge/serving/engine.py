"""Answers pictures with all files, in threads: one inference at a time for each file, and bounded queues.

There are several lanes. A request whose pictures take long to decode leaves the quick one, where others wait, for the next one,
which has a longer limit, and starts again there.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from edgecnn.edge.errors import ArtifactError, EdgeCnnError
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.serving.answers import Answer, Problem, answers_of
from edgecnn.edge.serving.body import Picture
from edgecnn.edge.serving.decoder import (
    PICTURE_SECONDS,
    QUICK_SECONDS,
    SLOW_SECONDS,
    UNNAMED,
    Decoder,
    FittedPicture,
    Rule,
    TakesLong,
)
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import LoadedFile, Models

Result = TypeVar("Result")

# One decodes while the other computes.
_WORKERS = 2
# For each lane after the first, the seconds that a picture may take, and the number of decoders, each with a thread. In the
# second one, a picture that takes too long is not in the way of a large photo; in the last one there are only such pictures.
_SLOW_LANES = ((SLOW_SECONDS, 2), (PICTURE_SECONDS, 1))


@dataclass(frozen=True)
class Asked:
    """What a request wants to know.

    Attributes:
        files: The files that answer.
        top: Number of classes to name.
        pixels: Whether to return what the model saw.
    """

    files: tuple[LoadedFile, ...]
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


class Engine:
    """The open models with the threads and the decoders that they need.

    Attributes:
        models: The models. They may be replaced: what is under way is answered with the earlier ones.
    """

    def __init__(
        self, models: Models, decoder: Decoder, queue: int, metrics: Metrics, failed: Callable[[EdgeCnnError], None]
    ) -> None:
        """Start the threads.

        Args:
            models: The models.
            decoder: Decodes pictures that take up to `QUICK_SECONDS`.
            queue: Number of requests that may wait in each lane; more are refused.
            metrics: Receives the time of each inference.
            failed: Receives why a file can't answer.
        """
        self.models, self._metrics, self._failed = models, metrics, failed
        self._queue = queue
        self._lanes = [_Lane(QUICK_SECONDS, _WORKERS, (decoder,), queue)]

    def close(self) -> None:
        """End the threads and the decoders, and what they decode at the moment."""
        for lane in self._lanes:
            lane.close()

    def end_decoding(self) -> None:
        """Refuse the pictures that are decoded at the moment, and those that wait for it."""
        for lane in self._lanes:
            lane.end_decoding()

    def asked(self, names: Sequence[str], top: int, pixels: bool) -> Asked:
        """Return a request's wishes.

        Args:
            names: Names of the files that shall answer; none for all.
            top: Number of classes to name.
            pixels: Whether to return what the model saw.

        Raises:
            Problem: If there is no such file.
        """
        models = self.models
        known = {file.name: file for file in models.files}
        for name in names:
            if name not in known:
                raise Problem(404, f"there is no file {name[:100]}: use {', '.join(known)}")
        chosen = tuple(file for file in models.files if not names or file.name in names)
        return Asked(chosen, min(top, len(models.class_names)), pixels)

    async def classified(self, pictures: Sequence[Picture], asked: Asked) -> dict[str, Any]:
        """Return the answers to pictures, for JSON, when it is their turn.

        Raises:
            Problem: If as many requests wait as may, a picture can't be read, or a file can't answer.
        """
        for number in range(len(_SLOW_LANES) + 1):
            if number == len(self._lanes):  # Most servers never need it.
                seconds, decoders = _SLOW_LANES[number - 1]
                self._lanes.append(_Lane(seconds, decoders, [Decoder(seconds) for _ in range(decoders)], self._queue))
            try:
                return await self._run(self._lanes[number], pictures, asked)
            except TakesLong as error:
                last = error
        raise Problem(422, str(last)) from last

    async def run_apart(self, call: Callable[[], Result]) -> Result:
        """Make a call in a thread without a place among the requests: its caller bounds how many there are."""
        return await asyncio.get_running_loop().run_in_executor(self._lanes[0].threads, call)

    async def _run(self, lane: _Lane, pictures: Sequence[Picture], asked: Asked) -> dict[str, Any]:
        if lane.waiting >= lane.most:
            raise Problem(503, "too many requests are waiting: try again", {"Retry-After": "1"})
        lane.waiting += 1
        self._metrics.waiting.inc()
        try:
            call = partial(self._classify, pictures, asked, lane)
            return await asyncio.get_running_loop().run_in_executor(lane.threads, call)
        finally:
            lane.waiting -= 1
            self._metrics.waiting.dec()

    def _classify(self, pictures: Sequence[Picture], asked: Asked, lane: _Lane) -> dict[str, Any]:
        start_ns = time.perf_counter_ns()
        decode_ns, answered = 0, []
        for picture in pictures:
            if decode_ns > lane.seconds * 1e9:
                raise TakesLong(f"{len(pictures)} pictures took longer than {lane.seconds:g} s to decode: send fewer at a time")
            decoding_ns = time.perf_counter_ns()
            fitted = _fitted(picture, asked.files, lane)
            decode_ns += time.perf_counter_ns() - decoding_ns
            answered.append({"name": picture.name, **self.answered(fitted, asked)})
        total_ns = time.perf_counter_ns() - start_ns
        return {"pictures": answered, "decode_us": decode_ns / 1e3, "total_us": total_ns / 1e3}

    def answered(self, fitted: dict[Rule, FittedPicture], asked: Asked) -> dict[str, Any]:
        """Return all files' answers to one picture, for JSON. Errors are those of `classified`."""
        images = {rule: found.image for rule, found in fitted.items()}
        try:
            answers = answers_of(asked.files, self.models.reference, images, asked.top)
        except EdgeCnnError as error:
            self._failed(error)
            raise Problem(500, "the model could not answer: the server's log says why") from error
        for answer in answers:
            self._metrics.inference.labels(answer.file).observe(answer.inference_us / 1e6)
        seen = {rule: _seen(found.image) for rule, found in fitted.items()} if asked.pixels else {}
        first = asked.files[0].rule
        # Each file's, if it is another image than the first file's.
        apart = (None if file.rule == first else seen.get(file.rule) for file in asked.files)
        return {
            "doubt": "; ".join(dict.fromkeys(found.doubt for found in fitted.values() if found.doubt)) or None,
            "seen": seen.get(first),
            "answers": [{**_as_json(answer), "seen": own} for answer, own in zip(answers, apart, strict=True)],
        }


def _fitted(picture: Picture, files: tuple[LoadedFile, ...], lane: _Lane) -> dict[Rule, FittedPicture]:
    try:
        return {rule: lane.decode(picture.data, rule) for rule in dict.fromkeys(file.rule for file in files)}
    except ArtifactError as error:
        text = str(error).replace(UNNAMED, picture.name, 1)
        raise TakesLong(text) if isinstance(error, TakesLong) else Problem(422, text) from error


def _seen(image: Images) -> dict[str, Any]:
    height, width, channels = image.shape
    pixels = base64.b64encode(image.tobytes()).decode()
    return {"height": height, "width": width, "channels": channels, "pixels": pixels}


def _as_json(answer: Answer) -> dict[str, Any]:
    # dataclasses.asdict copies deeply, which takes longer than a small model.
    top = [{"label": ranked.label, "probability": ranked.probability} for ranked in answer.top]
    return {**vars(answer), "top": top}

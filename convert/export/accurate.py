"""Makes a quantized file that is shown to keep its accuracy: other ranges and biases first, then wider layers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.diagnose import LayerError, diagnose
from edgecnn.convert.export.calibration import Calibrator
from edgecnn.convert.export.converters import Converter, Ranges
from edgecnn.convert.export.keep_accuracy import MOST_TRIES, Judge, JudgedImages, mend
from edgecnn.edge.errors import GateFailed
from edgecnn.edge.errors import field as named
from edgecnn.edge.export_records import Mended, TriedWay
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.text import counted

# Number of calibration images that rank the layers: each try examines every activation for each of them.
_RANKED_ON = 50
# Largest number of files with layers in 16 bits: a runtime computes these slowly.
_WIDE_TRIES = 6
# Precisions that lose more than one that loses too much.
_COARSER = {"int8": ("int4",)}
# A quantized file that saves less of the float file's size, and less of its time, is not worth its loss.
_SAVED = 0.1

Say = Callable[[str], None]
Wider = Literal["float32", "int16"]


class PassingFile(NamedTuple):
    """A file that is accurate enough: how it was made, in what which of its layers were changed, and the file."""

    way: str
    precision: Wider
    layers: tuple[str, ...]
    data: bytes


@dataclass
class AccurateFile:
    """The files of one format and precision that were tried.

    Attributes:
        name: Name of the file for messages.
        model_format: Its format.
        precision: Its precision.
        converter: It makes them.
        calibrator: Calibration images and their ranges.
        judge: It decides which is accurate enough.
        images: Which test images choose, and which judge the choice.
        run: Function from a file to its probabilities on the test images.
        quantized: Function that returns whether a file computes integers at all.
        say: Gets a line for each step.
        tried: What was tried, in order.
        times: Time of a file over that of float32, of those that were timed.
    """

    name: str
    model_format: str
    precision: str
    converter: Converter
    calibrator: Calibrator
    judge: Judge
    images: JudgedImages
    run: Callable[[bytes], Floats]
    quantized: Callable[[bytes], bool]
    say: Say
    tried: list[TriedWay] = field(default_factory=list)
    times: dict[bytes, float] = field(default_factory=dict)

    def objection(self, data: bytes, on: NDArray[np.bool_], way: str) -> str | None:
        """Return why a file is not accurate enough on these images, and add it to what was tried."""
        found, points = self._judged(data, on)
        if not self.quantized(data):
            found = found or "nothing in it is an integer"
            if self.tried:  # It loses nothing, and is no way to quantize.
                return found
        if found and not self.tried:
            self.say(f"{self.name}: not shown to be accurate enough: {found}")
        if self.tried:
            self.say(f"{self.name}: {way} loses {points:.2f} points{'' if found else ', and is accurate enough'}")
        self.tried.append(TriedWay(way, points, len(data), found is None))
        return found

    def file(self) -> tuple[bytes, Mended | None]:
        """Return a file that passes, and how it was made; None for the plain file.

        Raises:
            GateFailed: If no file passes, or one that does is not worth it.
        """
        ranges = self.calibrator.ranges(self.model_format, self.converter)
        plain = self.converter.quantize(self.precision, ranges)
        first = self.objection(plain, self.images.every, "plain")
        if first is None:
            return plain, None
        way, precision, layers, data = self._other_numbers(plain, ranges) or self._wider_layers(self._best_ranges(ranges))
        held_out = self.images.held_out
        if held_out is not None and (objection := self._judged(data, held_out)[0]):
            raise GateFailed(
                f"{self.name} ({way}) passes on the test images that chose it, but not on the {self.images.number_held_out:,} "
                f"held out ({objection}): allow more loss with {named('keep_accuracy')}, or ship float32"
            )
        if not self._is_worth_it(data):
            raise GateFailed(
                f"{self.precision} does not pay for this model: ship {FORMATS[self.model_format].file_name('float32')} "
                f"({named('precisions')}=float32 writes it). {self.name} with {way} takes {self._beside_float32(data)}. "
                f"Without, {first}. Give more test images, or allow more loss with {named('keep_accuracy')}"
            )
        self.say(f"{self.name}: timing, compared with the plain file")
        return data, Mended(
            layers=layers,
            precision=precision,
            max_drop_points=self.judge.max_drop_points,
            tries=len(self.tried),
            plain_size_bytes=len(plain),
            float32_size_bytes=len(self._float32),
            float32_slowdown=self._time(data),
            slowdown=self.judge.slowdown(self.model_format, plain, data),
            held_out=self.images.number_held_out,
            way=way,
            tried=tuple(self.tried),
        )

    def _judged(self, data: bytes, on: NDArray[np.bool_]) -> tuple[str | None, float]:
        return self.images.judged(self.judge, self.run(data), on)

    def _other_numbers(self, plain: bytes, ranges: Ranges) -> PassingFile | None:
        """Return the best file that passes with other ranges or biases, of those that cost nothing; None if none does."""
        passing: list[tuple[float, PassingFile]] = []
        for way, data in self._same_layers(plain, ranges):
            if self.objection(data, self.images.choosing, way) is None:
                passing.append((self.tried[-1].drop_points, PassingFile(way, "float32", (), data)))
        return min(passing, key=lambda one: one[0])[1] if passing else None

    def _same_layers(self, plain: bytes, ranges: Ranges) -> Iterator[tuple[str, bytes]]:
        """Yield files without a layer in float: of each calibration, as it is and with its biases corrected."""
        inputs, own = self.calibrator.inputs, self.calibrator.method(self.model_format)
        if (corrected := self.converter.with_biases(plain, inputs)) is not None:
            yield f"{own} with corrected biases", corrected
        for method in FORMATS[self.model_format].calibrations:
            if method != own:
                data = self.converter.quantize(self.precision, self.converter.calibrate(inputs, method))
                yield method, data
                if (corrected := self.converter.with_biases(data, inputs)) is not None:
                    yield f"{method} with corrected biases", corrected

    def _best_ranges(self, ranges: Ranges) -> Ranges:
        """Return the ranges that lost least, of those tried without corrected biases."""
        known = FORMATS[self.model_format].calibrations
        plain = [one for one in self.tried if one.way == "plain" or one.way in known]
        best = min(plain, key=lambda one: one.drop_points).way
        return (
            ranges if best == "plain" else self.converter.calibrate(self.calibrator.inputs, next(m for m in known if m == best))
        )

    def _wider_layers(self, ranges: Ranges) -> PassingFile:
        """Return a file that passes with its worst layers in 16 bits or in float."""
        inputs = self.calibrator.inputs
        ranked = inputs[:: max(1, len(inputs) // _RANKED_ON)]

        def rank(data: bytes) -> Sequence[LayerError]:
            return diagnose(self._float32, data, self.model_format, ranked).layers if self.quantized(data) else ()

        worse = ("float32", self.precision, *_COARSER.get(self.precision, ()))
        others = [other for other in FORMATS[self.model_format].precisions if other not in worse]
        kept: Sequence[str] = ()

        def changed(make: Callable[[Sequence[str]], bytes | None], to: Wider, most: int) -> PassingFile:
            def quantize(keep: Sequence[str]) -> bytes:
                nonlocal kept
                kept = keep
                return make(keep) or b""

            def passes(data: bytes) -> bool:  # With no layer changed it was judged before.
                return bool(kept) and self.objection(data, self.images.choosing, _changed(kept, to)) is None

            data, layers = mend(self.name, quantize, rank, passes, precision=to, most=most, others=others, on_step=self.say)
            return PassingFile(_changed(layers, to), to, layers, data)

        wide = partial(self.converter.with_16_bits, ranges)
        slow: PassingFile | None = None
        if self.precision == "int8" and wide(()) is not None:
            try:
                chosen = changed(wide, "int16", _WIDE_TRIES)
                # Some runtimes have a slow kernel for 16 bits, or none but the reference.
                if self._time(chosen.data) <= 1 - _SAVED:
                    return chosen
                slow = chosen
                self.say(f"{self.name}: with {slow.way} it is accurate enough, but takes {self._beside_float32(slow.data)}")
            except GateFailed as error:
                self.say(f"{self.name}: {error}")
        try:
            chosen = changed(partial(self.converter.quantize, self.precision, ranges), "float32", MOST_TRIES)
            return slow if slow and not self._is_worth_it(chosen.data) else chosen
        except GateFailed as error:
            if slow:
                return slow
            drops = [one.drop_points for one in self.tried]
            raise GateFailed(
                f"{self.name} loses {drops[0]:.2f} points quantized and {min(drops):.2f} at best with any of it in integers, "
                f"which these images do not show to be within {self.judge.max_drop_points:g}: {error.marked}"
            ) from error

    @cached_property
    def _float32(self) -> bytes:
        return self.converter.convert("float32")

    def _is_worth_it(self, data: bytes) -> bool:
        """Return whether a file saves size or time beside float32, which loses nothing."""
        if len(data) <= (1 - _SAVED) * len(self._float32):
            return True
        return self._time(data) <= 1 - _SAVED

    def _time(self, data: bytes) -> float:
        """Return the median time of one inference divided by float32's, measured once for each file."""
        if data not in self.times:
            self.say(f"{self.name}: timing, compared with float32")
            self.times[data] = self.judge.slowdown(self.model_format, self._float32, data)
        return self.times[data]

    def _beside_float32(self, data: bytes) -> str:
        """Return a file's time and size beside float32's, in words."""
        return f"{self._time(data):.2f} times as long as float32, and {len(data):,} of its {len(self._float32):,} bytes"


def _changed(layers: Sequence[str], to: str) -> str:
    return f"{counted(layers, 'operator')} in {to}"

"""The score below which an answer is "not sure", and what it accepts of images of no class."""

from dataclasses import dataclass
from typing import Literal

from edgecnn.edge.text import share_text

ScoreName = Literal["probability", "margin", "max-logit", "energy"]
_NAMES = {"margin": "a margin", "max-logit": "a largest logit", "energy": "an energy"}
NOISE, BLANK = "noise", "blank"
"""Names of the strangers that edgecnn makes itself: random pixels, and pictures of one grey."""


@dataclass(frozen=True)
class Strangers:
    """Images of no class of the model, and how many of them it answers.

    Attributes:
        name: `noise` (random pixels), `blank` (pictures of one grey), or the name of a dataset or folder.
        images: Number of images.
        accepted: Number of them that the file's threshold accepts.
        plain: Number that would be accepted by the loosest threshold of the softmax probability for the same error.
    """

    name: str
    images: int
    accepted: int
    plain: int


@dataclass(frozen=True)
class Threshold:
    """The score below which a file's answer is "not sure", and what was measured when it was set.

    Of the accepted answers to images like those that set it, the share of errors is at most `max_error`: the bound is wrong for
    at most 1 - `confidence` of all draws of these images. `benchmarks/statistics/selective.py` has the proof. Of images of
    no class it says only what was counted.

    Attributes:
        score: Score of an answer: `probability` of its class; of a file with probabilities also `margin`, the difference to the
            next one; of a file with logits also `max-logit`, the largest logit, and `energy`, the logarithm of the sum of the
            logits' exponentials.
        least: Smallest accepted score; 0 of `probability` accepts every answer.
        max_error: Largest share of errors among the accepted answers, between 0 and 1, as asked.
        confidence: Confidence of that bound, between 0 and 1.
        tests: Number of thresholds, scores and epochs among which these images chose, for which the bound is corrected.
        images: Number of validation images that set it, without copies.
        images_sha256: SHA-256 of these validation images, with the copies, as `Validation.val_sha256`.
        accepted: Number of them that it accepts.
        wrong: Number of errors among these.
        strangers: What it accepts of images of no class.
        most: Largest accepted score, just below the largest of the validation images; None for no limit.
        tied: Number of these that share the largest score, if they are more than were to stay accepted, so that no stricter
            threshold can be had; else 0.
    """

    score: ScoreName
    least: float
    max_error: float
    confidence: float
    tests: int
    images: int
    images_sha256: str
    accepted: int
    wrong: int
    strangers: tuple[Strangers, ...] = ()
    most: float | None = None
    tied: int = 0

    @property
    def limits(self) -> dict[str, ScoreName | float | None]:
        """The score and its limits, as a page reads them."""
        return {"score": self.score, "least": self.least, "most": self.most}

    @property
    def text(self) -> str:
        """The limits in words, for example `91 %` or `energy 9.87 to 25.4`."""
        return self._limits if self.score == "probability" else f"{self.score} {self._limits}"

    @property
    def refusal(self) -> str:
        """What is said of an answer that is not accepted, for example `is below the threshold 91 %`."""
        if self.score == "probability":
            return f"is below the threshold {self._limits}"
        return f"with {_NAMES[self.score]} {'below' if self.most is None else 'outside'} {self._limits}"

    @property
    def _limits(self) -> str:
        if self.score in ("probability", "margin"):
            return share_text(self.least)
        return f"{self.least:.4g}" if self.most is None else f"{self.least:.4g} to {self.most:.4g}"

    @property
    def is_sound(self) -> bool:
        """Whether each number is in its range."""
        counted = 0 <= self.wrong <= self.accepted <= self.images > 0 < self.tests and 0 <= self.tied <= self.images
        strangers = all(0 <= one.accepted <= one.images >= one.plain >= 0 for one in self.strangers)
        ranges = 0 < self.max_error < 1 and 0 < self.confidence < 1
        window = self.most is None or self.least <= self.most
        share = self.score not in ("probability", "margin") or 0 <= self.least <= 1
        return counted and strangers and ranges and window and share

"""Sets the threshold of each exported file: the score below which its answer is "not sure"."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.near_duplicates import OnProgress, near_images
from edgecnn.edge.data.pixel_digests import evidence, learnt_images
from edgecnn.edge.data.splits import ArraySplit, Split, Subset
from edgecnn.edge.errors import ArtifactError, ConfigError, GateFailed, field
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats, accepts, correct, scores
from edgecnn.edge.model.threshold import BLANK, NOISE, ScoreName, Strangers, Threshold
from edgecnn.edge.text import counted

CONFIDENCE = 0.95
# Share of the validation images that stays accepted where strangers are to be refused, unless another is asked for.
LEAST_SHARE = 0.9
_MADE = 256  # Number of pictures of noise, and of one grey.
# Scores that are closer may be one score, rounded by another machine; above 1 it is their share. A step of 8 bits is 40
# times as large.
_ROUNDING = 1e-4
_PLAIN: ScoreName = "probability"
_OF_PROBABILITIES: tuple[ScoreName, ...] = (_PLAIN, "margin")
_OF_LOGITS: tuple[ScoreName, ...] = (_PLAIN, "max-logit", "energy")
# These have no end: strangers may be far beyond the surest validation image.
_ENDLESS: tuple[ScoreName, ...] = ("max-logit", "energy")
# Training needs the other images.
_LARGEST_SHARE = 0.5
# Share of the validation images. If more than this stays accepted beyond what must, equal scores are the reason.
_BEYOND = 0.01


class Certified(Protocol):
    """A threshold that is shown to hold: `edgecnn.benchmarks.statistics.selective.Level`."""

    @property
    def above(self) -> float:
        """Scores above it are accepted."""

    @property
    def accepted(self) -> int:
        """Number of images with such a score."""

    @property
    def wrong(self) -> int:
        """Number of errors among them."""


@dataclass(frozen=True)
class Acceptance:
    """Which answers are to be accepted.

    Attributes:
        max_error: Largest share of errors among them, between 0 and 1.
        strangers: Images of no class, by name.
        named: Number of them, the first ones, that choose a score: those that the user named.
        least_share: Share of the validation images that stays accepted, 0 to 1: the strictest threshold is taken that accepts
            it, or the loosest one if none does. None for the loosest one.
        required: Whether it is an error if none accepts that share.
        certified: (scores, wrong, limit, confidence, tests, below) -> the thresholds that are shown to hold, loosest first.
        least_images: (limit, confidence, tests) -> how many images could show it without an error.
    """

    max_error: float
    strangers: tuple[tuple[str, Split], ...]
    named: int
    least_share: float | None
    required: bool
    certified: Callable[[Floats, NDArray[np.bool_], float, float, int, float], Sequence[Certified]]
    least_images: Callable[[float, float, int], int]


class Outputs(NamedTuple):
    """Probabilities float32 (n, classes), and the largest logits (n,) of a file that gives logits."""

    probabilities: Floats
    tops: Floats | None


Run = Callable[[Split], Outputs]


def validation_of(
    dataset: Dataset,
    manifest: Manifest,
    on_step: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress = lambda done, total: None,
) -> tuple[Split, int]:
    """Return the images that set thresholds, and among how many epochs they chose the model.

    Copies and near-duplicates of images that the model was trained on show nothing of new ones, and are not among them.
    `on_step` gets a line about the latter, `on_progress` the progress of looking for them.

    Raises:
        ArtifactError: If the manifest does not say how many epochs there were.
        ConfigError: If there are no images, or they are not those that the manifest records.
    """
    recorded, config = manifest.dataset.validation, manifest.provenance.train_config
    if dataset.val is None:
        again = f"train again with {field('val_share')}=0.1, or " if config else ""
        raise ConfigError(
            f"{field('max_error')} needs validation images, and {dataset.name} has none: {again}put images that the model has "
            "never seen into a val/ beside train/ and test/, or as x_val and y_val into an .npz file"
        )
    if recorded and recorded.val_sha256 != dataset.val.sha256:
        raise ConfigError(
            f"these are not the validation images of the model ({dataset.name}, {dataset.source}): if that has changed, "
            f"restore it, else name its images with {field('data')}"
        )
    # Nobody knows on which of the training images a model from elsewhere was trained.
    if (recorded and recorded.val_may_be_learnt) or (dataset.val_share is not None and not config):
        raise _may_be_learnt(dataset)
    copies = {*learnt_images(dataset.train, dataset.val), *learnt_images(dataset.test, dataset.val)}
    if near := {*near_images(dataset.train, dataset.val, on_progress)} - copies:
        on_step(
            f"{len(near):,} of {counted(dataset.val.labels, 'validation image')} are near-duplicates of training images, and "
            "set no threshold"
        )
        copies |= near
    fresh = np.flatnonzero(evidence(dataset.val, sorted(copies))[0])
    if not len(fresh):
        raise ConfigError(
            f"every validation image of {dataset.name} is a copy of a training or test image, or nearly so: give others"
        )
    # A model from elsewhere has no settings; who owns it says that it has never seen these images.
    by_them = config and (config.get("keep", "best") == "best" or "patience" in config)
    epochs = config.get("epochs", "") if recorded and by_them else "1"
    if not epochs.isdecimal():
        raise ArtifactError("the manifest does not say among how many epochs these validation images chose: train again")
    return Subset(dataset.val, fresh), int(epochs)


def _may_be_learnt(dataset: Dataset) -> ConfigError:
    return ConfigError(
        "the model, or the one that it began with, may have learned these validation images before, and then they show no "
        f"share of errors: put images that it has never seen into the val/ of {dataset.name}, or as x_val and y_val into an "
        ".npz file, or train from new weights"
    )


def require_enough_images(job: Acceptance, validation: tuple[Split, int], dataset: Dataset, manifest: Manifest) -> None:
    """Check that validation images without an error could show what is asked, before anything is converted.

    Raises:
        GateFailed: If they are too few; the message says how to have more.
    """
    count, tests = len(validation[0].labels), validation[1] * len(_kinds(manifest.output == "logits", job))
    needed = job.least_images(job.max_error, CONFIDENCE, tests)
    if count >= needed:
        return
    chose = f", which chose among {tests} models or scores" if tests > 1 else ""
    percents = (tenths / 10 for tenths in range(1, 500))
    possible = next((most for most in percents if job.least_images(most / 100, CONFIDENCE, tests) <= count), 50)
    raise GateFailed(
        f"{counted(count, 'validation image')}{chose} can't show at most {100 * job.max_error:g} % errors with "
        f"{CONFIDENCE:.0%} confidence, which takes {needed:,}: {_more_images(dataset, needed)}, or allow more with "
        f"{field('max_error')}={possible:g}"
    )


def _more_images(dataset: Dataset, needed: int) -> str:
    """Return what gives so many validation images, for a message."""
    if dataset.val_share is None:
        return "put more that the model has never seen into the val/ of its images, or as x_val and y_val into its .npz file"
    # Each class has its share, rounded.
    share = (needed + len(dataset.class_names)) / (len(dataset.train.labels) + len(dataset.val.labels if dataset.val else ()))
    if share > _LARGEST_SHARE:
        return "add training images"
    return f"train again with {field('val_share')}={math.ceil(100 * share) / 100:g}"


def _kinds(logits: bool, job: Acceptance) -> tuple[ScoreName, ...]:
    """Return the scores among which strangers choose one; without strangers the probability, which accepts most."""
    if not job.named:
        return (_PLAIN,)
    return _OF_LOGITS if logits else _OF_PROBABILITIES


def made_strangers(shape: tuple[int, int, int]) -> tuple[tuple[str, Split], ...]:
    """Return random pixels, and pictures of one grey, of this (h, w, c)."""
    noise = np.random.default_rng(0).integers(0, 256, (_MADE, *shape), np.uint8)
    blank = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1), (256, *shape))
    labels = np.zeros(_MADE, np.int64)
    return ((NOISE, ArraySplit(noise, labels)), (BLANK, ArraySplit(blank, labels)))


def threshold_of(name: str, run: Run, job: Acceptance, validation: tuple[Split, int], images_sha256: str) -> Threshold:
    """Return the threshold of a file that `run` runs.

    Of the scores that accept as many images as they must, or else of all, that one is taken which accepts the fewest strangers,
    on average over their sets. The bound is corrected for their number. Logits beyond those of all images are not accepted.

    Raises:
        GateFailed: If no threshold is shown to hold, or none accepts as many images as it must.
    """
    images, epochs = validation
    found = run(images)
    wrong = ~correct(found.probabilities, images.labels)
    kinds = _kinds(found.tops is not None, job)
    tests = epochs * len(kinds)
    known = {kind: scores(kind, *found) for kind in kinds}
    ends = {kind: float(values.max()) if kind in _ENDLESS else math.inf for kind, values in known.items()}
    levels = {
        kind: tuple(
            level
            for level in job.certified(values, wrong, job.max_error, CONFIDENCE, tests, ends[kind])
            if kind == _PLAIN or level.above > -math.inf  # What accepts everything is a threshold of the probability.
        )
        for kind, values in known.items()
    }
    _require_level(name, levels, wrong, known[_PLAIN], job)
    strangers = [(title, run(split)) for title, split in job.strangers]
    # Where no threshold of the probability holds, its files would refuse every stranger.
    plain = _least(known[_PLAIN], levels[_PLAIN][0]) if levels[_PLAIN] else math.inf
    choices = []
    for kind in filter(levels.__getitem__, kinds):
        is_enough, level = _chosen(levels[kind], job.least_share, int((known[kind] < ends[kind]).sum()))
        threshold = Threshold(
            score=kind,
            least=_least(known[kind], level),
            max_error=job.max_error,
            confidence=CONFIDENCE,
            tests=tests,
            images=len(wrong),
            images_sha256=images_sha256,
            accepted=level.accepted,
            wrong=level.wrong,
            most=float(np.nextafter(np.float32(ends[kind]), np.float32(-np.inf))) if kind in _ENDLESS else None,
            tied=_tied(known[kind], level, job.least_share),
        )
        counts = tuple(_counted(title, outputs, threshold, plain) for title, outputs in strangers)
        of_named = sum(one.accepted / one.images for one in counts[: job.named])
        choices.append(((not is_enough, of_named), replace(threshold, strangers=counts)))
    return min(choices, key=lambda choice: choice[0])[1]


def _counted(title: str, outputs: Outputs, threshold: Threshold, plain: float) -> Strangers:
    """Return how many strangers a threshold accepts, and how many this one of the probability."""
    accepted, plainly = accepts(threshold, *outputs), scores(_PLAIN, *outputs) >= plain
    return Strangers(title, len(outputs.probabilities), int(accepted.sum()), int(plainly.sum()))


def _tied(values: Floats, level: Certified, least_share: float | None) -> int:
    """Return how many images share the largest score, if they are notably more than must stay accepted; else 0."""
    equal = int((values == values.max()).sum())
    more = least_share is not None and level.accepted > (least_share + _BEYOND) * len(values)
    return equal if more and equal > (least_share or 0) * len(values) else 0


def _require_level(
    name: str, levels: Mapping[ScoreName, Sequence[Certified]], wrong: NDArray[np.bool_], surest: Floats, job: Acceptance
) -> None:
    """Raise if no threshold holds, or none accepts as many images as it must."""
    most = max((level.accepted for of_kind in levels.values() for level in of_kind), default=None)
    if most is None:
        half = wrong[np.argsort(-surest, kind="stable")[: len(wrong) // 2]]
        raise GateFailed(
            f"{name}: no threshold is shown to have at most {100 * job.max_error:g} % errors among its answers (of "
            f"{len(wrong):,} validation images {int(wrong.sum()):,} are wrong, of the surest half {int(half.sum()):,}): allow "
            f"more with {field('max_error')}, or give more validation images"
        )
    if job.required and job.least_share is not None and most < int(job.least_share * len(wrong)):
        raise GateFailed(
            f"{name}: at most {most:,} of {len(wrong):,} validation images can be accepted with at most "
            f"{100 * job.max_error:g} % errors: lower {field('accept')}, or allow more with {field('max_error')}"
        )


def _chosen(levels: Sequence[Certified], least_share: float | None, images: int) -> tuple[bool, Certified]:
    """Return the strictest level that accepts the least share of the images, and whether it does: if none does, or no share is
    asked for, it is the loosest.
    """
    enough = [level for level in levels if least_share is not None and level.accepted >= int(least_share * images)]
    return bool(enough) or least_share is None, min(enough, key=lambda level: level.accepted) if enough else levels[0]


def _least(values: Floats, level: Certified) -> float:
    """Return the smallest accepted score, float32, just above the level.

    It is as far above as another machine may round, if no accepted score is there: halfway to the next score would leave out
    what the bound counted.
    """
    if level.above == -math.inf:
        return 0.0  # Of a probability: every answer.
    gap = float(values[values > level.above].min()) - level.above
    rounded = np.float32(level.above + min(gap, _ROUNDING * max(1, abs(level.above))) / 2)
    return float(max(rounded, np.nextafter(np.float32(level.above), np.float32(np.inf))))

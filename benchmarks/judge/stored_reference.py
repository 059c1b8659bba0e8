"""Checks that the reference stored by an export is where the files came from.

Its hash and its number of correct images agree with the manifest before it is used. But both can be rewritten to agree with
any reference, so the files are checked too: the Keras model if it is measured, else the outputs of each exported file.
"""

from edgecnn.benchmarks.judge.accuracy import Accuracy
from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.export_records import Parity

# A file shown to be better by more than this, or than a larger limit, did not come from the reference.
_LEAST_POINTS = 0.5


def differs(model: Accuracy, tolerance: float) -> str | None:
    """Return how the Keras model differs from its stored outputs; None if it does not.

    Args:
        model: The Keras model as it computes here, compared with its stored outputs.
        tolerance: Largest accepted difference of a probability, 0 to 1.
    """
    if model.largest_confidence_change <= tolerance:
        return None
    return (
        f"another class for {model.images - model.same_class:,} of {model.images:,} test images, probabilities that differ by "
        f"up to {model.largest_confidence_change:.3g} where the limit is {tolerance:g}"
    )


def doubt(accuracy: Accuracy, recorded: Parity, allowed: float | None, reference: str) -> str | None:
    """Return why a file can't have come from the stored reference; None if nothing contradicts it.

    A file shown to be better than its float model, by more than its limit for a drop, was made from another model. So was
    one that agrees with it on fewer images than at its export (95 % intervals apart) without losing accuracy. A file that
    loses accuracy computes worse on this machine, which the limits judge.

    Args:
        accuracy: Accuracy of the file compared with the stored reference.
        recorded: Agreement of the file with the model at its export.
        allowed: Largest accepted drop in percentage points; None means no limit.
        reference: Name of the reference in texts.
    """
    fix = "export it again, or measure it together with the Keras model"
    better = -100 * accuracy.drop.high
    if better > max(allowed or 0.0, _LEAST_POINTS):
        return (
            f"accuracy can't be judged: the file is right on {accuracy.accuracy:.2%} of the images, at least {better:.2f} "
            f"points (95 %) more than what was stored of {reference}, so it was not made of that: {fix}"
        )
    # Of all images: a copy can't be a flip more often here than at the export, which counted copies.
    flips, then = accuracy.images - accuracy.same_class, recorded.images - recorded.same_class
    here, there = binomial.interval(flips, accuracy.all_images), binomial.interval(then, recorded.images)
    if here.low <= there.high or accuracy.drop.low > 0:
        return None
    return (
        f"accuracy can't be judged: the file gives another class than what was stored of {reference} for {flips:,} of "
        f"{accuracy.images:,} images, at its export for {then:,} of {recorded.images:,}, and loses nothing by it, so it was "
        f"not made of that: {fix}"
    )

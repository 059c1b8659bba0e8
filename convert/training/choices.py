"""Chooses what a user left open in a training, to suit the images: network, size of a step, epochs, variations, validation."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.networks import CNN, FILTERS, NETWORKS, RATE, RESIDUAL
from edgecnn.convert.training.recipes import NOTEBOOK, RECIPES, usual_augment, usual_dropout
from edgecnn.edge.data.dataset import SHIPPED, Dataset, find, has_validation, training_labels
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.data.splits import Labels, Split
from edgecnn.edge.text import counted

# The cnn's last layer has a weight for each pixel of its feature map: at 96x96 that is 9 of 10, and it learns nothing there.
_SMALL = 32
# docs/explanation/training.md has the measurements of these.
_FEW, _SMALL_BATCH = 5000, 32
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 60
# A model that has learnt before needs fewer passes.
_SEEN_AGAIN, _MOST_AGAIN = 100_000, 12
_UNEVEN = 2.0
_SHARE = 0.1
_LEAST_OF_CLASS = 10  # One of ten is the least that a class can give.
# Ten chose epoch 3 of 60, a model at chance, and left that many fewer of a hundred to learn from.
_LEAST_TO_CHOOSE = 30

Reasons = dict[str, str]
"""For each chosen setting, its value and the reason, as text."""


def choose(config: TrainConfig, train: Split) -> tuple[TrainConfig, Reasons]:
    """Return the settings with a value for each one that is open, and why it was chosen; stated ones stay.

    The same settings and images give the same choice, so that a run can be resumed.
    """
    height, width, channels = train.shape
    images, own = len(train.labels), not config.start
    said = f"{'grey' if channels == 1 else 'colour'} images of {height}x{width}"
    reasons: Reasons = {}
    if config.network is None:
        small = channels == 1 and max(height, width) <= _SMALL
        config = replace(config, network=CNN if small or not own else RESIDUAL)
        if own:
            reasons["network"] = f"{config.network} ({said})"
    network = NETWORKS[config.network]
    if config.filters is None:
        config = replace(config, filters=network.filters if own else FILTERS)
    if config.learning_rate is None:
        config = replace(config, learning_rate=network.rate_of_few if images < _FEW else RATE)
        reasons["learning_rate"] = f"{config.learning_rate:g} ({counted(images, 'training image')})"
    if config.dropout is None and own:
        config = replace(config, dropout=usual_dropout(config.recipe, config.network))
    if config.batch_size is None:
        few = images < _FEW and config.recipe != NOTEBOOK
        config = replace(config, batch_size=_SMALL_BATCH if few else RECIPES[config.recipe].batch_size)
        reasons["batch_size"] = f"{config.batch_size} ({counted(images, 'training image')})"
    if config.epochs is None:
        seen, most = (_SEEN_AGAIN, _MOST_AGAIN) if config.learnt_before else (network.seen, _MOST_EPOCHS)
        config = replace(config, epochs=min(max(seen // images, _LEAST_EPOCHS), most))
        steps = -(-images // config.batch_size)
        reasons["epochs"] = f"{config.epochs} ({config.epochs * steps:,} steps)"
    if config.augment is None:
        config = replace(config, augment=usual_augment(config.recipe, channels))
        reasons["augment"] = f"{config.augment} ({'grey' if channels == 1 else 'colour'} images)"
    if config.class_weights is None:
        fewest, most = _fewest(train.labels), int(np.bincount(train.labels).max())
        config = replace(config, class_weights="balanced" if most >= _UNEVEN * fewest else "none")
        reasons["class_weights"] = f"{config.class_weights} ({fewest:,} to {most:,} images a class)"
    return config, reasons


def validated(data: Dataset | str | Path | None, images: FolderOptions, needed: bool = False) -> FolderOptions:
    """Return the options with a share of validation images, if it is left open and the source has no own ones.

    A `Dataset` stays as it was loaded. The shipped images come with a recipe that was chosen on validation images of theirs,
    so all of them are for training, and few images can spare none; unless something `needed` is chosen on them. Errors are
    those of `load_dataset`.
    """
    if isinstance(data, Dataset) or images.val_share is not None:
        return images
    found = find(data)
    if has_validation(found) or (found.kind == SHIPPED and not needed):
        return images
    return replace(images, val_share=_SHARE) if needed or _can_spare(training_labels(found, images)) else images


def _can_spare(labels: Labels) -> bool:
    """Return whether the share gives validation images of each class, and enough to choose an epoch."""
    return _fewest(labels) >= _LEAST_OF_CLASS and _SHARE * len(labels) >= _LEAST_TO_CHOOSE


def _fewest(labels: Labels) -> int:
    """Return how many images the smallest class has that has any."""
    # Labels that were not checked yet may be too large for an array of a count for each.
    return int(np.unique(labels, return_counts=True)[1].min(initial=len(labels)))


def chosen_text(reasons: Reasons) -> str:
    """Return the choices as a line of progress."""
    return "Chosen, since not stated: " + "; ".join(f"{name.replace('_', ' ')} {why}" for name, why in reasons.items())


def reasons_of(data: Dataset | str | Path | None, dataset: Dataset, images: FolderOptions) -> Reasons:
    """Return why images that were loaded from `data` with these options have this size and these validation images.

    What was stated has no reason, as has all of a dataset that the user loaded.
    """
    if isinstance(data, Dataset):
        return {}
    reasons = {"size": dataset.sized} if dataset.sized else {}
    if images.val_share is not None or (dataset.val and not dataset.val_share):
        return reasons
    if dataset.val:
        reasons["val_share"] = f"{dataset.val_share:g} ({len(dataset.val.labels):,} images, to keep the best epoch)"
    elif dataset.source == SHIPPED:
        reasons["val_share"] = "0 (its recipe was chosen before, on validation images)"
    elif not _can_spare(dataset.train.labels):  # Else the model has learnt all of them before.
        few = f"{counted(dataset.train.labels, 'training image')}, {_fewest(dataset.train.labels):,} of the smallest class"
        reasons["val_share"] = f"0 ({few}, are too few to spare any)"
    return reasons

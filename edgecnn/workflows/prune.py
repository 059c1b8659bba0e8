"""Cuts whole channels out of a trained model until it is within limits of time and size, and trains it on in between.

As in NetAdapt (Yang and others, 2018, https://arxiv.org/abs/1804.03230), what a cut saves is measured where the file will run,
and the limits are approached in rounds. What a cut loses is estimated from gradients (`channels.importance`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.fit import Fit, NetworkCost, TriedNetwork
from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.keras.runtime import KerasRuntime, load_file
from edgecnn.convert.training.model.channels import channels_of, importance, without
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.records import TrainResult
from edgecnn.edge.errors import ConfigError, GateFailed, field
from edgecnn.edge.files import libraries_folder, read_bytes, temporary_folder, write_bytes
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import MODEL_NAME
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.sandbox.unverified import remember_made
from edgecnn.edge.text import counted
from edgecnn.workflows.fit import for_integers, judged, training_minutes, written
from edgecnn.workflows.fit_costs import FitJob, costs, kept_costs
from edgecnn.workflows.networks import Training, errors_of_a_sweep
from edgecnn.workflows.rungs import validation_of

_ROUNDS = 4
# Share of a limit of time that is aimed at: times of processes differ by some percent, and all of them must be within it.
_OF_TIME = 0.95
# Shares of what is aimed at for more cuts in the last round, if one saved less than expected.
_CLOSER = (0.97, 0.94, 0.91)
# Share of a group's channels that are cut to measure what they take, and the fewest that are left.
_SHARE, _LEAST = 0.25, 2
# Largest share of a group's channels that a round cuts: what many of them save is not what a few did.
_MOST = 0.5
# Images whose gradients tell what a channel is worth.
_IMAGES, _BATCH = 2048, 128
_MOST_EPOCHS = 60
_COSTS = "costs.json"

Goal = tuple[float, float]
"""Largest p90 in nanoseconds, or instructions, and size in bytes that a round aims at; infinite without a limit."""


def pruned(job: FitJob, source: ModelFile) -> Fit:
    """Cut channels out of the model `source`, whose interface is that of `job.work`. Errors are those of `edgecnn.fit`."""
    work, load = job.work, partial(load_file, source)
    with errors_of_a_sweep({}):  # What is named here is the model.
        (first,) = kept_costs(job, {source.path.name: load}, work.folder / _COSTS, source.sha256)
        if job.is_within(first):
            raise ConfigError(f"{field('model')}={source.path} is within the limits already: export it, or allow less")
        if not channels_of(load()).groups:
            raise ConfigError(f"{field('model')}={source.path} has no layer whose channels can be cut: name another")
        _require_same(job, source)
        made, timed = source, None
        tried = [TriedNetwork(first, is_within=False)]
        for number in range(1, _ROUNDS + 1):
            path = work.folder / "cuts" / f"{number}.keras"
            if not path.exists():
                work.progress.say(f"Round {number}: measuring what the channels of each layer take")
                goal = _goal(job, first, number)
                cut = _cut(job, made, tried[-1].cost, goal)
                _save(_cut_again(job, cut, tried[-1].cost, goal) if number == _ROUNDS else cut, path)
            training = _training(job, source, path, number, timed)
            result = work.trained(training)
            timed = timed or result
            made = read_model(training.folder / MODEL_NAME)
            (cost,) = kept_costs(job, {f"round {number}": partial(load_file, made)}, path.with_suffix(".json"))
            tried.append(TriedNetwork(cost, job.is_within(cost), training.config.epochs, *validation_of(result)))
        ((work, training),) = for_integers(job, [(work, training)])
        swept = replace(work.network(training), network=cost.name)
    return written(job, tuple(tried), judged(job, [swept], set() if job.is_within(cost) else {swept.name}))


def _require_same(job: FitJob, source: ModelFile) -> None:
    """Raise ConfigError if the folder has cuts into another model, or for another machine or other limits; else note these."""
    cuts = job.work.folder / "cuts"
    now = f"{source.sha256} on {job.machine} to {job.limits}\n".encode()
    noted = cuts / "made_for.txt"
    if (cuts / "1.keras").exists() and (not noted.exists() or read_bytes(noted) != now):
        raise ConfigError(
            f"{cuts} has cuts into another model, or for another machine or other limits: name another folder with "
            f"{field('out')}, or delete {job.work.folder}"
        )
    cuts.mkdir(parents=True, exist_ok=True)
    write_bytes(noted, now)


def _goal(job: FitJob, first: NetworkCost, number: int) -> Goal:
    """Return what a round aims at: in equal ratios from what the model costs to the limits."""

    def between(start: float, limit: float | None, unit: float) -> float:
        if limit is None:
            return float("inf")
        most = limit * unit
        return float(most if most >= start else start * (most / start) ** (number / _ROUNDS))

    return (
        between(first.limited, job.most, 1 if job.core else _OF_TIME),
        between(first.size_bytes, job.budget.max_size_kib, 1024),
    )


def _cut_again(job: FitJob, cut: Any, cost: NetworkCost, goal: Goal) -> Any:
    """Return the Keras model `cut` of a model with a cost; if it costs more than the goal, with more channels cut."""
    with temporary_folder() as folder:
        for place, closer in enumerate(_CLOSER):
            path = folder / f"{place}.keras"
            _save(cut, path)
            (now,) = costs(job, {cost.name: partial(load_file, read_model(path))}, (cost.precision,))
            if now.limited <= goal[0] and now.size_bytes <= goal[1]:
                break
            job.work.progress.say("It takes more than was expected: cutting again")
            cut = _cut(job, read_model(path), now, (closer * goal[0], closer * goal[1]))
    return cut


def _cut(job: FitJob, source: ModelFile, cost: NetworkCost, goal: Goal) -> Any:
    """Return the Keras model without channels that lose little for what they save: it is expected to reach the goal.

    Raises:
        GateFailed: If it is beyond the limits, and has no channel left to cut.
    """
    model = load_file(source)
    channels = channels_of(model)
    worth = importance(model, channels, _gradients(job, source, model))
    ordered = {name: ids[np.argsort(worth[ids], kind="stable")] for name, ids in channels.groups.items()}
    removed = {name: max(1, round(_SHARE * len(ids))) for name, ids in ordered.items() if len(ids) > _LEAST}
    if not (removed or job.is_within(cost)):
        limit = "max_size_kib" if not job.is_small(cost) else next(iter(job.limits))
        raise GateFailed(
            f"{field(limit)}: {source.path} is beyond it, and no layer has more than {_LEAST} channels to cut: allow more"
        )
    variants = {name: partial(without, model, channels, ordered[name][:count]) for name, count in removed.items()}
    now, *others = costs(job, {cost.name: lambda: model, **variants}, (cost.precision,))
    begun = (now.steady, float(now.size_bytes))
    saved = {
        name: tuple(
            max(0.0, before - after) / removed[name]
            for before, after in zip(begun, (other.steady, other.size_bytes), strict=True)
        )
        for name, other in zip(variants, others, strict=True)
    }
    # The fastest round shrinks as the p90 must; it is what can be measured on a busy machine.
    wanted = now.steady * min(1.0, goal[0] / cost.limited), goal[1]
    counts = _counts({name: worth[ids] for name, ids in ordered.items() if name in saved}, saved, begun, wanted)
    said = ", ".join(f"{name} {len(ordered[name])} -> {len(ordered[name]) - count}" for name, count in counts.items() if count)
    job.work.progress.say(f"Channels: {said or 'none is cut'}")
    cut = [channel for name, count in counts.items() for channel in ordered[name][:count]]
    return without(model, channels, np.array(cut, np.int64))


def _counts(
    worth: Mapping[str, NDArray[np.float64]], saved: Mapping[str, tuple[float, ...]], now: tuple[float, float], goal: Goal
) -> dict[str, int]:
    """Return how many channels of each group to cut: one after another, that which loses least for what it saves.

    Args:
        worth: What each channel of a group is worth, ascending.
        saved: Nanoseconds, or instructions, and bytes that a channel of a group saves.
        now: Those that the model takes.
        goal: What it may take.
    """
    counts, left = dict.fromkeys(worth, 0), [*now]
    while any(have > wanted for have, wanted in zip(left, goal, strict=True)):
        progress = {
            name: sum(save / have for save, have, wanted in zip(saved[name], left, goal, strict=True) if have > wanted)
            for name, count in counts.items()
            if count < min(len(worth[name]) - _LEAST, _MOST * len(worth[name]))
        }
        progress = {name: gain for name, gain in progress.items() if gain > 0}
        if not progress:
            break
        best = min(progress, key=lambda name: worth[name][counts[name]] / progress[name])
        counts[best] += 1
        left = [have - save for have, save in zip(left, saved[best], strict=True)]
    return counts


def _gradients(job: FitJob, source: ModelFile, model: Any) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the gradient of the loss for each trainable weight, of a batch of training images after another."""
    tensorflow, keras, train = load_tensorflow(), load_keras(), job.work.dataset.train
    classifier = Classifier(source, KerasRuntime(model), job.work.interface if source.manifest is None else None)
    logits = classifier.interface.output == "logits"
    places = np.random.default_rng(0).permutation(len(train.labels))[:_IMAGES]
    for start in range(0, len(places), _BATCH):
        some = np.sort(places[start : start + _BATCH])
        inputs, labels = classifier.inputs(train.images(some)), train.labels[some]
        with tensorflow.GradientTape() as tape:
            answers = model(inputs, training=False)
            if answers.shape[-1] == 1:
                loss = keras.losses.BinaryCrossentropy(from_logits=logits)(labels.reshape(-1, 1), answers)
            else:
                loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)(labels, answers)
        yield [np.asarray(one) for one in tape.gradient(loss, [weight.value for weight in model.trainable_weights])]


def _save(model: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with libraries_folder() as folder:
        model.save(folder / path.name)
        data = (folder / path.name).read_bytes()
    remember_made(data)
    write_bytes(path, data)


def _training(job: FitJob, source: ModelFile, cut: Path, number: int, timed: TrainResult | None) -> Training:
    """Return the training of what was cut: one epoch, or as many as there is time for once one was timed.

    The last round has half of the time.
    """
    share = 0.5 if number == _ROUNDS else 0.5 / (_ROUNDS - 2)
    epochs = 1
    if timed:
        epochs = max(1, min(_MOST_EPOCHS, int(share * 60 * training_minutes(job) / max(timed.seconds, 1e-3))))
    teacher = str(source.path) if source.manifest else None
    config = replace(job.base, model=str(cut), teacher=job.base.teacher or teacher, epochs=epochs)
    said = f"round {number}, {counted(epochs, 'epoch')}"
    return Training(resolved(config, job.work.dataset.train), job.work.folder / f"round-{number}", said)

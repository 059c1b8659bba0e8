"""Finds the most accurate network within limits of time and size: costs are measured first, then what fits is trained.

A file's size and time do not depend on its weights, so networks that do not fit are left out before any of them is trained,
as in hardware-aware searches (Tan and others, MnasNet, 2019, https://arxiv.org/abs/1807.11626). Those that fit are trained by
successive halving (`rungs`); the validation images choose, and the test images judge the one file that was chosen.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.gate import PASS, UNJUDGED
from edgecnn.benchmarks.results.fit import Fit, FittedFile, NetworkCost, TriedNetwork
from edgecnn.benchmarks.results.sweep import Rung, RungNetwork, SweptNetwork
from edgecnn.benchmarks.show.fit import save_fit
from edgecnn.benchmarks.statistics import binomial
from edgecnn.convert.export.config import learns_integers
from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.choices import choose
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.backbones import LEAST_SIDE
from edgecnn.convert.training.model.custom_model import new_model, resolved
from edgecnn.convert.training.model.networks import CNN, NETWORKS
from edgecnn.edge.data.dataset import Dataset, resized
from edgecnn.edge.data.pixel_digests import evidence, held_out, unknown_split
from edgecnn.edge.errors import GateFailed, field, setting
from edgecnn.edge.export_records import NOT_SHOWN
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import correct
from edgecnn.edge.records import to_json
from edgecnn.edge.text import counted
from edgecnn.edge.transaction import locked, replaced_together
from edgecnn.workflows.export import is_a_guess, usual_tuning
from edgecnn.workflows.fit_costs import FitJob, kept_costs, measured
from edgecnn.workflows.networks import Begun, PlannedNetwork, errors_of_a_sweep, trainings_of
from edgecnn.workflows.ray_nodes import ray_nodes
from edgecnn.workflows.rungs import run_rungs, validation_of

# Of a network's usual numbers of filters.
_SCALES = (0.125, 0.1875, 0.25, 0.3125, 0.375, 0.5, 0.625, 0.75, 1.0, 1.5)
_STEP = 4  # Filters come in multiples of it: vector instructions take them so.
# Networks of each kind that are trained: the largest within the limits, which can be the most accurate.
_OF_KIND = 3
_TRANSFERRED = "transferred"  # The kind of all that were trained on ImageNet, each of which is trained.
# Training for integers: its share of the time, the most epochs, and the time of one over that of an epoch of the training.
_QAT_SHARE, _QAT_EPOCHS, _QAT_COST = 0.1, 5, 3.0
_CHOSE_LAYERS = "these images are too few to hold any out, so they chose the file's layers in float, and judge it too"
# How far beyond the limits a network is trained too, to say what that would buy.
MORE = 1.1

Judged = tuple[FitJob, FittedFile]
"""A measured file, and the search for images of its size."""


def fitted(job: FitJob) -> Fit:
    """Search. Errors are those of `edgecnn.fit`."""
    jobs, networks, costs = _of_sizes(job), dict[str, PlannedNetwork](), dict[str, NetworkCost]()
    last = dict[str, NetworkCost]()  # Of each network in the smallest size of images so far.
    with errors_of_a_sweep():
        for one in jobs:
            found = {item.name: item for item in _candidates(one) if _may_gain(job, item, last)}
            models = {name: partial(_untrained, one, network.config) for name, network in found.items()}
            new = kept_costs(one, models, job.work.folder / f"costs{one.work.size.replace('size=', '-')}.json") if found else ()
            costs |= {cost.name: cost for cost in new}
            networks |= found
            last |= {job.work.name_of(networks[cost.name].config): cost for cost in new}
        chosen = _to_train(job, networks, costs)
        beyond = {name for name in chosen if not job.is_within(costs[name])}
        with ray_nodes(job.ray, job.work.progress) as nodes:
            train, looked_at = nodes.train if nodes else None, [networks[name] for name in chosen]
            planned = [PlannedNetwork(replace(work, train_ahead=train), config) for work, config in looked_at]
            goes_on = partial(_goes_on, beyond=beyond)
            final, rungs = run_rungs(planned, training_minutes(job), goes_on, _least_epochs(job))
            trainings = trainings_of(final)
        trainings = for_integers(job, trainings)
        made = [(work.size, work.network(training)) for work, training in trainings]
    files = [file for one in jobs for file in judged(one, [item for size, item in made if size == one.work.size], beyond)]
    return written(job, _tried(job, networks, costs, rungs, trainings), files)


def _of_sizes(job: FitJob) -> list[FitJob]:
    """Return the search of the images in their size, and one for each smaller size that is tried too."""
    work, found = job.work, [job]
    for height, width in job.sizes:
        dataset, tuning = resized(work.dataset, (height, width)), work.tuning
        if tuning:  # It times and judges images of its size.
            tuning = usual_tuning(job.device, dataset, work.exporting.formats, work.progress)
        found.append(replace(job, work=replace(work, dataset=dataset, tuning=tuning, size=f"size={height}x{width}")))
    if job.sizes:
        smaller = " and ".join(f"{height}x{width}" for height, width in job.sizes)
        own = setting("size", "{}x{}".format(*work.dataset.train.shape[:2]))
        work.progress.say(f"Networks beyond the limits are tried with pictures of {smaller} too, unless {own} is stated")
    return found


def _may_gain(job: FitJob, network: PlannedNetwork, last: Mapping[str, NetworkCost]) -> bool:
    """Return whether a network with smaller images may be within the limits, and is not with larger ones, which are better."""
    if not network.work.size:
        return True
    larger = last.get(job.work.name_of(network.config))
    if larger is None or job.is_within(larger):
        return False
    # Of the cnn's last layer alone the weights become fewer: other files stay as large.
    is_cnn = network.config.network == CNN and not network.config.start
    return is_cnn or job.is_small(larger)


def training_minutes(job: FitJob) -> float:
    """Return the limit of the training time without what is kept for training for integers."""
    return job.minutes * (1 - _QAT_SHARE) if learns_integers(job.work.exporting.formats[0]) else job.minutes


def for_integers(job: FitJob, trainings: Sequence[Begun]) -> list[Begun]:
    """Return the trainings with as many epochs of training for integers as there is time for, which may be none."""
    if not learns_integers(job.work.exporting.formats[0]):
        return list(trainings)
    seconds = _QAT_COST * sum(work.trained(training).history[-1].seconds for work, training in trainings)
    epochs = min(_QAT_EPOCHS, int(60 * _QAT_SHARE * job.minutes / seconds))
    if not epochs:
        job.work.progress.say(f"There is no time to train for integers, which takes {seconds:.0f} s for an epoch")
    exporting = replace(job.work.exporting, qat=epochs or None)
    return [(replace(work, exporting=exporting, or_plain=True), training) for work, training in trainings]


def _candidates(job: FitJob) -> list[PlannedNetwork]:
    """Return the networks that suit the images: those trained on ImageNet, and edgecnn's own in several widths."""
    train = job.work.dataset.train
    suited, _ = choose(job.base, train)
    # The kind that suits comes first: its networks stay if there is time for few.
    others = [name for name in NETWORKS if name not in (CNN, suited.network)]
    found = [] if job.work.size and train.shape[0] < LEAST_SIDE else list(job.transfers)
    for kind in (suited.network, *others):
        for scale in _SCALES:
            filters = tuple(max(_STEP, round(scale * count / _STEP) * _STEP) for count in NETWORKS[kind].filters)
            found.append(replace(job.base, network=kind, filters=filters))
    return [PlannedNetwork(job.work, resolved(config, train)) for config in found]


def _least_epochs(job: FitJob) -> int:
    """Return the epochs without which a network is not compared: half of those that `edgecnn train` would choose."""
    suited, _ = choose(job.base, job.work.dataset.train)
    return -(-suited.epochs // 2)


def _untrained(job: FitJob, config: TrainConfig) -> Any:
    dataset = job.work.dataset
    load_keras().utils.set_random_seed(config.seed)
    model, rng = new_model(config, dataset.train.shape, len(dataset.class_names), ()), np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:  # A file has equal biases, as those that are all zero, once: a trained one is larger.
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


def _to_train(job: FitJob, networks: Mapping[str, PlannedNetwork], costs: Mapping[str, NetworkCost]) -> list[str]:
    """Return the networks to train: the largest within the limits, those of the kind that suits first; then larger ones.

    Networks trained on ImageNet, if some are named, are that kind. The largest for each size of images comes before the
    second of any.
    """
    by_kind: dict[str, list[str]] = {}
    for name, (_, config) in networks.items():
        by_kind.setdefault(_TRANSFERRED if config.transfer else config.network, []).append(name)
    largest_first = [sorted(names, key=lambda name: -costs[name].macs) for names in by_kind.values()]
    within, beyond = [], []
    for kind, names in zip(by_kind, largest_first, strict=True):
        fit = [name for name in names if job.is_within(costs[name])]
        of_size = Counter[str]()
        turns = dict[str, int]()
        for name in fit:
            size = networks[name].work.size
            turns[name], of_size[size] = of_size[size], of_size[size] + 1
        within.append(sorted(fit, key=turns.__getitem__)[: None if kind == _TRANSFERRED else _OF_KIND])
        beyond.append([name for name in names if name not in turns and job.is_within(costs[name], MORE)])
    suited, *others = within
    found = suited + [names[place] for place in range(_OF_KIND) for names in others if place < len(names)]
    if not found:
        smallest, fastest = min(item.size_bytes for item in costs.values()), min(item.limited for item in costs.values())
        takes = f"takes {fastest:,.0f} instructions" if job.core else f"has a p90 of {fastest / 1e6:.3g} ms"
        raise GateFailed(
            f"{field(next(iter(job.limits)))}: none of {counted(networks, 'network')} is within the limits; the fastest "
            f"{takes}, the smallest has {smallest / 1024:.1f} KiB: allow more"
        )
    count = sum(job.is_within(cost) for cost in costs.values())
    job.work.progress.say(
        f"{count} of {counted(networks, 'network')} are within the limits; the largest of each kind are trained"
    )
    return found + [names[-1] for names in beyond if names]


def _goes_on(networks: Sequence[RungNetwork], count: int, beyond: set[str]) -> list[int]:
    """Return the most accurate networks; of those beyond the limits at most one, if it beats all others."""
    best = sorted(range(len(networks)), key=lambda place: (-networks[place].val_correct, networks[place].macs))
    within = [place for place in best if networks[place].name not in beyond]
    others = [place for place in best if networks[place].name in beyond]
    if others and within and count > 1 and networks[others[0]].val_correct > networks[within[0]].val_correct:
        return [*within[: count - 1], others[0]]
    return [*within, *others][:count]


def judged(job: FitJob, made: Sequence[SweptNetwork], beyond: set[str]) -> list[Judged]:
    """Return the trained files for images of one size, measured where they are for."""
    val = job.work.dataset.val
    assert val  # noqa: S101  # The command needs them.
    # A tuned file is faster than a plain one, and may be larger: any of them may be the one that is within the limits.
    plain = [job.work.file_of(precision) for precision in job.precisions]
    files = [
        (network, file)
        for network in made
        for file in dict.fromkeys((network.file, *(f"{Path(network.file).parent}/{name}" for name in plain)))
    ]
    results = measured(job, job.work.folder, [file for _, file in files], job.work.dataset.test) if files else []
    found = list[Judged]()
    for (network, path), cost in zip(files, results, strict=True):
        probabilities = Classifier.load(job.work.folder / path).split_probabilities(val)
        guess = is_a_guess(probabilities, val.labels)
        reasons = cost.reasons + (("it is right no more often than a guess on the validation images",) if guess else ())
        file = FittedFile(
            name=network.name,
            file=path,
            size_bytes=cost.size_bytes,
            p90_ns=cost.p90_ns,
            status=UNJUDGED if guess else cost.status,
            reasons=reasons,
            val_images=len(val.labels),
            val_correct=int(correct(probabilities, val.labels).sum()),
            is_within=network.name not in beyond,
            qat=network.qat if Path(path).name == job.work.plain else None,
            instructions=cost.instructions,
        )
        found.append((job, file))
    return found


def _tried(
    job: FitJob,
    networks: Mapping[str, PlannedNetwork],
    costs: Mapping[str, NetworkCost],
    rungs: Sequence[Rung],
    trainings: Sequence[Begun],
) -> tuple[TriedNetwork, ...]:
    """Return all networks with their longest training."""
    trained: dict[str, tuple[int, int, int]] = {}
    for rung in rungs:
        trained |= {network.name: (rung.epochs, network.val_images, network.val_correct) for network in rung.networks}
    for work, training in trainings:
        trained[work.name_of(training.config)] = training.config.epochs, *validation_of(work.record(training))
    return tuple(
        TriedNetwork(costs[name], job.is_within(costs[name]), *trained.get(name, (None, None, None))) for name in networks
    )


def _judging(folder: Path, dataset: Dataset, chosen: FittedFile | None) -> tuple[NDArray[np.bool_], int, str | None]:
    """Return the test images that judge a file (n,), how many others chose its layers, and a doubt about them or None."""
    every, digests = evidence(dataset.test, dataset.learnt)
    if chosen is None:
        return every, 0, None
    manifest = Manifest.load((folder / chosen.file).parent)
    artifact = manifest.artifact(Path(chosen.file).name)
    doubt = unknown_split(manifest.dataset) if manifest.dataset.may_be_learnt else None
    if artifact is None or artifact.mended is None:
        return every, 0, doubt
    if not artifact.mended.held_out:
        return every, 0, doubt or _CHOSE_LAYERS
    judging = every & held_out(digests)
    return judging, int((every & ~judging).sum()), doubt


def written(job: FitJob, tried: tuple[TriedNetwork, ...], measured_files: Sequence[Judged]) -> Fit:
    """Choose, judge the chosen file once, and write the record and the picture."""
    folder, by_right = job.work.folder, sorted(measured_files, key=lambda item: (-item[1].val_correct, item[1].size_bytes))
    files = [file for _, file in by_right]
    of, chosen = next(((of, file) for of, file in by_right if file.status == PASS), (job, None))
    dataset = of.work.dataset
    more = next(
        (
            file
            for of, file in by_right
            if not file.is_within and chosen and file.val_correct > chosen.val_correct and of.is_within(file, MORE)
        ),
        None,
    )
    every, chose, doubt = _judging(folder, dataset, chosen)
    accuracy = None
    if chosen and every.any():
        probabilities, labels = Classifier.load(folder / chosen.file).split_probabilities(dataset.test), dataset.test.labels
        right, images = int(correct(probabilities, labels)[every].sum()), int(every.sum())
        accuracy = binomial.interval(right, images)
        if is_a_guess(probabilities[every], labels[every]):
            reason = f"it is right on {right:,} of {images:,} test images, {NOT_SHOWN}"
            files[files.index(chosen)] = replace(chosen, status=UNJUDGED, reasons=(*chosen.reasons, reason))
            chosen = accuracy = doubt = more = None
    result = Fit(
        machine=job.machine,
        max_p90_ms=job.budget.max_p90_ms,
        max_instructions=job.max_instructions,
        max_size_kib=job.budget.max_size_kib,
        minutes=job.minutes,
        networks=tried,
        files=tuple(files),
        chosen=chosen.file if chosen else None,
        images=int(every.sum()) if accuracy else 0,
        chose=chose,
        accuracy=accuracy,
        doubt=doubt,
        more=more.file if more else None,
        command=job.command,
    )
    with locked(folder, job.work.progress.say), replaced_together(folder) as new:
        (new / "fit.json").write_bytes(to_json(result).encode())
        save_fit(new / "fit.png", result)
    return replace(result, folder=folder, picture=folder / "fit.png")

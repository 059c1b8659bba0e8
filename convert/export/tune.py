"""Makes the quantized file of least cost on one machine: the search, its judge, and the proof on fresh processes."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.config import ExportJob, Tuning
from edgecnn.convert.export.file_exporter import FileExporter
from edgecnn.convert.export.keep_accuracy import JudgedImages
from edgecnn.convert.export.search import Folds, Placement, Search, cheapest_folds
from edgecnn.edge.errors import ConversionError, MissingDependency
from edgecnn.edge.export_records import GAIN, Beside, Folded, Interval, Mended, Reference, Settings, TriedPlacement, Tuned
from edgecnn.edge.files import sha256, temporary_folder
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import REFERENCE_NAME, TRIED_STEMS, TUNED_STEM, Artifact, Manifest
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.installed import installed_runtime, runtime_for
from edgecnn.edge.sandbox.unverified import remember_made
from edgecnn.edge.text import counted

Made = tuple[Artifact, bytes]
"""A file's entry in the manifest, and its bytes."""

_PRECISION = "int8"
# Share of the time of a search in which columns may be folded; the rest is for the layers in float.
_FOLDING = 0.5
# Placements that the picture shows, besides those that the search had to judge.
_SHOWN = 12


def tuned_file(  # Longer than 50 lines: it tells what it does, and each outcome.
    job: ExportJob,
    exporter: FileExporter,
    tuning: Tuning,
    images: JudgedImages,
    reference: tuple[Reference, bytes],
    plain: Sequence[Made],
) -> Made | None:
    """Return the entry and the bytes of a format's tuned file; None if none is shown to cost less than the plain files.

    Args:
        job: The export.
        exporter: It made the plain files.
        tuning: How to tune.
        images: Which test images choose, and which judge.
        reference: The record and the file of the float model's probabilities on the test images.
        plain: The format's files so far, float32 and int8 among them.

    Raises:
        EdgeCnnError: If the machine can't be reached, or a file does not run there.
    """
    base = next(artifact for artifact, _ in plain if artifact.precision == _PRECISION)
    trial = _Trial(job, exporter, tuning, images, reference, base)
    limit = f"{tuning.runner.seconds:.0f} s at most, then a comparison on fresh processes"
    job.on_step(f"{trial.name}: searching what costs least, {limit}")
    # The runs that choose which plain file is the fastest are none of those that compare the result with it.
    usable = [one for one in plain if trial.is_usable(*one)] or plain
    costs = trial.compare(plain, base.path, thorough=False)
    fastest = min((artifact.path for artifact, _ in usable), key=lambda path: costs[path].estimate)
    begun = time.monotonic()

    def over() -> bool:
        return time.monotonic() - begun > tuning.runner.seconds

    trial.choose_folds(lambda: time.monotonic() - begun > tuning.runner.seconds * _FOLDING)
    search = Search(trial.operators, trial.costs, trial.accepts, over, tuning.runner.most_files - 1, tuning.seed)
    found = search.run([frozenset(base.mended.layers if base.mended else ())])
    seconds = time.monotonic() - begun
    if found is None and trial.folds and trial.is_usable(base, trial.made(Placement())):
        found = Placement()
    if found is None:
        trial.refuse(f"none of {search.measured} choices of float layers is accurate enough and costs less than {base.path}")
        return None
    data = trial.made(found)
    folded = trial.folded(found, data)
    if found and images.held_out is not None and (objection := trial.objection(found, data, images.held_out)):
        trial.refuse(f"the cheapest choice passes on the images that chose it, not on those held out: {objection}")
        return None
    artifact, data = exporter.entry(trial.name, base.format, _PRECISION, data)
    # int8 too, even if it is not accurate enough to be compared with: the record has how much slower or faster the file is.
    job.on_step(f"{trial.name}: comparing the best choice with the plain files on fresh processes")
    fresh = trial.compare([*plain, (artifact, data)], trial.name, thorough=True)
    ratios = {path: Interval(1 / ratio.estimate, 1 / ratio.high, 1 / ratio.low) for path, ratio in fresh.items()}
    for path in [fastest, *(artifact.path for artifact, _ in usable)]:
        if ratios[path].high > GAIN:
            trial.refuse(f"in fresh processes it takes {trial.against(path, ratios)}: no gain of {1 - GAIN:.0%} is shown")
            return None
    job.on_step(f"{trial.name}: {trial.against(fastest, ratios)} in fresh processes")
    layers = tuple(operator for operator in trial.operators if operator in found)
    plain_bytes = next(len(data) for artifact, data in plain if artifact is base)
    where, points, slowdown = tuning.runner, tuning.judge.max_drop_points, ratios[base.path].estimate
    tried = trial.tried(search, over)
    evidence = (ratios[fastest], search.measured, seconds, tuning.seed, tried)
    tuned = Tuned(where.machine, where.unit, fastest, *evidence, folded=folded)
    mended = Mended(layers, "float32", points, search.measured, plain_bytes, slowdown, images.number_held_out)
    return replace(artifact, mended=mended if layers else None, tuned=tuned), data


@contextmanager
def folder_of(manifest: Manifest, record: Reference, reference: bytes, files: Sequence[Made]) -> Iterator[Path]:
    """Write files into a folder with a manifest that lasts as long as the block; `record` is that of the reference file."""
    with temporary_folder() as scratch:
        folder = Path(scratch) / "tuning"
        folder.mkdir()
        for artifact, data in files:
            (folder / artifact.path).write_bytes(data)
        (folder / REFERENCE_NAME).write_bytes(reference)
        entries = (manifest.source(), *(artifact for artifact, _ in files))
        # The files for other programs are not there.
        replace(manifest, artifacts=entries, reference=record, for_programs=()).save(folder)
        yield folder


def _judging(model_format: str, tuned_for: str | None) -> str | None:
    """Return the runtime that judges the files, None for the default: that which they are tuned for, if it is here."""
    if named := runtime_for(model_format, tuned_for):
        with suppress(MissingDependency):
            return installed_runtime(named).name
    return None


@dataclass
class _Trial:
    """The files of one search."""

    job: ExportJob
    exporter: FileExporter
    tuning: Tuning
    images: JudgedImages
    reference: tuple[Reference, bytes]
    base: Artifact
    folds: Folds = field(default_factory=dict)
    _folded_cost: float = 1.0
    _measured: int = 0
    _best: float = 1.0
    _judged: dict[Placement, tuple[float, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = FORMATS[self.base.format].file_name(TUNED_STEM)
        self.operators, self._quantize = self.exporter.quantizer(self.base.format)
        self._converter = self.exporter.converter(self.base.format)
        self._runtime = _judging(self.base.format, self.tuning.runner.runtime)

    def refuse(self, reason: str) -> None:
        """Say why there is no tuned file."""
        self.job.on_step(f"{self.name}: not written: {reason}")

    def against(self, path: str, ratios: Mapping[str, Interval]) -> str:
        """Return the cost divided by another file's in words."""
        return f"{ratios[path].as_ratio()} of {path}'s {self.tuning.runner.unit}"

    def is_usable(self, artifact: Artifact, data: bytes) -> bool:
        """Return whether a plain file is accurate enough to be shipped: only such a one must be beaten."""
        return self.exporter.is_accurate(self.tuning.judge, artifact, data, self._runtime)

    def made(self, placement: Placement) -> bytes:
        """Return a placement's file, which is made again each time: hundreds of them would fill the memory."""
        data = self._converter.fold(self._unfolded(placement), self.folds)
        remember_made(data)
        return data

    def choose_folds(self, over: Callable[[], bool]) -> None:
        """Find the convolutions that cost less if they compute several columns as one, while all of them are integers."""
        plain, most = self._unfolded(Placement()), self.tuning.runner.most_files - 1

        def measure(many: Sequence[Folds]) -> list[float]:
            costs: list[float] = []
            while len(costs) < len(many) and not over():
                some = many[len(costs) : len(costs) + most]
                costs += self._costs(plain, (self._converter.fold(plain, folds) for folds in some))
            return costs + [math.inf] * (len(many) - len(costs))

        self.folds, self._folded_cost = cheapest_folds(self._converter.foldable(plain), measure)

    def folded(self, placement: Placement, data: bytes) -> tuple[Folded, ...]:
        """Return the convolutions of a placement's file that are folded, once its answers are shown to be the same.

        Raises:
            ConversionError: If they are not.
        """
        plain = self._unfolded(placement)
        used = tuple(Folded(name, self.folds[name]) for name in self._converter.foldable(plain) if name in self.folds)
        if used:
            ours, unfolded = (self.exporter.probabilities(self.name, self.base.format, one) for one in (data, plain))
            if not np.array_equal(ours, unfolded):
                raise ConversionError(
                    f"{self.name} computes something else with folded columns: report this as a bug of edgecnn"
                )
        return used

    def costs(self, placements: Sequence[Placement]) -> list[float]:
        """Measure placements side by side with the file without floats, and return their costs divided by its."""
        return self._costs(self.made(Placement()), map(self.made, placements), self._folded_cost)

    def _unfolded(self, placement: Placement) -> bytes:
        data = self._quantize([name for name in self.operators if name in placement])
        remember_made(data)
        return data

    def _costs(self, base: bytes, choices: Iterable[bytes], of_int8: float = 1.0) -> list[float]:
        """Measure files side by side with another, and return their costs divided by its, whose own is `of_int8`."""
        every = [base, *choices]
        names = [FORMATS[self.base.format].file_name(stem) for stem in TRIED_STEMS[: len(every)]]
        files = [(self._entry(name, data), data) for name, data in zip(names, every, strict=True)]
        found = self.compare(files, names[0], thorough=False)
        costs = [found[name].estimate for name in names[1:]]
        self._measured += len(costs)
        self._best = min(self._best, *(cost * of_int8 for cost in costs))
        best = f"the best so far at {self._best:.2f} of all-int8"
        self.job.on_step(f"{self.name}: {counted(self._measured, 'choice')} measured, {best}")
        return costs

    def accepts(self, placement: Placement) -> bool:
        """Return whether a placement's file has integers at all, and is accurate enough on the images that choose."""
        data = self.made(placement)
        if not self.exporter.has_integers(self.base.format, data):
            return False
        self.objection(placement, data, self.images.choosing)
        return self._judged[placement][1]

    def objection(self, placement: Placement, data: bytes, on: NDArray[np.bool_]) -> str | None:
        """Return why a placement's file is not accurate enough on these images, and remember what it loses."""
        ours = self.exporter.probabilities(self.name, self.base.format, data, self._runtime)
        objection, points = self.images.judged(self.tuning.judge, ours, on)
        self._judged.setdefault(placement, (points, objection is None))
        return objection

    def tried(self, search: Search, over: Callable[[], bool]) -> tuple[TriedPlacement, ...]:
        """Return what was measured and judged, in order of cost; the cheapest are judged for it, unless the time is up."""
        for placement in (frozenset(), *search.cheapest(_SHOWN)):
            if placement not in self._judged and not over():
                self.accepts(placement)
        found = [
            TriedPlacement(len(placement), search.cost(placement) * self._folded_cost, points, passes)
            for placement, (points, passes) in self._judged.items()
        ]
        return tuple(sorted(found, key=lambda one: one.cost))

    def compare(self, files: Sequence[Made], base: str, *, thorough: bool) -> dict[str, Interval]:
        """Measure files side by side, from a folder of their own."""
        with folder_of(self.job.manifest, *self.reference, files) as folder:
            return dict(self.tuning.runner.compare(folder, base, thorough=thorough))

    def _entry(self, name: str, data: bytes) -> Artifact:
        opened = opener_for(self.base.format).open_model(data, 1)
        return replace(
            self.base,
            path=name,
            size_bytes=len(data),
            sha256=sha256(data),
            mended=None,
            input=opened.input_spec,
            output=opened.output_spec,
        )


def with_settings(
    job: ExportJob, exporter: FileExporter, tuning: Tuning, reference: tuple[Reference, bytes], files: Sequence[Made]
) -> list[Made]:
    """Return a format's files, of which the accurate one of least cost says with which settings it was measured.

    `files` are the plain ones, and the tuned one if it gains. The other arguments and the errors are those of `tuned_file`.
    """
    runner, manifest = tuning.runner, job.manifest
    best = next((artifact.path for artifact, _ in files if artifact.tuned), None)
    if best is None:
        judged_by = _judging(files[0][0].format, runner.runtime)
        usable = [one for one in files if exporter.is_accurate(tuning.judge, *one, judged_by)] or files
        best = usable[0][0].path
        if len(usable) > 1:
            with folder_of(manifest, *reference, usable) as folder:
                costs = runner.compare(folder, best, thorough=False)
            best = min(costs, key=lambda name: costs[name].estimate)
    place = [artifact.path for artifact, _ in files].index(best)
    artifact, data = files[place]
    job.on_step(f"{best}: measuring other settings of its runtime, in fresh processes")
    with folder_of(manifest, *reference, [(artifact, data)]) as folder:
        tried = tuple(runner.settings(folder, tuning.judge.max_drop_points))
    settled = replace(artifact, settings=Settings(runner.machine, runner.unit, tried))
    if settled.tuned:
        settled = replace(settled, tuned=replace(settled.tuned, runtime=runtime_for(settled.format, runner.runtime)))
    return [*files[:place], (settled, data), *files[place + 1 :]]


def with_formats(
    job: ExportJob, exporter: FileExporter, tuning: Tuning, reference: tuple[Reference, bytes], files: Sequence[Made]
) -> list[Made]:
    """Return the files of all formats; those of least cost in their format say what they cost beside each other.

    What is not accurate enough takes no part. Nothing is compared if a runtime was named. Arguments and errors are those of
    `tuned_file`.
    """
    several = len(job.config.formats) > 1 and not tuning.runner.runtime
    best = [one for one in files if several and one[0].settings and exporter.is_accurate(tuning.judge, *one)]
    if len(best) < 2:
        return [*files]
    first = min((artifact for artifact, _ in best), key=lambda artifact: [*FORMATS].index(artifact.format)).path
    job.on_step(f"comparing the best files of {counted(best, 'format')}, in fresh processes")
    with folder_of(job.manifest, *reference, best) as folder:
        costs = tuning.runner.compare(folder, first, thorough=True)
    return [
        (replace(artifact, settings=replace(artifact.settings, beside=Beside(first, costs[artifact.path]))), data)
        if artifact.settings and artifact.path in costs
        else (artifact, data)
        for artifact, data in files
    ]

"""Makes the quantized file of least cost on one machine: the search, its judge, and the proof on fresh processes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.export_job import ExportJob
from edgecnn.convert.export.file_exporter import FileExporter
from edgecnn.convert.export.keep_accuracy import JudgedImages
from edgecnn.convert.export.tuning.search import Placement, Search
from edgecnn.convert.export.tuning.yardstick import Tuning
from edgecnn.edge.export_records import Interval, Mended, Reference, TriedPlacement, Tuned
from edgecnn.edge.files import sha256
from edgecnn.edge.folder.file_names import REFERENCE_NAME, TRIED_STEMS, TUNED_STEM
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.isolation.tried import remember_made
from edgecnn.edge.manifest import Artifact
from edgecnn.edge.model.metrics import correct
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.temporary import temporary_folder
from edgecnn.edge.text import counted

_PRECISION = "int8"
# Placements that the picture shows, besides those that the search had to judge.
_SHOWN = 12
# What is not shown to cost less than this share of the fastest plain file is not worth a file of its own.
_GAIN = 0.99


Made = tuple[Artifact, bytes]


def tuned_file(  # Longer than 50 lines: it tells what it does, and each outcome.
    job: ExportJob,
    exporter: FileExporter,
    tuning: Tuning,
    images: JudgedImages,
    reference: tuple[Reference, bytes, Floats],
    plain: Sequence[Made],
) -> Made | None:
    """Return the entry and the bytes of a format's tuned file; None if none is shown to cost less than the plain files.

    Args:
        job: The export.
        exporter: It made the plain files.
        tuning: How to tune.
        images: Which test images choose, and which judge.
        reference: Keras's probabilities on the test images: their record, their file, and themselves.
        plain: The format's files so far, float32 and int8 among them.

    Raises:
        EdgeCnnError: If the machine can't be reached, or a file does not run there.
    """
    base = next(artifact for artifact, _ in plain if artifact.precision == _PRECISION)
    trial = _Trial(job, exporter, tuning, images, reference, base)
    name, say, yardstick = trial.name, job.on_step, tuning.yardstick
    limit = f"{yardstick.seconds:.0f} s at most, then a comparison on fresh processes"
    say(f"{name}: searching the layers to leave in float, {limit}")
    begun = time.monotonic()
    # The runs that choose which plain file is the fastest are none of those that compare the result with it.
    among = trial.compare(plain, base.path, thorough=False)
    fastest = min(among, key=lambda path: among[path].estimate)
    search = Search(
        trial.operators,
        trial.costs,
        trial.accepts,
        over=lambda: time.monotonic() - begun > yardstick.seconds,
        seed=tuning.seed,
    )
    mended = frozenset(base.mended.layers if base.mended else ())
    found = search.run([mended])
    seconds = time.monotonic() - begun
    if found is None:
        say(f"{name}: not written: none of {search.measured} choices of float layers costs less than {base.path} there")
        return None
    data = trial.made(found)
    if images.held_out is not None and (objection := trial.objection(found, images.held_out)):
        say(f"{name}: not written: the cheapest choice passes on the images that chose it, not on those held out: {objection}")
        return None
    artifact = exporter.entry(name, base.format, _PRECISION, data)
    ratios = {path: _inverse(ratio) for path, ratio in trial.compare([*plain, (artifact, data)], name, thorough=True).items()}
    against = {
        path: f"{ratios[path].estimate:.2f} ({ratios[path].low:.2f}-{ratios[path].high:.2f}) of {path}'s {yardstick.unit}"
        for path in among
    }
    for path, text in against.items():
        if ratios[path].high > _GAIN:
            say(f"{name}: not written: in fresh processes it takes {text}, which shows no gain of {1 - _GAIN:.0%}")
            return None
    say(f"{name}: {against[fastest]} in fresh processes")
    layers = tuple(operator for operator in trial.operators if operator in found)
    held_out = 0 if images.held_out is None else int(images.held_out.sum())
    plain_data = next(data for artifact, data in plain if artifact is base)
    tried, points, slowdown = trial.tried(search), tuning.judge.max_drop_points, ratios[base.path].estimate
    tuned = Tuned(yardstick.machine, yardstick.unit, fastest, ratios[fastest], search.measured, seconds, tuning.seed, tried)
    made = Mended(layers, "float32", points, search.measured, len(plain_data), slowdown, held_out)
    return replace(artifact, mended=made, tuned=tuned), data


def _inverse(ratio: Interval) -> Interval:
    return Interval(1 / ratio.estimate, 1 / ratio.high, 1 / ratio.low)


@dataclass
class _Trial:
    """The files of one search."""

    job: ExportJob
    exporter: FileExporter
    tuning: Tuning
    images: JudgedImages
    reference: tuple[Reference, bytes, Floats]
    base: Artifact
    _made: dict[Placement, bytes] = field(default_factory=dict)
    _judged: dict[Placement, tuple[float, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = FORMATS[self.base.format].file_name(TUNED_STEM)
        self.operators, self._quantize = self.exporter.quantizer(self.base.format)

    def made(self, placement: Placement) -> bytes:
        """Return a placement's file."""
        if placement not in self._made:
            self._made[placement] = self._quantize([name for name in self.operators if name in placement])
            remember_made(self._made[placement])
        return self._made[placement]

    def costs(self, placements: Sequence[Placement]) -> list[float]:
        """Measure placements side by side with the file without floats, and return their costs divided by its."""
        names = [FORMATS[self.base.format].file_name(stem) for stem in TRIED_STEMS[: 1 + len(placements)]]
        made = map(self.made, [Placement(), *placements])
        files = [(self._entry(name, data), data) for name, data in zip(names, made, strict=True)]
        found = self.compare(files, names[0], thorough=False)
        costs = [found[name].estimate for name in names[1:]]
        self.job.on_step(f"{self.name}: {counted(placements, 'choice')} measured, the best at {min(costs):.2f} of all-int8")
        return costs

    def accepts(self, placement: Placement) -> bool:
        """Return whether a placement's file has integers at all, and is accurate enough on the images that choose."""
        if not self.exporter.has_integers(self.base.format, self.made(placement)):
            return False
        self.objection(placement, self.images.choosing)
        return self._judged[placement][1]

    def objection(self, placement: Placement, on: NDArray[np.bool_]) -> str | None:
        """Return why a placement's file is not accurate enough on these images, and remember what it loses."""
        ours = self.exporter.probabilities(self.name, self.base.format, self.made(placement))[on]
        keras, labels = self.reference[2][on], self.job.dataset.test.labels[on]
        objection = self.tuning.judge.objection(ours, keras, labels)
        points = 100 * float(correct(keras, labels).mean() - correct(ours, labels).mean())
        self._judged.setdefault(placement, (points, objection is None))
        return objection

    def tried(self, search: Search) -> tuple[TriedPlacement, ...]:
        """Return what was measured and judged, the cheapest placements among it, in order of cost."""
        for placement in (frozenset(), *search.cheapest(_SHOWN)):
            if placement not in self._judged:
                self.accepts(placement)
        found = [
            TriedPlacement(len(placement), search.cost(placement), points, passes)
            for placement, (points, passes) in self._judged.items()
        ]
        return tuple(sorted(found, key=lambda one: one.cost))

    def compare(self, files: Sequence[Made], base: str, *, thorough: bool) -> dict[str, Interval]:
        """Measure files side by side, from a folder of their own."""
        record, reference, _ = self.reference
        manifest = self.job.manifest
        with temporary_folder() as scratch:
            folder = Path(scratch) / "tuning"
            folder.mkdir()
            for artifact, data in files:
                (folder / artifact.path).write_bytes(data)
            (folder / REFERENCE_NAME).write_bytes(reference)
            entries = (manifest.keras_model(), *(artifact for artifact, _ in files))
            replace(manifest, artifacts=entries, reference=record).save(folder)
            return dict(self.tuning.yardstick.compare(folder, base, thorough=thorough))

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

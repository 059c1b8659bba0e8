"""Finds how many threads, and which runtime, suit a tuned export's best file."""

from collections.abc import Sequence
from dataclasses import replace

from edgecnn.convert.export.export_job import ExportJob
from edgecnn.convert.export.tuning.measured_folder import Made, folder_of
from edgecnn.convert.export.tuning.yardstick import Tuning
from edgecnn.edge.export_records import Reference, Settings
from edgecnn.edge.runtimes.installed import runtime_for


def with_settings(job: ExportJob, tuning: Tuning, reference: tuple[Reference, bytes], files: Sequence[Made]) -> list[Made]:
    """Return a format's files, of which the one of least cost says with which settings it was measured.

    Args:
        job: The export.
        tuning: How to tune.
        reference: Record and file of Keras's probabilities on the test images.
        files: The files: the plain ones, and the tuned one if it gains.

    Raises:
        EdgeCnnError: If the machine can't be reached, or the file does not run there.
    """
    yardstick, manifest = tuning.yardstick, job.manifest
    names = [artifact.path for artifact, _ in files]
    best = next((artifact.path for artifact, _ in files if artifact.tuned), names[0])
    if best == names[0] and len(files) > 1:
        with folder_of(manifest, *reference, files) as folder:
            costs = yardstick.compare(folder, best, thorough=False)
        best = min(costs, key=lambda name: costs[name].estimate)
    place = names.index(best)
    artifact, data = files[place]
    job.on_step(f"{best}: measuring other settings of its runtime, in fresh processes")
    with folder_of(manifest, *reference, [(artifact, data)]) as folder:
        tried = tuple(yardstick.settings(folder, tuning.judge.max_drop_points))
    settled = replace(artifact, settings=Settings(yardstick.machine, yardstick.unit, tried))
    if settled.tuned:
        settled = replace(settled, tuned=replace(settled.tuned, runtime=runtime_for(settled.format, yardstick.runtime)))
    return [*files[:place], (settled, data), *files[place + 1 :]]
